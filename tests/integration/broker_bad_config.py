#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Everything that can be wrong at the start: one line that names the thing, the cause and the knob, an exit status, and
nothing left."""
import os
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, NOBODY, Scene, check, finish, need_root, wait_for  # noqa: E402

need_root()
scene = Scene()
SLEEP = "sandboxes: {a: {command: [/bin/sleep, '100']}}\n"


def refuse(name, code, pattern, *args, prefix=(), run=None, **how):
    """It exits by itself with that status and exactly one line that matches."""
    command = [*prefix, scene.program("uds-broker", how.get("user", 0)), *args]
    if run is not False:
        command += ["--run-dir", run or scene.run]
    p = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **how)
    lines = [line for line in p.stderr.splitlines() if not line.startswith("==")]
    check(f"{name}: exit status", p.returncode == code, (p.returncode, lines))
    check(f"{name}: one line", len(lines) == 1, lines)
    check(f"{name}: says so", re.search(pattern, p.stderr), lines)
    if run is None:
        scene.expect_nothing_left(name)


def config(text):
    return "--config", scene.stack(text)


def stack_files():
    f = re.escape(str(scene.dir / "stack.yaml"))
    refuse("malformed", 3, f"^uds-broker: {f}:1:38: field 'sandboxes.a.command\\[0\\]': 'x' is not an absolute path",
           *config("sandboxes: {a:            {command: [x]}}\n"))
    refuse("unknown key", 3, f"{f}:2:11: field 'broker.port': unknown key; allowed here: listen, run_dir or quota",
           *config("\nbroker: { port: 1}\n"))
    refuse("no YAML", 3, f"{f}:1:4: not valid YAML", *config("a: ]\n"))
    refuse("missing file", 3, r"stack file: /nonexistent\.yaml: No such file", "--config", "/nonexistent.yaml")
    path = scene.stack(SLEEP)
    path.chmod(0o666)
    refuse("writable by others", 3, f"refused: {f}: everybody may write it: chmod go-w", "--config", path)
    path.chmod(0o664)
    refuse("writable by its group", 3, f"refused: {f}: its group may write it", "--config", path)
    path.chmod(0o644)
    os.chown(path, NOBODY, 0)
    refuse("of another user", 3, f"refused: {f}: it belongs to another user", "--config", path)
    os.chown(path, 0, 0)
    scene.dir.chmod(0o777)
    refuse("replaceable by others", 3, "refused: directory .*: everybody may write in it", "--config", path)
    scene.dir.chmod(0o755)


def sandboxes():
    refuse("missing binary", 1, "sandbox b: command: /nonexistent/bin: No such file or directory: correct sandboxes.b.command",
           *config("sandboxes:\n  a: {command: [/bin/sleep, '100']}\n  b: {command: [/nonexistent/bin]}\n"))
    refuse("no program", 1, "sandbox a: command: /etc/passwd: is no executable file",
           *config("sandboxes: {a: {command: [/etc/passwd]}}\n"))
    program = scene.dir / "true"
    shutil.copy("/bin/true", program)
    refuse("only on the host", 1, f"^uds-broker: sandbox a: exec: {re.escape(str(program))}: No such .*only the host has it",
           *config(f"sandboxes: {{a: {{command: [{program}]}}}}\n"))
    program.unlink()
    refuse("missing in the jail", 1, "root.jail: /nonexistent: No such file",
           *config("sandboxes: {a: {command: [/bin/true], root: {jail: [/bin/true, /nonexistent]}}}\n"))
    refuse("command outside the jail", 1, "/bin/true: is the command, but the jail does not hold it",
           *config("sandboxes: {a: {command: [/bin/true], root: {jail: [/bin/false]}}}\n"))


    policy = scene.dir / "policy"
    policy.write_text("deny socket\n")
    policy.chmod(0o666)
    refuse("system calls that everybody may grant", 1, f"sandbox a: seccomp: {re.escape(str(policy))}: everybody may write it",
           *config(f"sandboxes: {{a: {{command: [/bin/true], seccomp: {policy}}}}}\n"))
    policy.chmod(0o644)
    policy.write_text("deny nonsense\n")
    refuse("system calls that there are not", 1, "policy:1: 'nonsense' is no system call",
           *config(f"sandboxes: {{a: {{command: [/bin/true], seccomp: {policy}}}}}\n"))
    policy.unlink()


def addresses():
    path = str(scene.dir / "taken.sock")
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
    refuse("address in use", 1, f"listen: unix:{re.escape(path)}: address in use: another broker",
           "--listen", f"unix:{path}", run=scene.run)
    check("a socket in use is left alone", os.path.exists(path))
    s.close()
    os.unlink(path)
    scene.expect_nothing_left("address in use")
    path = str(scene.dir / "file")
    open(path, "w").write("precious")
    refuse("no socket there", 1, "address in use", "--listen", path)
    check("a file that is no socket is left alone", open(path).read() == "precious")
    os.unlink(path)
    refuse("no directory", 1, "its directory does not exist", "--listen", "/nonexistent/x.sock")
    refuse("no address", 2, "--listen tcp:1: no address to listen on .*: see uds-broker --help", "--listen", "tcp:1")
    refuse("unknown option", 2, "--frobnicate: unknown option: see", "--frobnicate")
    refuse("argument", 2, "stray: unexpected argument", "stray")


def run_directories():
    theirs = scene.dir / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    refuse("run directory of another", 1, "run directory: .*theirs: belongs to uid 65534, we are 0: name another with --run-dir",
           run=theirs)
    os.chown(theirs, 0, 0)
    theirs.chmod(0o777)
    refuse("run directory open to others", 1, "run directory: .*: others may write in it: chmod go-w", run=theirs)
    theirs.chmod(0o755)
    check("nothing was put into it", not os.listdir(theirs), os.listdir(theirs))
    theirs.rmdir()
    refuse("run directory without parent", 1, "run directory: /nonexistent/run: No such file.*: name another", run="/nonexistent/run")
    refuse("run directory relative", 2, "--run-dir run: must be an absolute path", run="run")


def routers():
    refuse("missing router", 1, "router: /nonexistent: No such file or directory: name an executable with --router",
           "--router", "/nonexistent")
    refuse("router that dies", 1, "router: /bin/false: exited with code 1 before the broker was up", "--router", "/bin/false")
    script = scene.dir / "script"
    script.write_text("no program\n")
    script.chmod(0o755)
    refuse("router that is no program", 1, "router: .*script: Exec format error", "--router", script)
    script.unlink()


def rights():
    """As an ordinary user: no cgroup right, no user namespaces."""
    home = scene.dir / "nobody"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    path = scene.stack("sandboxes: {a: {command: [/bin/sleep, '100'], limits: {memory: 64M}, degrade: [id-range]}}\n")
    refuse("no cgroup right", 1, "sandbox a: .*cgroup.*degrade", "--config", path, "--listen", home / "b.sock",
           run=home / "run", user=NOBODY, group=NOBODY, extra_groups=[])
    check("no cgroup right: nothing left", not [p for p in home.rglob("*") if p.name not in ("run", "ids", "records")],
          list(home.rglob("*")))
    code, lines = without_user_namespaces([scene.program("uds-broker", NOBODY), "--config", path, "--listen", home / "b.sock",
                                           "--run-dir", home / "run"])
    check("user namespaces switched off: exit status", code == 1, (code, lines))
    check("user namespaces switched off: one line", len(lines) == 1 and
          re.search(r"user namespaces: uid 65534 cannot make one: No space .*user\.max_user_namespaces", lines[0]), lines)
    check("user namespaces switched off: nothing left",
          not [p for p in home.rglob("*") if p.name not in ("run", "ids", "records")], list(home.rglob("*")))


def without_user_namespaces(command):
    """As nobody in a user namespace of its own, with the same ids, whose limit of further ones is 0; the machine's stays as it is."""
    holder = subprocess.Popen(["unshare", "--user", "sleep", "60"])
    ours = os.readlink("/proc/self/ns/user")
    wait_for("the namespace", lambda: os.readlink(f"/proc/{holder.pid}/ns/user") != ours)
    for kind in ("uid", "gid"):
        with open(f"/proc/{holder.pid}/{kind}_map", "w") as f:
            f.write("0 0 65536")
    shell = ("echo 0 >/proc/sys/user/max_user_namespaces && "
             "exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \"$@\"")
    p = subprocess.run(["nsenter", "--user", "--target", str(holder.pid), "--setuid", "0", "--setgid", "0",
                        "sh", "-c", shell, "sh", *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    holder.kill()
    holder.wait()
    return p.returncode, [line for line in p.stderr.splitlines() if not line.startswith("==")]


for part in (stack_files, sandboxes, addresses, run_directories, routers, rights):
    try:
        part()
    except Exception as e:
        check(part.__name__, False, f"{type(e).__name__}: {e}")
finish()
