# SPDX-License-Identifier: MIT
"""What a check needs: a caller who starts sandboxes, what the probe inside said, and rows that know how to fail.

A row is one of the 52 numbered checks of a sandbox. It names the defence that it is about, so that it can be run
against bin/unsafe/ with that defence taken away (sandbox/src/without.h), where it has to fail."""
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

BIN = pathlib.Path(os.environ["UDS_BIN"])
UNSAFE = BIN / "unsafe"
NOBODY = 65534
ROOT = os.geteuid() == 0
NS = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]
SANITIZED = os.environ.get("UDS_SANITIZED") == "1" # keeps what is freed, and takes its time
LONG = "--long" in sys.argv
CGROUP_V2 = pathlib.Path("/sys/fs/cgroup") # where it is all there is
PATIENCE = 10 if os.environ.get("UDS_VM") else 1 # an emulated guest is slow
ROWS = []
MORE = [] # functions without a number: (function, who)


class Row:
    def __init__(self, number, name, without, why, who, slow, refused, check):
        self.number, self.name, self.why, self.who, self.slow, self.refused, self.check = \
            number, name, why, who, slow, refused, check
        self.without = without if isinstance(without, dict) else {"root": without, "nobody": without}


def row(number, name, *, without=None, why=None, who=("root", "nobody"), slow=False, refused=False):
    """@without: defences joined by "," to leave out, or a dict by caller, or none and then @why.
    @slow: measures for seconds; only with --long. @refused: without the defence it may not even start."""
    def add(check):
        ROWS.append(Row(number, name, without, why, who, slow, refused, check))
        return check
    return add


def more(*who):
    def add(check):
        MORE.append((check, who or ("root", "nobody")))
        return check
    return add


class Unfit(Exception):
    """The machine lacks what the check needs: the reason."""


class Noticed(Exception):
    """Without the defence, a check failed, as it should."""


class Run:
    """One launch: what the probe printed by verb, the report and the result by key."""

    def __init__(self, code, out, err, report):
        self.code = code
        self.out = out.decode(errors="replace")
        self.err = "".join(line for line in err.decode(errors="replace").splitlines(keepends=True)
                           if not line.startswith("UNSAFE TESTING"))
        self.report = dict(line.split(" ", 1) for line in report.splitlines() if " " in line)
        self.ran = "running" in self.report

    def __getitem__(self, verb):
        for line in self.out.splitlines():
            if line.split(" ")[0] == verb:
                return line[len(verb) + 1:]
        return f"(nothing; {self.err.strip()})"

    def all(self, verb):
        return [line.split(" ")[1] for line in self.out.splitlines() if line.split(" ")[0] == verb]

    @property
    def json(self):
        """Of `uds run --json`."""
        for line in reversed(self.err.splitlines()):
            if line.startswith("{"):
                return json.loads(line)
        return {}


