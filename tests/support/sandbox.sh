# SPDX-License-Identifier: MIT
# For tests of `uds run`: sourced. $dir is a scratch directory, $run a run directory, $name a name that nobody else has.
set -u
uds=$UDS_BIN/uds
dir=$(mktemp -d)
run=$dir/run
name=t$$
failures=0
mine= # pids to end at exit

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

skip()
{
    echo "$*"
    rm -rf "$dir"
    exit 77
}

# check WHAT COMMAND…
check()
{
    what=$1
    shift
    "$@" || fail "$what"
}

# expect WHAT CODE PATTERN COMMAND…: exit status and a line of stderr.
expect()
{
    what=$1 code=$2 pattern=$3
    shift 3
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ $got -eq "$code" ] || fail "$what: exit status $got, not $code: $(head -c 300 "$dir/err")"
    [ -z "$pattern" ] || grep -qE -e "$pattern" "$dir/err" || fail "$what: no /$pattern/ in: $(head -c 300 "$dir/err")"
}

# within SECONDS COMMAND…: polls until it succeeds. A guest is slow (tests/vm) and gets ten times as long.
within()
{
    end=$(($(date +%s) + $1 * (${UDS_VM:+9} + 1)))
    shift
    until "$@"; do
        [ "$(date +%s)" -le "$end" ] || return 1
        sleep 0.02
    done
}

cgroups()
{
    find /sys/fs/cgroup -type d -name "uds-$name*" 2>/dev/null
}

no_cgroups()
{
    [ -z "$(cgroups)" ]
}

no_records()
{
    [ -z "$(find "$run/records" "$run/ids" -type f 2>/dev/null)" ]
}

# A zombie that the machine's init has not collected is not ours to count.
gone()
{
    ! [ -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

nothing_left()
{
    no_cgroups && no_records
}

finish()
{
    check "nothing is left in any hierarchy: $(cgroups)" no_cgroups
    check "no record is left" no_records
    for pid in $mine; do
        kill -9 "$pid" 2>/dev/null
    done
    rm -rf "$dir"
    [ $failures -eq 0 ] && echo "all as expected"
    exit $((failures != 0))
}
