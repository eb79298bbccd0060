# SPDX-License-Identifier: MIT
"""A command at a terminal, driven through a pty as a person would."""
import errno
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

from callers import PATIENCE, GaveUp


class Terminal:
    """A command at a terminal of its own; what it printed so far is in @seen."""

    def __init__(self, caller, argv, rows=30, columns=100, **env):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            caller.become()
            os.execve(argv[0], argv, {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(caller.dir),
                                      "TERM": "vt220", "PS1": "outer$ ", **env})
        self.modes = termios.tcgetattr(self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, until):
        """Some more; False at the end of it, or of our patience."""
        if not select.select([self.fd], [], [], max(0, until - time.monotonic()))[0]:
            return False
        try:
            self.seen += os.read(self.fd, 65536)
        except OSError as e:
            if e.errno == errno.EIO:
                return False
            raise
        return True

    def expect(self, text, seconds=PATIENCE):
        """What was printed up to and with @text, which is then forgotten."""
        until = time.monotonic() + seconds
        while text.encode() not in self.seen:
            if not self.read(until):
                os.kill(self.pid, signal.SIGKILL)
                raise GaveUp(f"{text!r} is not printed, but {self.seen[-600:]!r}")
        at = self.seen.index(text.encode()) + len(text)
        seen, self.seen = self.seen[:at], self.seen[at:]
        return seen.decode(errors="replace")

    def is_raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def becomes_raw(self, raw):
        until = time.monotonic() + PATIENCE
        while self.is_raw() != raw and time.monotonic() < until:
            select.select([], [], [], 0.01)
        return self.is_raw() == raw

    def end(self):
        """The exit status, after all that it prints."""
        until = time.monotonic() + PATIENCE
        while self.read(until):
            pass
        if time.monotonic() > until:
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status
