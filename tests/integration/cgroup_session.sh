#!/bin/sh
# SPDX-License-Identifier: MIT
# What Debian's users have: systemd as PID 1, a login session by PAM, a manager of the user's own; whoever logs in gets limits
# without being root. In the guest, where systemd is PID 1 of a pid namespace. Started again as "alice" and "root" by it.
# shellcheck source=tests/support/sandbox.sh
. "$UDS_SOURCE/tests/support/sandbox.sh"
r="$uds run --run-dir $run --name $name"
c="$uds cgroup"
probe=$UDS_BIN/test/limit-probe

# weight_above WEIGHT: of the one scope of ours that there is. What is alone in a scope is weighed by the scope's.
weight_above()
{
    scope=$(find /sys/fs/cgroup -type d -name "uds-*$name*.scope" 2>/dev/null)
    [ "$(cat "$scope/cpu.weight" 2>/dev/null)" = "$1" ]
}

session()
{
    expect "a scope of our own" 0 "\"cgroup\": \"/$1/uds-$name-[0-9]*.scope/uds-$name-" $r --memory 64M --cpu 50% --pids 8 --json -- true
    expect "its limit is in force" 120 'OOM: limit 32' $r --memory 32M --jail "$probe" -- "$probe" memory 100 1000
    expect "a group" 0 '' $c create --run-dir "$run" "$name" --memory 32M --cpu-weight 200
    check "the group's weight is its scope's" weight_above 200
    expect "it is changed" 0 '' $c set --run-dir "$run" "$name" --cpu-weight 50
    check "with its scope" weight_above 50
    expect "it is joined from the session" 137 '' $c exec --run-dir "$run" "$name" "$probe" memory 100 1000
    expect "it is deleted" 0 '' $c delete --run-dir "$run" "$name"
    mkfifo "$dir/end"
    $r --cpu-weight 300 -- cat <"$dir/end" >"$dir/out" 2>"$dir/err" &
    exec 3>"$dir/end"
    check "a sandbox's weight is its scope's" within 10 weight_above 300
    exec 3>&-
    wait $! || fail "a weight: $(cat "$dir/err")"
    finish
}

case ${1:-} in
alice) session 'user.slice/user-1999.slice/user@1999.service/.*' ;;
root) session 'system.slice' ;;
esac

[ -n "${UDS_VM:-}" ] || skip "wants a machine to itself: tests/vm/run.sh has one"
[ -x /lib/systemd/systemd ] && command -v dbus-daemon >/dev/null || skip "systemd or dbus-daemon is not installed"
[ -e /lib/x86_64-linux-gnu/security/pam_systemd.so ] || skip "libpam-systemd is not installed"
units=/etc/systemd/system
echo 'alice:x:1999:1999::/home/alice:/bin/sh' >>/etc/passwd
echo 'alice:x:1999:' >>/etc/group
echo 'alice:!:19000::::::' >>/etc/shadow
mkdir -m 755 -p /home/alice
chown 1999:1999 /home/alice
rm -rf $units/*.wants $units/*.service
for unit in systemd-udevd.service systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-remount-fs.service \
    systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-sysusers.service systemd-random-seed.service; do
    ln -sf /dev/null $units/$unit
done
printf 'account required pam_permit.so\nsession required pam_systemd.so\n' >/etc/pam.d/uds-test
cat >"$dir/job" <<EOF
for user in root alice; do
    systemd-run --quiet --pipe --wait -p PAMName=uds-test -p User=\$user -E PATH="$PATH" -E UDS_BIN=$UDS_BIN -E UDS_SOURCE=$UDS_SOURCE \
        -E UDS_VM=1 /bin/sh $UDS_SOURCE/tests/integration/cgroup_session.sh \$user
    echo "\$user: \$?"
done
EOF
cat >$units/job.service <<EOF
[Unit]
Wants=dbus.service systemd-logind.service systemd-user-sessions.service
After=dbus.service systemd-logind.service systemd-user-sessions.service
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sh $dir/job
StandardOutput=file:$dir/said
StandardError=inherit
ExecStopPost=/bin/touch $dir/done
EOF
printf '[Unit]\nRequires=basic.target job.service\nAllowIsolate=yes\n' >$units/job.target
unshare --pid --fork --mount --cgroup --mount-proc --kill-child \
    env -i container=other PATH="$PATH" /lib/systemd/systemd --unit=job.target --log-target=console --show-status=no >"$dir/manager" 2>&1 &
mine=$!
check "it comes to its end: $(tail -n 5 "$dir/manager")" within 60 [ -e "$dir/done" ]
cat "$dir/said"
check "root's session" grep -qx 'root: 0' "$dir/said"
check "alice's session" grep -qx 'alice: 0' "$dir/said"
[ $failures -eq 0 ] || tail -n 20 "$dir/manager"
finish
