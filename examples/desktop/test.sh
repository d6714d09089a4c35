#!/usr/bin/env bash
# Opens the app in a window of a display of its own, kills it, opens it again: the page must still have its session.
#
# Debian and its like: installs WebKitGTK's development package and Xvfb if they are not there (as root, or by sudo).
set -euo pipefail
cd "$(dirname "$0")"

export CARGO_INCREMENTAL=0
root=
if [ "$(id -u)" -ne 0 ]; then root=sudo; fi
missing=()
pkg-config --exists webkit2gtk-4.1 2>/dev/null || missing+=(libwebkit2gtk-4.1-dev)
command -v Xvfb >/dev/null || missing+=(xvfb)
if [ "${#missing[@]}" -gt 0 ]; then
    $root apt-get update -q
    $root apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
cargo build --locked
app=$(cargo metadata --locked --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/sessile-desktop

scratch=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

# The display's number is the server's choice, so that runs side by side do not meet.
Xvfb -displayfd 1 -screen 0 800x600x24 -nolisten tcp >"$scratch/display" 2>/dev/null &
pids+=($!)
until [ -s "$scratch/display" ]; do sleep 0.1; done
DISPLAY=:$(head -n 1 "$scratch/display")
export DISPLAY GDK_BACKEND=x11 XDG_RUNTIME_DIR="$scratch" LIBGL_ALWAYS_SOFTWARE=1 WEBKIT_DISABLE_DMABUF_RENDERER=1

# Starts the app and waits until its page was counted as visit $1. Sets app_pid.
open_app() {
    : >"$scratch/out"
    "$app" "$scratch/data" >>"$scratch/out" 2>"$scratch/err" &
    app_pid=$!
    pids+=("$app_pid")
    for _ in $(seq 300); do
        if grep -q '^visit ' "$scratch/out"; then
            grep -qx "visit $1" "$scratch/out" || { echo "expected visit $1, found: $(cat "$scratch/out")"; exit 1; }
            return
        fi
        kill -0 "$app_pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "no visit: $(cat "$scratch/out" "$scratch/err")"
    exit 1
}

for visit in 1 2 3; do
    open_app "$visit"
    # The page stores its token a moment after it was told it.
    until grep -rqs session "$scratch/data/web"; do sleep 0.1; done
    # The web engine's own processes keep the page's things, and end a moment after the app.
    engine=$(pgrep -P "$app_pid" || true)
    kill -9 "$app_pid"
    wait "$app_pid" 2>/dev/null || true
    for pid in $engine; do while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; done
done
echo "the page kept its session over two restarts"
