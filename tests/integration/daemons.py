#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Daemons of Debian that know the conventions of socket activation and sd_notify(3), in sandboxes without network: gunicorn
(LISTEN_FDS, READY, STATUS), systemd-socket-proxyd (LISTEN_FDS), dbus-daemon (LISTEN_FDS, READY), gpg-agent
(LISTEN_FDNAMES), systemd-timesyncd and systemd-journald (READY, STATUS, WATCHDOG, FDSTORE). Each is reached by TCP from
outside, or by nothing but NOTIFY_SOCKET if it serves nobody."""
import atexit
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, DEADLINE, SANITIZED, Scene, check, children, need_root, run_parts, skip, wait_for  # noqa: E402

need_root()
SYSTEMD = pathlib.Path("/lib/systemd")
missing = []


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--")


def nobodys(scene):
    """A directory of his own."""
    home = scene.dir / "nobody"
    if not home.exists():
        home.mkdir()
        os.chown(home, 65534, 65534)
    return home


class Daemon:
    """`uds run` with a service manager of ours: it says when the daemon is ready."""

    def __init__(self, scene, name, *args, command=(), notify=True, rootless=False):
        self.name = name
        self.told = {}
        path = scene.dir / f"{name}.notify"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(path))
        self.manager.settimeout(DEADLINE)
        uds, run = [BIN / "uds"], scene.run
        if rootless:
            path.chmod(0o666)
            uds, run = [*NOBODY, scene.program("uds", 65534)], nobodys(scene) / "run"
            args = ("--degrade", "cgroup", *args)
        self.process = subprocess.Popen(
            [*uds, "run", "--run-dir", run, "--name", name, "--json", *(["--notify"] if notify else []), *args,
             "--", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, NOTIFY_SOCKET=str(path)))
        atexit.register(self.process.kill)
        scene.remember(self.process.pid)

    def hear(self, key):
        """Until it has told that."""
        while key not in self.told:
            try:
                message = self.manager.recv(4096).decode()
            except TimeoutError:
                self.process.kill()
                raise AssertionError(f"{self.name} has not said {key}: {self.told} {self.process.communicate()}") from None
            self.told.update(line.split("=", 1) for line in message.splitlines())
        return self.told[key]

    def pid(self):
        """Of the daemon itself: the child of the sandbox's first process."""
        own = os.readlink("/proc/self/ns/pid_for_children")
        init = wait_for("PID 1", lambda: [p for p in children(self.process.pid) if os.readlink(f"/proc/{p}/ns/pid") != own])[0]
        return wait_for("the daemon", lambda: list(children(init)))[0]

    def end(self, signo=signal.SIGTERM):
        if signo:
            self.process.send_signal(signo)
        out, err = self.process.communicate(timeout=DEADLINE)
        lines = err.splitlines()
        return self.process.returncode, json.loads(lines[-1]), lines[:-1]


def need(*programs):
    absent = [p for p in programs if not shutil.which(str(p))]
    missing.extend(str(p) for p in absent)
    return not absent


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(port):
    """Once the launcher listens; whether the daemon runs by then does not matter."""
    def attempt():
        try:
            return socket.create_connection(("127.0.0.1", port), DEADLINE)
        except ConnectionRefusedError:
            return None
    return wait_for(f"port {port}", attempt)


