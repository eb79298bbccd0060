#!/bin/sh
# SPDX-License-Identifier: MIT
# Nothing outlives its launcher: launcher killed, cleaner killed, both killed; and records that are not to be believed.
# shellcheck source=tests/support/sandbox.sh
. "$UDS_SOURCE/tests/support/sandbox.sh"
[ "$(id -u)" = 0 ] || skip "needs root for cgroups and id ranges"
[ -d /sys/fs/cgroup ] || skip "no cgroups are mounted"

# start: $launcher, $cleaner, $inside (pids of the sandbox) of a sandbox that runs
start()
{
    "$uds" run --run-dir "$run" --name "$name" --memory 64M --pids 8 -- sh -c 'sleep 1000 & sleep 1000' </dev/null &
    launcher=$!
    mine="$mine $launcher"
    within 10 running || fail "the sandbox never ran"
    cleaner=$(pgrep -P "$launcher" -x uds-cleaner)
    inside=$(cat $(cgroups | sed 's/$/\/cgroup.procs/') | sort -u)
}

running()
{
    cgroup=$(cgroups | head -n 1)
    [ -n "$cgroup" ] && [ "$(wc -l <"$cgroup/cgroup.procs")" -ge 4 ]
}

inside_gone()
{
    for pid in $inside; do
        gone "$pid" || return 1
    done
}

lives()
{
    ! gone "$1"
}

start
check "the cleaner has a session of its own" [ "$(ps -o sid= -p "$cleaner" | tr -d ' ')" = "$cleaner" ]
check "the cleaner holds nothing but its two descriptors and stdio" [ "$(ls "/proc/$cleaner/fd" | wc -l)" -le 6 ]
check "a record exists" [ -n "$(find "$run/records" -type f)" ]
for signal in INT TERM HUP QUIT; do
    kill -$signal "$cleaner"
done
check "the cleaner ignores a terminal's signals" lives "$cleaner"

echo "launcher killed"
kill -9 "$launcher"
check "its processes are gone" within 2 inside_gone
check "its cgroups, records and ids are gone" within 2 nothing_left
check "the cleaner is gone" within 2 gone "$cleaner"

echo "cleaner killed, launcher ends in order"
start
kill -9 "$cleaner"
kill -TERM "$launcher"
wait "$launcher"
check "nothing is left" nothing_left
check "its processes are gone" within 2 inside_gone

echo "cleaner killed, then launcher; gc"
start
kill -9 "$cleaner"
check "the sandbox lives on" lives "$(echo "$inside" | tail -n 1)"
kill -9 "$launcher"
check "gone first" within 2 gone "$launcher"
check "and the cleaner, which holds the lock too" within 2 gone "$cleaner"
"$uds" sandbox gc --run-dir "$run" >"$dir/out" 2>&1 || fail "gc: $(cat "$dir/out")"
check "its processes are gone" within 2 inside_gone
check "gc removed everything: $(cat "$dir/out")" nothing_left

echo "both killed at once; the next start sweeps"
start
kill -9 "$cleaner" "$launcher"
check "gone first" within 2 gone "$launcher"
check "and the cleaner, which holds the lock too" within 2 gone "$cleaner"
check "something is there to be swept" [ -n "$(find "$run/records" -type f)" ]
"$uds" run --run-dir "$run" --name "$name" -- true || fail "the next start"
check "its processes are gone" within 2 inside_gone
check "the next start swept" nothing_left

echo "a living owner's record is nobody else's"
start
"$uds" sandbox gc --run-dir "$run" >"$dir/out" 2>&1
check "gc removes nothing: $(cat "$dir/out")" grep -qx '0 removed' "$dir/out"
check "it lives" lives "$cleaner"
check "it lives" running
kill -TERM "$launcher"
wait "$launcher"
check "nothing is left" nothing_left

echo "Ctrl-C to everybody at once"
start
kill -INT "$cleaner" "$launcher"
wait "$launcher"
check "nothing is left" within 2 nothing_left

