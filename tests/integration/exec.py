#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`uds exec` into sandboxes of `uds run`, as root and as nobody: confined as what runs there, what it is asked for is
what happens, its end and the sandbox's, who may ask, and that nothing of it stays.
"""
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from admin import EXEC, ask, head  # noqa: E402
from callers import LANDLOCK_ABI, PATIENCE, ROOT, check, main, within  # noqa: E402
from ptys import Terminal  # noqa: E402


class Sandbox:
    """One that runs until its standard input closes."""

    def __init__(self, caller, name, *options, command=("sh", "-c", "echo up; read x; exit 5")):
        self.caller, self.name = caller, name
        self.process = caller.start("--name", name, *options, "--", *command)
        self.said = self.process.stdout.readline()
        if self.said != "up\n":
            raise RuntimeError(f"{name} does not start: {self.process.stderr.read()}")
        within(lambda: any(s["launcher_pid"] == self.process.pid for s in caller.list()))

    def end(self):
        self.process.communicate(timeout=6 * PATIENCE)
        return self.process.returncode


STATUS = "grep -E '^(Uid|Gid|Groups|Cap|NoNew|Seccomp)' /proc/self/status; cat /proc/self/cgroup; " \
         "readlink /proc/self/ns/*; ulimit -Hc; ulimit -Hn; cat /proc/self/oom_score_adj; pwd; umask"


def compare(c, what, *options, **more):
    """What the payload says of itself, a session says of itself."""
    s = c.start("--name", "same", *options, "--", "sh", "-c", f"{STATUS}; echo up; read x", **more)
    payload = []
    while not payload or payload[-1] not in ("up\n", ""):
        payload.append(s.stdout.readline())
    if payload[-1] == "":
        raise RuntimeError(f"{what}: it does not start: {s.stderr.read()}")
    within(lambda: c.list())
    done = c.exec("same", "--", "sh", "-c", f"{STATUS}; echo up")
    c.check(f"{what}: a session is confined as the payload is", done.stdout == "".join(payload) and len(payload) > 20,
            (done.stdout, done.stderr, "".join(payload), payload or s.stderr.read()))
    return s


def test_confined(c):
    caps = compare(c, "capabilities", "--cap-add", "net_bind_service", "--cap-add", "checkpoint_restore", "--landlock-ro", "/",
                   "--landlock-rw", "/tmp", *(["--degrade", "landlock"] if LANDLOCK_ABI < 3 else [])) # 6.1 cannot refuse truncate(2)
    done = c.exec("same", "--", "sh", "-c", "echo x >/tmp/x; cat /tmp/x; echo y >/dev/shm/y; cat /dev/shm/y")
    c.check("Landlock holds it too", done.stdout == "x\n" and "denied" in done.stderr, done)
    caps.communicate("\n")
    with open("/dev/null") as gift:
        os.dup2(gift.fileno(), 9)
        s = compare(c, "descriptors", "--rlimit", "nofile=77", "--chdir", "/usr", "--setenv", "MINE", "theirs",
                    "--share-net", "--fd", "gift=9", pass_fds=(9,))
        os.close(9)
    done = c.exec("--setenv", "YOURS", "mine", "same", "--", "env")
    env = dict(line.split("=", 1) for line in done.stdout.splitlines())
    c.check("with its environment", env.get("MINE") == "theirs" and env.get("YOURS") == "mine" and "PATH" in env, env)
    c.check("but for descriptors", not [k for k in env if k.startswith("LISTEN")] and "XDG_RUNTIME_DIR" not in env, env)
    done = c.exec("--setenv", "MINE", "mine", "same", "--", "env")
    c.check("which can be changed", "MINE=mine\n" in done.stdout and "theirs" not in done.stdout, done.stdout)
    done = c.exec("same", "--", "python3", "-c", "import os;"
                  "print(sorted(map(int, os.listdir('/proc/self/fd'))), os.getsid(0) == os.getpid(),"
                  "open('/proc/self/status').read().count('SigBlk:\\t0000000000000000'))")
    c.check("with no other descriptor, in a session of its own", done.stdout == "[0, 1, 2, 3] True 1\n",
            done.stdout + done.stderr)
    done = c.exec("same", "--", "sh", "-c", "cat /proc/1/environ; cat /proc/1/mem; ls /proc/1/fd; tr '\\0' ' ' </proc/1/cmdline",
                  env=c.env(MARKER="marker-77fa"))
    c.check("[16] PID 1 shows nothing of it", "marker" not in done.stdout and done.stdout == "uds-sandbox-init ", done.stdout)
    s.communicate("\n")


def test_requests(c):
    s = Sandbox(c, "asked")
    done = c.exec("asked", "--", "sh", "-c", "exit 7")
    c.check("the exit code comes back", done.returncode == 7, done)
    done = c.exec("asked", "--", "sh", "-c", "kill -SEGV $$")
    c.check("and a signal", done.returncode == 139 and "signal 11" in done.stderr, done)
    done = c.exec("asked", "--", "/no/such")
    c.check("what does not exist", done.returncode == 122 and "/no/such: No such file" in done.stderr, done)
    done = c.exec("asked", "--", "/etc/passwd")
    c.check("what may not be executed", done.returncode == 122 and "Permission denied" in done.stderr, done)
    done = c.exec("--chdir", "/usr/lib", "asked", "--", "pwd")
    c.check("its directory", done.stdout == "/usr/lib\n", done)
    done = c.exec("--chdir", "/no/such", "asked", "--", "pwd")
    c.check("its directory must exist", done.returncode == 121 and "/no/such: No such file" in done.stderr, done)
    done = c.exec("asked", "--", "cat", input="through\n")
    c.check("its standard input and output are ours", done.stdout == "through\n" and done.returncode == 0, done)
    done = c.exec("nobody-here", "--", "true")
    c.check("a name that nobody has", done.returncode == 121 and "none of yours" in done.stderr, done)
    listed = [x for x in c.list() if x["name"] == "asked"]
    c.check("ls lists it once", len(listed) == 1 and listed[0]["launcher_pid"] == s.process.pid, listed)
    done = c.exec(listed[0]["init_pid"], "--", "echo", "by pid")
    c.check("its pid is a name", done.stdout == "by pid\n", done)
    twin = Sandbox(c, "asked")
    done = c.exec("asked", "--", "true")
    c.check("two of a name", done.returncode == 121 and str(listed[0]["init_pid"]) in done.stderr, done)
    c.check("the twin ends alone", twin.end() == 5)
    done = c.exec("asked", "--", "sh", "-c", "echo out; echo err >&2")
    c.check("and the other has its name back", done.stdout == "out\n" and done.stderr == "err\n", done)
    big = "y" * 100000
    done = c.exec("asked", "--", "sh", "-c", "echo ${#1}", "sh", big)
    c.check("long ones pass", done.stdout == "100000\n", done)
    c.check("the sandbox never noticed", s.end() == 5)


def test_ends(c):
    s = Sandbox(c, "ends")
    p = c.start("ends", "--", "sh", "-c", "trap 'exit 42' TERM; echo on; while :; do sleep 0.02; done", verb="exec")
    p.stdout.readline()
    p.send_signal(signal.SIGTERM)
    c.check("TERM is passed on", p.wait(PATIENCE) == 42, p.returncode)
    p = c.start("ends", "--", "sh", "-c", "(echo on; exec sleep 1000); exit 1", verb="exec")
    p.stdout.readline()
    p.send_signal(signal.SIGINT)
    c.check("INT reaches its group", p.wait(PATIENCE) == 130, p.returncode)
    p = c.start("ends", "--", "sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.02; done", verb="exec")
    p.stdout.readline()
    for _ in range(3):
        p.send_signal(signal.SIGTERM)
        within(lambda: not os.path.exists(f"/proc/{p.pid}") or "SigPnd:\t0000000000000000" in
               pathlib.Path(f"/proc/{p.pid}/status").read_text() and "ShdPnd:\t0000000000000000" in
               pathlib.Path(f"/proc/{p.pid}/status").read_text())
    c.check("the third TERM kills it", p.wait(PATIENCE) == 137, p.returncode)
    count = "set -- /proc/[0-9]*; echo $#"
    before = int(c.exec("ends", "--", "sh", "-c", count).stdout)  # or some that are just going
    p = c.start("ends", "--", "sh", "-c", "sleep 1000 & echo on; wait", verb="exec")
    p.stdout.readline()
    p.kill()
    p.wait()
    c.check("it goes with who asked for it", within(lambda: int(c.exec("ends", "--", "sh", "-c", count).stdout) <= before))
    p = c.start("ends", "--", "sh", "-c", "echo on; exec sleep 1000", verb="exec")
    p.stdout.readline()
    c.check("the sandbox ends without waiting for sessions", s.end() == 5)
    said = p.communicate(timeout=6 * PATIENCE)
    c.check("a session ends with the sandbox", p.returncode == 137 and "has ended" in said[1], (p.returncode, said))
    c.check("nothing is listed any more", c.list() == [], c.list())
    left = list((c.dir / "run" / "records").iterdir())
    c.check("no record and no socket is left", not left, left)


def test_many(c):
    s = Sandbox(c, "many")
    at_once = [c.start("many", "--", "sh", "-c", f"read x; exit {n}", verb="exec") for n in range(20)]
    for p in at_once:
        p.stdin.write("\n")
        p.stdin.flush()
    codes = [p.wait(PATIENCE) for p in at_once]
    c.check("many at a time, each with its own end", codes == list(range(20)), codes)
    orphans = 5000 // PATIENCE # in an emulated guest a fork takes its time
    done = c.exec("many", "--", "sh", "-c", f"for i in $(seq {orphans}); do (sleep 0 & ) ; done; n=1; "
                  f"end=$(($(date +%s) + {PATIENCE // 2})); while [ $n -gt 0 ] && [ $(date +%s) -lt $end ]; do n=$(grep -l '^State:.Z' "
                  "/proc/[0-9]*/status 2>/dev/null | wc -l); done; echo $n")
    c.check("[43] their orphans are reaped", done.stdout == "0\n", done)
    # What is on the admin socket is not believed.
    path = next((c.dir / "run" / "records").glob("*.sock"))
    c.check("the admin socket is its owner's", path.stat().st_mode & 0o777 == 0o600 and path.stat().st_uid == c.uid)
    if os.geteuid() == c.uid:
        hostile(c, path, c.list()[0]["init_pid"])
    c.check("after all that it still serves", c.exec("many", "--", "true").returncode == 0)
    s.end()


def hostile(c, path, pid):
    exec_request = head(EXEC, pid)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with open("/dev/null") as null, ours, theirs:
        nulls = [null.fileno()] * 200
        for what, data, fds in (("nonsense", b"x" * 40, []), ("a short one", b"\1", []), ("an unknown one", head(9), []),
                                ("no descriptors", exec_request, []), ("too few", exec_request, nulls[:3]),
                                ("too many", exec_request, nulls), ("nulls in their place", exec_request, nulls[:5])):
            answer = ask(path, PATIENCE, data, fds)
            c.check(f"hostile: {what}", answer is None or answer[0] != 0, answer)
        answer = ask(path, PATIENCE, exec_request, [theirs.fileno(), *nulls[:4]])
        c.check("hostile: a request that is a null goes as far as the process that reads it", answer and answer[0] == 0, answer)
        ours.settimeout(PATIENCE)
        theirs.close()
        c.check("hostile: which says so", struct.unpack("=I", ours.recv(4096)[:4])[0] != 0)
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(40)]
    for sock in silent:
        sock.connect(str(path))
    c.check("silent peers take nobody's place", c.exec("many", "--", "echo", "served").stdout == "served\n")
    for sock in silent:
        sock.close()


def test_who(c):
    """A process of the same uid in a sandbox of its own is not us."""
    run = c.dir / "run"
    s = Sandbox(c, "mine")
    done = subprocess.run([c.uds, "run", "--name", "stranger", "--setenv", "ASAN_OPTIONS", "detect_leaks=0",
                           "--ro-bind", run, "/mnt", "--ro-bind",
                           pathlib.Path(c.uds).parent, "/opt", *(["--host-root"] if c.uid == 0 else []), "--",
                           "/opt/uds", "exec", "--run-dir", "/mnt", "mine", "--", "true"],
                          preexec_fn=c.become, capture_output=True, text=True, env=c.env(), timeout=6 * PATIENCE)
    c.check("what is in a sandbox finds none", done.returncode == 121 and "none of yours" in done.stderr, done)
    if ROOT and c.uid:
        done = subprocess.run([c.uds, "exec", "--run-dir", run, "mine", "--", "true"], capture_output=True, text=True, timeout=6 * PATIENCE)
        c.check("another user's are not ours", done.returncode == 121 and "not owned by uid 0" in done.stderr, done)
    s.end()


STRANGER = """
import errno, os, socket, sys
a = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
a.connect(sys.argv[1])
print(os.getpid(), flush=True)
if os.fork():
    os._exit(0)  # who connected is gone, who holds the connection is not
