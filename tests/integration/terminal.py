#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`uds run` at a terminal, driven through a pty as a person would, as root and as nobody: keys, job control, sizes,
modes, suspension, hang-up; with a terminal of the sandbox's own (--pty) and without.
"""
import os
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
import callers  # noqa: E402
from callers import PATIENCE  # noqa: E402
from ptys import Terminal  # noqa: E402


class Caller(callers.Caller):
    def terminal(self, *words):
        return Terminal(self, [self.uds, "run", "--name", f"tty{os.getpid()}", *words])

    def shell(self):
        """A shell with job control inside."""
        t = self.terminal("-t", "--setenv", "PS1", "inner$ ", "--", "bash", "--norc", "--noediting")
        t.expect("inner$ ")
        return t


def test_own_terminal(c):
    t = c.shell()
    t.type("tty; stty size; echo $TERM; : > $(tty) && echo writes; ps -o tty= -p $$\n")
    said = t.expect("inner$ ").split()
    for word in ("/dev/pts/0", "30", "100", "vt220", "writes"):
        c.check(f"a terminal of its own: {word}", word in said, said)
    t.resize(44, 111)
    t.type("bash -c 'trap \"stty size; exit\" WINCH; stty size; while :; do read -t 0.02; done'\n")
    t.expect("44 111\r\n")
    t.resize(45, 112)
    c.check("a new size is told", "45 112" in t.expect("inner$ "))
    t.type("cat\none\n")
    t.expect("\r\none\r\none\r\n")
    t.type("\x03")
    c.check("Ctrl-C ends the job, not the shell", "^C" in t.expect("inner$ "))
    t.type("cat\ntwo\n")
    t.expect("\r\ntwo\r\ntwo\r\n")
    t.type("\x1a")
    c.check("Ctrl-Z stops the job", "Stopped" in t.expect("inner$ "))
    t.type("fg\n")
    t.expect("cat\r\n")
    t.type("echoed\n")
    t.expect("echoed\r\nechoed\r\n")  # it goes on
    t.type("\x04")
    t.expect("inner$ ")
    t.type("seq 30000; exit 5\n")
    code = t.end()
    lines = t.seen.split()
    c.check("all output arrives before the end", b"30000" in lines and len(lines) > 30000, t.seen[-200:])
    c.check("the exit code too", code == 5, code)


def test_modes(c):
    t = c.shell()
    c.check("keys are passed as they are", t.becomes_raw(True))
    t.type("trap '' TERM; echo deaf\n")
    t.expect("deaf\r\ninner$ ")
    for n in range(3):
        os.kill(t.pid, signal.SIGTERM)
        if n < 2:  # signals do not queue: till it is taken
            t.type("\n")
            t.expect("inner$ ")
    code = t.end()
    c.check("the third TERM kills", code == 137 and b"killed" in t.seen, f"{code} {t.seen}")
    t = c.shell()
    t.type("\x1d\x1d\x1d")
    c.check("three Ctrl-] kill", t.end() == 137, t.seen)


def test_restored(c):
    """What our terminal was, it is again: seen from a shell that stays."""
    t = Terminal(c, ["/bin/bash", "--norc", "--noediting", "-i"])
    t.expect("outer$ ")
    run = f"{c.uds} run --name tty{os.getpid()}"
    t.type("stty -g > $XDG_RUNTIME_DIR/before\n")
    t.expect("outer$ ")
    t.type(f"{run} -t --setenv PS1 'inn'er'$ ' -- bash --norc --noediting\n")
    t.expect("inner$ ")
    t.type("kill -KILL $$\n")
    t.expect("outer$ ")
    t.type("stty -g | cmp - $XDG_RUNTIME_DIR/before && echo as it was\n")
    t.expect("\r\nas it was\r\n")
    t.expect("outer$ ")
    # Stopped from outside: the shell has its terminal; going on, the keys are the sandbox's again.
    t.type(f"{run} -t --setenv PS1 'inn'er'$ ' -- bash --norc --noediting\n")
    t.expect("inner$ ")
    child = int(subprocess.run(["pgrep", "-P", str(t.pid), "uds"], capture_output=True, text=True).stdout)
    os.kill(child, signal.SIGTSTP)
    t.expect("Stopped")
    t.expect("outer$ ")
    t.type("stty -g | cmp - $XDG_RUNTIME_DIR/before && echo as it was\n")
    t.expect("\r\nas it was\r\n")
    t.expect("outer$ ")
    t.resize(21, 71)
    t.type("fg\n")
    t.expect("-noediting\r\n")
    c.check("fg makes it raw again", t.becomes_raw(True))
    t.type("stty size; exit\n")
    c.check("with the size of now", "21 71" in t.expect("outer$ "))
    t.type("exit 0\n")
    t.end()


def test_foreign_terminal(c):
    """Without --pty the command has our terminal as descriptors only, and is in a session of its own."""
    t = Terminal(c, ["/bin/bash", "--norc", "--noediting", "-i"])
    t.expect("outer$ ")
    run = f"{c.uds} run --name tty{os.getpid()}"
    t.type(f"{run} -- sh -c '(echo up; exec sleep 1000); exit 1'; echo code $?\n")
    t.expect("\nup\r\n")
    t.type("\x03")
    t.expect("code 130")
    t.expect("outer$ ")
    t.type(f"{run} -- sh -c 'while :; do echo tick; sleep 0.03; done'\n")
    t.expect("\ntick\r\n")
    t.type("\x1a")
    t.expect("Stopped")
    t.expect("outer$ ")
    t.type("sleep 0.2; echo nothing more\n")
    said = t.expect("\nnothing more\r\n")
    c.check("Ctrl-Z stops the command too", "tick" not in said, said)
    t.expect("outer$ ")
    t.type("fg\n")
    t.expect("\ntick\r\n")
    t.type("\x03")
    t.expect("outer$ ")
    # What would be typed for us by the command (TIOCSTI) is not.
    push = "import fcntl; [fcntl.ioctl(0, 0x5412, bytes([b])) for b in b\"echo pwned\\n\"]"
    t.type(f"{run} -- python3 -c '{push}'\n")
    said = t.expect("outer$ ")
    c.check("[30] nothing can be typed at our terminal", "not permitted" in said, said)
    t.type(f"{run} -t -- python3 -c '{push}'\n")
    said = t.expect("outer$ ")
    c.check("[30] nor at its own", "not permitted" in said, said)
    t.type("exit 0\n")
    t.end()
    c.check("[30] it was not", b"\npwned" not in t.seen, t.seen)


def test_background(c):
    """Who is in front has what is typed: nothing stops a session of its own that reads it, too."""
    t = Terminal(c, ["/bin/bash", "--norc", "--noediting", "-i"])
    t.expect("outer$ ")
    name = f"tty{os.getpid()}"
    for command in (f"{c.uds} run --name {name} -- sh -c 'cat; echo up; exec sleep 1000'", f"{c.uds} exec {name} -- sh -c 'cat; echo up'"):
        t.type(f"{command} &\n")
        t.expect("up\r\n")  # its input had an end
        t.type("echo mi''ne\n")
        t.expect("mine\r\n")
    t.type("kill %1; wait; stty raw; ")
    t.type(f"{c.uds} run -t --name {name} -- stty -a &\n")
    t.type("until jobs | grep Stopped; do :; done; stty cooked; fg\n")
    said = t.expect("echoctl")
    c.check("and its terminal is not like ours of that moment", " icanon" in said, said)
    t.type("exit 0\n")
    t.end()


def test_hang_up(c):
    t = c.shell()
    t.type("trap 'exit 7' HUP; while :; do read x; done\n")
    t.expect("done\r\n")
    os.close(t.fd)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        pid, _ = os.waitpid(t.pid, os.WNOHANG)
        if pid:
            return
        select.select([], [], [], 0.01)
    os.kill(t.pid, signal.SIGKILL)
    os.waitpid(t.pid, 0)
    c.check("a hang-up ends it", False)


def test_refusals(c):
    done = subprocess.run([c.uds, "run", "-t", "--", "true"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, preexec_fn=c.become, env={"XDG_RUNTIME_DIR": str(c.dir)})
    c.check("no terminal, no --pty", done.returncode == 121 and "no terminal" in done.stderr, done)
    t = c.terminal("-t", "--root", "empty", "--ro-bind", "/", "/mnt", "--", "/mnt/bin/true")
    code = t.end()
    c.check("no /dev/ptmx, no --pty", code == 121 and b"add --dev" in t.seen, t.seen)


if __name__ == "__main__":
    sys.exit(callers.main(globals(), Caller))
