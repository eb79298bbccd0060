#!/bin/bash
# Ctrl-C in the middle of the demo, at several places: everything it made is gone.
set -u
if [ "$UDS_SANITIZED" != 0 ] && [ "$(id -u)" != 0 ]; then
    echo "a sanitizer's shadow memory does not fit under RLIMIT_DATA, which limits memory where we are not root"
    exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/uds-interrupt.XXXXXX") || exit 1
demo=
clean_up() {
    [ -z "$demo" ] || kill -KILL -- "-$demo" 2>/dev/null
    rm -rf "$dir"
}
trap clean_up EXIT
export TMPDIR=$dir
mkfifo "$dir/never"
failed=0
bad() {
    echo "FAILED: $1"
    failed=$((failed + 1))
}
nap() { read -r -t 0.02 <>"$dir/never"; }

descendants() {
    local all=("$1") i=0 pid
    while [ $i -lt ${#all[@]} ]; do
        for pid in $(cat /proc/"${all[$i]}"/task/*/children 2>/dev/null); do
            all+=("$pid")
        done
        i=$((i + 1))
    done
    # With the start time: a number may be given to somebody else.
    for pid in "${all[@]:1}"; do
        awk -v pid="$pid" '{sub(/.*\) /, ""); print pid ":" $20}' "/proc/$pid/stat" 2>/dev/null
    done
}

alive() {
    local entry now
    for entry in "$@"; do
        now=$(awk '{sub(/.*\) /, ""); print $20}' "/proc/${entry%%:*}/stat" 2>/dev/null)
        [ "$now" != "${entry##*:}" ] || echo "$entry $(cat "/proc/${entry%%:*}/cmdline" 2>/dev/null | tr '\0' ' ')"
    done
}

cgroups() { find /sys/fs/cgroup -type d 2>/dev/null | sort; }

# interrupt WHERE TARGET: when the demo's output has that line. TARGET: "one" process, as kill(1) does, or the "group",
# as a terminal does.
# Returns 1 if the demo was already at its end when the signal came: nothing was interrupted.
attempt() {
    local deadline=$((SECONDS + 60)) entries left
    cgroups >"$dir/cgroups.before"
    : >"$dir/text" # what the last one printed would be taken for this one's until the child has emptied it
    # A job in the background starts with SIGINT ignored, and a shell cannot trap what it found ignored.
    setsid env --default-signal=INT "$UDS_SOURCE/examples/demo.sh" >"$dir/text" 2>"$dir/errors" &
    demo=$!
    until grep -qsE "$1" "$dir/text"; do
        [ $SECONDS -lt $deadline ] || { bad "$1: never came: $(cat "$dir/text" "$dir/errors")"; return 0; }
        kill -0 "$demo" 2>/dev/null || { bad "$1: the demo ended: $(cat "$dir/text" "$dir/errors")"; return 0; }
        nap
    done
    mapfile -t entries < <(descendants "$demo")
    if [ "$2" = group ]; then
        kill -INT -- "-$demo"
    else
        kill -INT "$demo"
    fi
    wait "$demo"
    code=$?
    demo=
    grep -qs '^Ended' "$dir/text" && [ "$code" = 0 ] && return 1
    [ "$code" = 130 ] || bad "$1: exit $code"
    [ ${#entries[@]} -ge 4 ] || bad "$1: only ${#entries[@]} processes to look after"
    deadline=$((SECONDS + 5))
    while left=$(alive "${entries[@]}") && [ -n "$left" ] && [ $SECONDS -lt $deadline ]; do
        nap
    done
    if [ -n "$left" ]; then
        bad "$1: processes are left: $left"
        awk -F: '{print $1}' <<<"$left" | xargs -r kill -KILL 2>/dev/null
    fi
    # Other brokers may run on this machine; only what carries our decoder's name below a new directory is ours.
    left=$(cgroups | comm -13 "$dir/cgroups.before" - | grep -E 'decoder|rogue')
    [ -z "$left" ] || bad "$1: cgroups are left: $left"
    left=$(grep -F "$dir" /proc/self/mountinfo)
    [ -z "$left" ] || bad "$1: mounts are left: $left"
    left=$(find "$dir" -mindepth 1 -maxdepth 1 -name 'uds-demo.*')
    [ -z "$left" ] || bad "$1: files are left: $left"
    left=$(grep -F "$dir" /proc/net/unix)
    [ -z "$left" ] || bad "$1: sockets are left: $left"
    return 0
}

# A quick machine may be through before a slow test has looked.
interrupt() {
    local i
    for i in {1..20}; do
        attempt "$@" && return
    done
    bad "$1: the demo was over each time before it could be interrupted"
}

interrupt '^1  Thumbnails' one
interrupt '^3  Bombs' group
interrupt '^3  Bombs' one
interrupt '^2  What' group
[ $failed = 0 ]