def no_network(daemon):
    """Nothing but lo, and nothing of the host's."""
    pid = daemon.pid()
    devices = pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    check(f"{daemon.name}: it has no network", [d.split(":")[0].strip() for d in devices] == ["lo"], devices)
    check(f"{daemon.name}: of its own", os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"))


def gunicorn(scene, rootless=False):
    if subprocess.run(["/usr/bin/python3", "-c", "import gunicorn"], capture_output=True).returncode:
        return missing.append("python3-gunicorn")
    app = scene.dir / "app.py"
    app.write_text("import os\ndef app(environ, start):\n    start('200 OK', [('Content-Type', 'text/plain')])\n"
                   "    return [b'served by ' + str(os.getpid()).encode()]\n")
    port = free_port()
    name = "nobodys-gunicorn" if rootless else "gunicorn"
    d = Daemon(scene, name, "--listen", f"web=tcp:127.0.0.1:{port}", "--ready-timeout", "60s", "--memory", "256M",
               "--setenv", "PYTHONPATH", "/tmp", "--ro-bind", str(app), "/tmp/app.py",
               command=["/usr/bin/python3", "-m", "gunicorn", "--worker-tmp-dir", "/dev/shm", "app:app"], rootless=rootless)
    d.hear("READY")
    check(f"{name}: its status", "Gunicorn" in d.hear("STATUS"), d.told)
    no_network(d)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE) as answer:
        body = answer.read()
    check(f"{name}: an answer from inside", body.startswith(b"served by ") and int(body.split()[-1]) < 20, body)
    code, report, lines = d.end()
    check(f"{name}: it ends when asked", code == 0 and report["notify"]["ready"], (code, report["notify"], lines))


def proxy(scene, name, path):
    """By TCP to a path: systemd-socket-proxyd, in a sandbox of its own. (port, daemon)"""
    port = free_port()
    d = Daemon(scene, name, "--listen", f"in=tcp:127.0.0.1:{port}", "--bind", str(path.parent), "/tmp/s",
               command=[SYSTEMD / "systemd-socket-proxyd", f"/tmp/s/{path.name}"])
    return port, d


def dbus(scene):
    if not need("dbus-daemon", SYSTEMD / "systemd-socket-proxyd"):
        return
    conf = scene.dir / "bus.conf"
    conf.write_text("<busconfig><type>session</type><listen>systemd:</listen><auth>ANONYMOUS</auth><allow_anonymous/>"
                    "<policy context='default'><allow send_destination='*' eavesdrop='true'/><allow own='*'/>"
                    "<allow user='*'/></policy></busconfig>")
    conf.chmod(0o644)
    (scene.dir / "bus").mkdir(mode=0o755)
    path = scene.dir / "bus" / "socket"
    bus = Daemon(scene, "dbus-daemon", "--listen", f"bus=unix:{path},mode=0666", "--ro-bind", str(conf), "/tmp/bus.conf",
                 command=["/usr/bin/dbus-daemon", "--config-file=/tmp/bus.conf", "--nofork", "--nopidfile",
                          "--address=systemd:", "--systemd-activation"])
    bus.hear("READY")
    no_network(bus)
    port, proxyd = proxy(scene, "proxy-to-dbus", path)
    no_network(proxyd)
    with connect(port) as s:
        s.sendall(b"\0AUTH ANONYMOUS\r\n")
        answer = s.recv(100)
    check("dbus-daemon: an answer, by TCP and through two sandboxes", answer.startswith(b"OK "), answer)
    for d in (proxyd, bus):
        code, report, lines = d.end()
        check(f"{d.name}: it ends when asked", code in (0, 143), (code, report["notify"], lines))


def gpg_agent(scene):
    if not need("gpg-agent", SYSTEMD / "systemd-socket-proxyd"):
        return
    (scene.dir / "gpg").mkdir(mode=0o755)
    std, browser = scene.dir / "gpg" / "std", scene.dir / "gpg" / "browser"
    agent = Daemon(scene, "gpg-agent", "--listen", f"browser=unix:{browser},mode=0666", "--listen", f"std=unix:{std},mode=0666",
                   "--setenv", "GNUPGHOME", "/tmp/home", "--dir", "/tmp/home", notify=False,
                   command=["/usr/bin/gpg-agent", "--supervised"])
    wait_for("its sockets", lambda: std.exists() and browser.exists())
    for path, restricted in ((std, "0"), (browser, "1")):
        port, proxyd = proxy(scene, f"proxy-to-{path.name}", path)
        with connect(port) as s:
            with s.makefile("rw", newline="\n") as io:
                check(f"gpg-agent: {path.name}: it greets", io.readline().startswith("OK"))
                io.write("GETINFO restricted\n")  # what a socket may do is known by its name
                io.flush()
                answer = io.readline()
        check(f"gpg-agent: {path.name}: by its name", answer.startswith("OK" if restricted == "1" else "ERR"), answer)
        proxyd.end()
    code, report, lines = agent.end()
    check("gpg-agent: it ends when asked", code == 0, (code, lines))


