# SPDX-License-Identifier: MIT
"""A running uds-broker under test: started with its own run directory, followed by its JSON status lines, and looked after:
what it made is remembered, so that a test can say that nothing of it is left."""
import atexit
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

BIN = pathlib.Path(os.environ["UDS_BIN"])
SANITIZED = os.environ.get("UDS_SANITIZED", "0") == "1"
PATIENCE = 10 if "UDS_VM" in os.environ else 1  # a guest is slow (tests/vm): what must be quick was seen to be outside
DEADLINE = (30 if SANITIZED else 15) * PATIENCE
NOBODY = 65534
PROGRAMS = ("uds", "uds-broker", "uds-router", "uds-cleaner", "uds-sandbox-init", "uds-sandbox-answer", "uds-ls")
failures = []


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {str(detail)[:1500]}", flush=True)
    return bool(condition)


def finish():
    print(f"{len(failures)} failed" if failures else "all passed")
    sys.exit(1 if failures else 0)


def run_parts(scene, *parts):
    """Each part on its own: a deadline in one of them is that part's failure, and its brokers do not stay for the next."""
    for part in parts:
        try:
            part(scene)
        except Exception as e:
            check(part.__name__, False, f"{type(e).__name__}: {e}\n{scene.brokers[-1].log() if scene.brokers else ''}")
        for broker in scene.brokers:
            if broker.process.poll() is None:
                broker.end(signal.SIGKILL)
                wait_for("its end", lambda: not scene.alive())
    finish()


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def wait_for(what, condition, timeout=None):
    """Poll for a condition; its value, or an AssertionError that says what did not come."""
    end = time.monotonic() + (timeout * PATIENCE if timeout else DEADLINE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"did not happen: {what}")
        time.sleep(0.01)


def start_time(pid):
    """Field 22 of /proc/PID/stat: the same pid with another start time is another process. None: gone or a zombie."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def children(pid):
    """{pid: name} of the children of a process."""
    found = {}
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = pathlib.Path(stat).read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        if int(text.rpartition(")")[2].split()[1]) == pid:
            found[int(text.split()[0])] = name
    return found


def comm(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "" # it has just gone


class Scene:
    """A directory of our own, and every broker that ran in it."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="uds-broker-test-"))
        self.dir.chmod(0o755)
        self.run = self.dir / "run"
        self.brokers = []
        self.pids, self.cgroups = {}, set()
        atexit.register(self.clear)

    def stack(self, text, name="stack.yaml"):
        path = self.dir / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def program(self, name, uid=0):
        """Where that user can run it: a build below /root is out of others' reach, a copy in our directory is not."""
        if not uid or subprocess.run(["/usr/bin/test", "-x", BIN / "uds-broker"], user=uid, group=uid, extra_groups=[]).returncode == 0:
            return str(BIN / name)
        copies = self.dir / "bin"
        copies.mkdir(exist_ok=True)
        for wanted in {*PROGRAMS, name}:
            copy = copies / pathlib.Path(wanted).name
            if not copy.exists():
                shutil.copy(BIN / wanted, copy)
                copy.chmod(0o755)
        return str(copies / pathlib.Path(name).name)

    def remember(self, pid):
        started = start_time(pid)
        if started:
            self.pids[pid] = started

    def alive(self):
        return [pid for pid, started in list(self.pids.items()) if start_time(pid) == started]

    def left(self):
        """What there is that should not be: processes, cgroups, and files in the run directory and beside it."""
        found = [f"process {pid} {comm(pid)}" for pid in self.alive()]
        for cgroup in self.cgroups:
            found += glob.glob(f"/sys/fs/cgroup{cgroup}") + glob.glob(f"/sys/fs/cgroup/*{cgroup}") + glob.glob(f"/sys/fs/cgroup/*/{cgroup.lstrip('/')}")
        for path in self.run.rglob("*"):
            if path not in (self.run / "ids", self.run / "records"):
                found.append(str(path))
        found += [str(p) for p in self.dir.glob("*.sock")]
        return found

    def expect_nothing_left(self, name):
        try:
            wait_for("everything gone", lambda: not self.left(), 5)
        except AssertionError:
            check(f"{name}: nothing is left", False, self.left())

    def clear(self):
        for broker in self.brokers:
            if broker.process.poll() is None:
                broker.process.kill()
                broker.process.wait()
        # First the cleaners: it is they who know the cgroups.
        end = time.monotonic() + 5
        while self.alive() and time.monotonic() < end:
            time.sleep(0.01)
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


class Broker:
    def __init__(self, scene, stack=None, listen=None, args=(), uid=0, env=None, run=None):
        self.scene, self.events, self.other = scene, [], []
        command = [scene.program("uds-broker", uid), "--json", "--run-dir", str(run or scene.run)]
        if stack:
            command += ["--config", str(scene.stack(stack))]
        self.path = str(scene.dir / "b.sock") if listen is None else listen
        if self.path:
            command += ["--listen", self.path]
        extra = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
        self.process = subprocess.Popen(
            command + list(args), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env, **extra
        )
        self.pid = self.process.pid
        scene.brokers.append(self)
        scene.remember(self.pid)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            line = line.decode(errors="replace").rstrip("\n")
            try:
                event = json.loads(line)
                event["subject"]
            except (ValueError, TypeError, KeyError):
                self.other.append(line)
                continue
            for key in ("pid",):
                if key in event:
                    self.scene.remember(event[key])
            if event.get("cgroup"):
                self.scene.cgroups.add(event["cgroup"])
            self.events.append(event)

    def find(self, subject, event):
        return [e for e in self.events if (e["subject"], e["event"]) == (subject, event)]

    def wait(self, subject, event, count=1, timeout=None):
        """The count-th event of that kind."""
        try:
            wait_for(
                f"{subject} {event} ({count})",
                lambda: len(self.find(subject, event)) >= count or self.process.poll() is not None,
                timeout,
            )
        finally:
            self.note()
        if len(self.find(subject, event)) < count:
            self.reader.join(5)
        if len(self.find(subject, event)) < count:
            raise AssertionError(f"no {subject} {event} ({count}); rc {self.process.poll()}: {self.log()}")
        return self.find(subject, event)[count - 1]

    def ready(self):
        self.wait("broker", "ready")
        return self

    def note(self):
        """Remember what runs now."""
        for pid in children(self.pid):
            self.scene.remember(pid)

    def child(self, name):
        found = [pid for pid, comm in children(self.pid).items() if comm == name]
        return found[0] if found else None

    def log(self):
        return "\n".join([f"{e['subject']}: {e['text']}" for e in self.events] + self.other)

    def said(self, text):
        return any(text in line for line in self.other)

    def end(self, signo=signal.SIGTERM, timeout=None):
        """Send a signal and wait; the exit status."""
        self.note()
        if signo:
            self.process.send_signal(signo)
        code = self.process.wait(timeout * PATIENCE if timeout else DEADLINE)
        self.reader.join(5)
        return code


def most_answers(verb, took_ms):
    """How many questions of a router the supervisor answers in that time, whatever the machine can do: a burst, and the rate."""
    rate = 10 if verb == "Start" else 2000
    return rate + rate * (took_ms + 10) / 1000 + 1


def need_root():
    if os.geteuid() != 0:
        skip("needs root")