class Caller:
    """The user on whose behalf sandboxes start, in one run of one row."""

    def __init__(self, base, uid, tag, without=None):
        self.uid = uid
        self.who = "root" if uid == 0 else "nobody"
        self.base = base
        self.dir = base / f"{tag}-{self.who}"
        self.without = without
        self.bin = base / ("unsafe" if without else "bin")
        self.open = base / "open"
        self.name = f"t{os.getpid()}-{tag}-{self.who[0]}"
        self.run_dir = self.dir / "run"
        self.dir.mkdir()
        self.probe = str(self.dir / "sbx-probe") # by which its processes are known
        os.link(base / "bin/sbx-probe", self.probe)
        os.chown(self.dir, uid, uid)
        self.failures = []
        self.count = 0
        self.delegated = None # the cgroup that is this user's own
        self.started = True # the last one
        self.host = self.look_at_host()

    def check(self, name, condition, detail=""):
        if condition:
            return
        self.failures.append(f"{name}: {str(detail)[:600]!r}")
        if self.without:
            raise Noticed
        print(f"FAILED {self.who}: {self.failures[-1]}", flush=True)

    # ---- starting

    def cgroup(self):
        """Options that give a sandbox a cgroup. As systemd does for a session, root gives an ordinary user one of his own:
        his launchers live in a leaf of it, which they may share, and their sandboxes lie beside that."""
        if self.delegated:
            return "--cgroup-parent", f"/{self.delegated.name}"
        if self.uid == 0:
            return ()
        if not ROOT:
            raise Unfit("a user gets a cgroup of his own from root, who does not run this")
        if not (CGROUP_V2 / "cgroup.controllers").exists():
            raise Unfit("cgroups v1 are not delegated to users")
        self.delegated = CGROUP_V2 / f"delegated-{self.name}"
        self.delegated.mkdir()
        (self.delegated / "launchers").mkdir()
        for controller in (CGROUP_V2 / "cgroup.controllers").read_text().split():
            (CGROUP_V2 / "cgroup.subtree_control").write_text(f"+{controller}")
        for file in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(self.delegated / file, self.uid, self.uid)
        return self.cgroup()

    def become(self):
        if self.delegated:
            (self.delegated / "launchers/cgroup.procs").write_text("0")
        if self.uid and ROOT:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)
        elif ROOT:
            os.setgroups([4, 27])

    def popen(self, argv, preexec=None, **more):
        env = dict(os.environ, XDG_RUNTIME_DIR=str(self.dir), UDS_MARKER="marker-7f3a", LD_PRELOAD_TEST="1")
        env.pop("UDS_BROKER", None)
        if self.without:
            env["UDS_WITHOUT"] = self.without

        def before():
            self.become()
            if preexec:
                preexec()
        more = dict({"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                     "cwd": "/", "env": env}, **more)
        return subprocess.Popen(argv, preexec_fn=before, **more)

    def start(self, options, command, pass_fds=(), **more):
        """sbx-launch, not waited for: the process, and where its report can be read."""
        self.count += 1
        read, write = os.pipe()
        process = self.popen([self.bin / "sbx-launch", "--run-dir", self.run_dir, "--report", str(write), "--name", f"{self.name}-{self.count}",
                              *options, *command], pass_fds=(write, *pass_fds), **more)
        os.close(write)
        return process, read

    def run(self, *options, probe=(), command=None, jail=True, **more):
        """The library, by sbx-launch."""
        if jail:
            options = ("--jail", self.probe, *options)
        process, read = self.start(options, command or [self.probe, *probe], **more)
        out, err = self.finish(process, " ".join(options))
        with os.fdopen(read) as f:
            run = Run(process.returncode, out, err, f.read())
        self.started = run.ran
        return run

    def uds_argv(self, *options):
        """Rootless without a cgroup, as on most machines, unless it has one of its own."""
        self.count += 1
        degrade = () if self.uid == 0 else ("--degrade", "id-range" if self.delegated else "cgroup,id-range")
        return [self.bin / "uds", "run", "--run-dir", self.run_dir, "--name", f"{self.name}-{self.count}", *degrade, *options]

    def uds(self, *options, **more):
        """The command: options, "--", command."""
        process = self.popen(self.uds_argv(*options), **more)
        out, err = self.finish(process, " ".join(map(str, options)))
        run = Run(process.returncode, out, err, "")
        run.ran = run.code not in (121, 122)
        self.started = run.ran
        return run

    def finish(self, process, what):
        try:
            return process.communicate(timeout=60 * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out = process.communicate()
            self.check(what, False, "it hangs")
            return out

    # ---- what is left

    @staticmethod
    def look_at_host():
        """What no sandbox may change, with or without a defence: modes and owners of what they all bind."""
        places = ("/", "/etc", "/tmp", "/usr", "/dev", "/dev/null", "/dev/full", "/dev/tty", "/etc/passwd", "/etc/shadow")
        return {p: (st.st_mode, st.st_uid, st.st_gid) for p in places if os.path.exists(p) for st in [os.stat(p)]}

    def host_changed(self):
        now = self.look_at_host()
        return [(p, self.host[p], now.get(p)) for p in self.host if self.host[p] != now.get(p)]

    def strays(self):
        """Pids of payloads of this row that live."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/exe") == self.probe:
                    yield int(pid)
            except OSError:
                continue

    def kill_strays(self):
        for pid in self.strays():
            os.kill(pid, signal.SIGKILL)

    def forget_cgroup(self):
        """What root gave is taken back; or why it cannot be: something is left in it."""
        until = time.monotonic() + 2 * PATIENCE
        for place in (self.delegated / "launchers", self.delegated) if self.delegated else ():
            while place.exists(): # a cleaner ends a moment after its work
                try:
                    place.rmdir()
                except OSError as problem:
                    if time.monotonic() > until:
                        return [str(problem)]
                    time.sleep(0.01)
        return []

    def leftovers(self):
        """Of this row: payloads, cgroups by name, records."""
        found = [f"process {pid}" for pid in self.strays()]
        for root, dirs, _ in os.walk("/sys/fs/cgroup"):
            found += [f"{root}/{d}" for d in dirs if f"uds-{self.name}-" in d]
        for place in (self.run_dir, self.dir / "uds", self.dir / "uds/run"):
            found += [str(f) for f in place.glob("records/*")] if place.exists() else []
        return found

    def nothing_left(self, seconds):
        until = time.monotonic() + seconds * PATIENCE
        while (left := self.leftovers()) and time.monotonic() < until:
            time.sleep(0.01)
        return left


def verbs(*lines):
    """Several verbs for one probe."""
    words = []
    for line in lines:
        words += (["--"] if words else []) + line.split(" ")
    return words


def ends(fd, seconds):
    """Everybody who holds the other end has gone."""
    until = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < until:
        if select.select([fd], [], [], max(0, until - time.monotonic()))[0] and not os.read(fd, 65536):
            return True
    return False


def await_line(stream, text, seconds=10):
    """A line of @stream with @text in it, or "" at its end."""
    until = time.monotonic() + seconds * PATIENCE
    line = b""
    while time.monotonic() < until:
        if not select.select([stream], [], [], max(0, until - time.monotonic()))[0]:
            break
        byte = os.read(stream.fileno(), 1)
        line += byte
        if not byte:
            return ""
        if byte == b"\n":
            if text in line.decode(errors="replace"):
                return line.decode(errors="replace")
            line = b""
    return ""


def has_program(name):
    return any((pathlib.Path(p) / name).exists() for p in os.environ.get("PATH", "/usr/bin:/bin").split(":"))


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
