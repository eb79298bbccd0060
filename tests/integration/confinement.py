#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A payload that wants out (helpers/static/confine-attack.c) under `uds run`, as root and as nobody; and what is granted
when it is asked for: capabilities, system calls, Landlock, environment.

Numbers in brackets name one property each, as in tests/checks.py.
"""
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import tty

BIN = pathlib.Path(os.environ["UDS_BIN"])
ROOT = os.geteuid() == 0
NOBODY = 65534
MACHINE = os.uname().machine
REFUSED = {"EPERM", "EACCES", "ENOENT", "EROFS", "ENOSYS", "EAFNOSUPPORT", "EINVAL", "ENODEV", "ENOTTY",
           "ESRCH", "ENOKEY", "ECONNREFUSED", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "refused", "killed 31"}
libc = ctypes.CDLL(None, use_errno=True)
ABI = max(libc.syscall(444, None, 0, 1), 0) # of Landlock
# What older kernels cannot do is refused; here it is left out or not asked for.
OLD_FILES = ["--degrade", "landlock"] if ABI < 3 else []
OLD_TRACE = ["--cap-drop", "sys_ptrace"] if ABI < 6 else []
failures = []

# With every capability and without a filter, too.
ALWAYS = """pid1_environ pid1_maps pid1_stack pid1_auxv pid1_fd5 pid1_root pid1_cwd pid1_exe_read pid1_exe_write
pid1_exe_path pid1_mem pid1_mem_read pid1_vmread pid1_vmwrite pid1_seize pid1_attach pid1_kcmp pid1_getfd
pid1_madvise core_pattern modprobe sysrq uevent release_agent kcore keys timer_list dev_mem dev_kmsg mknod_blk mknod_chr bpf perf kexec
init_module reboot acct syslog swapoff quotactl settime handle ambient securebits privileges set_mm abstract host_signal
host_key iopl""".split()
# Without a capability that is for it, also where there is no filter.
WITHOUT_CAPS = """pid1_fd pid1_map_files unshare_mnt unshare_pid unshare_net unshare_ipc unshare_uts unshare_time
unshare_cg mount remount umount open_tree fsopen pivot_root chroot socket_raw socket_packet hostname capset setgroups
setuid""".split()
# By the filter alone.
BY_FILTER = """pid1_prlimit pid1_affinity pid1_priority pid1_ioprio socket_alg socket_vsock socket_can socket_bluetooth
socket_rds socket_tipc socket_ax25 userfaultfd io_uring personality add_key unshare_user clone3_user clone_user unknown
tiocsti tiocsti_high tioclinux tiocsetd""".split()


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {str(detail)[:700]!r}", flush=True)


class Caller:
    """The user on whose behalf sandboxes start."""

    def __init__(self, base, uid, own=False):
        self.uid, self.who = uid, ("root" if uid == 0 else "nobody") + ("'s own" if own else "")
        self.dir = base / self.who.replace("'s ", "-")
        self.dir.mkdir()
        self.bin = base / "bin"
        if own:
            self.bin = self.dir / "bin"
            self.bin.mkdir()
            for name in ("uds", "uds-sandbox-init", "uds-sandbox-answer", "uds-cleaner"):
                shutil.copy(base / "bin" / name, self.bin)
                os.chown(self.bin / name, uid, uid)
        self.attack = str(base / "bin" / "confine-attack")
        os.chown(self.dir, uid, uid)

    def become(self):
        if self.uid and ROOT:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)

    def check(self, name, condition, detail=""):
        check(f"{self.who}: {name}", condition, detail)

    def start(self, *options, command=None, env=None, preexec=None, **more):
        def before():
            self.become()
            if preexec:
                preexec()
        argv = [str(self.bin / "uds"), "run", "--degrade", "cgroup", "--run-dir", str(self.dir / "run"), "--name",
                f"c{os.getpid()}", *options, "--", *(command or [self.attack])]
        more.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before,
                                env={"PATH": os.environ["PATH"], "HOME": "/", "SECRET": "marker-51c4",
                                     "LD_PRELOAD_X": "marker-51c4", **(env or {})}, **more)

    def run(self, *options, **more):
        process = self.start(*options, **more)
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.check(" ".join(options), False, "it hangs")
        return Run(process.returncode, out, err)


class Run:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err
        self.lines = dict(line.split(" ", 1) for line in out.splitlines() if " " in line)

    def __getitem__(self, name):
        return self.lines.get(name, f"(nothing; {self.err})")


def expect_refused(c, how, r, names):
    for name in names:
        if name in r.lines or name not in ("abstract", "host_signal", "host_key", "iopl"):
            c.check(f"{how}: {name}", r[name] in REFUSED, r[name])


def test_attacks(c, abstract):
    """[9, 15, 16, 17, 22, 23, 24, 29, 31] What is refused, by which layer; what a capability opens, and what none does."""
    sleeper = subprocess.Popen(["sleep", "100"])
    env = ["--setenv", "ABSTRACT", abstract, "--setenv", "SHARED", str(sleeper.pid), "--setenv", "KEY", "confine-test"]
    every = [*(["--uid", "0"] if c.uid == 0 else []), "--cap-add", "ALL", *OLD_TRACE]

    def with_key():
        join, add = (250, 248) if MACHINE == "x86_64" else (219, 217)
        libc.syscall(join, 1, None)
        libc.syscall(add, b"user", b"confine-test", b"x", ctypes.c_size_t(1), -3)
    for how, options in (("default", []), ("no filter", ["--seccomp", "none"]), ("all capabilities", every),
                         ("all capabilities, no filter", [*every, "--seccomp", "none"])):
        r = c.run("--root", "jail", *env, *options, preexec=with_key)
        caps, filtered = "capabilities" in how, "no filter" not in how
        expect_refused(c, how, r, ALWAYS)
        if not caps:
            expect_refused(c, how, r, WITHOUT_CAPS)
        if filtered and not caps:
            expect_refused(c, how, r, BY_FILTER)
            c.check("[31] clone3 is unknown", r["clone3_user"] == "ENOSYS", r["clone3_user"])
        if filtered and MACHINE == "x86_64":
            c.check(f"[31] {how}: other ABIs end it", r["abi_i386"] == r["abi_x32"] == "killed 31", r.out)
        if filtered:
            c.check(f"[30] {how}: terminals", {r["tiocsti"], r["tiocsti_high"], r["tioclinux"]} == {"EPERM"}, r.out)
        if caps:
            worth = ["mount", "unshare_net", "socket_raw", "hostname", "chroot" if c.uid else "setuid"]
            c.check(f"{how}: are worth something inside", c.uid and MACHINE != "x86_64" or
                    {r[name] for name in worth} <= {"ok", "ENOENT"}, {name: r[name] for name in worth})
        c.check(f"[13] {how}: descriptors", r["fds"] == "0 1 2" and "fchdir" not in r.lines, r.out)
        c.check(f"[14] {how}: working directory", r["cwd"] == "/", r["cwd"])
        c.check(f"[16] {how}: PID 1 says nothing", r["pid1_cmdline"] == "ok uds-sandbox-init|" and "marker-51c4" not in r.out,
                r.out)
        c.check(f"[17] {how}: PID 1 lives", r["pid1_survives"].startswith("ok uds-sandbox"), r["pid1_survives"])
        c.check(f"{how}: it came to its end", "setuid" in r.lines, r.out + r.err)
    sleeper.kill()
    sleeper.wait()


def test_capabilities(c):
    status = ["grep", "^Cap", "/proc/self/status"]
    r = c.run("--cap-add", "net_raw", "--cap-add", "CAP_CHOWN", command=status)
    c.check("[9] what was added is in every set", set(r.out.split()[1::2]) == {"0000000000002001"}, r.out + r.err)
    r = c.run("--cap-add", "ALL", *OLD_TRACE, "--cap-drop", "sys_admin", "--json", command=status)
    sets = {int(word, 16) for word in r.out.split()[1::2]}
    granted = json.loads(r.err.splitlines()[-1])["report"]["capabilities"]
    c.check("[9] all but one", len(sets) == 1 and not sets.pop() >> 21 & 1 and "net_raw" in granted and
            "sys_admin" not in granted, r.out + r.err)
    r = c.run("--cap-add", "nonsense", command=["true"])
    c.check("an unknown one is refused by name", r.code == 121 and "nonsense: is no capability" in r.err, r.err)
    if c.uid:
        r = c.run("--share-user", "--share-mount", "--share-pid", "--share-net", "--share-ipc", "--share-uts",
                  "--share-cgroup", "--cap-add", "chown", command=["true"])
        c.check("without a user namespace there are none", r.code == 121 and "user namespace of its own" in r.err, r.err)


def filter_bytes(number, err):
    """One call answers @err, all others pass."""
    return b"".join(struct.pack("HBBI", *i) for i in ((0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50000 | err),
                                                      (6, 0, 0, 0x7fff0000)))


def test_filters(c):
    packed = c.dir / "packed.gz"
    subprocess.run(f"echo payload | gzip >{packed}", shell=True, check=True)
    with open(packed) as f:
        r = c.run("--seccomp", "strict", command=["/usr/bin/gzip", "-dc"], stdin=f)
    c.check("strict: a decoder decodes", r.code == 0 and r.out == "payload\n", r.out + r.err)
    r = c.run("--seccomp", "strict", command=["sh", "-c", "echo x >/tmp/x; (true)"])
    c.check("strict: no file, no process", r.code != 0 and "/tmp/x" in r.err and "fork" in r.err, r.out + r.err)
    policy = c.dir / "policy"
    policy.write_text("deny mount umount2 pivot_root setuid setresuid setgroups capset prctl close_range unshare kill\n"
                      "deny fcntl socket sethostname uname EDOM # none of this is the sandbox's making\n")
    r = c.run("--seccomp", str(policy), command=["uname"])
    c.check("[32] a filter does not stop what is before it", r.code == 1 and "out of domain" in r.err, r.out + r.err)
    policy.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["uname"], "action": '
                      '"SCMP_ACT_ERRNO", "errnoRet": 33}]}')
    r = c.run("--seccomp", str(policy), "--json", command=["uname"])
    c.check("JSON of container engines", "out of domain" in r.err and '"seccomp": "file"' in r.err, r.out + r.err)
    policy.write_text("allow raed\n")
    r = c.run("--seccomp", str(policy), command=["true"])
    c.check("a file's mistakes are named", r.code == 121 and f"{policy}:1: 'raed' is no" in r.err, r.err)
    uname = 63 if MACHINE == "x86_64" else 160
    with tempfile.TemporaryFile() as f:
        f.write(filter_bytes(uname, 33))
        f.flush()
        os.lseek(f.fileno(), 0, os.SEEK_SET)
        r = c.run("--seccomp-fd", str(f.fileno()), "--json", command=["uname"], pass_fds=(f.fileno(),))
        c.check("BPF from a descriptor is one more", "out of domain" in r.err and '"seccomp_filters": 2' in r.err, r.err)


def test_landlock(c):
    place = c.dir / "place"
    for name in ("in", "out"):
        (place / name).mkdir(parents=True)
        (place / name / "file").write_text("text")
        os.chmod(place / name, 0o777)
        os.chmod(place / name / "file", 0o666)
    script = "".join(f"({command}) 2>/dev/null && echo {name}; " for name, command in {
        "create-in": "echo x >/in/new", "truncate-in": ": >/in/file", "create-out": "echo x >/out/new",
        "append-out": "echo x >>/out/file", "truncate-out": ": >/out/file", "read-out": "read x </out/file",
        "list-out": "ls /out >/in/list", "read-etc": "read x </etc/hostname", "unlink-out": "rm -f /out/file",
        "rename": "mv -n /out/file /in/moved"}.items())
    r = c.run("--bind", str(place / "in"), "/tmp/in", "--bind", str(place / "out"), "/tmp/out", "--landlock-ro", "/usr",
              "--landlock-ro", "/etc/hostname", "--landlock-rw", "/tmp/in", "--landlock-rw", "/dev/null", "--json", *OLD_FILES,
              command=["sh", "-c", script.replace("/in", "/tmp/in").replace("/out", "/tmp/out")])
    c.check("[33] nothing else is opened, on a writable mount", r.out.split() == ["create-in", "truncate-in", "read-etc"],
            r.out + r.err)
    c.check("[33] the ABI is reported", json.loads(r.err.splitlines()[-1])["report"]["landlock_abi"] == ABI, r.err)
    r = c.run("--landlock-ro", "/usr", "--landlock-ro", "/nowhere", *OLD_FILES, command=["true"])
    c.check("[33] a path that is not there is named", r.code == 121 and "/nowhere: No such file" in r.err, r.err)
    r = c.run("--landlock-ro", "/etc", *OLD_FILES, command=["true"])
    c.check("[33] a command outside is explained", r.code == 122 and "Landlock" in r.err, r.err)

    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [s.getsockname()[1] for s in listeners]
    code = ("import socket\nfor p in (%d, %d):\n try: socket.create_connection(('127.0.0.1', p)); print('open')\n"
            " except OSError as e: print(e.errno)\ntry: socket.create_server(('127.0.0.1', 0)); print('bound')\n"
            "except OSError as e: print(e.errno)" % tuple(ports))
    r = c.run("--share-net", "--landlock-connect", str(ports[0]), "--landlock-bind", "none",
              command=["python3", "-ISc", code])
    if ABI < 4:
        c.check("[33] no ports with this kernel", r.code == 121 and "ports take ABI 4 (Linux 6.7)" in r.err, r.err)
    else:
        c.check("[33] ports", r.out.split() == ["open", "13", "13"], r.out + r.err)
    for s in listeners:
        s.close()


def test_scopes(c, abstract):
    sleeper = subprocess.Popen(["sleep", "100"], preexec_fn=c.become)
    env = ["--setenv", "ABSTRACT", abstract, "--setenv", "SHARED", str(sleeper.pid), "--root", "jail", "--share-net"]
    if c.uid: # another id may not signal it anyway
        env.append("--share-pid")
    r = c.run(*env)
    c.check("[33] what is shared is in reach", r["abstract"] == "ok" and (not c.uid or r["host_signal"] == "ok"), r.out + r.err)
    r = c.run(*env, "--landlock-scope", "abstract-sockets,signals")
    if ABI < 6:
        c.check("[33] no scopes with this kernel", r.code == 121 and "scopes take ABI 6" in r.err, r.err)
    else:
        c.check("[33] a scope takes it away", r["abstract"] == "EPERM" and (not c.uid or r["host_signal"] == "EPERM"),
                r.out + r.err)
    sleeper.kill()
    sleeper.wait()


def test_degraded(c):
    """[33] A kernel without Landlock, played by a filter of ours on the launcher."""
    def without():
        program = ctypes.create_string_buffer(filter_bytes(444, 38))
        prog = struct.pack("HxxxxxxP", 4, ctypes.addressof(program))
        libc.prctl(38, 1, 0, 0, 0)
        if libc.prctl(22, 2, prog) != 0:
            os._exit(99)
    for options in (["--landlock-ro", "/usr"], ["--landlock-scope", "signals"], ["--cap-add", "sys_ptrace"]):
        r = c.run(*options, command=["true"], preexec=without)
        c.check(f"[33] {options}: refused, with the knob", r.code == 121 and "--degrade=landlock" in r.err, r.err)
        r = c.run(*options, "--degrade", "landlock", "--json", command=["true"], preexec=without)
        c.check(f"[33] {options}: or left out, which is said", r.code == 0 and "started without landlock" in r.err and
                "landlock" in json.loads(r.err.splitlines()[-1])["report"]["degraded"], r.err)
        r = c.run(*options, "--degrade", "landlock", "--assert", command=["true"], preexec=without)
        c.check(f"[33] {options}: but not where all is wanted", r.code == 121, r.err)


def test_environment(c):
    dump = ["sh", "-c", "env | sort; umask; ulimit -c"]
    env = {"KEEP": "1", "LD_LIBRARY_PATH": "/x", "NOTIFY_SOCKET": "/x", "LISTEN_FDS": "1"}
    r = c.run(command=dump, env=env)
    names = {line.split("=")[0] for line in r.out.splitlines() if "=" in line}
    c.check("[49] empty but for PATH", names == {"PATH", "PWD"}, r.out)
    c.check("[49] umask 022, no core", r.out.split()[-2:] == ["0022", "0"], r.out)
    r = c.run("--keep-env", "--setenv", "A", "1", "--setenv", "A", "2", "--unsetenv", "HOME", command=dump, env=env)
    names = {line.split("=")[0] for line in r.out.splitlines() if "=" in line}
    c.check("[49] all of ours, but the loader's and relations", names == {"PATH", "KEEP", "SECRET", "A", "PWD"} and
            "A=2" in r.out, r.out)
    r = c.run("--keep-env=KEEP,NONE", "--setenv", "B", "1", command=dump, env=env)
    c.check("[49] or those that are named", "KEEP=1" in r.out and "B=1" in r.out and "SECRET" not in r.out, r.out)
    r = c.run("--keep-env", "--setenv", "A", "1", "--clearenv", command=dump, env=env)
    names = {line.split("=")[0] for line in r.out.splitlines() if "=" in line}
    c.check("[49] and none again", names == {"PATH", "PWD"}, r.out)
    r = c.run("--keep-env=LD_PRELOAD", command=dump)
    c.check("[49] never LD_PRELOAD", r.code == 121 and "never inherited" in r.err, r.err)


def test_descriptors(c):
    """[13] Nothing of the caller's is the payload's, nor its init's."""
    opened = [os.open("/", os.O_RDONLY | os.O_DIRECTORY), os.open("/", os.O_PATH), socket.socket().detach()]
    high = [50, 90, 200]
    for fd, to in zip(opened, high):
        os.dup2(fd, to, inheritable=True)
    r = c.run(command=["/bin/sh", "-c", "echo /proc/self/fd/*"], pass_fds=high)
    c.check("[13] the payload's", set(r.out.split()) <= {f"/proc/self/fd/{n}" for n in (0, 1, 2, 3, 10)}, r.out)
    for n in (3, 5, *high):
        r = c.run("--chdir", f"/proc/self/fd/{n}", command=["true"], pass_fds=high)
        c.check(f"[14] no working directory by descriptor {n}", r.code == 121, r.err)
    process = c.start(command=["cat"], stdin=subprocess.PIPE, pass_fds=high)
    process.stdin.write("x\n")
    process.stdin.flush()
    select.select([process.stdout], [], [], 20)
    found = None
    for pid in (p for p in os.listdir("/proc") if p.isdigit()):
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            if "(uds-sandbox-ini)" in stat and int(stat.rsplit(")", 1)[1].split()[1]) == process.pid:
                found = pid
        except OSError:
            pass
    c.check("its init is a child of uds run", found)
    if found and ROOT:
        links = {os.readlink(f"/proc/{found}/fd/{n}") for n in os.listdir(f"/proc/{found}/fd")}
        kinds = {link.split(":")[0] for link in links}
        c.check("[13] its init's", kinds <= {"socket", "anon_inode", "pipe"} and len(links) <= 4, links)
        c.check("[16] what its init was started with", pathlib.Path(f"/proc/{found}/environ").read_bytes() == b"" and
                b"marker" not in pathlib.Path(f"/proc/{found}/cmdline").read_bytes())
    process.stdin.close()
    process.wait(20)
    process.stdout.close()
    process.stderr.close()
    for fd in (*opened, *high):
        os.close(fd)


