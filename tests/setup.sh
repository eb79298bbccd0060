#!/bin/sh
# tests/setup.sh [--long]: install what packages.txt lists and this machine lacks. Quiet and quick when nothing is missing.
# What stands there below the line "only --long" is for tests/run.sh --long.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

until='/only --long/,$d'
[ "${1:-}" != --long ] || until=
missing=
for package in $(sed -e "$until" -e 's/#.*//' "$root/packages.txt"); do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null 2>&1; then
    sudo="sudo"
else
    echo "setup: packages are missing:$missing: not root and no sudo: install them as root" >&2
    exit 1
fi
echo "setup: installing$missing" >&2
log=$(mktemp)
if ! { $sudo apt-get update -qq &&
       $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
       >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "setup: apt-get failed (its last lines are above): check the package sources" >&2
    exit 1
fi
rm -f "$log"
