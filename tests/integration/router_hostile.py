#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The supervisor takes its router for hostile: every verb with hostile arguments, every breach of the protocol; and what the kernel
says of the real router. Attack code inside its confinement: router_attack.py."""
import os
import pathlib
import re
import shutil
import signal
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import SANITIZED, Broker, Scene, check, most_answers, need_root, run_parts, start_time, wait_for  # noqa: E402

need_root()
HERE = pathlib.Path(__file__).parent
STACK = """
sandboxes:
  runs: {command: [/bin/sleep, "1000"], restart: always}
  failed: {command: [/bin/false], stdio: "null"}
  once: {command: [/bin/true]}
"""
OK, DENIED, QUOTA, BAD_REQUEST, UNIMPLEMENTED = 0, 4, 6, 7, 8
EXPECTED = {
    "attest nothing": BAD_REQUEST,
    "attest a pipe": BAD_REQUEST,
    "attest a directory": BAD_REQUEST,
    "attest the control socket": BAD_REQUEST,
    "attest the dead": BAD_REQUEST,
    "attest unknown facts": BAD_REQUEST,
    "attest a process": OK,
    "attest garbage": BAD_REQUEST,
    "attest deep": BAD_REQUEST,
    "attest what lingers": BAD_REQUEST,
    "stats of 0": BAD_REQUEST,
    "stats of 2^32-1": BAD_REQUEST,
    "stats of 99": BAD_REQUEST,
    "stats of 2^32+1": BAD_REQUEST,
    "stats of 1": OK,
    "start 0": BAD_REQUEST,
    "start 99": BAD_REQUEST,
    "start the running": OK,
    "start the failed": DENIED,
    "no such verb": UNIMPLEMENTED,
    "no verb": UNIMPLEMENTED,
    "our own service": UNIMPLEMENTED,
    "no method": UNIMPLEMENTED,
}


def supervisor_fds(b):
    return len(os.listdir(f"/proc/{b.pid}/fd"))


def protocol(scene):
    """Not confined, and asking for everything."""
    nest = scene.dir / "router"
    nest.mkdir()
    script = nest / "hostile"
    shutil.copy(HERE / "helpers/hostile_router.py", script)
    script.chmod(0o755)
    (nest / "support").write_text(os.environ["UDS_SOURCE"] + "/tests/support")
    b = Broker(scene, STACK, args=["--router", str(script)]).ready()
    pid = b.wait("runs", "started")["pid"]
    started = start_time(pid)
    wait_for("all questions", lambda: b.said("done"), 60)
    said = dict(re.findall(r"^attack (.*): (\d+)$", "\n".join(b.other), re.M))
    for name, status in EXPECTED.items():
        check(f"attack {name}", said.get(name) == str(status), said.get(name))
    check("no attack unnoticed", set(said) == set(EXPECTED), set(said) ^ set(EXPECTED))
    check("nothing was started by asking for the running", len(b.find("runs", "started")) == 1, b.log())
    floods = dict(re.findall(r"^flood (\w+): (.*)$", "\n".join(b.other), re.M))
    check("every verb was flooded", set(floods) == {"Stats", "Start"}, floods)
    for verb, said in floods.items():
        took_ms = int(re.match(r"in (\d+) ms", said)[1])
        answers = {int(status): int(n) for status, n in re.findall(r"\b(\d+)=(\d+)", said)}
        check(f"flood of {verb}: cut off at the rate", set(answers) <= {OK, QUOTA} and answers[OK] <= most_answers(verb, took_ms), floods)
    # Ten a second, and ten at once: what the flood of starts could have started in the time it took.
    check("starts are few", len(b.find("once", "started")) < 150, len(b.find("once", "started")))

    fds = supervisor_fds(b)
    os.kill(b.child("python3"), signal.SIGKILL)
    for life, why in ((1, "protocol"), (2, "protocol"), (3, "protocol"), (4, "protocol"), (5, "closed its connection")):
        wait_for(f"breach {life}", lambda life=life: b.said(f"breach {life}"))
        e = b.wait("router", "ended", life + 1)
        check(f"breach {life} ends it", why in e["cause"], e)
    wait_for("half a frame", lambda: b.said("breach 6"))
    check("the sandbox lived through all of it", start_time(pid) == started, b.log())
    # The last router may still be on its way out, or the next on its way in: what was left by them does not go.
    wait_for("no descriptor left by it", lambda: supervisor_fds(b) <= fds + 2)
    check("half a frame keeps nobody from ending", b.end() == 0, b.log())
    shutil.rmtree(nest)
    scene.expect_nothing_left("protocol")


def kernel(scene):
    """What /proc says of the real router."""
    b = Broker(scene, STACK).ready()
    router = b.child("uds-router")
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{router}/status").read_text().splitlines())
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        check(f"router: {key}", int(status[key], 16) == 0, status[key])
    check("router: no new privileges", status["NoNewPrivs"].strip() == "1", status["NoNewPrivs"])
    check("router: seccomp filter", status["Seccomp"].strip() == "2", status["Seccomp"])
    uids, gids = status["Uid"].split(), status["Gid"].split()
    check("router: a uid of its own", len(set(uids)) == 1 and int(uids[0]) >= 0x70000000, uids)
    check("router: a gid of its own", len(set(gids)) == 1 and int(gids[0]) >= 0x70000000, gids)
    check("router: no groups", status["Groups"].strip() == "", status["Groups"])
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and pid != str(router) and owner(pid) == int(uids[0])]
    check("router: nobody else has that uid", not others, others)
    root = os.stat(f"/proc/{router}/root")
    check("router: not our root", (root.st_dev, root.st_ino) != (os.stat("/").st_dev, os.stat("/").st_ino) or SANITIZED)
    check("router: an empty root", os.listdir(f"/proc/{router}/root/") == [] or SANITIZED, os.listdir(f"/proc/{router}/root/"))
    links = {fd: os.readlink(f"/proc/{router}/fd/{fd}") for fd in os.listdir(f"/proc/{router}/fd")}
    files = [link for link in links.values() if link.startswith("/") and link != "/dev/null"]
    check("router: no file open", not files, links)
    environ = pathlib.Path(f"/proc/{router}/environ").read_bytes().strip(b"\0")
    check("router: an empty environment", environ == b"", environ)
    check("router: not in our session", os.getsid(router) != os.getsid(b.pid))
    check("kernel: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("kernel")


def owner(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        return None


run_parts(Scene(), protocol, kernel)