echo "the owner dies before its cleaner comes up"
# The cleaner is a child of PID 1 then, for whose end it must not wait, nor for that of a fork which kept the control socket.
python3 - "$UDS_BIN/uds-cleaner" "$run" <<'PY' || fail "the cleaner waits for somebody else than its owner"
import os, select, socket, sys
cleaner, run = sys.argv[1:]
life, mine = os.pipe()
end, stderr = os.pipe()
if os.fork() == 0: # the owner
    record = os.open(f"{run}/records/1-orphan.record", os.O_CREAT | os.O_RDWR, 0o600)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    owner = os.pidfd_open(os.getpid())
    if os.fork() == 0:
        os.dup2(stderr, 2)
        select.select([owner], [], [])
        os.dup2(theirs.fileno(), 103)
        os.dup2(record, 4)
        os.dup2(103, 3)
        os.execv(cleaner, [cleaner, run, "1-orphan.record"])
    os.close(stderr)
    if os.fork() == 0: # it keeps the control socket
        os.close(mine)
        os.read(life, 1)
    os._exit(0)
os.close(stderr)
done = select.select([end], [], [], 30)[0] and os.read(end, 100) == b""
sys.exit(not done or os.path.exists(f"{run}/records/1-orphan.record"))
PY

echo "hostile records"
victim=$dir/victim
touch "$victim"
python3 - "$run/records" "$victim" <<'PY'
import os, struct, sys
records, victim = sys.argv[1:]

def record(kind, number=0, start=0, path=b"", magic=0x31524455):
    return struct.pack("<IIQQQQ984s", magic, kind, number, start, 0, 0, path)

def write(name, data, mode=0o600):
    fd = os.open(f"{records}/{name}", os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(fd, data)
    os.fchmod(fd, mode)
    os.close(fd)

write("1-a.record", record(3, path=victim.encode()))                        # a file elsewhere
write("1-b.record", record(1, path=b"/tmp"))                                # not called uds-…
write("1-c.record", record(4, number=1, start=1))                           # init
write("1-d.record", record(4, number=os.getppid(), start=1))                # another start time
write("1-e.record", record(3, path=b"/tmp/../" + victim.encode()))          # climbs
write("1-f.record", record(3, path=victim.encode(), magic=7))
write("1-g.record", b"x" * 1024)
write("1-h.record", b"x" * 77)                                              # no whole number of slots
write("1-i.record", record(3, path=victim.encode()), 0o622)                 # others may write
os.symlink(victim, f"{records}/1-j.record")
os.mkfifo(f"{records}/1-k.record")
PY
timeout 20 "$uds" sandbox gc --run-dir "$run" >"$dir/out" 2>"$dir/err"
check "gc ends well: $?" [ $? -eq 0 ]
check "it removed nothing: $(cat "$dir/out")" grep -qx '0 removed' "$dir/out"
check "the victim is there" [ -e "$victim" ]
for word in malformed 1-h.record 1-i.record 1-j.record 1-k.record; do
    check "it speaks of $word: $(cat "$dir/err")" grep -q "$word" "$dir/err"
done
check "what others may write stays for its owner to look at" [ -e "$run/records/1-i.record" ]
check "what is malformed throughout is dropped" [ ! -e "$run/records/1-g.record" ]
rm -f "$run"/records/1-*.record
chmod 770 "$run/records"
expect "a records directory that others may write" 1 'writable by others' "$uds" sandbox gc --run-dir "$run"
chmod 700 "$run/records"
# Where its program is not one, nothing is made.
mkdir "$dir/bin"
cp "$(dirname "$uds")/uds" "$(dirname "$uds")/uds-sandbox-init" "$(dirname "$uds")/uds-cleaner" "$dir/bin"
for arguments in "" "--no-cgroup --host-root"; do
    chmod 644 "$dir/bin/uds-cleaner"
    # shellcheck disable=SC2086
    expect "a cleaner that may not be executed $arguments" 121 'uds-cleaner does not run.*Permission denied' \
        "$dir/bin/uds" run --run-dir "$run" $arguments -- touch /dev/null
done
echo x >"$dir/bin/uds-cleaner"
chmod 755 "$dir/bin/uds-cleaner"
expect "a cleaner that is no program" 121 'cleaner.*Exec format error' "$dir/bin/uds" run --run-dir "$run" -- true
check "nothing is left of those" nothing_left
ln -s "$run" "$dir/link"
expect "a run directory that is a symlink" 1 "$dir/link" "$uds" sandbox gc --run-dir "$dir/link"
finish
