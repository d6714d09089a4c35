#!/bin/sh
# Installs the programs that tests drive: tests/install.sh PROGRAM... Does nothing if all of them are there. `a|b` is either of two programs;
# the first is installed. The names of the programs are the names of their packages.
#
# Debian and its like, as root or by sudo. The services that come with the packages are not started: the tests start what they need.
set -eu

# Debian keeps some programs in directories that not every user's PATH has.
PATH="$PATH:/usr/sbin:/sbin"
missing=
for programs in "$@"; do
    first=${programs%%|*}
    second=${programs##*|}
    command -v "$first" >/dev/null || command -v "$second" >/dev/null || missing="$missing $first"
done
[ -n "$missing" ] || exit 0

fail() {
    echo "$1; install these packages and run the tests again:$missing" >&2
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
$root apt-get update -q || fail "apt-get update failed"
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 $missing \
    || fail "apt-get install failed"
