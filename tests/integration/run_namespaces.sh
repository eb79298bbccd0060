#!/bin/sh
# SPDX-License-Identifier: MIT
# Namespaces of `uds run`: what is in them, which exist already, and what is said where the kernel has none for us; as root
# and as nobody.
. "$(dirname "$0")/../support/sandbox.sh"

install -d -m 755 "$dir/bin" && cp "$uds" "$UDS_BIN/uds-sandbox-init" "$UDS_BIN/uds-cleaner" "$dir/bin" || exit 1
chmod 755 "$dir"

# run OPTION…: as $who.
run()
{
    $as "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/run" --name "$name" "$@"
}

# equal WHAT WANT OPTION…: what the sandbox prints, on one line.
equal()
{
    what="$who: $1" want=$2
    shift 2
    got=$(run "$@" 2>"$dir/err" | tr '\n' ' ')
    [ "$got" = "$want " ] || fail "$what: '$got', not '$want': $(grep -v id-range "$dir/err" | head -c 300)"
}

# refused WHAT PATTERN OPTION…
refused()
{
    what="$who: $1" pattern=$2
    shift 2
    expect "$what" 121 "$pattern" run "$@"
}

clocks()
{
    equal 'offsets' 'monotonic 86400 0 boottime -2 500000000 shifted' --monotonic 1d --boottime -1.5 -- sh -c \
        "sed 's/  */ /g' /proc/self/timens_offsets; [ \$(readlink /proc/self/ns/time) = '$(readlink /proc/self/ns/time)' ] || echo shifted"
    up=$(cut -d. -f1 /proc/uptime)
    equal 'uptime is shifted' 'a day later' --boottime 1d -- sh -c \
        "up=\$(cut -d. -f1 /proc/uptime); [ \$((up - $up)) -ge 86400 -a \$((up - $up)) -lt 86500 ] && echo a day later"
    equal 'no time namespace if none is asked for' "$(readlink /proc/self/ns/time)" -- readlink /proc/self/ns/time
    equal 'one without an offset' 'monotonic 0 0 boottime 0 0' --unshare-time -- sed 's/  */ /g' /proc/self/timens_offsets
    equal 'the date is the host'"'"'s' 'Operation not permitted' --unshare-time -- sh -c 'date -s 12:00 2>&1 >/dev/null | sed "s/.*: //"'
    refused 'a clock before zero' 'no clock may become negative' --monotonic -30000d -- true
    refused 'no offset' 'is not an offset' --boottime soon -- true
    run --dry-run --boottime 1.5 -- true | grep -q 'new time namespace, monotonic +0s, boottime +1.5s' || fail "$who: the plan says nothing of clocks"
    inode=$(run --json --unshare-time -- readlink /proc/self/ns/time 2>"$dir/err" | tr -dc 0-9)
    grep -q "\"time\": $inode\b" "$dir/err" || fail "$who: the report has another time namespace than $inode: $(tail -1 "$dir/err")"
}

try()
{
    who=$1 as=$2
    install -d -m 777 $3 "$dir/$who"
    clocks
}

if [ "$(id -u)" -ne 0 ]; then
    try user "" ""
    finish
fi
try root "" ""
try nobody "setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_RUNTIME_DIR=$dir/nobody" "-o 65534 -g 65534"
finish
