#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a payload can reach, see and keep: the sandbox library against sbx-probe, as root and as nobody.

Numbers in brackets name one property each, so that a failure can be found again in every place that speaks of it.
"""
import ctypes
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ["UDS_BIN"])
NOBODY = 65534
ROOT = os.geteuid() == 0
NS = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]
failures = []


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {str(detail)[:600]!r}", flush=True)


class Run:
    """One launch: what the probe printed by verb, the report and the result by key."""

    def __init__(self, done, report):
        self.code = done.returncode
        self.out = done.stdout.decode(errors="replace")
        self.err = done.stderr.decode(errors="replace")
        self.report = dict(line.split(" ", 1) for line in report.splitlines() if " " in line)

    def __getitem__(self, verb):
        for line in self.out.splitlines():
            if line.split(" ")[0] == verb:
                return line[len(verb) + 1:]
        return f"(nothing; {self.err.strip()})"

    def all(self, verb):
        return [line.split(" ")[1] for line in self.out.splitlines() if line.split(" ")[0] == verb]


class Caller:
    """The user on whose behalf sandboxes start."""

    def __init__(self, base, uid):
        self.uid = uid
        self.who = "root" if uid == 0 else "nobody"
        self.dir = base / self.who
        self.bin = base / "bin"
        self.probe = str(self.bin / "sbx-probe")
        self.dir.mkdir()
        os.chown(self.dir, uid, uid)
        self.count = 0

    def become(self):
        if self.uid and ROOT:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)
        elif ROOT:
            os.setgroups([4, 27])

    def start(self, options, command, preexec=None, pass_fds=(), **more):
        self.count += 1
        read, write = os.pipe()
        env = dict(os.environ, XDG_RUNTIME_DIR=str(self.dir), UDS_MARKER="marker-7f3a",
                   LD_PRELOAD_TEST="1")

        def before():
            self.become()
            if preexec:
                preexec()
        argv = [self.bin / "sbx-launch", "--report", str(write), "--name",
                f"t{os.getpid()}-{self.who}-{self.count}", *options, *command]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=env, preexec_fn=before,
                                   pass_fds=(write, *pass_fds), cwd="/", **more)
        os.close(write)
        return process, read

    def run(self, *options, probe=(), command=None, jail=True, **more):
        if jail:
            options = ("--jail", self.probe, *options)
        process, read = self.start(options, command or [self.probe, *probe], **more)
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.check(f"{' '.join(options)} {' '.join(probe)}", False, "it hangs")
        with os.fdopen(read) as f:
            report = f.read()
        return Run(subprocess.CompletedProcess([], process.returncode, out, err), report)

    def check(self, name, condition, detail=""):
        check(f"{self.who}: {name}", condition, detail)


def verbs(*lines):
    """Several verbs for one probe."""
    words = []
    for line in lines:
        words += (["--"] if words else []) + line.split(" ")
    return words


def test_processes(c):
    r = c.run(probe=verbs("list /proc 1", f"kill {os.getpid()} 0", "orphans 500", "ptrace 1", "vmread 1",
                          "unchroot"))
    c.check("[1] only its own processes are in /proc", sorted(r["list"].split()[1:]) == ["1", "2"], r["list"])
    c.check("[1] a host process cannot be signalled", r["kill"] == "ESRCH", r["kill"])
    c.check("[43] orphans are reaped", r["orphans"] == "ok 0", r["orphans"])
    c.check("[17] PID 1 cannot be traced", r["ptrace"] == "EPERM", r["ptrace"])
    c.check("[17] PID 1 cannot be read", r["vmread"] == "EPERM", r["vmread"])
    c.check("[4] chroot is refused", r["unchroot"] == "EPERM", r["unchroot"])
    r = c.run("--no-seccomp", probe=verbs("ptrace 1", "vmread 1", "unchroot", "put /proc/1/exe x"))
    c.check("[15] the program of PID 1 cannot be written", r["put"] == "EACCES", r["put"])
    c.check("[17] nor without seccomp", r["ptrace"] == "EPERM" and r["vmread"] == "EPERM", r.out)
    c.check("[4] nor without seccomp", r["unchroot"] == "EPERM", r["unchroot"])


def test_namespaces(c):
    r = c.run(probe=verbs("ns"))
    inside, reported = r["ns"].split()[1:], r.report["ns"].split()
    outside = [str(os.stat(f"/proc/self/ns/{n}").st_ino) for n in NS]
    c.check("[2] the report names the namespaces", inside == reported, f"{inside} {reported}")
    c.check("[2] all are new", not set(inside) & set(outside), inside)
    r = c.run("--isolate", "user,mount", probe=verbs("ns"))
    inside = r["ns"].split()[1:]
    c.check("[2] only those asked for are new", inside[2:] == outside[2:] and inside[:2] != outside[:2],
            f"{r.out} {r.err}")


def test_root(c):
    r = c.run(probe=verbs("list /", "cat /proc/1/root/etc/shadow", "create /x", "create /dev/x",
                          "create /run/x", "mode /tmp", "create /tmp/x"))
    inside = set(r["list"].split()[1:])
    allowed = {"dev", "proc", "tmp", "run", c.probe.split("/")[1]}
    c.check("[3] the jail holds what was named", inside == allowed, inside)
    c.check("[3] the host's root is unreachable", r["cat"] in ("EACCES", "ENOENT", "EPERM"), r["cat"])
    c.check("[3] the root is read-only", r.all("create") == ["EROFS", "EROFS", "EROFS", "ok"], r.out)
    r = c.run(probe=verbs("cat /proc/self/mountinfo"))
    c.check("[3] no mount of the host's root is left", " / / " not in r.out.replace(" / / ro,nosuid,nodev", ""), r.out)
    r = c.run("--no-seccomp", jail=False, probe=verbs(
        "create /x", "create /etc/x", f"create {c.bin.parent}/open/x", "create /home/x", "list /sys", "list /run",
        "remount /", "mode /tmp", "mode /dev/shm", "hostname x", "list /dev"))
    c.check("[5] the host's root is read-only", set(r.all("create")) <= {"EROFS", "EACCES"}, r.out)
    c.check("[23] /sys and /run show nothing", r["list"] == "ok", r.out)
    c.check("[5] it cannot be remounted", r["remount"] == "EPERM", r["remount"])
    c.check("[25] /tmp and /dev/shm are 1777", r.out.count("mode ok 1777") == 2, r.out)
    c.check("[28] the hostname cannot be set", r["hostname"] == "EPERM", r["hostname"])
    r = c.run(jail=False, probe=verbs("cat /proc/self/mountinfo"))
    c.check("[3] covered mounts of the host are gone", c.uid or " /sys/fs/cgroup" not in r.out, r.out)
    r = c.run(probe=verbs("list /dev", "mknod /tmp/sda"))
    devices = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    c.check("[24] /dev is minimal", sorted(r["list"].split()[1:]) == devices.split(), r["list"])
    c.check("[24] no block device can be made", r["mknod"] == "EPERM", r["mknod"])
    r = c.run("--no-seccomp", probe=verbs("mknod /tmp/sda"))
    c.check("[24] nor without seccomp", r["mknod"] == "EPERM", r["mknod"])


def test_proc(c):
    r = c.run("--no-seccomp", probe=verbs(
        "put /proc/sys/kernel/core_pattern x", "put /proc/sys/kernel/hostname x", "put /proc/sysrq-trigger h",
        "cat /proc/timer_list", "cat /proc/keys", "cat /proc/kallsyms"))
    c.check("[22] /proc/sys is read-only", set(r.all("put")) <= {"EROFS", "EACCES", "ENOENT"}, r.out)
    tale = [line for line in r.out.splitlines() if line.startswith("cat ")]
    c.check("[22] host-wide files of /proc are empty", set(tale) <= {"cat ok 0", "cat ENOENT"}, r.out)


def test_binds(c):
    tree = c.dir / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "file").write_text("hello")
    os.chmod(tree, 0o777)
    os.chmod(tree / "below", 0o777)
    probe = verbs("create /data/x", "create /data/below/x", "remount /data", "remount /data/below", "cat /data/file")
    options = ["--no-seccomp", "--bind", f"{tree}:/data"]
    if c.uid == 0:
        # A mount below the bound directory, in a mount namespace of the test's own.
        script = f'mount -t tmpfs -o mode=777 x {tree}/below && exec "$@"'
        options = ["--jail", c.probe, *options]
        done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh",
                               c.bin / "sbx-launch", *options, c.probe, *probe],
                              capture_output=True, timeout=60, env=dict(os.environ, XDG_RUNTIME_DIR=str(c.dir)))
        r = Run(done, "")
    else:
        r = c.run(*options, probe=probe)
    c.check("[5] a bind is read-only, what is below too", r.all("create") == ["EROFS", "EROFS"], r.out + r.err)
    c.check("[5] it cannot be remounted", set(r.all("remount")) <= {"EPERM"}, r.out)
    c.check("a bind shows the host's file", "hello" in r.out, r.out)
    r = c.run("--bind-rw", f"{tree}:/data", probe=verbs("create /data/y"))
    c.check("a writable bind is writable", r["create"] == "ok", r.out + r.err)
    r = c.run("--bind", f"{tree}:/../../data/../data", probe=verbs("cat /data/file"))
    c.check("[18] a target with .. stays inside", "hello" in r.out, r.out + r.err)
    r = c.run("--mask", "/data", "--bind", f"{tree}:/data", probe=verbs("list /data"))
    c.check("a mask hides", r["list"] == "ok", r.out + r.err)
    r = c.run("--bind", f"{tree}:/data", probe=verbs("cat /etc/passwd"), jail=False)
    c.check("a bind without a place on the host's root is refused by name",
            r.code == 126 and "/data" in r.err and "read-only" in r.err, r.err)


def test_identity(c):
    r = c.run(probe=verbs("cat /proc/self/status", "ids", "cat /proc/self/uid_map", "cat /proc/self/setgroups"))
    lines = {line.split(":")[0]: line.split(":")[-1].strip() for line in r.out.splitlines() if ":" in line}
    for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        c.check(f"[9] {cap} is empty", lines.get(cap) == "0" * 16, lines.get(cap))
    c.check("[8] no_new_privs is set", lines.get("NoNewPrivs") == "1", lines)
    c.check("[31] two filters are loaded", lines.get("Seccomp_filters") == "2", lines)
    uid = 1000 if c.uid == 0 else c.uid
    c.check("[10] ids are the payload's, without groups", r["ids"] == f"ok {uid} {uid} 0", r["ids"])
    mapped = r.out.split("cat ok ")[2].split()[1:4]
    if c.uid == 0:
        c.check("[11] a range of its own is mapped", mapped[0] == "0" and mapped[2] == "65536" and
                0x70000000 <= int(mapped[1]) < 0x7fff0000, mapped)
        c.check("[11] and reported", mapped[1] == r.report["uid_first"], r.report)
    else:
        c.check("[11] one id is mapped", mapped == [str(uid), str(uid), "1"], mapped)
        c.check("[11] setgroups is denied", r.out.rstrip().endswith("deny"), r.out)
        c.check("[11] and it is said", int(r.report["degraded"]) & 4, r.report)


def test_writes_without_filters(c):
    """Identity alone, with the host's mounts in reach: ids that own nothing write nothing."""
    cgroup = next((p for p in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                   if os.path.exists(f"{p}/cgroup.procs")), "/sys/fs/cgroup")
    r = c.run("--no-seccomp", "--isolate", "user,pid,net,ipc,uts,cgroup", jail=False, probe=verbs(
        "put /proc/sys/kernel/core_pattern x", f"put {cgroup}/cgroup.procs 0", "put /etc/shadow x",
        "create /etc/x", "put /dev/kmsg x", "cat /etc/shadow"))
    c.check("[23] without filters and mounts, host files stay closed",
            set(r.all("put") + r.all("create") + r.all("cat")) <= {"EACCES", "EROFS", "EPERM", "ENOENT"} and
            len(r.all("put")) == 4, r.out + r.err)


