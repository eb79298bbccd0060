#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A payload with its starter's own id, and with the directory bound in that the run directory lies in: it rewrites the records
by which cleaners know what to kill, and its cleaner would kill another process of the same user's. Whatever way that
directory is shown, and whatever becomes of the way there between the look at it and its opening, the records are not."""
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ["UDS_BIN"])
NOBODY = 65534
ROOT = os.geteuid() == 0
PATIENCE = 60.0
failures = []

# Of each record that it finds, all slots become the victim's; then it waits for its end.
FORGE = r"""
import os, sys, time
n = 0
for top, _, files in os.walk(sys.argv[1]):
    for name in files:
        if name.endswith(".record"):
            with open(os.path.join(top, name), "r+b") as f:
                size = os.fstat(f.fileno()).st_size
                f.write(bytes.fromhex(sys.argv[2]) * max(1, size // 1024))
            n += 1
try:
    open(os.path.join(sys.argv[1], "run/groups/forged"), "w")
    n += 100
except OSError:
    pass
print(n, flush=True)
time.sleep(600)
"""


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {str(detail)[-600:]!r}", flush=True)


class Caller:
    def __init__(self, base, uid):
        self.uid, self.who = uid, "root" if uid == 0 else "nobody"
        self.dir = base / self.who
        (self.dir / "run").mkdir(parents=True)
        for path in self.dir, self.dir / "run":
            os.chown(path, uid, uid)
        self.uds = base / "bin/uds"

    def become(self):
        if ROOT and self.uid:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)

    def start(self, *words, uds=None, env=None):
        return subprocess.Popen([uds or self.uds, "run", "--run-dir", self.dir / "run", "--degrade", "cgroup", *map(str, words)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=self.become,
                                env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.dir), **(env or {})}, pass_fds=[self.fd])


def record_of(pid):
    start = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return struct.pack("<IIQQQQ", 0x31524455, 4, pid, start, 0, 0) + bytes(984)


def attack(c, name, *options):
    victim = subprocess.Popen(["sleep", "600"], preexec_fn=c.become)
    target = options[-1]
    p = c.start(*options, "--", "/usr/bin/python3", "-c", FORGE, target, record_of(victim.pid).hex())
    forged = p.stdout.readline().strip()
    check(f"{c.who}: {name}: no record is found", forged == b"0", forged or p.stderr.read())
    p.send_signal(signal.SIGKILL)
    p.communicate(timeout=PATIENCE)  # init and cleaner hold its stderr
    subprocess.run([c.uds, "sandbox", "gc", "--run-dir", c.dir / "run"], preexec_fn=c.become, capture_output=True, check=False)
    check(f"{c.who}: {name}: who is none of the sandbox's lives on", victim.poll() is None)
    victim.kill()
    victim.wait()


def swapped(c, name, *options):
    """Between the look at a source and its opening somebody of the same id puts a link there that leads to where the records are."""
    lure, aside = c.dir / "lure", c.dir / "aside"
    lure.mkdir()
    os.chown(lure, c.uid, c.uid)
    victim = subprocess.Popen(["sleep", "600"], preexec_fn=c.become)
    p = c.start(*options, "--", "/usr/bin/python3", "-c", FORGE, "/mnt", record_of(victim.pid).hex(), uds=base / "bin/unsafe/uds",
                env={"UDS_STOP_AT": "launcher:1"})
    os.waitid(os.P_PID, p.pid, os.WSTOPPED)
    lure.rename(aside)
    lure.symlink_to(c.dir / "run")
    p.send_signal(signal.SIGCONT)
    forged = p.stdout.readline().strip()
    check(f"{c.who}: {name}: no record is found", forged in (b"", b"0"), forged)
    p.kill()
    _, err = p.communicate(timeout=PATIENCE)
    check(f"{c.who}: {name}: it is refused", b"lure" in err and b"symbolic link" in err, err)
    subprocess.run([c.uds, "sandbox", "gc", "--run-dir", c.dir / "run"], preexec_fn=c.become, capture_output=True, check=False)
    check(f"{c.who}: {name}: who is none of the sandbox's lives on", victim.poll() is None)
    victim.kill()
    victim.wait()
    lure.unlink()
    aside.rmdir()


def older(c, *options):
    """However a record came to name it: a process that was there before the launcher is none of its."""
    victim = subprocess.Popen(["sleep", "600"], preexec_fn=c.become)
    time.sleep(0.02)  # start times are counted in hundredths of a second
    p = c.start(*options, "--", "sh", "-c", "echo up; exec sleep 600")
    p.stdout.readline()
    for record in (c.dir / "run/records").glob("*.record"):
        with open(record, "r+b") as f:
            f.seek(0, os.SEEK_END)
            f.write(record_of(victim.pid))
    p.send_signal(signal.SIGKILL)
    p.communicate(timeout=PATIENCE)
    within = time.monotonic() + PATIENCE
    while list((c.dir / "run/records").glob("*.record")) and time.monotonic() < within:
        time.sleep(0.01)
    check(f"{c.who}: who is older than the launcher lives on", victim.poll() is None)
    victim.kill()
    victim.wait()


def refused(c, *options):
    p = c.start(*options, "--", "true")
    _, err = p.communicate(timeout=PATIENCE)
    check(f"{c.who}: {options} is refused", p.returncode == 121 and b"records of running sandboxes" in err, err)


def everything(c):
    c.fd = os.open(c.dir, os.O_RDONLY | os.O_DIRECTORY)
    host = ("--host-root", ) if c.uid == 0 else ()
    link = c.dir / "link"
    link.symlink_to(c.dir)
    attack(c, "bound where it is", *host, "--bind", c.dir, c.dir)
    attack(c, "bound elsewhere, by a link", *host, "--bind", link, "/mnt")
    attack(c, "by a descriptor", *host, "--bind-fd", c.fd, "/mnt")
    refused(c, *host, "--bind", c.dir / "run", "/mnt")
    refused(c, *host, "--cap-add", "sys_admin", "--bind", c.dir, "/mnt")
    older(c, *host)
    refused(c, *host, "--bind", c.dir / "run/records", "/mnt")
    if (BIN / "unsafe").exists():
        swapped(c, "a bind that becomes a link", *host, "--bind", c.dir / "lure", "/mnt")
        work = c.dir / "work"
        work.mkdir()
        os.chown(work, c.uid, c.uid)
        swapped(c, "what an overlay writes that becomes a link", *host, "--overlay-src", "/usr/share/doc", "--overlay", c.dir / "lure", work, "/mnt")
    else:
        print("skip: built without UDS_UNSAFE_TESTING (the release preset is with it): what is swapped at a boundary between two steps")
    os.close(c.fd)


base = pathlib.Path(tempfile.mkdtemp(prefix="uds-records."))
base.chmod(0o755)
try:
    for kind in "", "unsafe":
        (base / "bin" / kind).mkdir()
        for program in "uds", "uds-sandbox-init", "uds-sandbox-answer", "uds-cleaner":
            if (BIN / kind / program).exists():
                shutil.copy(BIN / kind / program, base / "bin" / kind)
    for uid in (0, NOBODY) if ROOT else (os.geteuid(), ):
        everything(Caller(base, uid))
finally:
    shutil.rmtree(base, ignore_errors=True)
print("records:", "FAILED: " + ", ".join(failures) if failures else "ok")
sys.exit(bool(failures))
