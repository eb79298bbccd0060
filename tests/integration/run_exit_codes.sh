#!/bin/sh
# SPDX-License-Identifier: MIT
# What `uds run` exits with, and what it says: each cause has a code of its own.
# shellcheck source=tests/support/sandbox.sh
. "$UDS_SOURCE/tests/support/sandbox.sh"
[ "$(id -u)" = 0 ] || skip "needs root for cgroups and id ranges"
[ -d /sys/fs/cgroup ] || skip "no cgroups are mounted"
r="$uds run --run-dir $run --name $name"

expect "exit 0" 0 '' $r -- true
expect "exit 3" 3 '' $r -- sh -c 'exit 3'
expect "exit 255" 255 '' $r -- sh -c 'exit 255'
expect "the command's own 127" 127 'nope' $r -- sh -c 'nope-nope'
expect "SIGSEGV" 139 'killed by signal 11' $r -- sh -c 'kill -SEGV $$'
expect "SIGKILL is no OOM" 137 'killed by signal 9' $r --memory 64M -- sh -c 'kill -KILL $$'
expect "OOM" 120 'killed by OOM: limit 32.* MiB, peak' $r --memory 32M -- python3 -c 'x = b"x" * (256 << 20)'
expect "timeout" 123 'timeout of 300' $r --timeout 300ms -- sleep 60
expect "exec ENOENT" 122 '/nonexistent/program' $r -- /nonexistent/program
expect "exec EACCES" 122 '/etc/passwd.*Permission denied' $r -- /etc/passwd
expect "usage" 121 'no such option' $r --bogus -- true
expect "no command" 121 'no command' $r --
expect "bad limit" 121 'memory lots' $r --memory lots -- true
expect "bad rlimit" 121 'nofile' $r --rlimit files=3 -- true
expect "bad omission" 121 'id-range, .*layer-ids' $r --degrade=everything -- true
expect "fd that is not open" 121 'is not open' $r --fd a=77 -- true
python3 - "$dir" <<'PY'
import sys
data = open("/bin/true", "rb").read()
open(sys.argv[1] + "/broken", "wb").write(data.replace(b"libc.so.6", b"libq.so.6", 1))
PY
expect "missing library" 121 'libq.so.6' $r --jail "$dir/broken" -- /bin/true
expect "missing bind source" 121 '/nonexistent' $r --ro-bind /nonexistent /mnt -- true
expect "cgroup parent" 121 '/no/such' $r --cgroup-parent /no/such -- true
mkdir -m 777 "$dir/open"
chmod 777 "$dir/open"
expect "run directory that others may write" 121 'writable by others' "$uds" run --run-dir "$dir/open" -- true
expect "timeout of nothing" 121 'duration above 0' $r --timeout 0 -- true
expect "a jail and not" 121 'contradicts --root host' $r --root host --jail /bin/ls -- true
expect "a jail after all" 121 'contradicts --jail' $r --jail /bin/ls --root host -- true
expect "refused, as JSON" 121 '"outcome": *"refused".*"error": *".*/nonexistent' $r --json --chdir /nonexistent -- true
expect "not executable, as JSON" 122 '"outcome": *"refused"' $r --json -- /nonexistent/program

# A path is meant from here, whatever directory it runs in.
cp /bin/cat "$dir/tool"
chmod 755 "$dir"
(cd "$dir" && exec $r --root jail -- ./tool /proc/self/cmdline) >"$dir/out" 2>"$dir/err" || fail "relative command: $(cat "$dir/err")"
check "a relative command becomes absolute" grep -qa "^$dir/tool" "$dir/out"
expect "relative command that is nowhere" 122 'no/such/tool: No such file' $r -- no/such/tool
expect "only on the host" 122 'only the host has it' $r -- "$dir/tool"

# Of two variables of one name the first counts: a stale one must not hide ours.
LISTEN_FDS=9 LISTEN_PID=9 $r --keep-env --fd a=5 -- env 5</dev/null >"$dir/out" || fail "env"
check "LISTEN_FDS of the caller is not in the way" [ "$(grep '^LISTEN_FD' "$dir/out" | sort | paste -sd' ')" = \
    "LISTEN_FDNAMES=a LISTEN_FDS=1" ]
check "LISTEN_PID comes once" [ "$(grep -c '^LISTEN_PID=' "$dir/out")" = 1 ]

expect "help" 0 '' "$uds" run --help
check "help has examples" grep -q '^examples:' "$dir/out"
expect "dry run" 0 '' $r --dry-run --memory 64M -- true
check "dry run prints steps" grep -q cgroup "$dir/out"
expect "dry run with a rlimit" 0 '' $r --dry-run --rlimit nofile=7 -- true
check "dry run names rlimits" grep -q '^payload: set rlimit nofile to 7$' "$dir/out"
check "dry run makes nothing" nothing_left

# ran_by PID: PID 1, the command, and what the command started
ran_by()
{
    cgroup=$(find /sys/fs/cgroup -type d -name "uds-$name-$1-*" | head -n 1)
    [ -n "$cgroup" ] && [ "$(wc -l <"$cgroup/cgroup.procs")" -ge 3 ]
}

