# SPDX-License-Identifier: MIT
"""Seccomp: what it stops, and what it must not."""
import fcntl
import os
import pty
import struct
import termios

from harness import Unfit, more, row, verbs


@row(30, "TIOCSTI", without="seccomp,session")
def tiocsti(c):
    """On a terminal that is the caller's own, as under a shell."""
    try:
        with open("/proc/sys/dev/tty/legacy_tiocsti") as f:
            if f.read().strip() == "0" and c.without:
                raise Unfit("this kernel refuses TIOCSTI to everybody (dev.tty.legacy_tiocsti=0)")
    except FileNotFoundError:
        pass
    master, slave = pty.openpty()
    settings = termios.tcgetattr(slave)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, settings)

    def own_terminal():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    r = c.run(probe=verbs("tiocsti", "tiocsti 1"), stdin=slave, preexec=own_terminal)
    waiting = struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, b"\0" * 4))[0]
    settings[3] &= ~termios.ICANON
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    waiting += struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, b"\0" * 4))[0]
    os.close(master)
    os.close(slave)
    c.check("refused, whatever the high bits", r.all("tiocsti") == ["EPERM", "EPERM"], r.out)
    c.check("nothing was typed on the caller's terminal", waiting == 0, waiting)


@row(31, "system calls", without="seccomp")
def system_calls(c):
    r = c.run(probe=verbs("clone3", "clone 0x10000000", "clone 0x20000000", "unshare 0x10000000", "unshare 0x20000",
                          "call 250 0 0", "call 425 8 0", "call 321 0 0 0", "call 308 3 0",
                          "call 165 0 0 0", "call 155 0 0", "call 302 1 7 0 0", "call 141 0 1 5", "call 203 1 8 0",
                          "call 323 0", "call 9999", "hostname x"))
    c.check("clone3 is unknown", r["clone3"] == "ENOSYS", r["clone3"])
    c.check("no namespace is made", set(r.all("clone") + r.all("unshare")) == {"EPERM"}, r.out)
    calls = r.all("call")
    c.check("what was refused is refused", calls[:-1] == ["EPERM"] * 10 and calls[-1] == "ENOSYS", calls)
    for door in ("int80", "call 0x40000027"):
        r = c.run(probe=verbs(door))
        c.check(f"another ABI kills: {door}", r.report.get("outcome") == "signaled" and r.report["value"] == "31", r.report)


@row(32, "a filter does not stop the set-up", without="seccomp-last", refused=True)
def filter_comes_last(c):
    """mount, pivot_root, setresuid, capset, prctl, close_range… are refused by a filter of the user's; exec is not."""
    numbers = [165, 155, 429, 442, 117, 119, 116, 126, 157, 436, 81, 80] # of x86-64
    if os.uname().machine != "x86_64":
        raise Unfit("the filter of this check is written for x86-64")
    code = [(0x20, 0, 0, 0)] # the number
    for n, number in enumerate(numbers):
        code.append((0x15, len(numbers) - n, 0, number)) # to the last line
    code += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050001)]
    program = c.dir / "filter"
    program.write_bytes(b"".join(struct.pack("HBBI", *line) for line in code))
    r = c.run("--filter", str(program), probe=verbs("umask", "call 157 38 1 0 0 0"))
    c.check("it starts", r["umask"] == "ok 22", r.err)
    c.check("and is filtered", r["call"] == "EPERM", r.out)


@more()
def ordinary_programs(c):
    r = c.run("--no-seccomp", probe=verbs("clone3"))
    c.check("without seccomp clone3 is there", r["clone3"] == "ok", r.out)
    for command in (["/bin/sh", "-c", "ls / | sort | head -1; date >/tmp/x; cat /tmp/x"],
                    ["/usr/bin/env", "python3", "-c", "import subprocess, threading; t = threading.Thread(target=print, "
                     "args=('hi',)); t.start(); t.join(); subprocess.run(['true'], check=True)"]):
        r = c.run(jail=False, command=command)
        c.check(f"ordinary programs run: {command[0]}", r.code == 0, r.out + r.err)
