#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`uds` called as bwrap: bubblewrap's options with bubblewrap's meaning, as root and as nobody."""
import ctypes
import fcntl
import json
import os
import pathlib
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ["UDS_BIN"])
NOBODY = 65534
ROOT = os.geteuid() == 0
HOST = ["--ro-bind", "/", "/", "--dev", "/dev"]
failures = []
base = pathlib.Path(tempfile.mkdtemp(prefix="uds-bwrap-"))
base.chmod(0o755)


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {str(detail)[:700]!r}", flush=True)


def install():
    (base / "bin").mkdir()
    for name in ("uds", "uds-sandbox-init", "uds-sandbox-answer", "uds-cleaner"):
        shutil.copy(BIN / name, base / "bin" / name)
    os.symlink("uds", base / "bin" / "bwrap")


class Caller:
    def __init__(self, uid):
        self.uid, self.who = uid, "root" if uid == 0 else "nobody"
        self.dir = base / self.who
        self.dir.mkdir()
        os.chown(self.dir, uid, uid)

    def become(self):
        if self.uid and ROOT:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)

    def start(self, *args, preexec=None, env=None, **more):
        def before():
            self.become()
            if preexec:
                preexec()
        command = [str(base / "bin" / "bwrap"), *map(str, args)]
        return subprocess.Popen(command, preexec_fn=before, cwd=more.pop("cwd", self.dir),
                                env=dict(os.environ, HOME=str(self.dir), MARKER="marker-91c", **(env or {})),
                                stdin=more.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, **more)

    def run(self, *args, **more):
        p = self.start(*args, **more)
        try:
            p.out, p.err = p.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            p.kill()
            p.out, p.err = p.communicate()
            p.err += " (did not end)"
        return p

    def sh(self, *args, **more):
        """Options, and last a line for the shell: its output without the newline."""
        p = self.run(*args[:-1], "sh", "-c", args[-1], **more)
        return p.out.strip() + (f" [{p.returncode}: {p.err.strip()}]" if p.returncode else "")

    def check(self, name, condition, detail=""):
        check(f"{self.who}: {name}", condition, detail)

    def equal(self, name, got, want):
        self.check(name, got == want, f"{got} != {want}")


def within(seconds, condition):
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return result


def pipe_with(data):
    r, w = os.pipe()
    os.write(w, data.encode())
    os.close(w)
    return r


def links(text):
    return dict(re.findall(r"(\w+):\[(\d+)\]", text))


