#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Root starts a command in the user and pid namespaces of a container (`uds run --join user=… --join pid=…`) whose root is
hostile. It owns whoever enters, and sees them: of the launcher's memory, of its environment and of the host's files it must
not get anything (CVE-2016-9962), neither at a boundary between two steps of the set-up nor at any moment of starts that it
races with. Three containers: one that has ids of its own, one whose root has the id of the host's root, and one of nobody's,
where it is nobody who starts the command. A fourth has no user namespace, but a root without capabilities: it owns user
namespaces that root makes, and so whom bwrap --pidns --unshare-user puts there.
"""
import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading

BIN = pathlib.Path(os.environ["UDS_BIN"])
PATIENCE = 60.0
NOBODY = 65534
MARK = "the-launcher-knows-this"
STARTS = 6
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, PTRACE_SEIZE = 0x20000, 0x10000000, 0x20000000, 0x4206
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
failures = []


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {str(detail)[-600:]!r}", flush=True)


# ---- in the container ----

def comm(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def seize(pid):
    """By a child: when that ends, who was traced goes on."""
    child = os.fork()
    if child == 0:
        os._exit(0 if libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0 and comm(pid) == "uds-sandbox-ini" else 1)
    return os.waitpid(child, 0)[1] == 0


def file_of(pid):
    before = comm(pid)
    os.readlink(f"/proc/{pid}/fd/3")
    return before == comm(pid) == "uds-sandbox-ini"


def ways(pid, secret):
    """What of it is within reach. A payload may be traced by who is root where it is; who sets it up may not."""
    yield "memory", lambda: MARK.encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    yield "root", lambda: bool(os.stat(f"/proc/{pid}/root{secret}"))
    yield "cwd", lambda: bool(os.stat(f"/proc/{pid}/cwd/{secret}"))
    yield "descriptors", lambda: file_of(pid)
    yield "trace", lambda: seize(pid)


def attack(secret):
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        for name, way in ways(int(pid), secret):
            try:
                if way():
                    found.add(f"{name} of {comm(pid)}")
            except OSError:
                pass
    return found


def stop_all():
    try:
        os.kill(-1, signal.SIGSTOP)
    except ProcessLookupError:
        pass  # nobody is here
    return set()


def drop_capabilities():
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # out of the bounding set
    libc.capset(struct.pack("=Ii", 0x20080522, 0), bytes(24))


def contain(orders, answers, secret, bare=False):
    """PID 1 of the container: attacks when it is told to, or all the time until it is told to stop; or stops whoever comes."""
    libc.mount(b"none", b"/", None, 0x44000, None)  # private, below too
    libc.mount(b"proc", b"/proc", b"proc", 0, None)
    os.setgid(0)
    os.setuid(0)
    if bare:
        drop_capabilities()
    libc.prctl(4, 1, 0, 0, 0)  # dumpable: it stays in sight for who started it
    os.write(answers, b"[]\n")
    while order := os.read(orders, 1):
        act = stop_all if order == b"s" else lambda: attack(secret)
        found = act()
        while order in b"rs" and not select.select([orders], [], [], 0)[0]:
            found |= act()
        if order in b"rs":
            os.read(orders, 1)
        os.write(answers, json.dumps(sorted(found)).encode() + b"\n")
    os._exit(0)


class Container:
    def __init__(self, name, first, owner=0):
        self.name, self.owner = name, owner
        self.run = base / f"run.{name.replace(' ', '-')}"
        self.run.mkdir(0o700)
        os.chown(self.run, owner, owner)
        orders, self.orders = os.pipe()
        answers, write = os.pipe()
        ready, go = os.pipe(), os.pipe()
        self.helper = os.fork()
        if self.helper == 0:
            os.close(self.orders)
            self.become()
            libc.unshare((CLONE_NEWUSER if first is not None else 0) | CLONE_NEWPID | CLONE_NEWNS)
            os.write(ready[1], b"1")
            os.read(go[0], 1)
            child = os.fork()
            if child == 0:
                contain(orders, write, secret, bare=first is None)
            os.write(ready[1], b"%d\n" % child)
            os.waitpid(child, 0)
            os._exit(0)
        os.close(orders)
        os.close(write)
        os.read(ready[0], 1)
        for file in ("uid_map", "gid_map") if first is not None else ():
            pathlib.Path(f"/proc/{self.helper}/{file}").write_text(f"0 {first} {65536 if first > NOBODY else 1}\n")
        os.write(go[1], b"1")
        self.answers = os.fdopen(answers)
        self.answers.readline()
        self.pid = int(pathlib.Path(f"/proc/{self.helper}/task/{self.helper}/children").read_text())
        for fd in (*ready, *go):
            os.close(fd)

    def become(self):
        if self.owner:
            os.setgroups([])
            os.setresgid(self.owner, self.owner, self.owner)
            os.setresuid(self.owner, self.owner, self.owner)

    def attack(self):
        os.write(self.orders, b"a")
        return json.loads(self.answers.readline())

    def race(self, act, order=b"r"):
        os.write(self.orders, order)
        act()
        return self.attack()


def end(containers):
    """All at once: each takes a second, until who adopted its processes has seen them end."""
    for container in containers:
        os.close(container.orders)
    for container in containers:
        container.answers.close()
        os.waitpid(container.helper, 0)


# ---- outside ----

def start(program, container, *options, **more):
    env = {"PATH": os.environ["PATH"], "MARK": MARK, **more.pop("env", {})}
    words = [program, "run", "--run-dir", container.run, "--degrade", "cgroup", "--join", f"user={container.pid}", "--join", f"pid={container.pid}",
             "--uid", "0", "--gid", "0", *options, "--", "true"]
    return subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=container.become, **more)


def race(container, *options):
    def starts():
        for _ in range(STARTS):
            p = start(UDS, container, *options)
            _, err = p.communicate(timeout=PATIENCE)
            if p.returncode:
                return check(f"{container.name}: it runs {' '.join(options)}", False, err)
    found = container.race(starts)
    check(f"{container.name}: raced, nothing is to be had {' '.join(options)}", not found, found)


def stop(container):
    def starts():
        p = start(UDS, container, "--timeout", "1s")
        try:
            _, err = p.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            p.kill()
            _, err = p.communicate()
        check(f"{container.name}: stopped on its way in, it is given up", p.returncode > 0 and b"no answer" in err, err)
    container.race(starts, b"s")


def await_stop(p):
    """A line that says so, or the end of what it says: it ran through."""
    for line in p.stderr:
        if line.startswith(b"stopped at"):
            return True
    return False


def let_go(process, p):
    """PID 1 goes on by a byte; of the payload it is enough to see its first steps: the rest ends with the container."""
    if process == "init":
        p.stdin.write(b"\n")
        p.stdin.flush()
        p.communicate(timeout=PATIENCE)
    else:
        p.kill()
        p.wait(timeout=PATIENCE)
        for pipe in p.stdin, p.stdout, p.stderr:
            pipe.close()


def stops(container, process, places, without="", *options):
    """At each boundary: what of it can be had?"""
    found = set()
    for place in places:
        p = start(UNSAFE, container, *options, env={"UDS_STOP_AT": f"{process}:{place}", "UDS_WITHOUT": without})
        if not await_stop(p):
            break
        found |= set(container.attack())
        let_go(process, p)
    check(f"{container.name}: {process} stops somewhere", place > places[0] or len(places) == 1)
    return found


def bwrap(container):
    """It maps its ids itself, in a namespace whose owner looks on."""
    def found(without):
        with open(f"/proc/{container.pid}/ns/pid") as pid:
            words = ["bwrap", "--unshare-user", "--disable-userns", "--pidns", str(pid.fileno()), "--ro-bind", "/", "/", "true"]
            p = subprocess.Popen(words, executable=UNSAFE, env={"PATH": os.environ["PATH"], "UDS_STOP_AT": "nest:1", "UDS_WITHOUT": without},
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[pid.fileno()])
        check("bwrap: it stops there", await_stop(p))
        found = container.attack()
        let_go("its child", p)
        return found
    check("bwrap: nothing is to be had of who maps its ids", not found(""))
    at_all = found("seen")
    check("bwrap: the attack works where the defence is missing", "trace of uds-sandbox-ini" in at_all, at_all)


base = pathlib.Path(tempfile.mkdtemp(prefix="uds-joined."))
base.chmod(0o755)
for kind in "", "unsafe":
    (base / "bin" / kind).mkdir()
    for name in "uds", "uds-sandbox-init", "uds-sandbox-answer", "uds-cleaner":
        if (BIN / kind / name).exists():
            shutil.copy(BIN / kind / name, base / "bin" / kind)
UDS, UNSAFE = base / "bin/uds", base / "bin/unsafe/uds"
secret = base / "secret"
secret.write_text("of the host\n")
secret.chmod(0o644)


def main():
    if os.geteuid() != 0:
        print("joined: only root can join what is not its own")
        sys.exit(77)
    os.chdir("/")
    containers = []
    for name, first, owner in ("ids of its own", 1000000000, 0), ("the host's root", 0, 0), ("nobody's", NOBODY, NOBODY):
        container = Container(name, first, owner)
        containers.append(container)
        race(container)
        if owner:
            race(container, "--unshare-time")
        if UNSAFE.exists():
            for process, places in ("init", range(1, 60, 16)), ("payload", range(1, 30, 3)):
                found = stops(container, process, places)
                check(f"{name}: nothing is to be had of {process} while it sets up", not found, found)
            found = stops(container, "init", (1, ), "dumpable")
            check(f"{name}: the attack works where the defence is missing", found, found)
        if name == "ids of its own":
            stopping = threading.Thread(target=stop, args=(container,))  # waits for 5 s, beside the others
            stopping.start()
    if UNSAFE.exists():
        containers.append(Container("no user namespace", None))
        bwrap(containers[-1])
    else:
        print("skip: built without UDS_UNSAFE_TESTING (the release preset is with it): attacks at a boundary between two steps, and without the defence")
    stopping.join()
    end(containers)


try:
    main()
finally:
    shutil.rmtree(base, ignore_errors=True)
print("joined:", "FAILED: " + ", ".join(failures) if failures else "ok")
sys.exit(bool(failures))