# TERM is passed on, and its default is not what kills us.
$r -- sh -c 'trap "exit 42" TERM; while :; do sleep 0.05; done' &
pid=$!
mine="$mine $pid"
within 10 ran_by $pid || fail "never ran"
kill -TERM $pid
wait $pid
code=$?
check "TERM is passed on: $code" [ $code -eq 42 ]

# INT is for all of the foreground, as from a terminal: sh alone would wait for sleep.
$r -- sh -c 'sleep 1000; exit 1' &
pid=$!
mine="$mine $pid"
within 10 ran_by $pid || fail "never ran"
kill -INT $pid
check "INT reaches the whole group" within 5 gone $pid
wait $pid
code=$?
check "INT is passed on: $code" [ $code -eq 130 ]

# A closed descriptor stays as good as closed: what the payload gets in its place is nothing of the launcher's.
# shellcheck disable=SC2016
theirs='for fd in 0 2; do readlink /proc/$$/fd/$fd >>/mnt/seen; done'
mkdir "$dir/fds"
chmod 777 "$dir/fds"
$r --bind "$dir/fds" /mnt -- sh -c "$theirs" <&- >&- 2>&-
seen=$(sort -u "$dir/fds/seen")
check "closed stdio is not one of ours: $seen" [ "$seen" = /dev/null ]

expect "json" 0 '"outcome": *"exited"' $r --json -- true
check "json is a document" python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["stats"]["oom_kills"] == 0' "$dir/err"
expect "json of what cannot be executed" 122 '"exec": true' $r --json -- /nonexistent/program
expect "json of what is refused" 121 '"exec": false' $r --json --join uts=/dev/null -- true
expect "stats" 0 '^memory .* at most' $r --stats -- true

# A package that is replaced under a launcher: what steps mean has changed, and root's init must not guess.
mkdir "$dir/mixed"
cp "$UDS_BIN/uds" "$UDS_BIN/uds-cleaner" "$UDS_BIN/uds-sandbox-init" "$dir/mixed"
cat >"$dir/spoken.py" <<'PY'
"""The magic of a blob: of all headers that sandbox/CMakeLists.txt calls spoken, one digest."""
import hashlib, re
def magic(sandbox):
    listed = re.search(r"set\(spoken ([^)]*)\)", open(sandbox + "/CMakeLists.txt").read())[1].split()
    each = "".join(hashlib.sha256(open(f"{sandbox}/{name}", "rb").read()).hexdigest() for name in listed)
    return int(hashlib.sha256(each.encode()).hexdigest()[:8], 16)
PY
export PYTHONPATH="$dir" PYTHONDONTWRITEBYTECODE=1
python3 - "$UDS_SOURCE/sandbox" "$dir/mixed/uds-sandbox-init" <<'PY'
import sys
from spoken import magic
sandbox, init = sys.argv[1:]
magic = magic(sandbox).to_bytes(4, "little")
data = open(init, "rb").read()
assert magic in data, "the digest of what they say to each other is not in the program"
open(init, "r+b").write(data.replace(magic, bytes(b ^ 0x55 for b in magic)))
PY
expect "an init of another build" 121 'of another build than its launcher.*install them together' \
    "$dir/mixed/uds" run --run-dir "$run" --name "$name" -- true

# And whatever a plan says, nothing that names a path is done while that would be the host's.
touch "$dir/host"
chmod 640 "$dir/host"
check "before the pivot nothing is touched" python3 - "$UDS_SOURCE/sandbox" "$UDS_BIN/uds-sandbox-init" "$dir/host" <<'PY'
import os, re, socket, struct, subprocess, sys, tempfile
from spoken import magic
sandbox, init, victim = sys.argv[1:]
text = open(sandbox + "/src/steps.h").read()
ops = re.findall(r"^    (SBXI_\w+)", re.sub(r"/\*.*?\*/", "", text.split("enum sbxi_op {")[1].split("};")[0], flags=re.S), re.M)
path = victim.encode() + b"\0"
for op in ops[ops.index("SBXI_PIVOT") + 1:ops.index("SBXI_ENTER") + 1]:
    size = 32 + 56 + len(path)
    blob = struct.pack("=8I", magic(sandbox), size, 1, 0, 0, 0, 0, 0)
    blob += struct.pack("=IIiI4I3Q", 1 + ops.index(op), 0, -1, 0, 88, len(path), 88, len(path), 0, 0, 0) + path
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tempfile.TemporaryFile() as f:
        f.write(blob)
        f.flush()
        def place():
            fds = [os.dup2(theirs.fileno(), 100), os.dup2(f.fileno(), 101)]
            os.dup2(fds[0], 3)
            os.dup2(fds[1], 4)
        subprocess.run([init], preexec_fn=place, close_fds=False, env={})
    theirs.close()
    event = ours.recv(4096)
    kind, _, err, _ = struct.unpack("=IIii", event[:16])
    assert kind == 2 and err == 1 and b"before the root" in event, (op, kind, err, event)
assert os.stat(victim).st_mode & 0o7777 == 0o640
PY
finish