sys.stdin.readline()
a.settimeout(10)
try:
    try:
        os.close(a.getsockopt(socket.SOL_SOCKET, 77))  # SO_PEERPIDFD
    except OSError as e:
        if e.errno == errno.ENOPROTOOPT:  # before 6.5 who connects is asked for a secret back
            a.send(a.recv(16))
    a.send(bytes.fromhex(sys.argv[2]))
    print(len(a.recv(4096)), flush=True)
except (BrokenPipeError, ConnectionResetError):
    print("refused", flush=True)
"""


def test_reused(c):
    """Nor is one whose number has become ours before the launcher looks."""
    if c.uid or not ROOT:
        return
    s = Sandbox(c, "again")
    path = next((c.dir / "run" / "records").glob("*.sock"))
    os.kill(s.process.pid, signal.SIGSTOP)
    stranger = subprocess.Popen(["unshare", "--user", "--map-root-user", sys.executable, "-c", STRANGER, path,
                                 struct.pack("=IIq", 1, 0, 0).hex()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(stranger.stdout.readline())
    stranger.wait(PATIENCE)
    double, others = None, []
    for _ in range(200):
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        double = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        if double.pid == pid:
            break
        others.append(double)
    c.check("the number is another's by now", double.pid == pid, (pid, double.pid))
    os.kill(s.process.pid, signal.SIGCONT)
    stranger.stdin.write("\n")
    stranger.stdin.flush()
    said = stranger.stdout.read()
    c.check("a number that is another's by now is not believed", said in ("0\n", "refused\n"), said)
    for p in [double, *others]:
        p.communicate(timeout=PATIENCE)
    s.end()


def test_terminal(c):
    s = Sandbox(c, "tty")
    t = Terminal(c, c.words("exec", "-t", "--setenv", "PS1", "inner$ ", "tty", "--", "bash", "--norc", "--noediting"))
    t.expect("inner$ ")
    t.type("tty; stty size; echo $TERM\n")
    said = t.expect("inner$ ").split()
    c.check("a terminal of its own", {"/dev/pts/0", "30", "100", "vt220"} <= set(said), said)
    t.type("cat\none\n")
    t.expect("\r\none\r\none\r\n")
    t.type("\x03")
    t.expect("inner$ ")
    t.type("seq 3000; exit 9\n")
    code = t.end()
    c.check("all is printed, and its code", code == 9 and b"\n3000\r" in t.seen, (code, t.seen[-100:]))
    s.end()


def test_broker(c):
    """What a broker has started is found like the rest, in each life that it has; who asks is not the router."""
    stack = c.dir / "stack.yaml"
    # One of them is ended by its sessions, and started again.
    stack.write_text("""
