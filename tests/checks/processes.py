# SPDX-License-Identifier: MIT
"""Namespaces and processes: what it sees of others, what it can do to them, and to PID 1."""
import os
import pathlib

from harness import NS, more, row, verbs


@row(1, "pid isolation", without="ns-pid")
def pid_isolation(c):
    r = c.run(probe=verbs("list /proc 1", f"kill {os.getpid()} 0"))
    c.check("only its own processes are in /proc", sorted(r["list"].split()[1:]) == ["1", "2"], r["list"])
    c.check("a host process cannot be signalled", r["kill"] == "ESRCH", r["kill"])


@row(2, "namespaces are new", without="ns-uts")
def namespaces_are_new(c):
    r = c.run(probe=verbs("ns"))
    inside, reported = r["ns"].split()[1:], r.report.get("ns", "").split()
    outside = [str(os.stat(f"/proc/self/ns/{n}").st_ino) for n in NS]
    c.check("the report names the namespaces", inside == reported, f"{inside} {reported}")
    c.check("all are new", not set(inside) & set(outside), inside)
    r = c.run("--isolate", "user,mount", probe=verbs("ns"))
    inside = r["ns"].split()[1:]
    c.check("only those asked for are new", inside[2:] == outside[2:] and inside[:2] != outside[:2], f"{r.out} {r.err}")


# Root keeps capabilities only where all three of the steps that take them are gone.
ALL_CAPS = {"root": "caps,bounds,ids", "nobody": "caps,bounds"}


def and_all_caps(defences):
    return {who: f"{defences},{caps}" for who, caps in ALL_CAPS.items()}


@row(15, "its launcher's program", without=and_all_caps("dumpable"))
def program_of_init(c):
    """CVE-2019-5736. The kernel's own refusal (a file that runs, of another owner) is the last of several; the first is
    that PID 1 shows nothing of itself."""
    program = c.bin / "uds-sandbox-init"
    before = program.read_bytes()
    script = c.dir / "script"
    script.write_text("#!/proc/self/exe\n")
    os.chmod(script, 0o755)
    r = c.run("--no-seccomp", probe=verbs("put /proc/1/exe x", "readlink /proc/1/exe"))
    c.check("the program of PID 1 cannot be written", r["put"] in ("EACCES", "ETXTBSY"), r["put"])
    c.check("nor found", r["readlink"] == "EACCES", r["readlink"])
    c.run("--no-seccomp", "--bind", f"{script}:/script", command=["/script"])
    c.check("it is what it was", program.read_bytes() == before)


@row(17, "PID 1 cannot be attached", without=and_all_caps("dumpable"))
def attach_init(c):
    if not c.without:
        r = c.run(probe=verbs("ptrace 1", "vmread 1"))
        c.check("it cannot be traced", r["ptrace"] == "EPERM", r["ptrace"])
        c.check("nor read", r["vmread"] == "EPERM", r["vmread"])
    r = c.run("--no-seccomp", probe=verbs("ptrace 1", "vmread 1"))
    c.check("nor without seccomp", r["ptrace"] == "EPERM" and r["vmread"] == "EPERM", r.out)


@row(43, "zombies", without="reap")
def zombies(c):
    r = c.run(probe=verbs("orphans 500"))
    c.check("orphans are reaped", r["orphans"] == "ok 0", r["orphans"])


@more()
def nothing_unshared(c):
    if c.uid:
        r = c.run("--isolate", "", jail=False, probe=verbs("exit 3"))
        c.check("with nothing unshared it runs as well", r.report.get("value") == "3", r.err)
