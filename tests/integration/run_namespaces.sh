#!/bin/sh
# SPDX-License-Identifier: MIT
# Namespaces of `uds run`: what is in them, which exist already, and what is said where the kernel has none for us; as root
# and as nobody.
. "$(dirname "$0")/../support/sandbox.sh"

install -d -m 755 "$dir/bin" && cp "$uds" "$UDS_BIN/uds-sandbox-init" "$UDS_BIN/uds-sandbox-answer" "$UDS_BIN/uds-cleaner" "$UDS_BIN/test/net-probe" "$dir/bin" || exit 1
chmod 755 "$dir" && : >"$dir/empty"

# run OPTION…: as $who.
run()
{
    $as "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/run" --name "$name" --ro-bind "$dir/bin" /mnt "$@"
}

# The same in the background: $! is uds itself.
launch()
{
    exec $as "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/run" --name "$name" "$@" 2>/dev/null
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

# Without a cgroup its namespace is part of the clone, and the payload's process has PID 1's memory until its execve: what it
# becomes it becomes alone.
alone()
{
    own_score=$(cat /proc/self/oom_score_adj)
    equal 'the kernel takes the payload before PID 1' "$own_score 200" --no-cgroup -- cat /proc/1/oom_score_adj /proc/self/oom_score_adj
    equal 'PID 1 has no filter, and cannot be attached' 'Seccomp: 0 no' --no-cgroup -- \
        sh -c "sed -n 's/^Seccomp:.*\(.\)/Seccomp: \1/p' /proc/1/status; cat /proc/1/mem >/dev/null 2>&1 || echo no"
    equal 'its cgroup is the root of its namespace' '0' --no-cgroup -- sh -c "grep -vc ':/\$' /proc/self/cgroup"
    inode=$(run --json --no-cgroup -- readlink /proc/self/ns/cgroup 2>"$dir/err" | tr -dc 0-9)
    grep -q "\"cgroup\": $inode\b" "$dir/err" || fail "$who: the report has another cgroup namespace than $inode: $(tail -1 "$dir/err")"
    expect "$who: an execve that fails" 122 '/mnt/nope: No such file or directory' run --no-cgroup -- /mnt/nope
    expect "$who: a step before it that fails" 121 'change directory to /nope: No such file' run --no-cgroup --chdir /nope -- true
}

# With a process of $who's in a user and a network namespace of its own, $1.
joins()
{
    user=$(readlink /proc/$1/ns/user) net=$(readlink /proc/$1/ns/net)
    equal 'join its user namespace, and what that owns' "$user $net 0" --join user=$1 --join net=$1 --uid 0 --gid 0 -- \
        sh -c 'readlink /proc/self/ns/user /proc/self/ns/net; id -u'
    equal 'by path and by descriptor' "$user $net" --join user=/proc/$1/ns/user --join net=fd:7 --uid 0 --gid 0 -- \
        readlink /proc/self/ns/user /proc/self/ns/net 7</proc/$1/ns/net
    equal 'and its clocks' 'monotonic 0 0 boottime 86400 0' --join user=$1 --join time=/proc/$1/ns/time_for_children --uid 0 --gid 0 -- \
        sed 's/  */ /g' /proc/self/timens_offsets
    equal 'no right over a namespace that is joined' 'CapEff: 0000000000000000 CapBnd: 0000000000000000' --join user=$1 --uid 0 --gid 0 -- \
        sh -c "grep -E 'CapEff|CapBnd' /proc/self/status | tr '\t' ' '"
    refused 'an id that it does not have' 'has no such id' --join user=$1 --uid 77 -- true
    refused 'a namespace of another kind' 'is a namespace of kind ipc' --join net=/proc/self/ns/ipc -- true
    refused 'a file that is no namespace' 'is no namespace' --join net=/etc/passwd -- true
    refused 'no such process' 'there is no process 999999999' --join time=999999999 -- true
    refused 'our own user namespace' 'below ours, and not ours' --join user=/proc/self/ns/user -- true
    run --dry-run --join net=$1 -- true | grep -q 'launcher: join namespaces that exist: net' || fail "$who: the plan says nothing of a join"
}

# All that a running sandbox has, by its command's number; alone what belongs to another user namespace is refused.
whole()
{
    launch --unshare-time -- sleep 60 &
    launcher=$!
    within 5 sh -c "pgrep -P \"\$(pgrep -P $launcher uds-sandbox-ini)\" sleep >/dev/null" 2>/dev/null || fail "$who: no sandbox to join"
    pid=$(pgrep -P "$(pgrep -P $launcher uds-sandbox-ini)" sleep)
    for kind in user mnt pid net ipc uts cgroup time; do
        links="${links:-} /proc/self/ns/$kind" want="${want_all:-}" want_all="$want$(readlink /proc/$pid/ns/$kind) "
    done
    got=$($as "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/run" --name "$name" $(for kind in user mount pid net ipc uts cgroup time; do
        [ $kind = mount ] && echo --join mount=$pid || echo --join $kind=$pid; done) -- readlink $links 2>"$dir/err" | tr '\n' ' ')
    [ "$got" = "$want_all" ] || fail "$who: join all of a sandbox: '$got', not '$want_all': $(head -c 300 "$dir/err")"
    refused 'processes without what owns them' 'join that one too' --join pid=$pid -- true
    kill $launcher
    wait $launcher
    links= want_all=
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

# What $1, a gateway's address that the sandbox reads from its routes, answers.
gateway='$(ip route | sed -n "s/^default via \([^ ]*\).*/\1/p")'

between()
{
    [ "$2" -ge "$3" ] 2>/dev/null && [ "$2" -le "$4" ] || fail "$who: $1: '$2' is not between $3 and $4"
}

no_links()
{
    ! ip -n "$name" -br link | grep -q ^uds
}

# Within a fifth of 2 MiB/s. A busy machine can make it slower, so the best of three counts.
rated()
{
    for attempt in 1 2 3; do
        kib=$(run --net "veth:$name" --net-rate 2M -- sh -c "/mnt/net-probe $1 $gateway 7777 512")
        [ "$kib" -lt 1638 ] 2>/dev/null || break
    done
    between "KiB/s by $1 at 2M" "$kib" 1638 2458
}

# As root: cards whose other end is in the network namespace $name, where a server is.
veths()
{
    equal 'the other end is reached' 'hello' --net "veth:$name" -- sh -c "/mnt/net-probe hello $gateway 7777"
    no_links || fail "$who: the card outlives its sandbox"
    equal 'by addresses that are given' 'hello' --net "veth:$name,address=10.99.0.2/24,peer=10.99.0.1" -- /mnt/net-probe hello 10.99.0.1 7777
    equal 'of IPv6' 'hello' --net "veth:$name,address=fd77::2/64,peer=fd77::1" -- /mnt/net-probe hello fd77::1 7777
    equal 'no other addresses than those' 'lo eth0 fe80: 0' --net "veth:$name" -- \
        sh -c 'ip -br link | sed "s/[ @].*//"; echo "fe80: $(ip -6 addr show dev eth0 | grep -c fe80)"'
    equal 'the host is another network' 'connect: Connection refused' --net "veth:$name" -- /mnt/net-probe hello 127.0.0.1 7777
    equal 'nothing of it can be changed' '6' --net "veth:$name" --net-rate 1M -- sh -c 'for do in "ip link set eth0 down" \
        "ip addr add 10.1.1.1/24 dev eth0" "tc qdisc del dev eth0 root" "tc qdisc replace dev eth0 root tbf rate 1gbit burst 1m latency 1s" \
        "ip link set eth0 netns 1" "ip link del eth0"; do $do 2>&1; done | grep -c "Operation not permitted"'
    equal 'nor from a namespace below' 'refused' --net "veth:$name" -- sh -c 'unshare -Urn ip link del eth0 2>/dev/null || echo refused'
    equal 'its sysctls neither' '1' --net "veth:$name" -- sh -c '(echo 1 >/proc/sys/net/ipv4/ip_forward) 2>&1 | grep -c "Read-only"'
    rated send
    rated receive
    between 'KiB/s without a rate' "$(run --net "veth:$name" -- sh -c "/mnt/net-probe receive $gateway 7777 8192")" 20000 99999999
    equal 'the namespace itself' "$(nsenter --net="/run/netns/$name" readlink /proc/self/ns/net)" --net "netns:$name" -- readlink /proc/self/ns/net
    refused 'no such network namespace' '/run/netns/no-such: No such file' --net veth:no-such -- true
    refused 'a rate of nothing' 'only a veth has a rate' --net-rate 1M -- true
    refused 'no addresses of its own' 'address=IP/LENGTH' --host-root --net "veth:$name" -- true
    refused 'a card in the host'"'"'s network' 'needs a network namespace of its own' --share-net --net veth -- true
    run --dry-run --net "veth:$name" --net-rate 1M -- true | grep -q "launcher: veth eth0 .* network namespace $name" || fail "the plan says nothing of a veth"
    launch --net "veth:$name" -- sleep 60 &
    launcher=$!
    within 5 sh -c "ip -n $name -br link | grep -q '^uds.* UP'" && within 5 pgrep -P $launcher uds-sandbox-ini >/dev/null || fail "no card"
    exec 8<"/proc/$(pgrep -P $launcher uds-sandbox-ini)/ns/net"
    kill $launcher
    wait $launcher
    no_links || fail "a card outlives its sandbox where somebody holds the network namespace"
    exec 8<&-
    for victim in launcher init; do
        launch --net "veth:$name" -- sleep 60 &
        launcher=$!
        within 5 sh -c "ip -n $name -br link | grep -q '^uds.* UP'" || fail "$victim: no card"
        within 5 pgrep -P $launcher uds-sandbox-ini >/dev/null
        [ $victim = launcher ] && kill -9 $launcher || kill -9 "$(pgrep -P $launcher uds-sandbox-ini)"
        wait $launcher
        within 5 no_links || fail "a card outlives its $victim"
    done 2>/dev/null
}

# Where the launcher is: a network with a route to nowhere, and a server on a second address of it.
outside()
{
    ip netns add "$name" && ip -n "$name" link set lo up && ip -n "$name" addr add 10.78.0.1/32 dev lo &&
        ip -n "$name" link add out type veth peer name hole && ip -n "$name" link set hole up && ip -n "$name" link set out up &&
        ip -n "$name" addr add 10.77.0.1/24 dev out && ip -n "$name" route add default via 10.77.0.254 || fail "no network to test with"
    nsenter --net="/run/netns/$name" "$dir/bin/net-probe" serve 7777 >"$dir/server" &
    mine="$mine $!"
    within 5 grep -q ready "$dir/server" || fail "no server"
    # pasta makes its card with the ids of the sandbox; some machines have no udev to open the device to all.
    cat >"$dir/bin/with-tun" <<EOF
#!/bin/sh
exec nsenter --net="/run/netns/$name" unshare -m sh -c 'mount -t tmpfs -o mode=755 tun "$dir/tun" && mknod -m 666 "$dir/tun/tun" c 10 200 &&
    mount --bind "$dir/tun/tun" /dev/net/tun && exec "\$@"' sh "\$@"
EOF
    chmod 755 "$dir/bin/with-tun"
}

pastas()
{
    plain=$as as="$dir/bin/with-tun env --ignore-signal=PIPE $as" # as a broker does
    equal 'what the launcher reaches' 'hello 10.77.0.1/24' --net pasta -- \
        sh -c "/mnt/net-probe hello 10.78.0.1 7777; ip -br -4 addr show dev out | awk '{ print \$3 }'"
    equal 'not its loopback' 'connect: Connection refused' --net pasta -- /mnt/net-probe hello 127.0.0.1 7777
    equal 'nor by the name of a gateway' 'connect: Operation now in progress' --net pasta -- /mnt/net-probe hello 10.77.0.254 7777 200
    run --net pasta --json -- true 2>"$dir/err"
    pid=$(sed -n 's/.*"pasta_pid": \([0-9]*\).*/\1/p' "$dir/err")
    [ -n "$pid" ] && gone "$pid" || fail "$who: pasta ($pid) outlives its sandbox: $(cat "$dir/err")"
    launch --net pasta -- sleep 60 &
    within 5 pgrep -P $! passt >/dev/null || fail "$who: no pasta"
    pid=$(pgrep -P $! passt)
    kill -9 $!
    wait $! 2>/dev/null
    within 5 gone "$pid" || fail "$who: pasta outlives its launcher"
    as="$dir/bin/with-tun unshare -n $plain"
    refused 'pasta that cannot be' 'pasta ended at once: External interface' --net pasta -- true
    as=$plain
}

# What needs no pasta to be there.
no_pasta()
{
    expect "$who: no pasta" 121 'Debian: passt' unshare -m sh -c "mount --bind $dir/empty /usr/bin/pasta && exec \"\$@\"" sh \
        $as "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/run" --net pasta -- true
}

nets()
{
    equal 'nothing but lo' 'lo UP' --net none -- sh -c 'ip -br link | sed "s/ .*//"; ip link show lo | grep -o "[<,]UP" | tr -d "<,"'
    equal "the launcher's" "$(readlink /proc/self/ns/net)" --net host -- readlink /proc/self/ns/net
    refused 'no such network' 'is not none, host' --net some -- true
    refused 'two networks' 'joins another network already' --join net=/proc/self/ns/net --net host -- true
    [ "$who" = root ] || refused 'a card as an ordinary user' 'only root can reach' --net veth -- true
}

# Ids of /etc/subuid, as nobody.
ids()
{
    refused 'no ids in /etc/subuid' '/etc/subuid has no ids for nobody' --id-range -- true
    echo nobody:200000:65536 >"$dir/sub"
    plain=$as
    uds_sub()
    {
        unshare -m sh -c "mount --bind $dir/sub /etc/subuid && mount --bind $dir/sub /etc/subgid && exec \"\$@\"" sh \
            $plain "$dir/bin/uds" "$@"
    }
    sub()
    {
        uds_sub run --degrade cgroup --run-dir "$dir/$who/run" --name "$name" --id-range "$@"
    }
    got=$(sub -- sh -c 'id -u; sed "s/  */ /g" /proc/self/uid_map; stat -c %u /proc/1; kill -9 1 2>/dev/null || echo safe' 2>"$dir/err" | tr '\n' ' ')
    [ "$got" = '1000  0 65534 1  1 200000 65535 0 safe ' ] || fail "$who: ids of /etc/subuid: '$got': $(cat "$dir/err")"
    got=$(sub --bind "$dir/$who/one" /srv -- sh -c 'touch /srv/made; stat -c %u /srv/made' 2>"$dir/err")
    [ "$got $(stat -c %u "$dir/$who/one/made")" = '1000 200999' ] || fail "$who: a file made by ids of /etc/subuid: '$got': $(cat "$dir/err")"
    # What they left in a layer.
    (cd "$dir/$who" && mkdir lay lay/usr lay/proc lay/dev lay/sys lay/tmp lay/run && ln -s usr/bin usr/lib usr/lib64 lay)
    expect "$who: a layer written by such ids" 0 '' sub --layer "$dir/$who/lay" --upper "$dir/$who/up" --ro-bind /usr /usr --uid 0 \
        --cap-add chown -- sh -c 'mkdir /d; echo x >/d/f; chown -R 5:6 /d'
    expect "$who: they are committed" 0 '' uds_sub layer commit "$dir/$who/up" "$dir/$who/new"
    check "$who: and are as before" [ "$(stat -c '%u %g' "$dir/$who/new/d/f")" = '200004 200005' ]
    expect "$who: and removed" 0 '' uds_sub layer reset "$dir/$who/up"
    check "$who: all of them" [ -z "$(ls -A "$dir/$who/up")" ]
    expect "$who: --assert is content with such ids" 0 '' sub --no-cgroup --assert -- true
    expect "$who: newuidmap without rights" 121 'newuidmap: .*no_new_privs' unshare -m sh -c "mount --bind $dir/sub /etc/subuid &&
        mount --bind $dir/sub /etc/subgid && exec \"\$@\"" sh setpriv --no-new-privs $plain "$dir/bin/uds" run --degrade cgroup \
        --run-dir "$dir/$who/run" --id-range -- true
    expect "$who: no newuidmap" 121 'Debian: uidmap' unshare -m sh -c "mount --bind $dir/empty /usr/bin/newuidmap && exec \"\$@\"" sh \
        $plain "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/run" --id-range -- true
}

try()
{
    who=$1 as=$2
    install -d -m 777 $3 "$dir/$who"
    clocks
    alone
    $as unshare -UrnT --boottime 86400 sleep 60 &
    mine="$mine $!"
    within 5 sh -c "[ \"\$(readlink /proc/$!/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]" || fail "$who: no namespaces to join"
    joins $!
    [ "$who" != nobody ] || refusals $!
    whole
    [ "$(id -u)" -ne 0 ] || masked
    switched_off
    nets
    [ "$(id -u)" -ne 0 ] || no_pasta
    [ "$(id -u)" -ne 0 ] || pastas
}

if [ "$(id -u)" -ne 0 ]; then
    try user "" ""
    finish
fi
mkdir "$dir/tun"
outside
try root "" ""
veths
try nobody "setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_RUNTIME_DIR=$dir/nobody" "-o 65534 -g 65534"
install -d -m 777 "$dir/nobody/one"
ids
ip netns del "$name"
finish
