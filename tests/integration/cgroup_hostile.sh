#!/bin/sh
# SPDX-License-Identifier: MIT
# A fork bomb and a memory hog, each in a sandbox with limits, leave the host and a sibling sandbox responsive. The latency of
# the sibling's calls is told for both, beside that of a quiet moment.
# shellcheck source=tests/support/sandbox.sh
. "$UDS_SOURCE/tests/support/sandbox.sh"
[ "$(id -u)" = 0 ] || skip "needs root: this machine delegates no cgroup to users"
[ -d /sys/fs/cgroup ] || skip "no cgroups are mounted"
probe=$UDS_BIN/test/limit-probe
r="$uds run --run-dir $run --jail $probe"

# sibling WHAT: calls for 3 s in a sandbox of its own, with ten times the weight of what disturbs it
sibling()
{
    expect "sibling, $1" 0 '' $r --name "$name-sibling" --cpu-weight 1000 --memory 64M --pids 8 -- "$probe" calls 3000
    read -r p50 p99 most <"$dir/out"
    echo "sibling's calls, $1: p50 $p50 us, p99 $p99 us, most $most us"
    check "the sibling answers within 100 ms, $1: p99 $p99 us" [ "$p99" -lt 100000 ]
}

# The host starts a program.
responsive()
{
    start=$(date +%s%N)
    true_path=$(command -v true)
    env "$true_path" || fail "the host cannot start a program, $1"
    took=$((($(date +%s%N) - start) / 1000000))
    echo "the host starts a program, $1: $took ms"
    check "the host is responsive, $1" [ "$took" -lt 2000 ]
}

sibling "quiet"
responsive "quiet"

$r --name "$name-bomb" --pids 200 --cpu 50% --memory 256M --timeout 20s -- "$probe" bomb 2>"$dir/bomb" &
bomb=$!
mine="$mine $bomb"
bombed()
{
    for directory in $(find /sys/fs/cgroup -type d -name "uds-$name-bomb*"); do
        [ -e "$directory/pids.current" ] && [ "$(cat "$directory/pids.current")" -gt 150 ] && return
    done
    return 1
}
check "the bomb has gone off" within 60 bombed
sibling "beside a fork bomb"
responsive "beside a fork bomb"
"$uds" cgroup kill --run-dir "$run" "$name-bomb" || fail "the bomb cannot be killed: $(cat "$dir/bomb")"
wait $bomb

# Hogs that die of their limit, one after the other.
: >"$dir/go-on"
(
    while [ -e "$dir/go-on" ]; do
        $r --name "$name-hog" --memory 64M --pids 8 --cpu 50% -- "$probe" memory 1024 1000 2>"$dir/hog" || echo $? >"$dir/hog-code"
    done
) &
hogs=$!
hogged()
{
    grep -qsx 120 "$dir/hog-code"
}
check "a hog was killed for memory" within 60 hogged
sibling "beside memory hogs"
responsive "beside memory hogs"
rm "$dir/go-on"
wait $hogs
finish
