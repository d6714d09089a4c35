#!/bin/sh
# Installs redis-server if neither it nor valkey-server is there, and prints the name of the one to use.
#
# Debian and its like, as root or by sudo. The service that comes with the package is not started: the tests start their own.
set -eu

PATH="$PATH:/usr/sbin:/sbin"
find_server() {
    for program in valkey-server redis-server; do
        if command -v "$program" >/dev/null; then
            command -v "$program"
            exit 0
        fi
    done
}
find_server

fail() {
    echo "$1; install redis-server or valkey-server and run the tests again" >&2
    exit 1
}
command -v apt-get >/dev/null || fail "there is no apt-get here"
root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "packages are installed by root, and there is no sudo here"
    root="sudo -n"
fi

# Debian's way to say that a package's service must not be started. A policy that is there already is left as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null || fail "$policy cannot be written"
    trap '$root rm -f "$policy"' EXIT
    $root chmod +x "$policy"
fi
$root apt-get update -q >&2 || fail "apt-get update failed"
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 redis-server >&2 \
    || fail "apt-get install failed"
find_server
fail "the package has no redis-server"
