#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kills.py [--long] [--seed N]: SIGKILL for launcher, cleaner and init, each and together, at every boundary between two
steps and at random moments. Afterwards nothing of the sandbox is left: within a second if its cleaner lives, and after
`uds sandbox gc` (or the next start) if that was killed too.

The boundaries are those of UDS_STOP_AT (sandbox/src/without.h). Every boundary meets one set of victims, the next one in
turn; --long has them meet all seven. Of the random ones there are 50, with --long 500."""
import argparse
import concurrent.futures
import itertools
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "checks"))
sys.dont_write_bytecode = True
os.environ.setdefault("UDS_BIN", str(pathlib.Path(__file__).resolve().parents[1] / "build/release/bin"))
from harness import BIN, NOBODY, PATIENCE, ROOT, UNSAFE, Caller, await_line # noqa: E402

ROLES = ("launcher", "init", "cleaner")
STOPS = ("init", "launcher", "payload", "cleaner", "sweep")
VICTIMS = [set(v) for n in (1, 2, 3) for v in itertools.combinations(ROLES, n)]
SECOND = 1.0
without = "nothing"
base = None


def children(pid):
    try:
        return [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def program(pid):
    """"" while it is between fork and exec, or gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def state(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass # it has gone by itself


class Case:
    """One launch, its victims, and what is left of it."""

    def __init__(self, key):
        self.tag, self.uid, self.where, self.victims, self.delay, self.options = key
        self.c = Caller(base, self.uid, self.tag, without=without)
        # A copy of its own, by which its processes are known.
        self.bin = self.c.dir / "bin"
        self.bin.mkdir()
        for name in ("sbx-launch", "uds-sandbox-init", "uds-cleaner"):
            os.link(base / "unsafe" / name, self.bin / name)

    def ours(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                exe = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                continue
            if exe.startswith(str(self.c.dir)):
                yield int(pid), os.path.basename(exe)

    def left(self):
        found = [f"{name} {pid}" for pid, name in self.ours()]
        found += [line for line in self.c.leftovers() if not line.startswith("process ")]
        for path in pathlib.Path("/run/uds/ids").glob("*"):
            try:
                if str(self.c.run_dir) in path.read_text(errors="replace"):
                    found.append(f"ids {path.name}")
            except OSError:
                continue
        found += [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(self.c.dir) in line]
        return found

    def gone(self, seconds):
        until = time.monotonic() + seconds * PATIENCE
        while (left := self.left()) and time.monotonic() < until:
            self.go_on()
            time.sleep(0.01)
        return left

    def start(self):
        self.c.bin = self.bin
        env = dict(os.environ, UDS_STOP_AT=self.where, UDS_WITHOUT=without)
        lives = not self.where or self.tag.startswith("sweep")
        command = [self.c.probe, "say", "running"] if not lives else [self.c.probe, "say", "running", "--", "wait"]
        self.process = self.c.popen(
            [self.bin / "sbx-launch", "--run-dir", self.c.run_dir, "--report", "2", "--name", f"{self.c.name}-1",
             "--jail", self.c.probe, *self.options, *command], stdin=subprocess.PIPE, env=env)

    def pids(self):
        """Of those that are there by now."""
        found = {"launcher": self.process.pid}
        for pid in children(self.process.pid):
            name = program(pid)
            if name == "uds-cleaner":
                found["cleaner"] = pid
            elif name in ("uds-sandbox-init", "sbx-launch"): # before its execve it is a copy of the launcher
                found["init"] = pid
        return found

    def await_stop(self):
        """It says that it stops, and then does; init waits for a byte instead."""
        until = time.monotonic() + 10 * PATIENCE
        while not self.where.startswith("init") and time.monotonic() < until:
            if any(state(pid) == "T" for pid, _ in self.ours()):
                return
            time.sleep(0.001)

    def go_on(self):
        """Again and again: a cleaner in the place of a killed one comes to the same boundary, maybe after the launcher's end."""
        for pid, _ in list(self.ours()):
            send(pid, signal.SIGCONT)

    def let_go(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdin = None
        self.go_on()

    def sweep(self):
        """The launcher is dead, its cleaner at work: killed there, and the next one goes on."""
        if not await_line(self.process.stdout, "running"):
            self.end()
            return ["it never ran"]
        self.process.kill()
        if not await_line(self.process.stderr, "stopped at"):
            self.process.communicate()
            return None
        self.await_stop()
        for pid, name in list(self.ours()):
            if name == "uds-cleaner":
                send(pid, signal.SIGKILL)
        return self.aftermath({"launcher": self.process.pid})

    def run(self):
        """None: there is no such boundary. Otherwise what is left, or []."""
        self.start()
        if self.tag.startswith("sweep"):
            return self.sweep()
        if self.where:
            if not await_line(self.process.stderr, "stopped at"):
                self.process.communicate()
                return None
            self.await_stop()
        else:
            time.sleep(self.delay)
        pids = self.pids()
        for role in sorted(self.victims & set(pids)):
            send(pids[role], signal.SIGKILL)
        until = time.monotonic() + 5 * PATIENCE
        while any(state(pids[role]) not in ("", "Z") for role in self.victims & set(pids)) and time.monotonic() < until:
            time.sleep(0.001)
        self.let_go()
        return self.aftermath(pids)

    def aftermath(self, pids):
        cleaner_lives = "cleaner" not in self.victims and "cleaner" in pids
        try:
            self.process.wait(15 * PATIENCE)
        except subprocess.TimeoutExpired:
            words = f"the launcher hangs; {[f'{n} {p}' for p, n in self.ours()]}"
            self.end()
            return [words]
        # A launcher that lives has removed all itself; one that does not has a cleaner; who has neither is swept.
        left = self.gone(SECOND if cleaner_lives or "launcher" not in self.victims else 0)
        if left and "launcher" in self.victims:
            if cleaner_lives:
                self.end()
                return ["its cleaner lived, and yet: ", *left]
            # Once: for who just ends and was forked by the launcher, and has the record's lock until then, it waits.
            swept = subprocess.run([BIN / "uds", "sandbox", "gc", "--run-dir", self.c.run_dir], capture_output=True, text=True,
                                   preexec_fn=self.c.become, check=False)
            left = self.gone(SECOND) # who read a jail's files is in no record, and ends when it sees its launcher gone
            if left:
                left.append(swept.stdout + swept.stderr)
        self.end()
        return left

    def end(self):
        for pid, _ in list(self.ours()):
            send(pid, signal.SIGKILL)
        self.process.communicate()


def run(key):
    case = Case(key)
    try:
        found = case.run()
        if found:
            print(f"fail {describe(key)}: {' | '.join(found)[:700]}", flush=True)
        return found
    finally:
        subprocess.run([BIN / "uds", "sandbox", "gc", "--run-dir", case.c.run_dir], capture_output=True, check=False)
        shutil.rmtree(case.c.dir, ignore_errors=True)


def describe(key):
    _, uid, where, victims, delay, options = key
    return f"{'root' if uid == 0 else 'nobody'}, {' '.join(options)}, {'+'.join(sorted(victims))} killed " + \
        (f"at {where}" if where else f"after {delay * 1000:.1f} ms")


def at_boundaries(task):
    """At every boundary of one process: until one is asked for that does not come."""
    uid, role, options, long = task
    kills = failures = 0
    sweep = role == "sweep" # of the cleaner whose launcher is dead, after the boundary before its work
    for number in itertools.count(1):
        for i in range(len(VICTIMS)) if long and not sweep else [number + len(role)]:
            where = f"cleaner:{number + 1}" if sweep else f"{role}:{number}"
            victims = {"launcher", "cleaner"} if sweep else VICTIMS[i % len(VICTIMS)]
            found = run((f"{role}{number}-{i}", uid, where, victims, 0, options))
            if found is None:
                return number - 1, kills, failures
            kills += 1
            failures += bool(found)
    return 0, kills, failures


counter = itertools.count(1)


def key_of(uid, where, victims, delay, options):
    return f"k{next(counter)}", uid, where, victims, delay, options


def at_random(uid, options, count, chance):
    for _ in range(count):
        yield key_of(uid, "", chance.choice(VICTIMS), chance.uniform(0, 0.06 * PATIENCE), options)


def long_lived(uid, long, chance):
    """A launcher of many sandboxes whose inits and cleaners are killed: its descriptors and memory stay what they were."""
    c = Caller(base, uid, f"l{uid}")
    rounds = 300 if long else 40
    read, write = os.pipe()
    process = c.popen([base / "bin/sbx-launch", "--run-dir", c.run_dir, "--report", str(write), "--name", c.name, "--repeat",
                       str(rounds), "--at-once", "2", "--jail", c.probe, c.probe, "exit", "0"], pass_fds=(write,))
    os.close(write)
    killed = 0
    while process.poll() is None:
        time.sleep(chance.uniform(0, 0.02 * PATIENCE))
        found = [pid for pid in children(process.pid) if program(pid) in ("uds-cleaner", "uds-sandbox-init")]
        if found:
            send(chance.choice(found), signal.SIGKILL)
            killed += 1
    process.communicate()
    with os.fdopen(read) as f:
        report = dict(line.split(" ", 1) for line in f.read().splitlines())
    left = c.nothing_left(SECOND)
    words = []
    if left:
        words.append(f"left: {left}")
    if report.get("fds") != report.get("fds_after") or \
            int(report.get("rss_after", 1 << 30)) > int(report.get("rss", 0)) + 1024:
        words.append(f"it grew: {report}")
    who = "root" if uid == 0 else "nobody"
    print(f"{'fail' if words else 'pass'} {who}: a launcher of {2 * rounds} sandboxes, {killed} killed below it, "
          f"{report.get('fine')} of them ended well: {' '.join(words) or 'nothing is left, descriptors and memory as before'}",
          flush=True)
    return bool(words)


def main():
    global base, without
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--without", default="nothing", help="a defence to take away, to see this program fail")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    if not UNSAFE.exists():
        print("skip: built without UDS_UNSAFE_TESTING, nobody can stop at a boundary (the release preset is)")
        return 77
    chance, without = random.Random(options.seed), options.without
    base = pathlib.Path(tempfile.mkdtemp(prefix="sbx-kills-", dir="/var/tmp"))
    for directory in ("bin", "unsafe", "open"):
        (base / directory).mkdir()
    os.chmod(base, 0o755)
    for name in ("test/sbx-launch", "test/sbx-probe", "uds-sandbox-init", "uds-cleaner"):
        shutil.copy(BIN / name, base / "bin")
    for path in UNSAFE.glob("*"):
        shutil.copy(path, base / "unsafe")
    failed = 0
    try:
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=context) as pool:
            for uid in ((0, NOBODY) if ROOT else (os.geteuid(),)):
                who = "root" if uid == 0 else "nobody"
                plain = ("--memory", "64M") if uid == 0 else ()
                done = list(pool.map(at_boundaries, [(uid, role, plain, options.long) for role in STOPS]))
                number, kills, failures = map(sum, zip(*done))
                print(f"{'fail' if failures else 'pass'} {who}: {kills} kills at {number} boundaries "
                      f"({', '.join(f'{role} {d[0]}' for role, d in zip(STOPS, done))}): {failures} left something", flush=True)
                keys = list(at_random(uid, plain, 500 if options.long else 50, chance))
                at_random_failed = sum(bool(found) for found in pool.map(run, keys))
                print(f"{'fail' if at_random_failed else 'pass'} {who}: {len(keys)} kills at random (--seed {options.seed}): "
                      f"{at_random_failed} left something", flush=True)
                failed += failures + at_random_failed + long_lived(uid, options.long, chance)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
