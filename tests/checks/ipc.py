# SPDX-License-Identifier: MIT
"""What is shared with the host by other means than files: network, IPC, names, keys, clocks."""
import ctypes
import os
import socket
import time

from harness import PATIENCE, Unfit, more, row, verbs


class Host:
    """A TCP port and an abstract name of the host that answer."""

    def __init__(self, c):
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.name = f"sbx-{c.name}"
        self.hidden = socket.socket(socket.AF_UNIX)
        self.hidden.bind("\0" + self.name)
        self.hidden.listen()

    def __enter__(self):
        return verbs(f"tcp {self.tcp.getsockname()[1]}", f"abstract {self.name}", "cat /proc/net/dev",
                     "socket 2 3 1", "socket 38 5 0")

    def __exit__(self, *_):
        self.tcp.close()
        self.hidden.close()


@row(26, "the network", without="ns-net")
def network(c):
    with Host(c) as probe:
        r = c.run(probe=probe)
    c.check("the host's loopback is elsewhere", r["tcp"] == "ECONNREFUSED", r["tcp"])
    c.check("so are its abstract names", r["abstract"] == "ECONNREFUSED", r["abstract"])
    c.check("no raw sockets, no AF_ALG", r.all("socket") == ["EPERM", "EPERM"], r.out)
    names = [line.split(":")[0].strip() for line in r.out.splitlines() if ":" in line]
    c.check("only lo", names == ["lo"], names)


@more()
def shared_network(c):
    with Host(c) as probe:
        r = c.run("--isolate", "user,mount,pid", probe=probe)
    c.check("a shared network is shared", r["tcp"] == "ok" and r["abstract"] == "ok", r.out + r.err)


@row(27, "System V and POSIX IPC", without="ns-ipc")
def ipc(c):
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x5b000000 | os.getpid() & 0xffffff
    segment = libc.shmget(key, 4096, 0o1000 | 0o666)
    try:
        r = c.run(probe=verbs(f"shm {key}"))
        c.check("segments of the host are unknown", r["shm"] == "ENOENT", r["shm"])
        r = c.run(probe=verbs("list /dev/mqueue"))
        c.check("and its message queues", r["list"] == "ok", r["list"])
    finally:
        libc.shmctl(segment, 0, None)


@row(28, "the host's name", without="ns-uts")
def host_name(c):
    before = os.uname().nodename
    r = c.run("--no-seccomp", "--hostname", "inside", probe=verbs("uname", "hostname x"))
    c.check("it has one of its own", r["uname"] == "ok inside", r["uname"])
    c.check("which cannot be set", r["hostname"] == "EPERM", r["hostname"])
    c.check("the host's stays", os.uname().nodename == before)


@row(29, "keys", without="keyring")
def keys(c):
    libc = ctypes.CDLL(None, use_errno=True)
    add_key, keyctl = (248, 250) if os.uname().machine == "x86_64" else (217, 219)

    def with_key():
        libc.syscall(keyctl, 1, None)
        if libc.syscall(add_key, b"user", b"sbx-test", b"secret", 6, -3) < 0:
            os._exit(99)
    r = c.run("--no-seccomp", preexec=with_key, probe=verbs("key sbx-test"))
    c.check("a key of the caller is not found", r["key"] in ("ENOKEY", "ENOSYS", "EACCES"), r.out + r.err)


@row(48, "clocks", without={"root": "time", "nobody": "time"})
def clocks(c):
    def monotonic(out):
        return float((out.split() or ["0"])[0])
    read = "import time; print(time.clock_gettime(time.CLOCK_MONOTONIC))"
    before, wall = time.monotonic(), time.time()
    r = c.uds("--monotonic", "1000000", "--", "/usr/bin/python3", "-c", read)
    if "time namespace" in r.err and not r.ran:
        raise Unfit(r.err.strip()[:200])
    c.check("the offset is in force inside", 0 <= monotonic(r.out) - before - 1000000 < 60 * PATIENCE, r.out + r.err)
    r = c.uds("--", "/bin/date", "-s", "2001-01-01")
    c.check("the clock cannot be set", r.code != 0 and "cannot set" in r.err, r.out + r.err)
    c.check("nor was it", abs(time.time() - wall) < 600)
