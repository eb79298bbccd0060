# SPDX-License-Identifier: MIT
"""Who calls `uds` in a test: root and nobody, each with a directory and copies of the programs that it can reach."""
import ctypes
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ["UDS_BIN"])
NOBODY = 65534
ROOT = os.geteuid() == 0
LANDLOCK_ABI = max(ctypes.CDLL(None).syscall(444, None, 0, 1), 0) # landlock_create_ruleset(…, VERSION)
PATIENCE = 100 if os.environ.get("UDS_VM") else 10
PROGRAMS = ("uds", "uds-broker", "uds-router", "uds-sandbox-init", "uds-sandbox-answer", "uds-ls", "uds-cleaner")
failures = []


class GaveUp(Exception):
    """What should be printed is not; what comes after it would only wait."""


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {str(detail)[-600:]!r}", flush=True)


def within(predicate):
    until = time.monotonic() + PATIENCE
    while not predicate():
        if time.monotonic() > until:
            return False
        select.select([], [], [], 0.01)
    return True


class Caller:
    def __init__(self, base, uid):
        self.uid = uid
        self.who = "root" if uid == 0 else "nobody"
        self.dir = base / self.who
        self.dir.mkdir()
        os.chown(self.dir, uid, uid)
        self.uds = str(base / "bin" / "uds")

    def become(self):
        if self.uid and ROOT:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)

    def env(self, **more):
        return {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.dir), **more}

    def words(self, verb, *words):
        run_dir = [] if verb == "version" else ["--run-dir", str(self.dir / "run")]
        return [self.uds, verb, *run_dir, *map(str, words)]

    def start(self, *words, verb="run", **more):
        more = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.env(), **more}
        return subprocess.Popen(self.words(verb, *words), preexec_fn=self.become, text=True, **more)

    def exec(self, *words, **more):
        """To its end."""
        more = {"stdin": subprocess.DEVNULL, "env": self.env(), **more}
        if "input" in more:
            del more["stdin"]
        return subprocess.run(self.words("exec", *words), preexec_fn=self.become, capture_output=True, text=True,
                              timeout=6 * PATIENCE, **more)

    def list(self):
        done = subprocess.run([self.uds, "sandbox", "ls", "--json", "--run-dir", self.dir / "run"], preexec_fn=self.become,
                              capture_output=True, text=True, env=self.env(), timeout=6 * PATIENCE)
        return json.loads(done.stdout)

    def check(self, name, condition, detail=""):
        check(f"{self.who}: {name}", condition, detail)


def main(tests, caller=Caller):
    """Each test_… of @tests, of a script's globals(), for each who calls; or those that the command line names."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="uds-callers-", dir="/var/tmp"))
    os.chmod(base, 0o755)
    (base / "bin").mkdir()
    for program in PROGRAMS:
        shutil.copy(BIN / program, base / "bin")
    try:
        callers = [caller(base, uid) for uid in ((0, NOBODY) if ROOT else (os.geteuid(),))]
        wanted = sys.argv[1:]
        for c in callers:
            for name, test in list(tests.items()):
                if name.startswith("test_") and (not wanted or name in wanted):
                    start = time.monotonic()
                    try:
                        test(c)
                    except (GaveUp, subprocess.TimeoutExpired, RuntimeError) as e:
                        c.check(name, False, e)
                    if wanted:
                        print(f"{c.who} {name} {time.monotonic() - start:.2f} s")
    finally:
        shutil.rmtree(base)
    print(f"{len(failures)} failures")
    return 1 if failures else 0