def test_programs(c):
    """[15] The host's copy of what runs as PID 1, with a payload that is run by it."""
    before = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in c.bin.iterdir()}
    script = c.dir / "script"
    script.write_text("#!/proc/self/exe\n")
    os.chmod(script, 0o755)
    c.run("--ro-bind", str(script), "/tmp/script", command=["/tmp/script"])
    r = c.run("--seccomp", "none", "--root", "jail")
    c.check("[15] PID 1's program is out of reach", r["pid1_exe_write"] == r["pid1_exe_path"] == "EACCES", r.out + r.err)
    after = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in c.bin.iterdir()}
    c.check("[15] it is what it was", before == after)


def test_owner(c, *options):
    """[15] Nor can who owns it change it by a process that is it, which one can be for a moment: not even root can."""
    process = c.start(*options, command=["/bin/sh", "-c", "echo up; read x"], stdin=subprocess.PIPE)
    process.stdout.readline()
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    inits = [pid for pid in children if pathlib.Path(f"/proc/{pid}/comm").read_text() == "uds-sandbox-ini\n"]
    try:
        os.chmod(f"/proc/{inits[0]}/exe", 0o755)
        said = "changed"
    except OSError as e:
        said = errno.errorcode[e.errno]
    c.check("[15] its owner has no way to it either", said == "EROFS", (said, children))
    process.communicate(timeout=30)


