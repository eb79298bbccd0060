#!/bin/sh
# SPDX-License-Identifier: MIT
# The root of `uds run` as options build it, and namespaces that it joins; as root and as nobody.
. "$(dirname "$0")/../support/sandbox.sh"

install -d -m 755 "$dir/bin" && cp "$uds" "$UDS_BIN/uds-sandbox-init" "$UDS_BIN/uds-sandbox-answer" "$UDS_BIN/uds-cleaner" "$dir/bin" || exit 1
chmod 755 "$dir"
usr='--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64'

# equal WHAT WANT OPTION…: what the sandbox prints, on one line.
equal()
{
    what="$who: $1" want=$2
    shift 2
    got=$($as "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/run" --name "$name" "$@" 2>"$dir/err" | tr '\n' ' ')
    [ "$got" = "$want " ] || fail "$what: '$got', not '$want': $(grep -v id-range "$dir/err" | head -c 300)"
}

# refused WHAT PATTERN OPTION…
refused()
{
    what="$who: $1" pattern=$2
    shift 2
    expect "$what" 121 "$pattern" $as "$dir/bin/uds" run --degrade cgroup --run-dir "$dir/$who/run" --name "$name" "$@"
}

try()
{
    who=$1 as=$2
    install -d -m 777 $3 "$dir/$who" "$dir/$who/one" "$dir/$who/upper" "$dir/$who/work"
    echo low >"$dir/$who/one/f" 
    [ -z "$3" ] || chown 65534:65534 "$dir/$who/one/f"
    equal 'an empty root is empty' 'bin lib lib64 usr' --root empty $usr -- ls /
    equal 'and stays as its options leave it' 'dev proc ro' --root empty $usr --proc /proc --dev /dev --remount-ro / -- \
        sh -c 'ls / | grep -E "dev|proc"; (echo >/x) 2>/dev/null || echo ro'
    equal 'what is hidden of /proc is hidden of another' '0' --root empty $usr --proc /else -- sh -c 'wc -c </else/keys'
    equal 'order' 'b' --tmpfs /srv --dir /srv/a --tmpfs /srv --dir /srv/b -- ls /srv
    equal 'the command owns what is made' 'x y z yes yes' --tmpfs /srv --file 5 /srv/x --bind-data 6 /srv/y --dir /srv/z -- \
        sh -c 'ls /srv; cat /srv/y; test -O /srv -a -O /srv/x -a -O /srv/y -a -O /srv/z && echo yes' 5</dev/null 6<"$dir/yes"
    equal 'a link in the root does not lead out of it' 'there' --tmpfs /srv --dir /srv/in --symlink /srv/in /srv/l --dir /srv/l/there -- ls /srv/in
    # A file of root's own is nobody's in a sandbox that root starts: it cannot become the sandbox's.
    [ -z "$3" ] || equal 'layers' 'low high' --tmpfs /srv --overlay-src "$dir/$who/one" --tmp-overlay /srv/o -- \
        sh -c 'cat /srv/o/f; echo high >/srv/o/f; cat /srv/o/f'
    equal 'more on a layer' 'low new' --tmpfs /srv --overlay-src "$dir/$who/one" --tmp-overlay /srv/o -- \
        sh -c 'cat /srv/o/f; echo new >/srv/o/g; cat /srv/o/g'
    equal 'they keep what they had' 'low' --tmpfs /srv --bind "$dir/$who/one" /srv/o -- cat /srv/o/f
    equal 'no user namespace' 'refused' --disable-userns --assert-userns-disabled -- sh -c 'unshare -U true 2>/dev/null || echo refused'
    equal 'what is bound over /run can be written' 'yes' --bind "$dir/$who/upper" /run -- sh -c 'test -w /run && echo yes'
    equal 'our own /run cannot' 'no' -- sh -c 'touch /run/x 2>/dev/null || echo no'
    equal 'nothing of the building is left' '1' --bind / / --bind-data 5 /etc/passwd -- sh -c "awk '\$5 == \"/\"' /proc/self/mountinfo | wc -l" 5</dev/null
    refused 'a target that is relative' 'absolute path' --tmpfs srv -- true
    refused 'a value that is missing' 'two values' --bind / -- true
    refused 'a source that is not there' "find source path /no/such" --bind /no/such /srv -- true
    refused 'layers without an overlay' 'must be followed' --overlay-src / -- true
    refused 'a chmod of nothing' 'exists inside by then' --chmod 777 /nonexist -- true
    refused 'nothing to make read-only' 'that is there by then' --remount-ro /nonexist -- true
    refused 'a user namespace could be made' 'user namespaces disabled' --assert-userns-disabled -- true
    refused 'a pattern of what to mask' 'patterns are not expanded' --mask '/etc/host*' -- true
    refused 'no such namespace' 'is not NAMESPACE=' --join what=1 -- true
    refused 'no such process' 'there is no process 999999999' --join net=999999999 -- true
}

echo yes >"$dir/yes"
if [ "$(id -u)" -ne 0 ]; then
    try user "" ""
    finish
fi
try root "" ""
try nobody "setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_RUNTIME_DIR=$dir/nobody" "-o 65534 -g 65534"
who=root as=
# How many of them are mounts, and what they are.
devices='cut -d" " -f5 /proc/self/mountinfo | grep -cE "^/dev/(null|zero|full|random|urandom|tty)\$"; for d in null zero full random urandom tty; do stat -c "%t:%T %a %u" /dev/$d; done; touch /dev/x /dev/full 2>/dev/null || echo ro; echo x >/dev/null'
nodes='1:3 666 65534 1:5 666 65534 1:7 666 65534 1:8 666 65534 1:9 666 65534 5:0 666 65534 ro'
umask 077
equal 'device nodes of its own' "0 $nodes" -- sh -c "$devices"
as='setpriv --bounding-set=-mknod'
equal 'devices are bound by who may make no nodes' "6 $nodes" -- sh -c "$devices"
as=
umask 022
unshare -n sleep 60 &
mine="$mine $!"
within 5 sh -c "[ \"\$(readlink /proc/$!/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]" || fail "no network namespace to join"
want=$(readlink /proc/$!/ns/net)
equal 'join by number' "$want" --join net=$! -- readlink /proc/self/ns/net
equal 'join by path' "$want" --join net=/proc/$!/ns/net -- readlink /proc/self/ns/net
equal 'join by descriptor' "$want" --join net=fd:7 -- readlink /proc/self/ns/net 7</proc/$!/ns/net
finish