sandboxes:
  first:
    command: [/bin/sleep, "1000"]
    env: {FROM: the stack}
    restart: always
    degrade: [cgroup, cpu, id-range, stats]
  second:
    command: [/bin/sleep, "1000"]
    degrade: [cgroup, cpu, id-range, stats]
""")
    os.chown(stack, c.uid, c.uid)
    broker = subprocess.Popen([pathlib.Path(c.uds).parent / "uds-broker", "--config", stack, "--run-dir", c.dir / "run"],
                              preexec_fn=c.become, env=c.env(), stderr=subprocess.PIPE, text=True)
    within(lambda: len(c.list()) == 2)
    listed = {x["name"]: x for x in c.list()}
    c.check("both are listed, as the broker's", [x["launcher_pid"] for x in listed.values()] == [broker.pid] * 2, listed)
    done = c.exec("first", "--", "sh", "-c", "echo $FROM; env; kill -KILL 2")
    c.check("with the stack's environment, but for the broker's link",
            "the stack" in done.stdout and "UDS_BROKER" not in done.stdout, done)
    within(lambda: any(x["name"] == "first" and x["init_pid"] != listed["first"]["init_pid"] for x in c.list()))
    c.check("its next life is found", c.exec("first", "--", "echo", "again").stdout == "again\n")
    c.check("by its new pid only", c.exec(listed["first"]["init_pid"], "--", "true").returncode == 121)
    p = c.start("second", "--", "sh", "-c", "echo on; exec sleep 1000", verb="exec")
    p.stdout.readline()
    broker.terminate()
    said = broker.communicate(timeout=6 * PATIENCE)
    c.check("the broker ends", broker.returncode == 0, said)
    c.check("and sessions with it", p.wait(PATIENCE) == 137)
    left = list((c.dir / "run" / "records").iterdir())
    c.check("no record and no socket of it is left", not left, left)


def test_limits(c):
    """It is in the sandbox's cgroup."""
    if c.uid or not os.path.isdir("/sys/fs/cgroup"):
        return
    s = Sandbox(c, "small", "--memory", "64M", "--pids", "8", "--stats")
    done = c.exec("small", "--", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2 & done; wait")
    c.check("its processes count", "ork" in done.stderr, done)
    held = c.start("small", "--", "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 1000 & done; echo on; wait", verb="exec")
    held.stdout.readline()
    done = c.exec("small", "--", "true")
    c.check("so may be refused", done.returncode == 121 and "limit of processes" in done.stderr, done)
    held.terminate()
    held.wait()
    hog = c.exec("small", "--", "python3", "-c", "x = b'x' * (256 << 20)")
    _, err = s.process.communicate(timeout=6 * PATIENCE)
    c.check("its memory counts", s.process.returncode == 120 and "OOM" in err and hog.returncode == 137,
            (s.process.returncode, err, hog))


if __name__ == "__main__":
    sys.exit(main(globals()))
