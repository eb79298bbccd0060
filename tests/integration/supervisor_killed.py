#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill -9 of the supervisor: the cleaner ends everything within a second. Of both: the next start sweeps."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import SANITIZED, Broker, Scene, check, need_root, run_parts, wait_for  # noqa: E402

need_root()
STACK = """
sandboxes:
  a: {command: [/bin/sleep, "1000"], restart: always}
  b: {command: [/bin/sh, -c, "trap '' TERM HUP; while :; do sleep 1; done"], limits: {memory: 64M, pids: 8, cpu: 50%}}
"""
QUICK = """
sandboxes:
  a: {command: [/bin/sleep, "1000"], restart: always}
  b: {command: [/bin/sleep, "1000"], limits: {memory: 64M, pids: 8, cpu: 50%}}
"""


def start(scene):
    b = Broker(scene, STACK).ready()
    b.note()
    for pid in list(scene.pids):  # payloads, which are children of each sandbox's first process
        task = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        if task.exists():
            for child in task.read_text().split():
                scene.remember(int(child))
    return b


def supervisor(scene):
    b = start(scene)
    check("something to end", len(scene.alive()) >= 7, scene.alive())
    before = time.monotonic()
    b.end(signal.SIGKILL)
    wait_for("everything gone", lambda: not scene.left(), 10)
    took = time.monotonic() - before
    check("within a second", took < (4 if SANITIZED else 1.5), took)
    scene.expect_nothing_left("supervisor killed")


def beside_a_lock(scene):
    """While it makes or closes a listener there is a lock file beside it."""
    b = start(scene)
    (scene.run / f"broker-{b.pid}" / "a" / "broker.sock.lock").touch(0o600)
    b.end(signal.SIGKILL)
    scene.expect_nothing_left("killed while it had a lock")


def both(scene):
    b = start(scene)
    cleaner = b.child("uds-cleaner")
    # The cleaner first, while frozen parents can do nothing about it; then its owner.
    os.kill(b.pid, signal.SIGSTOP)
    os.kill(cleaner, signal.SIGKILL)
    b.end(signal.SIGKILL)
    ours = [e["pid"] for e in b.events if e["event"] == "started"]
    left = scene.left()
    check("there is something to sweep", (scene.run / f"broker-{b.pid}").exists() and os.path.exists(b.path) and
          any("/sys/fs/cgroup" in what for what in left), left)
    again = start(scene)
    left = [pid for pid in ours if pid in scene.alive()]
    check("the next start has swept the sandboxes", not left, left)
    check("and their directory", not (scene.run / f"broker-{b.pid}").exists())
    check("and it runs", again.process.poll() is None)
    check("it ends with 0", again.end() == 0, again.log())
    scene.expect_nothing_left("both killed")


def keeper(scene):
    """The cleaner alone: the broker goes on, and its own death still leaves nothing to nobody."""
    b = start(scene)
    os.kill(b.child("uds-cleaner"), signal.SIGKILL)
    for e in [e for e in b.events if e["subject"] == "a" and e["event"] == "started"]:
        os.kill(e["pid"], signal.SIGKILL)
    b.wait("a", "started", 2)
    check("the broker goes on without it", b.process.poll() is None, b.log())
    check("and ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("keeper killed")


def left_but_marks(scene):
    """What remains when the owner dies between making a mark (the record's file, that of an id range) and its first use: nothing
    else exists then, and the next start takes it."""
    marks = (str(scene.run / "ids") + "/", str(scene.run / "records") + "/")
    return [what for what in scene.left() if not what.startswith(marks)]


def at_any_moment(scene):
    """Killed, or asked to end, while it still starts: at 20 moments each."""
    for signo in (signal.SIGKILL, signal.SIGTERM):
        codes = set()
        for n in range(20):
            b = Broker(scene, QUICK)
            end = time.monotonic() + n * (0.012 if SANITIZED else 0.004)
            while time.monotonic() < end:
                b.note()
            codes.add(b.end(signo))
            try:
                wait_for("everything gone", lambda: not left_but_marks(scene), 10)
            except AssertionError:
                check(f"signal {signo} after step {n}: nothing is left", False, (scene.left(), b.log()))
                return
        # Before the handler is in place SIGTERM kills; nothing exists then.
        check(f"signal {signo}: exit statuses", codes <= {0, -signo}, codes)


def any_of_them(scene):
    """Supervisor, cleaner, router and first processes, each and together, at a moment between the first step and the last; UDS_KILLS
    says how often. What no cleaner is left to remove, `uds sandbox gc` does."""
    seed = int(os.environ.get("UDS_SEED", random.SystemRandom().randrange(1 << 31)))
    chance = random.Random(seed)
    for n in range(int(os.environ.get("UDS_KILLS", 10))):
        b = Broker(scene, QUICK)
        end = time.monotonic() + chance.uniform(0, 0.4 if SANITIZED else 0.12)
        while time.monotonic() < end:
            b.note()
        try:
            os.kill(b.pid, signal.SIGSTOP)  # so that those that we look for are those that are there
        except ProcessLookupError:
            pass
        for pid in scene.alive():
            if pid != b.pid and chance.random() < 0.5:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        b.end(signal.SIGKILL)
        end = time.monotonic() + 1.5
        while scene.left() and time.monotonic() < end:
            time.sleep(0.01)
        if scene.left():
            subprocess.run([os.environ["UDS_BIN"] + "/uds", "sandbox", "gc", "--run-dir", scene.run], capture_output=True, check=False)
        try:
            wait_for("everything gone", lambda: not scene.left(), 5)
        except AssertionError:
            check(f"kill {n}, UDS_SEED={seed}: nothing is left", False, (scene.left(), b.log()))
            return


run_parts(Scene(), supervisor, beside_a_lock, both, keeper, at_any_moment, any_of_them)