def defaults(c):
    mine = {n: os.stat(f"/proc/self/ns/{n}").st_ino for n in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")}
    got = links(c.sh(*HOST, "readlink /proc/self/ns/*"))
    new = {n for n in mine if str(mine[n]) != got.get(n)}
    c.equal("only mount is new, and user where it must be", new, {"mnt"} if c.uid == 0 else {"mnt", "user"})
    status = dict(re.findall(r"(\w+):\s*(.*)", c.sh(*HOST, "cat /proc/self/status")))
    c.equal("no_new_privs", status.get("NoNewPrivs"), "1")
    c.equal("no filter is added", status.get("Seccomp"), re.search(r"Seccomp:\s*(\d)", open("/proc/self/status").read())[1])
    c.equal("cgroup", c.sh(*HOST, "cat /proc/self/cgroup"), open("/proc/self/cgroup").read().strip())
    c.equal("uid", c.sh(*HOST, "id -u; id -g").split(), [str(c.uid)] * 2)
    c.equal("environment", c.sh(*HOST, "echo $MARKER $PWD"), f"marker-91c {c.dir}")
    c.equal("umask", c.sh(*HOST, "umask", preexec=lambda: os.umask(0o027)), "0027")
    ignored = c.sh(*HOST, "grep SigIgn /proc/self/status", preexec=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN))
    c.check("ignored signals", int(ignored.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1, ignored)
    r, w = os.pipe()
    os.dup2(w, 8, inheritable=True)
    os.close(w)
    p = c.start(*HOST, "--unshare-pid", "sh", "-c", "ls /proc/self/fd; echo x >&8; exec 8>&-; echo closed; read x", stdin=subprocess.PIPE, pass_fds=[8])
    os.close(8)
    lines = iter(p.stdout.readline, "closed\n")
    c.check("descriptors keep their numbers", "8\n" in list(lines) and os.read(r, 9) == b"x\n")
    c.check("and nobody else holds them", select.select([r], [], [], 5)[0] and os.read(r, 9) == b"")
    p.communicate(input="\n", timeout=30)
    os.close(r)
    c.equal("session", c.sh(*HOST, "ps -o sid= -p $$").strip(), str(os.getsid(0)))
    c.check("--new-session", c.sh(*HOST, "--new-session", "ps -o sid= -p $$").strip() != str(os.getsid(0)))
    c.equal("what is not there is not the working directory", c.sh("--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
            "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "pwd"), "/")


def root(c):
    d = c.dir
    (d / "file").write_text("text")
    os.chown(d / "file", c.uid, c.uid)
    names = 'a":,\\ \nb'
    (d / names).mkdir()
    (d / names / "in").write_text("odd")
    order = c.sh(*HOST, "--tmpfs", "/tmp", "--dir", "/tmp/a", "--tmpfs", "/tmp", "--dir", "/tmp/b", "ls /tmp")
    c.equal("order", order, "b")
    c.equal("a later / covers all", c.sh(*HOST, "--tmpfs", "/tmp", "--dir", "/tmp/a", "--dev-bind", "/", "/", "--tmpfs", "/tmp",
            "ls -A /tmp; grep -c ' / / ' /proc/self/mountinfo"), "1")
    c.equal("symlinked destinations stay inside", c.sh(*HOST, "--tmpfs", "/tmp", "--dir", "/tmp/d", "--symlink", "/tmp/d", "/tmp/abs",
            "--symlink", "../../../tmp/d", "/tmp/up", "--bind", d / "file", "/tmp/abs/1", "--bind", d / "file", "/tmp/up/2",
            "cat /tmp/d/1 /tmp/d/2"), "texttext")
    c.equal("names", c.sh(*HOST, "--tmpfs", "/tmp", "--bind", d / names, f"/tmp/{names}", f"cat '/tmp/{names}/in'"), "odd")
    c.equal("a slash at the end, none at the start, two in the middle", c.sh(*HOST, "--tmpfs", "/tmp", "--dir", "tmp//x/", "--ro-bind", d,
            "/tmp//y/", "ls /tmp; cat /tmp/y/file"), "x\ny\ntext")
    r = c.run(*HOST, "--tmpfs", "/tmp", "--symlink", "here", "/tmp/l", "--symlink", "there", "/tmp/l", "true")
    c.check("another link is in the way", r.returncode == 1 and "Can't make symlink at /tmp/l" in r.err and
            "existing destination is here" in r.err, r.err)
    r = c.run(*HOST, "--tmpfs", "/tmp", "--file", 0, "/tmp/f", "--dir", "/tmp/f", "true")
    c.check("a file is in a directory's way", r.returncode == 1 and "bwrap: Can't make directory /tmp/f" in r.err, r.err)
    r = c.run(*HOST, "--bind", "/no/such", "/x", "true")
    c.check("no source", r.returncode == 1 and "bwrap: Can't find source path /no/such" in r.err, r.err)
    c.equal("no source, if it can be done without", c.sh(*HOST, "--bind-try", "/no/such", "/x", "--ro-bind-try", "no/such", "/x", "echo y"), "y")
    data = [pipe_with(x) for x in ("one", "two", "three")]
    c.equal("data", c.sh(*HOST, "--tmpfs", "/tmp", "--file", data[0], "/tmp/1", "--perms", "0640", "--bind-data", data[1], "/tmp/2",
            "--ro-bind-data", data[2], "/tmp/3",
            "cat /tmp/[123]; stat -c ' %a' /tmp/[123]; echo x 2>/dev/null >/tmp/2 || echo no; (echo x >/tmp/3) 2>/dev/null || echo ro",
            pass_fds=data), "onetwothree 666\n 640\n 600\nro")
    left = c.sh(*HOST, "--tmpfs", "/tmp", "--file", data[0], "/tmp/1", "ls /proc/$$/fd", pass_fds=data).split()
    c.equal("of those descriptors, what was used is not the payload's", [str(fd) in left for fd in data], [False, True, True])
    for fd in data:
        os.close(fd)
    fd = os.open(d, os.O_PATH)
    c.equal("bind-fd", c.sh(*HOST, "--tmpfs", "/tmp", "--bind-fd", fd, "/tmp/a", "--ro-bind-fd", fd, "/tmp/b",
            "cat /tmp/a/file; echo >/tmp/a/new && (echo >/tmp/b/new) 2>/dev/null || echo ro", pass_fds=[fd]), "textro")
    os.close(fd)
    c.equal("chmod, perms, size", c.sh(*HOST, "--tmpfs", "/tmp", "--perms", "0750", "--dir", "/tmp/a/b", "--chmod", "1777", "/tmp/a/b",
            "--size", "65536", "--perms", "0700", "--tmpfs", "/tmp/t", "stat -c %a /tmp/a /tmp/a/b /tmp/t; df -k --output=size /tmp/t | tail -1"
            ).split(), ["750", "1777", "700", "64"])
    c.equal("remount-ro is of one mount", c.sh(*HOST, "--tmpfs", "/tmp", "--tmpfs", "/tmp/in", "--remount-ro", "/tmp",
            "(echo >/tmp/x) 2>/dev/null || echo ro; echo >/tmp/in/x && echo rw"), "ro\nrw")
    c.equal("/dev", c.sh(*HOST, "--dev", "/dev", "ls /dev; echo >/dev/null && echo fine").split(),
            "core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero fine".split())
    r = c.sh(*HOST, "--bind", "/dev", "/dev", "(: </dev/zero) 2>&- || echo no device")
    c.equal("devices only by --dev-bind", r + c.sh(*HOST, "--dev-bind", "/dev", "/dev", ": </dev/zero && echo device"), "no devicedevice")
    left = c.sh(*HOST, "--tmpfs", "/tmp", "--bind-data", 0, "/tmp/x", "ls -A /tmp; awk '{print $5}' /proc/self/mountinfo | grep -c '^/$'")
    c.equal("nothing of the building is left", left, "x\n1")
    left = c.sh(*HOST, "--bind", "/", "/", "--bind-data", 0, "/tmp/x", "awk '{print $5}' /proc/self/mountinfo | grep -c '^/$'")
    c.equal("nor of what was covered", left, "1")
    c.equal("nor in a source", c.sh("--tmpfs", "/a", "--bind-data", 0, "/a/x", "--overlay-src", "/usr", "--tmp-overlay", "/a/usr", *HOST, "--tmpfs",
            "/tmp", "--ro-bind", "/", "/tmp/r", "ls /tmp/r | grep -x usr; awk '{print $5}' /proc/self/mountinfo | grep -cx -e /tmp/r -e /"), "usr\n2")


def overlays(c):
    d = c.dir / "o"
    for name in ("one", 'two":,\\ x', "upper:,", "work\\"):
        (d / name).mkdir(parents=True)
    (d / "one/a").write_text("1")
    (d / "one/b").write_text("1")
    (d / 'two":,\\ x/b').write_text("2")
    for path in [d, *d.rglob("*")]:
        os.chown(path, c.uid, c.uid)
    lower = ["--overlay-src", d / "one", "--overlay-src", d / 'two":,\\ x']
    line = "cat /tmp/o/a /tmp/o/b; (echo -n 3 >/tmp/o/b) 2>/dev/null; cat /tmp/o/b"
    c.equal("tmp-overlay", c.sh(*HOST, "--tmpfs", "/tmp", *lower, "--tmp-overlay", "/tmp/o", line), "123")
    c.equal("ro-overlay", c.sh(*HOST, "--tmpfs", "/tmp", *lower, "--ro-overlay", "/tmp/o", line), "122")
    c.equal("overlay", c.sh(*HOST, "--tmpfs", "/tmp", *lower, "--overlay", d / "upper:,", d / "work\\", "/tmp/o", line), "123")
    c.equal("what was written is in the upper directory", (d / "upper:,/b").read_text() + (d / 'two":,\\ x/b').read_text(), "32")
    many = [x for i in range(40) for x in ("--overlay-src", layer(c, d, i))]
    c.equal("forty layers", c.sh(*HOST, "--tmpfs", "/tmp", *many, "--ro-overlay", "/tmp/o", "cat /tmp/o/0 /tmp/o/39"), "11")
    r = c.run(*HOST, *lower, "true")
    c.check("layers without an overlay", r.returncode == 1 and "must be followed by another --overlay-src" in r.err, r.err)


def layer(c, d, i):
    path = d / f"layer{i}"
    path.mkdir()
    (path / str(i)).write_text("1")
    return path


def lives(c):
    for code, command in ((0, "exit 0"), (3, "exit 3"), (255, "exit 255"), (143, "kill $$"), (137, "kill -9 $$")):
        for pid in ((), ("--unshare-pid",), ("--unshare-pid", "--as-pid-1")):
            if "kill" in command and "--as-pid-1" in pid:
                continue # PID 1 of a namespace gets no such signal from inside
            c.equal(f"exit {command} {pid}", c.run(*HOST, *pid, "sh", "-c", command).returncode, code)
    r = c.run(*HOST, "/no/such/program")
    c.check("no program", r.returncode == 1 and r.err == "bwrap: execvp /no/such/program: No such file or directory\n", r.err)
    own = ["--unshare-pid", "--proc", "/proc"]
    c.equal("as PID 1", c.sh(*HOST, *own, "--as-pid-1", "echo $$"), "1")
    c.equal("PID 1 reaps", c.sh(*HOST, *own, "(sleep 0 & exec sleep 0.2) & sleep 0.4; ps -eo stat= | grep -c Z; true"), "0")
    c.check("PID 1 has no secrets", "marker" not in c.sh(*HOST, *own, "cat /proc/1/environ /proc/1/cmdline 2>&1; true"))
    c.equal("argv0", c.sh(*HOST, "--argv0", "other", "echo $0"), "other")
    c.equal("environment", c.sh(*HOST, "--clearenv", "--setenv", "A", "b", "--setenv", "PATH", "/usr/bin", "env | sort"),
            f"A=b\nPATH=/usr/bin\nPWD={c.dir}")
    args = pipe_with("--tmpfs\0/tmp\0--dir\0/tmp/from-args\0")
    c.equal("args", c.sh(*HOST, "--args", args, "ls /tmp", pass_fds=[args]), "from-args")
    os.close(args)
    script = c.dir / "script"
    script.write_text("echo no interpreter\n")
    script.chmod(0o755)
    c.equal("a script without #!", c.run(*HOST, script).out, "no interpreter\n")


def told(c):
    r, w = os.pipe()
    sr, sw = os.pipe()
    p = c.start(*HOST, "--unshare-all", "--proc", "/proc", "--info-fd", w, "--json-status-fd", sw, "sh", "-c", "readlink /proc/self/ns/*; exit 7",
                pass_fds=[w, sw])
    os.close(w)
    os.close(sw)
    out, _ = p.communicate(timeout=30)
    info = json.loads(os.read(r, 4096))
    status = [json.loads(line) for line in os.read(sr, 4096).decode().splitlines()]
    inside = links(out)
    c.check("info", info == status[0] and info["child-pid"] > 1 and all(str(info[f"{n}-namespace"]) == inside[n] for n in
            ("mnt", "net", "pid", "ipc", "uts", "cgroup")), (info, status, inside))
    c.equal("status", status[1:], [{"exit-code": 7}])
    os.close(r)
    os.close(sr)
    sr, sw = os.pipe()
    c.run(*HOST, "--json-status-fd", sw, "/no/such", pass_fds=[sw])
    os.close(sw)
    c.check("no exit code of what never ran", b"exit-code" not in os.read(sr, 4096))
    os.close(sr)
    r, w = os.pipe()
    p = c.start(*HOST, "--block-fd", r, "echo", "ran", pass_fds=[r])
    c.check("block-fd blocks", not select.select([p.stdout], [], [], 0.3)[0])
    os.write(w, b"x")
    c.equal("block-fd lets go", p.communicate(timeout=30)[0], "ran\n")
    os.close(r)
    os.close(w)


def userns_block(c):
    ir, iw = os.pipe()
    br, bw = os.pipe()
    p = c.start(*HOST, "--unshare-user", "--userns-block-fd", br, "--info-fd", iw, "id", "-u", pass_fds=[br, iw])
    pid = json.loads(os.read(ir, 4096))["child-pid"]
    before = pathlib.Path(f"/proc/{pid}/uid_map").read_text()
    for file, text in (("setgroups", "deny"), ("uid_map", f"77 {c.uid} 1"), ("gid_map", f"77 {c.uid} 1")):
        pathlib.Path(f"/proc/{pid}/{file}").write_text(text)
    os.write(bw, b"1")
    c.equal("somebody else writes the map", (before, p.communicate(timeout=30)[0]), ("", "77\n"))
    for fd in (ir, iw, br, bw):
        os.close(fd)


def alive(marker):
    return subprocess.run(["pgrep", "-f", marker], stdout=subprocess.DEVNULL).returncode == 0


def holds(c):
    lock = c.dir / "lock"
    lock.touch()
    r, w = os.pipe()
    p = c.start("--bind", "/", "/", "--unshare-pid", "--lock-file", lock, "--sync-fd", w, "sh", "-c", "echo up; read x", stdin=subprocess.PIPE,
                pass_fds=[w])
    os.close(w)
    p.stdout.readline()
    with open(lock, "a") as f:
        def locked():
            try:
                fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.lockf(f, fcntl.LOCK_UN)
                return False
            except OSError:
                return True
        c.check("lock-file is locked", within(5, locked))
        c.check("sync-fd is open", not select.select([r], [], [], 0)[0])
        p.communicate(input="\n", timeout=30)
        c.check("lock-file is let go", within(5, lambda: not locked()))
    c.equal("sync-fd closes at the end", os.read(r, 1) if select.select([r], [], [], 5)[0] else "open", b"")
    os.close(r)
    for die in ("--die-with-parent", ""):
        for pid in ("--unshare-pid", ""):
            marker = f"4242.{os.getpid()}{len(die)}{len(pid)}{c.uid}"
            p = c.start(*HOST, *filter(None, (die, pid)), "sh", "-c", f"echo up; exec sleep {marker}")
            p.stdout.readline()
            p.kill()
            p.wait()
            ended = within(3 if die else 0.3, lambda: not alive(f"sleep {marker}"))
            c.equal(f"ends with us {die} {pid}", bool(ended), bool(die))
            subprocess.run(["pkill", "-9", "-f", f"sleep {marker}"])


def namespaces(c):
    user = ["--unshare-user", "--uid", "0", "--gid", "0"]
    r, w = os.pipe()
    p = c.start(*HOST, *user, "--unshare-pid", "--info-fd", w, "sh", "-c", "echo up; read x", stdin=subprocess.PIPE, pass_fds=[w])
    os.close(w)
    p.stdout.readline()
    pid = json.loads(os.read(r, 4096))["child-pid"]
    os.close(r)
    def ns(kind):
        return os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
    want = links(" ".join(os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("user", "pid")))
    u, n = ns("user"), ns("pid")
    got = links(c.sh(*HOST, "--userns", u, "--pidns", n, "--proc", "/proc", "readlink /proc/self/ns/user /proc/self/ns/pid", pass_fds=[u, n]))
    c.equal("userns and pidns", got, want)
    got = c.sh(*HOST, "--userns", u, "--pidns", n, "--unshare-pid", "--proc", "/proc", "readlink /proc/self/ns/pid; echo $$", pass_fds=[u, n])
    c.check("a pid namespace below another", links(got).get("pid") not in ("", None, want["pid"]) and got.endswith("2"), got)
    r = c.run(*HOST, "--userns", 0, "true", stdin=open("/proc/self/ns/user"))
    c.check("our own user namespace cannot be joined", r.returncode == 1 and "user namespace" in r.err, r.err)
    os.close(u)
    os.close(n)
    p.communicate(input="\n", timeout=30)
    c.equal("loopback is up, hostname is set", c.sh(*HOST, "--unshare-net", "--unshare-uts", "--hostname", "inside", "--proc", "/proc",
            "cat /proc/sys/kernel/hostname; ip -br link 2>/dev/null | awk '{print $1, $2}'"), "inside\nlo UNKNOWN")
    for caps in ((), ("--cap-add", "ALL")):
        disabled = [*HOST, *user, *caps, "--disable-userns"]
        line = "echo 9 2>/dev/null >/proc/sys/user/max_user_namespaces; unshare -U true 2>/dev/null && echo made || echo refused"
        c.equal(f"no user namespaces {caps}", c.sh(*disabled, line), "refused")
        c.equal(f"and that is known {caps}", c.run(*disabled, "--assert-userns-disabled", "true").returncode, 0)
    r = c.run(*HOST, "--unshare-user", "--assert-userns-disabled", "true")
    c.check("assert-userns-disabled", r.returncode == 1, r.err)
    c.equal("nested, by /proc/self/exe", c.sh("--dev-bind", "/", "/", *user, "--cap-add", "ALL",
            "/proc/self/exe 2>&1 | head -1; exec " + str(base / "bin/bwrap") + " --unshare-all --ro-bind / / --proc /proc --tmpfs /tmp echo two"
            ).splitlines()[-1], "two")


def switches(c):
    """--uid in a user namespace that somebody else has made, with more than one id in it."""
    if c.uid != 0:
        return
    holder = subprocess.Popen(["unshare", "-U", "sh", "-c", "echo up; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    for file in ("uid_map", "gid_map"):
        pathlib.Path(f"/proc/{holder.pid}/{file}").write_text("0 0 2000")
    fd = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY)
    c.equal("ids of a joined user namespace", c.sh("--userns", fd, "--uid", "1234", "--gid", "567", *HOST, "--tmpfs", "/tmp",
            "id -u; id -g; touch /tmp/x && stat -c %u /tmp/x", pass_fds=[fd]).split(), ["1234", "567", "1234"])
    os.close(fd)
    holder.communicate(b"\n")
    # root's own number is another id in there: not to be taken for the one that it has already
    shared = c.dir / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    holder = subprocess.Popen(["unshare", "-U", "sh", "-c", "echo up; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    for file in ("uid_map", "gid_map"):
        pathlib.Path(f"/proc/{holder.pid}/{file}").write_text("0 100000 1000")
    fd = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY)
    got = c.sh("--userns", fd, "--uid", "0", "--gid", "0", *HOST, "--bind", shared, "/mnt", "touch /mnt/x; grep ^Groups: /proc/self/status",
               pass_fds=[fd], preexec=lambda: os.setgroups([4242]))
    c.equal("no group of the caller's", got.split(), ["Groups:"])
    c.equal("whose file it is on the host", (shared / "x").stat().st_uid, 100000)
    os.close(fd)
    holder.communicate(b"\n")


def rights(c):
    user = ["--unshare-user", "--uid", "0", "--gid", "0"]
    def caps(*args):
        return re.findall(r"Cap\w+:\s*(\w+)", c.sh(*HOST, *args, "cat /proc/self/status"))
    none = "0" * 16
    if c.uid == 0:
        mine = re.findall(r"Cap(?:Prm|Eff|Bnd):\s*(\w+)", open("/proc/self/status").read())
        c.equal("root keeps its capabilities", caps()[1:4], mine)
        r = subprocess.run(["setpriv", "--inh-caps=+kill", base / "bin/bwrap", *HOST, "cat", "/proc/self/status"],
                           stdout=subprocess.PIPE, text=True)
        c.equal("what is inheritable is ambient", re.findall(r"CapAmb:\s*(\w+)", r.stdout), [f"{1 << 5:016x}"])
    else:
        c.equal("no capabilities", caps()[:3], [none] * 3)
    c.equal("none in a user namespace", caps(*user, "--cap-drop", "ALL"), [none] * 5)
    kill = f"{1 << 5:016x}"
    c.equal("one", caps("--unshare-user", "--uid", "7", "--cap-drop", "ALL", "--cap-add", "cap_kill"), [kill] * 5)
    r = c.run(*HOST, "--cap-add", "CAP_NONE", "true")
    c.check("no such capability", r.returncode == 1 and r.err == "bwrap: unknown cap: CAP_NONE\n", r.err)
    # mkdir(2) and mkdirat(2) → EDOM, as raw BPF
    nr = {"x86_64": (83, 258)}.get(os.uname().machine, (1030, 34))
    code = struct.pack("HBBI", 0x20, 0, 0, 0) + struct.pack("HBBI", 0x15, 1, 0, nr[0]) + struct.pack("HBBI", 0x15, 0, 1, nr[1]) + \
        struct.pack("HBBI", 6, 0, 0, 0x00050000 | 33) + struct.pack("HBBI", 6, 0, 0, 0x7fff0000)
    for option in ("--seccomp", "--add-seccomp-fd"):
        with tempfile.TemporaryFile() as f:
            f.write(code)
            f.seek(0)
            got = c.sh(*HOST, "--tmpfs", "/tmp", "--dir", "/tmp/before", option, f.fileno(), "LC_ALL=C mkdir /tmp/x 2>&1; ls /tmp", pass_fds=[f.fileno()])
            c.check(option, "argument out of domain" in got and got.endswith("before"), got)
    r = c.run(*HOST, "--exec-label", "x", "true")
    c.check("no SELinux", r.returncode == 1 and r.err == "bwrap: labeling not supported on this system\n", r.err)
    for args, words in ((("--perms", "0777", "true"), "--perms must be followed by an option that creates a file"),
                        (("--nonsense", "true"), "Unknown option --nonsense"), (("--bind", "/"), "--bind takes two arguments"),
                        (("--level-prefix", "--chdir"), "<3>bwrap: --chdir takes an argument"), (("--uid", "x", "true"), "Invalid uid: x"),
                        (("--hostname", "x", "true"), "requires --unshare-uts"), (("--as-pid-1", "true"), "requires --unshare-pid")):
        r = c.run(*args)
        c.check(f"refuses {args}", r.returncode == 1 and words in r.err, r.err)


def locked(c):
    """Flags that a user namespace inherits stay, whatever is mounted or asked."""
    if not ROOT:
        return
    place = c.dir / "locked"
    place.mkdir()
    def mount():
        libc = ctypes.CDLL(None, use_errno=True)
        libc.unshare(0x20000)
        libc.mount(None, b"/", None, 0x44000, None) # private, recursive
        libc.mount(b"x", str(place).encode(), b"tmpfs", 2 | 8, None) # nosuid, noexec
        libc.mount(None, str(place).encode(), None, 32 | 1 | 2 | 8, None) # remounted read-only
        c.become()
    old, c.become_again = c.become, None
    p = subprocess.run([str(base / "bin/bwrap"), "--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL", "--dev-bind", "/", "/", "--bind",
                        str(place), str(place), "sh", "-c", f"(echo >{place}/x) 2>/dev/null || echo ro; mount -o remount,bind,rw {place} 2>/dev/null || echo locked;"
                        f"grep -m1 ' {place} ' /proc/self/mountinfo | cut -d' ' -f6; umount {place}; umount {place} 2>/dev/null || echo covers"],
                       preexec_fn=mount, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    words = p.stdout.split()
    c.check("locked flags", words[:2] == ["ro", "locked"] and {"ro", "nosuid", "noexec"} <= set(words[2].split(",")), (p.stdout, p.stderr))


def propagation(c):
    """Mounts that the host makes later arrive, as bubblewrap has it; ours stay inside."""
    if not ROOT or c.uid:
        return
    place = c.dir / "shared"
    (place / "later").mkdir(parents=True)
    (place / "inside").mkdir()
    def share():
        libc = ctypes.CDLL(None)
        libc.unshare(0x20000)
        libc.mount(None, b"/", None, 0x44000 | 0, None) # private, so that nothing of this reaches the machine
        libc.mount(b"x", str(place).encode(), b"tmpfs", 0, None)
        libc.mount(None, str(place).encode(), None, 1 << 20, None) # shared
        for name in ("later", "inside"):
            os.mkdir(place / name)
    p = c.start("--bind", "/", "/", "sh", "-c", f"mount -t tmpfs x {place}/inside && echo up; read x; grep -c ' {place}/later ' /proc/self/mountinfo",
                preexec=share, stdin=subprocess.PIPE)
    p.stdout.readline()
    outside = ["nsenter", "-t", str(p.pid), "-m"]
    seen = subprocess.run([*outside, "grep", "-c", f" {place}/inside ", "/proc/self/mountinfo"], stdout=subprocess.PIPE, text=True).stdout.strip()
    subprocess.run([*outside, "mount", "-t", "tmpfs", "x", place / "later"], check=True)
    c.equal("propagation: from inside, from outside", (seen, p.communicate(input="\n", timeout=30)[0].strip()), ("0", "1"))


def proc(c):
    """Places of /proc are covered where they could be written, and no more: who nests sandboxes needs it bare."""
    got = c.sh(*HOST, "--unshare-pid", "--proc", "/proc", "awk '$5 ~ /^.proc./ { print $5, substr($6, 1, 2) }' /proc/self/mountinfo | sort")
    there = [n for n in ("bus", "irq", "sys", "sysrq-trigger") if c.uid == 0 and os.access(f"/proc/{n}", os.W_OK)]
    want = "\n".join(f"/proc/{n} ro" for n in there)
    c.equal("/proc", got, want)


def main():
    install()
    for uid in ([0, NOBODY] if ROOT else [os.geteuid()]):
        c = Caller(uid)
        for test in (defaults, root, overlays, lives, told, userns_block, holds, namespaces, switches, rights, locked, propagation,
                     proc):
            try:
                test(c)
            except Exception as e: # the others still say something
                check(f"{c.who}: {test.__name__}", False, repr(e))
    left = [line for line in open("/proc/self/mountinfo") if str(base) in line]
    check("no mount is left outside", not left, left)
    shutil.rmtree(base, ignore_errors=True)
    return 1 if failures else 0


sys.exit(main())
