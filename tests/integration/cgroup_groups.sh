#!/bin/sh
# SPDX-License-Identifier: MIT
# `uds cgroup`: a group made, joined by several commands, watched, changed, frozen, and deleted; a sandbox looked at and
# changed by its name; what keeps the rest of the machine alive.
# shellcheck source=tests/support/sandbox.sh
. "$UDS_SOURCE/tests/support/sandbox.sh"
[ "$(id -u)" = 0 ] || skip "needs root: this machine delegates no cgroup to users"
[ -d /sys/fs/cgroup ] || skip "no cgroups are mounted"
probe=$UDS_BIN/test/limit-probe
g=$name # of the group

# c VERB…: uds cgroup with our run directory. Not for the background, where $! is to be the command's own pid.
c()
{
    verb=$1
    shift
    "$uds" cgroup "$verb" --run-dir "$run" "$@"
}

# json KEY [KEY]: of `uds cgroup ls $g --json`
json()
{
    c ls "$g" --json | python3 -c 'import json, sys
v = json.load(sys.stdin)
for key in sys.argv[1:]:
    v = v[key]
print(v)' "$@"
}

directories()
{
    find /sys/fs/cgroup -type d -name "uds-group-$g" 2>/dev/null
}

is()
{
    [ "$(json "$1" ${3:+"$3"})" = "$2" ]
}

# -- make, refuse, find
expect "create" 0 '' c create "$g" --memory 64M --cpu 50% --cpu-weight 10000 --pids 30
check "it has directories" [ -n "$(directories)" ]
expect "twice" 1 "group $g: there is one already" c create "$g"
expect "a bad name" 1 'a name is 1 to 48 letters' c create "a/b"
expect "a bad limit" 2 '--memory 1: is not a number of bytes' c create "$g-x" --memory 1
expect "an omission that leaves no group" 2 'is not a list of cpu, cpuset, memory-high, io, buffered-writes' c create "$g-x" --degrade cgroup
expect "no such group" 1 'there is no such group' c set nope --pids 3
expect "what a verb does not take" 2 '--kill: not an option of create' c create x --kill
expect "no limits" 2 'which limits' c set "$g"
expect "no name" 2 'of which group' c freeze
expect "half a group is none" 1 'cpuset 4000' c create "$g-x" --cpuset 4000 --pids 7
check "nothing is left of it" [ -z "$(find /sys/fs/cgroup "$run" -name "*$g-x" 2>/dev/null)" ]
check "memory is read back" is limits 67108864 memory_bytes
check "cpu is read back" is limits 50 cpu_percent
check "it is empty" is state empty

# -- several commands in one group, in every hierarchy
mkfifo "$dir/go"
"$uds" cgroup exec --run-dir "$run" "$g" -- "$probe" cpu 2 2000 go <"$dir/go" >"$dir/a" 2>"$dir/a.err" &
a=$!
"$uds" cgroup exec --run-dir "$run" "$g" "$probe" cpu 2 2000 go <"$dir/go" >"$dir/b" 2>"$dir/b.err" &
b=$!
mine="$mine $a $b"
exec 9>"$dir/go"
both_ready()
{
    grep -q ready "$dir/a.err" && grep -q ready "$dir/b.err"
}
check "two commands are in it" within 60 both_ready
for directory in $(directories); do
    check "both are in $directory" [ "$(grep -cxE "$a|$b" "$directory/cgroup.procs")" = 2 ]
done
both_listed()
{
    is pids "[$a, $b]" || is pids "[$b, $a]"
}
check "it says so: $(json pids)" both_listed
expect "delete what is lived in" 1 'processes live in it' c delete "$g"