def test_descriptors(c):
    opened = [os.open("/", os.O_RDONLY | os.O_DIRECTORY), os.open("/", os.O_PATH), os.memfd_create("x")]
    high = [60, 90, 200]
    for fd, to in zip(opened, high):
        os.dup2(fd, to, inheritable=True)
    data = c.dir / "data"
    data.write_text("payload")
    os.chmod(data, 0o666)
    os.chown(data, c.uid, c.uid)
    fd = os.open(data, os.O_RDONLY)
    r = c.run("--fd", f"in={fd}", "--fd", f"more={fd}", "--env-fd", f"LINK={fd}", "--env", "A=b", pass_fds=(fd, *high),
              probe=verbs("fds", "list /proc/1/fd", "env", "cat /proc/1/environ", "cat /proc/1/cmdline",
                          "cat /proc/1/maps", "readfd 3", "readfd 5"))
    c.check("[13] only what was declared is open", r["fds"] == "ok 0 1 2 3 4 5", r["fds"])
    c.check("[13] PID 1's are not to be seen", r["list"] == "EACCES", r["list"])
    c.check("[16] nor its environment and maps", "cat EACCES\ncat ok 17\nuds-sandbox-init\0cat EACCES\n" in r.out, r.out)
    c.check("[16] no secret of the caller anywhere", "marker-7f3a" not in r.out and "UDS_MARKER" not in r.out, r.out)
    words = dict(w.split("=", 1) for w in r["env"].split()[1:])
    c.check("[49] the environment is what was listed", words == {
        "A": "b", "PATH": words.get("PATH"), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "in:more",
        "LISTEN_PID": words.get("pid"), "LINK": "fd:5", "pid": words.get("pid")}, words)
    c.check("passed descriptors can be read", r.all("readfd") == ["ok", "ok"], r.out)
    for n in (3, 5, *high):
        r = c.run("--chdir", f"/proc/self/fd/{n}", "--fd", f"dir={high[0]}", pass_fds=(high[0],), probe=verbs("cwd"))
        c.check(f"[14] no working directory by descriptor {n}", r.code == 126 and r["cwd"].startswith("(nothing"),
                r.out + r.err)
    flags = ("--fd", f"in={fd}")
    r = c.run(*flags, pass_fds=(fd,), probe=verbs("reopen 3 0", "reopen 3 2", "chmod 3"))
    c.check("without Landlock a passed file can be opened again", r.all("reopen")[0] == "ok", r.out)
    own = c.uid != 0 # root's sandbox runs under an id that does not own the file
    c.check("and changed by who owns it", r["chmod"] == ("ok" if own else "EPERM"), r.out)
    r = c.run("--landlock", *flags, pass_fds=(fd,), probe=verbs(
        "readfd 3", "reopen 3 0", "reopen 3 2", "chmod 3", "chmod /proc/self/fd/3", "touch 3",
        "touch /proc/self/fd/3", "cat /proc/self/comm", "create /tmp/x"))
    c.check("guarded: the file is not opened again", r.all("reopen") == ["EACCES", "EACCES"], r.out + r.err)
    c.check("guarded: it is not changed", set(r.all("chmod") + r.all("touch")) == {"EPERM"}, r.out)
    c.check("guarded: it is read, and the sandbox's own files open", r["readfd"] == "ok" and
            r.all("cat") == ["ok"] and r["create"] == "ok" and r.report["guarded"] == "1", r.out)
    for n in (*opened, *high, fd):
        os.close(n)


