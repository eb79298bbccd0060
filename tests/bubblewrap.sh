#!/bin/bash
# tests/bubblewrap.sh [DIR]: bubblewrap's own tests, those of its checkout DIR (or $UDS_BUBBLEWRAP), with BWRAP naming the release
# build's `uds`, as root and as nobody. They are copied and run outside of this tree, which has nothing of theirs. In a mount
# namespace of ours there are what some of them look for: a FUSE mount of each user's and /dev/log. Started by root.
# One line each: pass, fail or skip USER TEST: how many of its cases.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
from=${1:-${UDS_BUBBLEWRAP:-}}
[ -x "$root/build/release/bin/uds" ] || { echo "tests/bubblewrap.sh: build first: cmake --preset release && cmake --build --preset release" >&2; exit 2; }
if [ ! -e "$from/tests/test-run.sh" ] || [ "$(id -u)" != 0 ]; then
    echo "skip all: needs root, and a checkout of bubblewrap 0.11 as argument or UDS_BUBBLEWRAP"
    exit 77
fi
[ "${UDS_BUBBLEWRAP_INSIDE:-}" ] || exec env UDS_BUBBLEWRAP_INSIDE=1 unshare --mount --propagation private "$0" "$from"

work=$(mktemp -d /var/tmp/uds-bubblewrap.XXXXXX) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; umount "$work"/fuse-* 2>/dev/null; rm -rf "$work"' EXIT
mkdir -m 755 "$work"/{bin,dev,shown,fuse-0,fuse-65534}
chmod 755 "$work"
chown 65534 "$work/fuse-65534"
cp -a "$from/tests" "$work/tests" && chmod -R a+rX "$work/tests"
cc -o "$work/tests/try-syscall" "$work/tests/try-syscall.c" || exit 1
for program in uds uds-sandbox-init uds-sandbox-answer uds-cleaner; do cp "$root/build/release/bin/$program" "$work/bin/"; done
ln -s uds "$work/bin/bwrap"

as() { # UID COMMAND...
    local uid=$1
    shift
    [ "$uid" = 0 ] || set -- setpriv --reuid="$uid" --regid="$uid" --clear-groups --inh-caps=-all -- env HOME="$work" "$@"
    "$@"
}

mount -t tmpfs -o mode=755 dev "$work/dev"
cp -a /dev/{null,zero,full,random,urandom,tty,fd,stdin,stdout,stderr} "$work/dev/"
mknod -m 666 "$work/dev/fuse" c 10 229
mkdir "$work/dev/pts" "$work/dev/shm"
ln -s pts/ptmx "$work/dev/ptmx"
mount --bind /dev/pts "$work/dev/pts"
mount -t tmpfs -o mode=1777 shm "$work/dev/shm"
mount --move "$work/dev" /dev
python3 -c 'import os, signal, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind("/dev/log"); os.chmod("/dev/log", 0o666); signal.pause()' &
for uid in 0 65534; do
    as $uid bindfs --no-allow-other "$work/shown" "$work/fuse-$uid" 2>/dev/null || echo "skip $uid fuse: no bindfs, cases that need a FUSE mount are skipped"
done

failed=0
for uid in 0 65534; do
    for test in "$work"/tests/test-*.{sh,py}; do
        runner=bash
        [ "${test##*.}" = sh ] || runner=/usr/bin/python3
        (cd "$work/tests" && as $uid env BWRAP="$work/bin/bwrap" timeout 300 $runner "$test") >"$work/out" 2>"$work/err"
        status=$?
        verdict=pass
        [ $status = 0 ] && grep -q '^1\.\.[1-9]' "$work/out" && ! grep -q '^not ok' "$work/out" || verdict=fail
        name="$([ $uid = 0 ] && echo root || echo nobody) ${test##*/}"
        echo "$verdict $name: $(grep '^ok' "$work/out" | grep -vc '# SKIP') of $(sed -n 's/^1\.\.//p' "$work/out") cases$(
            sed -n 's/^ok [0-9]* # SKIP/skipped:/p' "$work/out" | sort | uniq -c | sed 's/^ */, /' | tr -d '\n')"
        [ $verdict = pass ] || { failed=1; echo "    status $status"; tail -n 5 "$work/err" | sed 's/^/    /'; }
    done
done
exit $failed