# watched live, while they want two CPUs: JSON, a line an interval
"$uds" cgroup watch --run-dir "$run" "$g" --json --interval 200ms --count 8 >"$dir/watch" 9>&- &
watch=$!
exec 9>&-
wait $a || fail "the first command"
wait $b || fail "the second command"
wait $watch || fail "watch"
check "eight lines" [ "$(wc -l <"$dir/watch")" = 8 ]
python3 - "$dir/watch" <<'PY' || fail "watch: $(tail -n 1 "$dir/watch")"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert lines[0]["stats"]["cpu_usec"] < lines[-1]["stats"]["cpu_usec"]
assert max(line["stats"]["pids"] for line in lines) >= 4
assert lines[-1]["stats"]["throttled_usec"] > 0, "two times two threads want more than half a CPU"
used = sum(line["cpu_percent"] for line in lines) / len(lines)
assert used < 60, used
PY
expect "watch for people" 0 '' c watch "$g" --interval 20ms --count 2
check "with a header" grep -q 'MEMORY.*WRITTEN/s' "$dir/out"

# -- changed live: raised and lowered, with what is in it
"$uds" cgroup exec --run-dir "$run" "$g" "$probe" memory 40 60000 >"$dir/memory" &
a=$!
mine="$mine $a"
check "40 MiB are in use" within 60 grep -qs ready "$dir/memory"
expect "lower than use" 1 'KiB are in use and cannot be reclaimed' c set "$g" --memory 16M
check "nothing has changed" is limits 67108864 memory_bytes
kill -0 $a || fail "it was killed by a limit that was refused"
expect "more than one, and one is bad" 1 'cpuset 4000' c set "$g" --memory 128M --pids 31 --cpuset 4000
check "none has changed" is limits 67108864 memory_bytes
expect "raise" 0 '' c set "$g" --memory 128M --swap 16M
check "raised" is limits 134217728 memory_bytes
expect "lower" 0 '' c set "$g" --memory 48M
check "lowered" is limits 50331648 memory_bytes
expect "lift" 0 '' c set "$g" --memory max --cpu max --pids max
check "lifted" is limits None memory_bytes
expect "cpuset of those that live in it" 0 '' c set "$g" --cpuset 0
check "moved to CPU 0" grep -q '^Cpus_allowed_list:.0$' "/proc/$a/status"

# -- frozen
busy_ticks()
{
    awk '{ print $14 + $15 }' "/proc/$b/stat"
}
"$uds" cgroup exec --run-dir "$run" "$g" "$probe" cpu 1 60000 >/dev/null &
b=$!
mine="$mine $b"
runs()
{
    [ "$(busy_ticks)" -gt 2 ]
}
check "it runs" within 60 runs
expect "freeze" 0 '' c freeze "$g"
check "is frozen" is state frozen
ticks=$(busy_ticks)
expect "nobody joins" 121 'it is frozen' c exec "$g" true
check "it stood still" [ "$(busy_ticks)" = "$ticks" ]
expect "thaw" 0 '' c thaw "$g"
runs_on()
{
    [ "$(busy_ticks)" -gt "$ticks" ]
}
check "it runs on" within 60 runs_on
expect "freeze again" 0 '' c freeze "$g"
expect "killed while frozen" 0 '' c kill "$g"
wait $a
check "SIGKILL: $?" [ $? = 137 ]
wait $b
check "empty" is state empty

# -- exit codes of exec
expect "its own" 7 '' c exec "$g" sh -c 'exit 7'
expect "not there" 122 'No such file' c exec "$g" /nonexistent
expect "no such group" 121 'no such group' c exec nope true

# -- OOM in a group takes one process, and is counted
c set "$g" --memory 16M --swap 0
expect "OOM" 137 '' c exec "$g" "$probe" memory 64 1000
check "counted: $(json stats oom_kills)" [ "$(json stats oom_kills)" -ge 1 ]
expect "the next one is not hurt" 0 '' c exec "$g" true

# -- deleted with what is below it, deepest first
for directory in $(directories); do
    mkdir -p "$directory/below/deeper"
done
"$uds" cgroup exec --run-dir "$run" "$g" sleep 60 &
a=$!
mine="$mine $a"
lives()
{
    is state running
}
check "somebody lives in it" within 60 lives
"$uds" cgroup watch --run-dir "$run" "$g" --interval 20ms >"$dir/watch" 9>&- &
watch=$!
mine="$mine $watch"
check "it is watched" within 60 grep -qs MEMORY "$dir/watch"
expect "delete --kill" 0 '' c delete "$g" --kill
check "who watched is told" within 60 grep -qs '^deleted$' "$dir/watch"
wait $watch || fail "watch of a group that was deleted"
wait $a
check "no directory is left: $(directories)" [ -z "$(directories)" ]
expect "it is gone" 1 'there is no such group' c delete "$g"