def test_network(c):
    tcp = socket.create_server(("127.0.0.1", 0))
    hidden = socket.socket(socket.AF_UNIX)
    hidden.bind(f"\0sbx-{os.getpid()}-{c.who}")
    hidden.listen()
    probe = verbs(f"tcp {tcp.getsockname()[1]}", f"abstract sbx-{os.getpid()}-{c.who}", "socket 2 3 1",
                  "socket 38 5 0", "cat /proc/net/dev")
    r = c.run(probe=probe)
    c.check("[26] the host's loopback is elsewhere", r["tcp"] == "ECONNREFUSED", r["tcp"])
    c.check("[26] so are its abstract names", r["abstract"] == "ECONNREFUSED", r["abstract"])
    c.check("[26] no raw sockets, no AF_ALG", r.all("socket") == ["EPERM", "EPERM"], r.out)
    names = [line.split(":")[0].strip() for line in r.out.splitlines() if ":" in line]
    c.check("[26] only lo", names == ["lo"], names)
    r = c.run("--isolate", "user,mount,pid", probe=probe)
    c.check("a shared network is shared", r["tcp"] == "ok" and r["abstract"] == "ok", r.out + r.err)
    tcp.close()
    hidden.close()


def test_own_listener(c):
    """A socket of the host in a read-only bind is a way out that was asked for."""
    place = c.dir / "listen"
    place.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / "broker.sock"))
    listener.listen()
    os.chmod(place / "broker.sock", 0o777)
    for jail in (True, False):
        r = c.run("--bind", f"{place}:/run/uds", jail=jail, probe=verbs("unix /run/uds/broker.sock", "create /run/uds/x"))
        c.check("a bound socket can be connected to", r["unix"] == "ok", r.out + r.err)
        c.check("its directory is read-only", r["create"] == "EROFS", r.out)
    listener.close()


