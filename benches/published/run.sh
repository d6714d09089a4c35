#!/usr/bin/env bash
# Compares sessile with the stores that are published for tower-sessions.
#
# Debian and its like: installs redis-server if neither it nor Valkey is there (as root, or by sudo). Without it, all but Redis is compared.
set -euo pipefail
cd "$(dirname "$0")"

has() { command -v "$1" >/dev/null 2>&1; }
if ! has valkey-server && ! has redis-server && has apt-get; then
    root=
    if [ "$(id -u)" -ne 0 ]; then root=sudo; fi
    # Not as a service of the system: the bench starts one of its own.
    $root apt-get update -q && $root env RUNLEVEL=1 apt-get install -y -q --no-install-recommends redis-server || echo "redis-server cannot be installed here"
fi
cargo bench --locked
