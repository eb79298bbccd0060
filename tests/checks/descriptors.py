# SPDX-License-Identifier: MIT
"""Descriptors, working directory, environment: what a payload is given, and nothing beside it."""
import os
import socket

from harness import more, row, verbs
from processes import and_all_caps


class Inherited:
    """A directory, an O_PATH and a memfd at high numbers, none of them close-on-exec; and a file to pass."""

    HIGH = (60, 90, 200)

    def __init__(self, c):
        self.opened = [os.open("/", os.O_RDONLY | os.O_DIRECTORY), os.open("/", os.O_PATH), os.memfd_create("x")]
        for fd, to in zip(self.opened, self.HIGH):
            os.dup2(fd, to, inheritable=True)
        data = c.dir / "data"
        data.write_text("payload")
        os.chmod(data, 0o666)
        os.chown(data, c.uid, c.uid)
        self.file = os.open(data, os.O_RDONLY)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in (*self.opened, *self.HIGH, self.file):
            os.close(fd)


@row(13, "no descriptor that was not declared", without="close")
def descriptor_leak(c):
    with Inherited(c) as i:
        fd = i.file
        r = c.run("--fd", f"in={fd}", "--fd", f"more={fd}", "--env-fd", f"LINK={fd}", pass_fds=(fd, *i.HIGH),
                  probe=verbs("fds", "list /proc/1/fd", "readfd 3", "readfd 5"))
        c.check("only what was declared is open", r["fds"] == "ok 0 1 2 3 4 5", r["fds"])
        c.check("PID 1's are not to be seen", r["list"] == "EACCES", r["list"])
        c.check("what was declared can be read", r.all("readfd") == ["ok", "ok"], r.out)


@row(14, "no working directory by descriptor", without="cwd")
def cwd_by_descriptor(c):
    """CVE-2024-21626."""
    with Inherited(c) as i:
        numbers = (*range(3, 21), *i.HIGH) if c.without else (3, 5, 8, *i.HIGH)
        for n in numbers:
            r = c.run("--chdir", f"/proc/self/fd/{n}", "--fd", f"dir={i.HIGH[0]}", pass_fds=i.HIGH, probe=verbs("cwd"))
            c.check(f"no working directory by descriptor {n}", r.code == 126 and r["cwd"].startswith("(nothing"), r.out + r.err)


@row(16, "no secret in PID 1", without=and_all_caps("dumpable,init-environment"))
def secrets_of_init(c):
    r = c.run(probe=verbs("cat /proc/1/environ", "cat /proc/1/cmdline", "cat /proc/1/maps", "env"))
    c.check("no secret of the caller anywhere", "marker-7f3a" not in r.out and "UDS_MARKER" not in r.out, r.out)
    c.check("its environment and maps are closed", "cat EACCES\ncat ok 17\nuds-sandbox-init\0cat EACCES\n" in r.out, r.out)


@row(49, "limits, core, umask, environment", without="rlimits,environment")
def declared(c):
    r = c.run("--rlimit", "7=50", probe=verbs("limit 7", "limit 4", "umask"))
    # 1 is less than any core file, and keeps a core_pattern that is a program from being run; 0 does not.
    c.check("rlimits are as declared, no core", "limit 50 50" in r.out and "limit 1 1" in r.out, r.out)
    c.check("the umask is 022", r["umask"] == "ok 22", r["umask"])
    with Inherited(c) as i:
        fd = i.file
        r = c.run("--fd", f"in={fd}", "--fd", f"more={fd}", "--env-fd", f"LINK={fd}", "--env", "A=b", pass_fds=(fd,),
                  probe=verbs("env"))
    words = dict(w.split("=", 1) for w in r["env"].split()[1:])
    c.check("the environment is what was listed", words == {
        "A": "b", "PATH": words.get("PATH"), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "in:more",
        "LISTEN_PID": words.get("pid"), "LINK": "fd:5", "pid": words.get("pid")}, words)


@row(33, "Landlock", without="landlock")
def landlock(c):
    with Inherited(c) as i:
        fd = i.file
        flags = ("--fd", f"in={fd}")
        r = c.run("--landlock", *flags, pass_fds=(fd,), probe=verbs(
            "readfd 3", "reopen 3 0", "reopen 3 2", "chmod 3", "chmod /proc/self/fd/3", "touch 3",
            "touch /proc/self/fd/3", "cat /proc/self/comm", "create /tmp/x"))
        c.check("the file is not opened again", r.all("reopen") == ["EACCES", "EACCES"], r.out + r.err)
        c.check("it is not changed", set(r.all("chmod") + r.all("touch")) == {"EPERM"}, r.out)
        c.check("it is read, and the sandbox's own files open", r["readfd"] == "ok" and
                r.all("cat") == ["ok"] and r["create"] == "ok" and r.report["guarded"] == "1", r.out)
        r = c.run(*flags, pass_fds=(fd,), probe=verbs("reopen 3 0", "reopen 3 2", "chmod 3"))
        c.check("unguarded it can be opened again", r.all("reopen")[:1] == ["ok"], r.out)
        own = c.uid != 0 # root's sandbox runs under an id that does not own the file
        c.check("and changed by who owns it", r["chmod"] == ("ok" if own else "EPERM"), r.out)


@more()
def own_listener(c):
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