def test_keys(c):
    """[29] The caller's session keyring stays outside."""
    libc = ctypes.CDLL(None, use_errno=True)
    add_key, keyctl = (248, 250) if os.uname().machine == "x86_64" else (217, 219)

    def with_key():
        libc.syscall(keyctl, 1, None)
        if libc.syscall(add_key, b"user", b"sbx-test", b"secret", 6, -3) < 0:
            os._exit(99)
    r = c.run("--no-seccomp", preexec=with_key, probe=verbs("key sbx-test"))
    c.check("[29] a key of the caller is not found", r["key"] in ("ENOKEY", "ENOSYS"), r.out + r.err)


def test_ipc(c):
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x5b000000 | os.getpid() & 0xffffff
    segment = libc.shmget(key, 4096, 0o1000 | 0o666)
    r = c.run(probe=verbs(f"shm {key}", "list /dev/mqueue"))
    c.check("[27] System V segments of the host are unknown", r["shm"] == "ENOENT", r["shm"])
    c.check("[27] and its message queues", r["list"] == "ok", r["list"])
    libc.shmctl(segment, 0, None)


def test_devices(c):
    """They are the host's own nodes: to be used, never to be changed."""
    r = c.run(jail=False, command=["/bin/sh", "-c", "touch /dev/full; echo written >/dev/null && echo ok"])
    c.check("[24] a device's times stay as they are", "Read-only" in r.err, r.err)
    c.check("[24] it can be written", r.out == "ok\n", r.out + r.err)
    if c.uid == 0:
        r = c.run("--host-root", jail=False, command=["/bin/chmod", "666", "/dev/full"])
        c.check("[24] nor does the host's root change its mode", "Read-only" in r.err, r.out + r.err)