def watchdog(scene):
    """Daemons that keep their watchdog quiet, until they are stopped."""
    if SANITIZED:
        return
    if need(SYSTEMD / "systemd-timesyncd"):
        d = Daemon(scene, "timesyncd", "--watchdog", "1s", "--tmpfs", "/run/systemd", "--tmpfs", "/var/lib/systemd",
                   command=[SYSTEMD / "systemd-timesyncd"])
        d.hear("READY")
        no_network(d)
        check("timesyncd: its status", d.hear("STATUS") != "", d.told)
        try:
            d.process.wait(1.5)
            check("timesyncd: it lives on", False, d.process.communicate())
        except subprocess.TimeoutExpired:
            pass
        os.kill(d.pid(), signal.SIGSTOP)
        code, report, lines = d.end(0)
        check("timesyncd: it hangs and is killed", code == 123 and report["outcome"] == "watchdog", (code, lines))
    if need(SYSTEMD / "systemd-journald", "systemd-cat"):
        d = Daemon(scene, "journald", "--watchdog", "5s", "--tmpfs", "/run/systemd", "--tmpfs", "/run/log", "--tmpfs", "/sys",
                   "--ro-bind", "/sys/fs/cgroup", "/sys/fs/cgroup",
                   command=["/bin/sh", "-c", f"exec {SYSTEMD}/systemd-journald"])
        d.hear("READY")
        no_network(d)
        code, report, lines = d.end()
        check("journald: it ends when asked", code == 0 and report["notify"]["ready"], (code, report, lines))


def example(scene):
    """examples/activated, as its README has it."""
    server = pathlib.Path(os.environ["UDS_SOURCE"]) / "examples/activated/server.py"
    port = free_port()
    d = Daemon(scene, "activated", "--listen", f"web=tcp:127.0.0.1:{port}", "--watchdog", "10s", "--ro-bind", str(server),
               "/tmp/server.py", command=["/usr/bin/python3", "/tmp/server.py"])
    d.hear("READY")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE) as answer:
        check("example: it answers", answer.read() == b"served from a sandbox without network\n")
    d.told.pop("STATUS")
    check("example: and tells", d.hear("STATUS") == "1 requests served", d.told)
    d.end()


def rootless(scene):
    """Two of them started by nobody: from outside to within, and ready, without root and without cgroups."""
    gunicorn(scene, rootless=True)
    if not need("dbus-daemon"):
        return
    conf = scene.dir / "nobody.conf"
    conf.write_text("<busconfig><type>session</type><listen>systemd:</listen><auth>ANONYMOUS</auth><allow_anonymous/>"
                    "<policy context='default'><allow send_destination='*'/><allow own='*'/><allow user='*'/></policy></busconfig>")
    conf.chmod(0o644)
    path = nobodys(scene) / "bus"
    bus = Daemon(scene, "nobodys-dbus", "--listen", f"bus=unix:{path},mode=0666", "--ro-bind", str(conf), "/tmp/bus.conf",
                 command=["/usr/bin/dbus-daemon", "--config-file=/tmp/bus.conf", "--nofork", "--nopidfile",
                          "--address=systemd:", "--systemd-activation"], rootless=True)
    bus.hear("READY")
    no_network(bus)
    status = pathlib.Path(f"/proc/{bus.pid()}/status").read_text()
    check("nobodys-dbus: on the host it is nobody", "Uid:\t65534\t" in status, status)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(path))
        client.sendall(b"\0AUTH ANONYMOUS\r\n")
        check("nobodys-dbus: it answers", client.recv(100).startswith(b"OK "))
    code, report, lines = bus.end()
    check("nobodys-dbus: it ends when asked, and nothing is left", code == 0 and report["notify"]["ready"] and not path.exists(),
          (code, report, lines))


def all_there(scene):
    if missing:
        skip(f"not installed: {', '.join(sorted(set(missing)))}; the others passed")


run_parts(Scene(), gunicorn, dbus, gpg_agent, watchdog, example, rootless, all_there)