# -- who makes a group holds its file: nobody deletes it halfway
c create "$g" --pids 5
exec 9<"$run/groups/$g"
flock -x 9
expect "delete waits" 124 '' timeout 1 "$uds" cgroup delete --run-dir "$run" "$g"
check "nothing is lost" [ -n "$(directories)" ]
exec 9<&-
expect "delete" 0 '' c delete "$g"

# -- removed by somebody else: only the name is left, and can be deleted
c create "$g" --pids 5
for directory in $(directories); do
    rmdir "$directory"
done
expect "gone" 121 'removed by somebody else' c exec "$g" true
c ls >"$dir/ls"
check "ls says so" grep -q "^$g .*gone" "$dir/ls"
expect "delete" 0 '' c delete "$g"

# -- a sandbox by its name: what it holds is within the limit, too
"$uds" run --run-dir "$run" --name "$name" --pids 8 --jail "$probe" -- "$probe" memory 40 60000 >"$dir/held" 2>"$dir/run.err" &
a=$!
mine="$mine $a"
listed()
{
    c ls | grep -q "^${1:-$name}-[0-9]*-0 *sandbox"
}
check "a sandbox is listed" within 60 listed
check "it holds 40 MiB" within 60 grep -qs ready "$dir/held"
check "its pids, without its init" is limits 8 pids
expect "less than it holds" 1 'KiB are in use and cannot be reclaimed' c set "$name" --pids 9 --memory 16M
check "none has changed" is limits 8 pids
expect "changed" 0 '' c set "$name" --pids 9 --memory 64M
check "read back" is limits 9 pids
expect "not joined" 121 "a running sandbox's: it cannot be joined" c exec "$name" true
expect "not deleted" 1 'there is no such group' c delete "$name"
expect "killed" 0 '' c kill "$name"
wait $a
check "its launcher ends: $?" [ $? = 137 ]

# -- one that nobody named and nobody counts: on v1 what it holds could not be bounded, all else can
backend=$("$uds" run --run-dir "$run" --json -- true 2>&1 | sed -n 's/.*"backend": "\([a-z0-9]*\)".*/\1/p')
"$uds" run --run-dir "$run" --jail "$probe" -- "$probe" memory 8 60000 >"$dir/held" 2>"$dir/run.err" &
a=$!
mine="$mine $a"
check "it is listed" within 60 listed limit-probe
check "it holds 8 MiB" within 60 grep -qs ready "$dir/held"
if [ "$backend" = v2 ]; then
    expect "memory is bounded" 0 '' c set limit-probe --memory 64M
else
    expect "memory cannot be bounded" 1 "memory: the $backend backend cannot bound what a process held.*--memory max" \
        c set limit-probe --memory 64M --cpu 50%
    expect "nor swap" 1 "swap: the $backend backend cannot bound" c set limit-probe --swap 64M
    c ls limit-probe >"$dir/ls"
    check "nothing has changed" eval '! grep -q "^limit *\(memory\|cpu 50\)" "$dir/ls"'
    c ls >"$dir/ls"
    check "what is not counted is not 0" grep -q "^limit-probe-[0-9]*-0 .* - *- *- " "$dir/ls"
fi
expect "cpu and pids are" 0 '' c set limit-probe --cpu 50% --pids 9
c ls limit-probe >"$dir/ls"
check "read back" eval 'grep -q "^limit *cpu 50%" "$dir/ls" && grep -q "^limit *pids 9" "$dir/ls"'
kill $a
wait $a

# -- frozen when its launcher is killed: the cleaner removes it all the same
"$uds" run --run-dir "$run" --name "$name" -- sleep 60 &
a=$!
mine="$mine $a"
check "it is listed" within 60 listed
expect "frozen" 0 '' c freeze "$name"
kill -9 $a
wait $a
check "nothing is left of a frozen one" within 20 nothing_left
finish