def test_seccomp(c):
    r = c.run(probe=verbs("clone3", "clone 0x10000000", "clone 0x20000000", "unshare 0x10000000", "unshare 0x20000",
                          "tiocsti", "tiocsti 1", "call 250 0 0", "call 425 8 0", "call 321 0 0 0", "call 308 3 0",
                          "call 165 0 0 0", "call 155 0 0", "call 302 1 7 0 0", "call 141 0 1 5", "call 203 1 8 0",
                          "call 323 0", "call 9999", "hostname x"))
    c.check("[31] clone3 is unknown", r["clone3"] == "ENOSYS", r["clone3"])
    c.check("[31] no namespace is made", set(r.all("clone") + r.all("unshare")) == {"EPERM"}, r.out)
    c.check("[30] TIOCSTI is refused, whatever the high bits", r.all("tiocsti") == ["EPERM", "EPERM"], r.out)
    calls = r.all("call")
    c.check("[31] what was refused is refused", calls[:-1] == ["EPERM"] * 10 and calls[-1] == "ENOSYS", calls)
    r = c.run(probe=verbs("int80"))
    c.check("[31] the i386 door kills", r.report.get("outcome") == "signaled" and r.report["value"] == "31", r.report)
    r = c.run(probe=verbs("call 0x40000027"))
    c.check("[31] x32 kills", r.report.get("outcome") == "signaled" and r.report["value"] == "31", r.report)
    r = c.run("--no-seccomp", probe=verbs("clone3"))
    c.check("without seccomp clone3 is there", r["clone3"] == "ok", r.out)
    for command in (["/bin/sh", "-c", "ls / | sort | head -1; date >/tmp/x; cat /tmp/x"],
                    ["/usr/bin/env", "python3", "-c", "import subprocess, threading; t = threading.Thread(target=print, "
                     "args=('hi',)); t.start(); t.join(); subprocess.run(['true'], check=True)"]):
        r = c.run(jail=False, command=command)
        c.check(f"[32] ordinary programs run: {command[0]}", r.code == 0, r.out + r.err)


