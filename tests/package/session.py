# SPDX-License-Identifier: MIT
"""What a README shows is what a reader gets: its ```sh blocks build, its ```console blocks are typed into one shell, line by
line, and what comes back is compared. "…" in the expected output stands for anything. A command that ends in & is waited
for until it has said what it is expected to say: the next one may need it. Several programs write at once, so lines may
come in another order than they are shown in."""
import os
import re
import selectors
import signal
import subprocess
import time

DEADLINE = 30


def blocks(readme, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", readme.read_text(), flags=re.S | re.M)


def steps(text):
    """[(command, [expected line…])…]"""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def matches(expected, line):
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), line) is not None


def same(expected, got):
    left = list(got)
    for line in expected:
        found = next((g for g in left if matches(line, g)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


class Session:
    """A shell with everything that was started in it."""

    def __init__(self, directory, env):
        self.shell = subprocess.Popen(["sh"], cwd=directory, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, start_new_session=True)
        os.set_blocking(self.shell.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.shell.stdout, selectors.EVENT_READ)
        self.buffer = b""

    def line(self, end):
        """The next line of output, or None when the time is over or the shell has gone."""
        while b"\n" not in self.buffer:
            if not self.selector.select(max(0, end - time.monotonic())):
                return None
            more = self.shell.stdout.read()
            if not more:
                return None
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode(errors="replace")

    def type(self, command, expected):
        end = time.monotonic() + DEADLINE
        mark, got = "-- that was it", []
        self.shell.stdin.write(f"{command}\necho {mark}\n".encode())
        self.shell.stdin.flush()
        done = False
        while not done or len(got) < len(expected):
            line = self.line(end)
            if line is None:
                break
            if line == mark:
                done = True
            else:
                got.append(line)
        if not done or not same(expected, got):
            raise AssertionError("$ {}\n--- expected\n{}\n--- got\n{}".format(command, "\n".join(expected), "\n".join(got)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.shell.pid, signal.SIGTERM)  # the broker, too, goes in order
        self.shell.stdin.close()
        end = time.monotonic() + DEADLINE
        while self.line(end) is not None:  # until the last of them has closed its end
            pass
        self.selector.close()
        self.shell.stdout.close()
        self.shell.wait()


def play(readme, directory, env):
    """All of a README's sessions; how many commands there were."""
    count = 0
    with Session(directory, env) as session:
        for block in blocks(readme, "console"):
            for command, expected in steps(block):
                session.type(command, expected)
                count += 1
    return count
