#!/bin/bash
# tests/vm/run.sh [6.1|6.12]...: the release build's tests (guest.py) in guests with older kernels and pure cgroup v2, where what
# is newer than they are must be found missing and fallen back from: SO_PEERPIDFD (6.5), PIDFD_GET_INFO (6.13), SO_PASSRIGHTS
# (6.16). One line each: pass, fail or skip KERNEL NAME: what. UDS_VM_TESTS: only those whose name matches.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -gt 0 ] || set -- 6.1 6.12
[ -x "$root/build/release/bin/uds" ] || { echo "tests/vm/run.sh: build first: cmake --preset release && cmake --build --preset release" >&2; exit 2; }

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
failed=0
for kernel in "$@"; do
    start=$SECONDS
    [ -z "${UDS_VM_TESTS:-}" ] || echo "skip $kernel others: UDS_VM_TESTS wants only $UDS_VM_TESTS"
    UDS_VM_TIMEOUT=5400 "$root/tests/vm/vm.sh" "$kernel" "'$root/tests/vm/guest.py' -R '${UDS_VM_TESTS:-.}'" 2>"$log" |
        sed -u "s/^\(pass\|fail\|skip\) /\1 $kernel /"
    status=${PIPESTATUS[0]}
    case $status in
    0) echo "pass $kernel guest: $(grep -o 'linux-image.*' "$log"): its tests pass, $((SECONDS - start)) s" ;;
    77) echo "skip $kernel guest: $(cat "$log")" ;;
    *) echo "fail $kernel guest: after $((SECONDS - start)) s"; sed 's/^/    /' "$log"; failed=1 ;;
    esac
done
exit $failed