def test_outcomes(c):
    for code in (0, 3, 255):
        r = c.run(probe=verbs(f"exit {code}"))
        c.check(f"[44] exit {code}", r.report.get("outcome") == "exited" and r.report["value"] == str(code), r.report)
    for signo in (signal.SIGSEGV, signal.SIGKILL):
        r = c.run(probe=verbs(f"raise {int(signo)}"))
        c.check(f"[44] {signo.name}", r.report.get("outcome") == "signaled" and
                r.report["value"] == str(int(signo)), r.report)
    r = c.run(command=["/nope"])
    c.check("[44] a missing program is named", r.code == 126 and "/nope: No such file" in r.err, r.err)
    c.check("[44] and nothing ran", "running" not in r.report, r.report)
    r = c.run(jail=False, command=["/etc/passwd"])
    c.check("[44] one that is no program", r.code == 126 and "Permission denied" in r.err, r.err)
    text, script = c.dir / "text", c.dir / "script"
    text.write_bytes(b"\x00\x01garbage")
    script.write_text("#!/no/such/shell\n")
    os.chmod(text, 0o755)
    os.chmod(script, 0o755)
    r = c.run("--bind", f"{text}:/text", command=["/text"])
    c.check("[44] or no format", r.code == 126 and "Exec format error" in r.err, r.err)
    r = c.run("--bind", f"{script}:/script", command=["/script"])
    c.check("[44] a missing interpreter is named", r.code == 126 and "/no/such/shell, the interpreter of /script" in r.err, r.err)
    r = c.run("--bind", "/bin/ls:/ls", command=["/ls"])
    c.check("[44] a missing loader is named", r.code == 126 and "ld-linux" in r.err or "/ld" in r.err, r.err)
    r = c.run("--timeout", "300", probe=verbs("sleep"))
    c.check("[44] a timeout is one", r.report.get("outcome") == "timeout" and r.report["value"] == "300", r.report)
    r = c.run("--stop", "5000", probe=verbs("sleep"))
    c.check("[44] a stop is one", r.report.get("outcome") == "stopped", r.report)
    r = c.run("--signal", "10", probe=verbs("sleep"))
    c.check("[45] signals are passed on", r.report.get("outcome") == "signaled" and r.report["value"] == "10", r.report)
    r = c.run("--isolate", "pid", probe=verbs("exit 0"))
    c.check("[44] a spec that makes no sense is refused", r.code == 125 and "isolate" in r.err, r.err)

    def hostile():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    r = c.run(probe=verbs("signals", "exit 7"), preexec=hostile)
    c.check("[45] dispositions and mask are those of birth", r["signals"] == "ok 0 0", r.out)
    c.check("[45] a caller that ignores SIGCHLD hears the end", r.report.get("value") == "7", r.report)


def test_limits(c):
    r = c.run("--rlimit", "7=50", probe=verbs("limit 7", "limit 4", "umask"))
    c.check("[49] rlimits are as declared, no core", "limit 50 50" in r.out and "limit 0 0" in r.out, r.out)
    c.check("[49] the umask is 022", r["umask"] == "ok 22", r["umask"])
    options = ("--memory", "32M", "--pids", "6")
    r = c.run(*options, probe=verbs("forks 20", "hog 128"))
    if c.uid == 0 and r.report.get("running"):
        c.check("[38] forks end at the limit", r["forks"] == "EAGAIN 5", r["forks"])
        c.check("[34] memory over the limit is OOM", r.report.get("outcome") == "oom" and
                r.report["value"] == str(32 << 20), r.report)
        r = c.run(*options, probe=verbs("cat /proc/self/cgroup"))
        paths = {line.split(":", 2)[2] for line in r.out.splitlines() if line.count(":") == 2}
        c.check("[40] its cgroup is the root of what it sees", paths <= {"/"}, r.out)
        return
    c.check("a limit without a cgroup is refused, with the knob", r.code == 126 and "--degrade=cgroup" in r.err, r.err)
    r = c.run(*options, "--degrade", "cgroup", probe=verbs("forks 20"))
    c.check("or becomes an rlimit: processes", r["forks"] == "EAGAIN 5", r.out + r.err)
    r = c.run(*options, "--degrade", "cgroup", probe=verbs("hog 128"))
    c.check("and memory", r["hog"] == "ENOMEM", r.out)
    c.check("and the report says so", int(r.report["degraded"]) & 1 and r.report["rlimit"] == "1", r.report)
    r = c.run(*options, "--degrade", "cgroup", "--assert", probe=verbs("exit 0"))
    c.check("--assert takes nothing less", r.code in (125, 126), r.err)


