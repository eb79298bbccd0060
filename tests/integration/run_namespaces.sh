#!/bin/sh
# SPDX-License-Identifier: MIT
# Namespaces of `uds run`: what is in them, which exist already, and what is said where the kernel has none for us; as root
# and as nobody.
. "$(dirname "$0")/../support/sandbox.sh"

install -d -m 755 "$dir/bin" && cp "$uds" "$UDS_BIN/uds-sandbox-init" "$UDS_BIN/uds-cleaner" "$dir/bin" || exit 1
chmod 755 "$dir" && : >"$dir/empty"

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

# With a process of $who's in a user and a network namespace of its own, $1.
joins()
{
    user=$(readlink /proc/$1/ns/user) net=$(readlink /proc/$1/ns/net)
    equal 'join its user namespace, and what that owns' "$user $net 0" --join user=$1 --join net=$1 --uid 0 --gid 0 -- \
        sh -c 'readlink /proc/self/ns/user /proc/self/ns/net; id -u'
    equal 'by path and by descriptor' "$user $net" --join user=/proc/$1/ns/user --join net=fd:7 --uid 0 --gid 0 -- \
        readlink /proc/self/ns/user /proc/self/ns/net 7</proc/$1/ns/net
    equal 'no right over a namespace that is joined' 'CapEff: 0000000000000000 CapBnd: 0000000000000000' --join user=$1 --uid 0 --gid 0 -- \
        sh -c "grep -E 'CapEff|CapBnd' /proc/self/status | tr '\t' ' '"
    refused 'an id that it does not have' 'has no such id' --join user=$1 --uid 77 -- true
    refused 'a namespace of another kind' 'is a namespace of kind ipc' --join net=/proc/self/ns/ipc -- true
    refused 'a file that is no namespace' 'is no namespace' --join net=/etc/passwd -- true
    refused 'no such process' 'there is no process 999999999' --join time=999999999 -- true
    refused 'our own user namespace' 'below ours, and not ours' --join user=/proc/self/ns/user -- true
    run --dry-run --join net=$1 -- true | grep -q 'launcher: join namespaces that exist: net' || fail "$who: the plan says nothing of a join"
}

# Only as nobody: what is root's is refused with the reason.
refusals()
{
    refused 'a network of another owner' 'join net namespace: .*join that one too' --join net=$1 -- true
    refused 'a process of another owner' 'Permission denied; only root and its owner' --join net=1 -- true
}

# As in a container that hides parts of its /proc.
masked()
{
    proc="mount --bind $dir/empty /proc/uptime &&"
    unshare -m sh -c "$proc exec $as '$dir/bin/uds' run --degrade cgroup --run-dir '$dir/$who/run' --name $name -- true" 2>"$dir/err"
    [ $? -eq 121 ] && grep -q 'make /proc: .*this container hides parts of its own /proc' "$dir/err" || fail "$who: a masked /proc: $(cat "$dir/err")"
    got=$(unshare -m sh -c "$proc exec $as '$dir/bin/uds' run --degrade cgroup --run-dir '$dir/$who/run' --name $name --share-pid -- \
        sh -c 'wc -c </proc/uptime; ls -d /proc/1; (echo x >/proc/self/comm) 2>/dev/null || echo read-only'" 2>"$dir/err" | tr '\n' ' ')
    [ "$got" = '0 /proc/1 read-only ' ] || fail "$who: without a pid namespace it is a read-only copy: '$got': $(cat "$dir/err")"
}

# A limit of zero in a user namespace of ours stands for the machine's.
switched_off()
{
    expect "$who: user namespaces switched off" 121 'user.max_user_namespaces is 0' $as unshare -Ur sh -c \
        'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' sh "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/off" -- true
    [ -z "$(find "$dir/$who/off" -type f)" ] || fail "$who: something is left of what was refused"
}

try()
{
    who=$1 as=$2
    install -d -m 777 $3 "$dir/$who"
    clocks
    $as unshare -Urn sleep 60 &
    mine="$mine $!"
    within 5 sh -c "[ \"\$(readlink /proc/$!/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]" || fail "$who: no namespaces to join"
    joins $!
    [ "$who" != nobody ] || refusals $!
    [ "$(id -u)" -ne 0 ] || masked
    switched_off
}

if [ "$(id -u)" -ne 0 ]; then
    try user "" ""
    finish
fi
try root "" ""
try nobody "setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_RUNTIME_DIR=$dir/nobody" "-o 65534 -g 65534"
finish