def on_terminal(c, argv):
    """@argv with a controlling terminal. What it printed, and what lies in the terminal's input afterwards."""
    master, slave = os.openpty()
    tty.setraw(slave)
    read, write = os.pipe()

    def before():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        c.become()
    process = subprocess.Popen(argv, stdin=slave, stdout=write, stderr=subprocess.STDOUT, preexec_fn=before)
    os.close(write)
    with os.fdopen(read) as f:
        out = f.read()
    process.wait(20)
    pending = select.select([slave], [], [], 0)[0]
    os.close(slave)
    os.close(master)
    return out, bool(pending)


def test_terminal(c):
    """[30] Who reads the terminal next would take it for typed."""
    out, typed = on_terminal(c, [c.attack, "t"])
    if "tiocsti ok" not in out or not typed:
        print("TIOCSTI is refused by this kernel; what refuses it inside is not seen")
        return
    for options in ([], ["--seccomp", "none"], ["--seccomp", "strict"]):
        out, typed = on_terminal(c, [str(c.bin / "uds"), "run", "--degrade", "cgroup", "--run-dir", str(c.dir / "run"),
                                     "--root", "jail", *options, "--", c.attack, "t"])
        c.check(f"[30] {options}: nothing is typed", not typed and "tiocsti " in out and "ok" not in out, out)


def run_all(c, abstract):
    test_attacks(c, abstract)
    test_capabilities(c)
    test_filters(c)
    test_landlock(c)
    test_scopes(c, abstract)
    test_degraded(c)
    test_environment(c)
    test_descriptors(c)
    test_programs(c)
    test_terminal(c)


def main():
    os.umask(0o022)
    base = pathlib.Path(tempfile.mkdtemp(prefix="confine-"))
    os.chmod(base, 0o755)
    (base / "bin").mkdir()
    for name in ("uds", "uds-sandbox-init", "uds-sandbox-answer", "uds-cleaner", "test/confine-attack"):
        shutil.copy(BIN / name, base / "bin")
    abstract = f"confine-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{abstract}")
    listener.listen(100)
    try:
        if ROOT:
            run_all(Caller(base, 0), abstract)
            run_all(Caller(base, NOBODY), abstract)
            own = Caller(base, NOBODY, own=True)
            test_programs(own)
            test_owner(own)
            test_owner(Caller(base, 0, own=True), "--host-root")
        else:
            run_all(Caller(base, os.geteuid()), abstract)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print("all as expected" if not failures else f"{len(failures)} failed")
    sys.exit(bool(failures))


main()