def ends(fd, seconds):
    """Everybody who holds the other end has gone."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([fd], [], [], max(0, until - time.monotonic()))[0] and not os.read(fd, 65536):
            return True
    return False


def test_nothing_is_left(c):
    if c.uid:
        r = c.run("--isolate", "", jail=False, probe=verbs("exit 3"))
        c.check("[44] with nothing unshared it runs as well", r.report.get("value") == "3", r.err)
    read, write = os.pipe()
    process, report = c.start(["--jail", c.probe, "--fd", f"life={write}"], [c.probe, "daemonize"], pass_fds=(write,))
    os.close(write)
    c.check("[42] a daemon ends with its sandbox", ends(read, 5), "")
    process.communicate()
    os.close(read)
    os.close(report)
    read, write = os.pipe()
    process, report = c.start(["--isolate", "user,mount", "--jail", c.probe, "--fd", f"life={write}"],
                              [c.probe, "daemonize"], pass_fds=(write,))
    os.close(write)
    c.check("[42] also without a pid namespace", ends(read, 5), "")
    process.communicate()
    os.close(read)
    os.close(report)
    read, write = os.pipe()
    process, report = c.start(["--jail", c.probe, "--fd", f"life={write}"], [c.probe, "daemonize", "--", "sleep"], pass_fds=(write,))
    os.close(write)
    process.stdout.readline()
    process.stdout.readline()
    process.kill()
    c.check("[42] everything ends when the launcher is killed", ends(read, 5), "")
    process.communicate()
    os.close(read)
    os.close(report)
    for how in ("timeout", "kill"):
        read, write = os.pipe()
        process, report = c.start(["--isolate", "user,mount", "--jail", c.probe, "--fd", f"life={write}", "--timeout",
                                   "300" if how == "timeout" else "30000"],
                                  [c.probe, "daemonize", "--", "sleep"], pass_fds=(write,))
        os.close(write)
        process.stdout.readline()
        process.stdout.readline()
        if how == "kill":
            process.kill()
        c.check(f"[42] everything ends without a pid namespace: {how}", ends(read, 5), "")
        process.communicate()
        os.close(read)
        os.close(report)


def test_refusals(c):
    """A kernel that says no: the cause is named, nothing is left."""
    def forbid():
        libc = ctypes.CDLL(None)
        uid = os.geteuid()
        if libc.unshare(0x10000000):
            os._exit(99)
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"{uid} {uid} 1")
        pathlib.Path("/proc/sys/user/max_user_namespaces").write_text("0")
    if c.uid == 0:
        r = c.run(probe=verbs("exit 0"), jail=False, preexec=forbid)
        c.check("[52] no user namespaces: the knob is named", r.code == 126 and "user.max_user_namespaces" in r.err, r.err)
        script = 'mount -t tmpfs x /proc/fs && exec "$@"'
        done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh",
                               c.bin / "sbx-launch", "/bin/true"], capture_output=True, timeout=60,
                              env=dict(os.environ, XDG_RUNTIME_DIR=str(c.dir)))
        c.check("[52] in a container that hides /proc it says so", done.returncode == 126 and
                b"make /proc" in done.stderr and b"container hides" in done.stderr, done.stderr)
    r = c.run("--isolate", "user,mount,pid", "--landlock", jail=False, probe=verbs("exit 0"))
    c.check("[52] guarding a host root is refused", r.code == 125 and "jail" in r.err, r.err)


def leftovers(base):
    found = []
    for root, dirs, _ in os.walk("/sys/fs/cgroup"):
        found += [f"{root}/{d}" for d in dirs if f"t{os.getpid()}-" in d]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if exe.startswith(str(base)):
            found.append(f"process {pid} {exe}")
    found += [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(base) in line]
    return found


def main():
    base = pathlib.Path(tempfile.mkdtemp(prefix="sbx-isolation-", dir="/var/tmp"))
    os.chmod(base, 0o755)
    (base / "bin").mkdir()
    (base / "open").mkdir()
    os.chmod(base / "open", 0o777)
    for program in ("test/sbx-launch", "test/sbx-probe", "uds-sandbox-init", "uds-cleaner"):
        shutil.copy(BIN / program, base / "bin")
    try:
        callers = [Caller(base, uid) for uid in ((0, NOBODY) if ROOT else (os.geteuid(),))]
        wanted = sys.argv[1:]
        for c in callers:
            for name, test in list(globals().items()):
                if name.startswith("test_") and (not wanted or name in wanted):
                    test(c)
        until = time.monotonic() + 5
        while leftovers(base) and time.monotonic() < until:
            time.sleep(0.02)
        left = leftovers(base)
        check("[41] nothing is left", not left, left)
    finally:
        shutil.rmtree(base)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
