#!/bin/sh
# SPDX-License-Identifier: MIT
# From a login session of a systemd host: a sandbox with limits gets a scope of its own from the manager. In the guest, whose
# cgroups are free to be given to a systemd: a real one, as a user manager that answers where the system's would.
# shellcheck source=tests/support/sandbox.sh
. "$UDS_SOURCE/tests/support/sandbox.sh"
[ -n "${UDS_VM:-}" ] || skip "wants a machine to itself: tests/vm/run.sh has one"
[ -x /lib/systemd/systemd ] || skip "systemd is not installed"
root=/sys/fs/cgroup
r="$uds run --run-dir $run --name $name"

for controller in cpu memory pids io; do
    echo "+$controller" >$root/cgroup.subtree_control
done
mkdir -p /run/systemd/system "$dir/runtime" $root/manager $root/session
chmod 700 "$dir/runtime"
XDG_RUNTIME_DIR=$dir/runtime SYSTEMD_LOG_TARGET=console \
    sh -c "echo \$\$ >$root/manager/cgroup.procs; exec /lib/systemd/systemd --user --unit=basic.target" >"$dir/manager" 2>&1 &
manager=$!
mine="$mine $manager"
answers()
{
    [ -S "$dir/runtime/systemd/private" ] && [ -d $root/manager/init.scope ]
}
within 120 answers || { fail "no manager: $(tail -n 5 "$dir/manager")"; finish; }

# -- a session: a shell lives there, and starts us. Without the manager's socket the next cgroup above has to do.
in_session()
{
    sh -c "echo \$\$ >$root/session/cgroup.procs; $*; exit \$?"
}
expect "without a manager" 0 '"cgroup": "/uds-' in_session "$r --memory 64M --json -- true"
ln -sf "$dir/runtime/systemd/private" /run/systemd/private # of which cgroup_session may have left one
expect "a scope of our own" 0 "\"cgroup\": \"/manager/.*uds-$name-[0-9]*.scope/uds-$name-" in_session "$r --memory 64M --cpu 50% --json -- true"
expect "limits are in force" 120 'OOM: limit 32' in_session "$r --memory 32M --jail $UDS_BIN/test/limit-probe -- $UDS_BIN/test/limit-probe memory 100 1000"
expect "not for nothing" 0 '"cgroup": "/uds-' in_session "$r --json -- true"
no_scopes()
{
    [ -z "$(find $root/manager -name 'uds-*')" ]
}
check "scopes go with who asked for them: $(find $root/manager -name 'uds-*')" within 20 no_scopes

# -- a named group lasts after who made it, in a scope that a holder keeps, and goes with both when it is deleted
c="$uds cgroup"
expect "a group" 0 '' in_session "$c create --run-dir $run $name --memory 64M"
place=$(find $root/manager -type d -path "*/uds-group-$name-[0-9]*.scope/uds-group-$name")
check "in a scope of its own" [ -n "$place" ]
holder=$(cat "${place%/*}/uds-self-leaf/cgroup.procs")
check "the holder is $holder" [ "$(cat "/proc/$holder/comm")" = uds-group ]
expect "it is joined" 137 '' in_session "$c exec --run-dir $run $name $UDS_BIN/test/limit-probe memory 100 1000"
expect "it is deleted" 0 '' in_session "$c delete --run-dir $run $name"
check "the holder is gone" within 20 gone "$holder"
check "the scope is gone" within 20 no_scopes

# -- a manager that does not answer is not waited for in vain
kill -STOP $manager
expect "a silent manager" 0 '"cgroup": "/uds-' in_session "$r --memory 64M --json -- true"
kill -CONT $manager
kill $manager
finish
