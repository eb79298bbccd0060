#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`warm:` of a stack: sandboxes that wait for the next life of one, and what becomes of them."""
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from admin import EXEC, START, ask, connected, head  # noqa: E402
from broker import BIN, NOBODY, PATIENCE, Broker, Scene, check, finish, need_root, run_parts, wait_for  # noqa: E402

need_root()
# The socket becomes the payload's in the moment after its start.
LIFE = r"""
until [ $(stat -c %a /run/uds/broker.sock) = 600 ]; do sleep 0.01; done
echo life $UDS_BROKER $LISTEN_FDNAMES $((LISTEN_PID - $$)) $(hostname) $(stat -c %u /run/uds/broker.sock) >&2
exec sleep 1000
"""


def listed(run, uid=0):
    extra = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
    done = subprocess.run([BIN / "uds", "sandbox", "ls", "--json", "--run-dir", run], capture_output=True, text=True, check=True, **extra)
    return json.loads(done.stdout)


def waiting(run, uid=0):
    return {row["init_pid"] for row in listed(run, uid) if row["waiting"]}


def complete(run, *words):
    """What bash would offer for the last of the words behind uds sandbox start."""
    script = 'source "$0"; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _uds; printf "%s\n" "${COMPREPLY[@]}"'
    words = [BIN / "uds", "sandbox", "start", "--run-dir", run, *words]
    return subprocess.run(["bash", "-c", script, os.environ["UDS_SOURCE"] + "/cli/uds.bash", *words], capture_output=True, text=True).stdout.split()


def row_of(b, name):
    done = subprocess.run([BIN / "uds", "ls", "--json", "--to", f"unix:{b.path}", "sandboxes"], capture_output=True, text=True)
    return next(row for row in json.loads(done.stdout)["sandboxes"] if row["name"] == name)


def lives(scene):
    """Each next life is one that waited; another takes its place; no life is a former one's."""
    stack = {"sandboxes": {"w": {"command": ["/bin/sh", "-c", LIFE], "restart": "always", "warm": 2, "uid": 7,
                                 "listen": {"door": f"unix:{scene.dir}/door.sock"}}}}
    b = Broker(scene, json.dumps(stack)).ready()
    seen = {b.wait("w", "started")["pid"]}
    for life in range(1, 4):
        wait_for("two wait", lambda: len(waiting(scene.run)) == 2)
        pool = waiting(scene.run)
        for pid in pool:
            scene.remember(pid)
        wait_for("so says uds ls", lambda: (row_of(b, "w")["warm"], row_of(b, "w")["warm_wanted"]) == (2, 2))
        check("lives: those that wait are new", not pool & seen, (pool, seen))
        os.kill(b.find("w", "started")[-1]["pid"], signal.SIGKILL)
        pid = b.wait("w", "started", life + 1)["pid"]
        check("lives: one that waited is next", pid in pool, (pid, pool))
        wait_for("its words", lambda: sum(line.startswith("life ") for line in b.other) > life)
        e = b.find("w", "started")[-1]
        words = [line for line in b.other if line.startswith("life ")][-1]
        check("lives: it is told what a cold one is told", words == "life fd:4 door 0 w 7", words)
        check("lives: its ids are its own", e["host_uid"] % 65536 == 7, e)
        seen.add(pid)
    done = subprocess.run([BIN / "uds", "exec", "--run-dir", scene.run, "w", "--", "echo", "here"], capture_output=True, text=True)
    check("lives: uds exec means the one that runs", done.stdout == "here\n", done)
    check("lives: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("lives")


def ends(scene):
    """A router that dies does not touch them, a supervisor that dies takes them along, a killed one is replaced."""
    stack = {"sandboxes": {"w": {"command": ["/bin/sleep", "1000"], "restart": "always", "warm": 3, "limits": {"memory": "64M", "pids": 8}}}}
    b = Broker(scene, json.dumps(stack)).ready()
    wait_for("three wait", lambda: len(waiting(scene.run)) == 3)
    pool = waiting(scene.run)
    for row in listed(scene.run):
        scene.remember(row["init_pid"])
        scene.cgroups.add(row["cgroup"])
    os.kill(b.child("uds-router"), signal.SIGKILL)
    b.wait("router", "started")
    check("ends: a router that dies does not touch them", waiting(scene.run) == pool, (waiting(scene.run), pool))
    wait_for("the new router knows of them", lambda: row_of(b, "w")["warm"] == 3)
    for pid in pool:
        os.kill(pid, signal.SIGKILL)
    os.kill(b.find("w", "started")[-1]["pid"], signal.SIGKILL)
    b.wait("w", "started", 2)
    wait_for("three others wait", lambda: len(waiting(scene.run)) == 3 and not waiting(scene.run) & pool)
    for row in listed(scene.run):
        scene.remember(row["init_pid"])
        scene.cgroups.add(row["cgroup"])
    b.end(signal.SIGKILL)
    scene.expect_nothing_left("ends")


def rootless(scene):
    run = scene.dir / "rootless"
    run.mkdir(mode=0o700)
    os.chown(run, NOBODY, NOBODY)
    stack = {"sandboxes": {"w": {"command": ["/bin/sh", "-c", "echo life $(hostname) >&2; sleep 1000"], "restart": "always",
                                 "warm": 1, "degrade": ["cgroup", "id-range", "landlock"]}},
             "templates": {"job": {"degrade": ["cgroup", "id-range", "landlock"], "limits": {"memory": "64M"}}}}
    b = Broker(scene, json.dumps(stack), listen=f"{run}/b.sock", uid=NOBODY, run=run).ready()
    wait_for("one of each waits", lambda: len(waiting(run, NOBODY)) == 2)
    pool = waiting(run, NOBODY)
    os.kill(b.wait("w", "started")["pid"], signal.SIGKILL)
    check("rootless: one that waited is next", b.wait("w", "started", 2)["pid"] in pool, b.log())
    done = start(run, "job", "--", "/usr/bin/python3", "-c", "bytearray(200 << 20)", user=NOBODY, group=NOBODY, extra_groups=[])
    check("rootless: a limit that is an rlimit is told", done.returncode == 1 and
          "memory-limit (rlimit): it was refused memory " in done.stderr and "first 200 MiB" in done.stderr, done)
    done = start(run, "--memory", "16M", "job", "--", "/bin/true", user=NOBODY, group=NOBODY, extra_groups=[])
    check("rootless: a limit without a cgroup is refused, with what to do", done.returncode == 121 and "leave the limit out" in done.stderr, done)
    check("rootless: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("rootless")


def refused(scene):
    entry = "command: [/bin/true], "
    for what, text, words in (
            ("too many", f"a: {{{entry}warm: 65}}", "1 to 64"),
            ("none", f"a: {{{entry}warm: 0}}", "1 to 64"),
            ("together", ", ".join(f"s{n}: {{{entry}warm: 60}}" for n in range(5)), "at most 256 may"),
            ("an upper directory", f"a: {{{entry}warm: 1, root: {{layers: [/usr], upper: /tmp/u}}}}", "one sandbox at a time writes there"),
            ("a veth", f"a: {{{entry}warm: 1, net: veth}}", "one sandbox's at a time"),
            ("a template, of which one waits unasked", "}\ntemplates: {a: {root: {layers: [/usr], upper: /tmp/u}}", "one sandbox at a time writes there"),
            ("together, templates too", f"{', '.join(f's{n}: {{{entry}warm: 64}}' for n in range(4))}}}\ntemplates: {{a: {{}}", "257 sandboxes would wait")):
        done = subprocess.run([BIN / "uds-broker", "--check", "--config", scene.stack(f"sandboxes: {{{text}}}")], capture_output=True, text=True)
        check(f"refused: {what}", done.returncode != 0 and words in done.stderr and "warm" in done.stderr, done)


def start(run, *words, **more):
    return subprocess.run([BIN / "uds", "sandbox", "start", "--run-dir", run, *words], capture_output=True, text=True, timeout=60, **more)


def requests(scene):
    """What a template says, and who asks through the admin socket."""
    stack = {"sandboxes": {"once": {"command": ["/bin/true"]}},
             "templates": {"job": {"warm": 2, "env": {"A": "b"}, "timeout": "20s", "limits": {"memory": "64M", "pids": 8}}, "cold": {}}}
    b = Broker(scene, json.dumps(stack)).ready()
    wait_for("three wait", lambda: len(waiting(scene.run)) == 3)
    pool = waiting(scene.run)
    for row in listed(scene.run):
        scene.cgroups.add(row["cgroup"])
    reader, writer = os.pipe()
    os.write(writer, b"passed\n")
    os.close(writer)
    script = "echo $A $B $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID - $$)) $(hostname); cat <&3; ls /run/uds 2>&1 | wc -l; exit 7"
    done = start(scene.run, "--name", "mine", "--setenv", "B", "c", "--fd", f"in={reader}", "job", "--", "/bin/sh", "-c", script, pass_fds=[reader])
    os.close(reader)
    check("requests: arguments, environment, descriptors, name and end", done.stdout.startswith("b c 1 in 0 mine\npassed\n") and
          done.returncode == 7, done)
    done = start(scene.run, "--name", "cold", "job", "--", "/bin/true")
    check("requests: a name that is declared", done.returncode == 121 and "has a template of this name" in done.stderr, done)
    offered = complete(scene.run, "--name", "x", "jo"), complete(scene.run, "--setenv", "A", "B", "-t", ""), complete(scene.run, "--name", "")
    check("requests: completion knows the templates", offered[0] == ["job"] and "job" in offered[1] and "job" not in offered[2], offered)
    p = subprocess.Popen([BIN / "uds", "sandbox", "start", "--run-dir", scene.run, "--name", "long", "job", "--", "/bin/sleep", "1000"])
    wait_for("it runs", lambda: [row for row in listed(scene.run) if row["name"] == "long" and not row["waiting"]])
    row = next(row for row in listed(scene.run) if row["name"] == "long")
    scene.remember(row["init_pid"])
    check("requests: it is one that waited", row["init_pid"] in pool or row["init_pid"] in scene.pids, (row, pool))
    done = subprocess.run([BIN / "uds", "exec", "--run-dir", scene.run, "long", "--", "hostname"], capture_output=True, text=True)
    check("requests: uds exec finds it by that name", done.stdout == "long\n", done)
    p.kill()
    p.wait()
    wait_for("it ends with who asked for it", lambda: row["init_pid"] not in [r["init_pid"] for r in listed(scene.run)])
    p = subprocess.Popen([BIN / "uds", "sandbox", "start", "--run-dir", scene.run, "--name", "told", "job", "--", "/bin/sh", "-c",
                          "trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"], stdout=subprocess.PIPE)
    p.stdout.readline()
    p.terminate()
    check("requests: signals are passed on", p.wait(20 * PATIENCE) == 9)
    if b.find("once", "started") and "/" in b.find("once", "started")[0].get("cgroup", ""):
        done = start(scene.run, "--memory", "16M", "job", "--", "/usr/bin/tail", "/dev/zero")
        check("requests: limits hold, and OOM is told", done.returncode == 120, done)
    done = start(scene.run, "cold", "--", "/nowhere")
    check("requests: what cannot be executed", done.returncode == 122 and "/nowhere" in done.stderr, done)
    done = start(scene.run, "--name", "no/name", "cold", "--", "/bin/true")
    check("requests: a bad name", done.returncode == 121 and "name" in done.stderr, done)
    for what, words, code, text in (("declared", ["once", "--", "/bin/true"], 121, "command of its own"), ("a template", ["job"], 1, "what is to run"),
                                    ("nobody", ["other"], 1, "no broker of yours"), ("nobody's command", ["other", "--", "/bin/true"], 121, "no broker of yours")):
        done = start(scene.run, *words)
        check(f"requests: refused: {what}", done.returncode == code and text in done.stderr, done)
    b.wait("once", "ended")
    check("requests: a declared one starts", start(scene.run, "once").returncode == 0)
    b.wait("once", "ended", 2)
    done = subprocess.run([BIN / "uds", "sandbox", "start", "once", f"--run-dir={scene.run}"], capture_output=True, text=True)
    check("requests: also with the option behind its name", done.returncode == 0, done)
    b.wait("once", "ended", 3)
    wait_for("three wait again", lambda: len(waiting(scene.run)) == len(listed(scene.run)) == 3)
    descriptors = wait_for("as many as wait take", lambda: settled(b))
    hostile(scene)
    odd_controls(scene, b)
    gone_midway(scene)
    wait_for("three wait after all that", lambda: len(waiting(scene.run)) == len(listed(scene.run)) == 3)
    wait_for("the broker holds nothing of it", lambda: settled(b) == descriptors)
    check("requests: after all that it serves", start(scene.run, "job", "--", "/bin/sh", "-c", "exit 3").returncode == 3)
    check("requests: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("requests")


def whole_size(path):
    """Of a request to start: as large as struct sbx_limits makes it."""
    request = head(START) + b"job".ljust(64, b"\0") + bytes(64 + 72)
    return next((size for size in range(len(request) + 8, len(request) + 1024, 8) if ask(path, 20 * PATIENCE, request.ljust(size, b"\0"))), None)


def hostile(scene):
    """What is on the admin socket is not believed."""
    path = next((scene.run / "records").glob("*.sock"))
    null = os.open("/dev/null", os.O_RDWR)
    fields = head(START) + b"job".ljust(64, b"\0") + bytes(64 + 72)
    whole = whole_size(path)
    check("hostile: a whole request is answered", whole is not None)
    for what, data, fds in (("names without an end", head(START).ljust(whole, b"x"), 5), ("a short one", fields, 5), ("too few", fields.ljust(whole, b"\0"), 2),
                            ("too many", fields.ljust(whole, b"\0"), 200), ("limits of all ones", (fields + bytes(8)).ljust(whole, b"\xff"), 5)):
        answer = ask(path, 20 * PATIENCE, data, [null] * fds)
        check(f"hostile: {what}", answer is None or answer[0] != 0, answer)
    os.close(null)


def settled(b):
    """How many descriptors the broker has, if that is so twice."""
    before = len(os.listdir(f"/proc/{b.pid}/fd"))
    time.sleep(0.05)
    return before if len(os.listdir(f"/proc/{b.pid}/fd")) == before else None


def gone_midway(scene):
    """Who asks hangs up before, while and after it is answered, with many descriptors, and sockets that hold each other."""
    path = next((scene.run / "records").glob("*.sock"))
    request = (head(START) + b"job".ljust(64, b"\0")).ljust(whole_size(path), b"\0")
    null = os.open("/dev/null", os.O_RDWR)
    for n in range(12):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(ours, [b"x"], [ours.fileno(), null])
        if n % 3 == 0:
            ours.close()
        with connected(path, 20 * PATIENCE) as sock:
            socket.send_fds(sock, [request], [theirs.fileno(), *[null] * (100 if n % 4 == 0 else 4)])
            if n % 2:
                sock.recv(4096)
        ours.close()
        theirs.close()
    os.close(null)


def odd_controls(scene, b):
    """A control socket that is none is refused with these words, and nobody tries to wait at it."""
    path = next((scene.run / "records").glob("*.sock"))
    null, directory, place = os.open("/dev/null", os.O_RDWR), os.open("/", os.O_RDONLY), os.open("/etc/passwd", os.O_PATH)
    file, pipe, stream = os.open("/etc/passwd", os.O_RDONLY), os.pipe(), socket.socketpair()
    poll, tcp, datagram = select.epoll(), socket.socket(), socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    odd = {"a file": file, "a directory": directory, "a place": place, "a device": null, "a pipe": pipe[0], "a process": os.pidfd_open(os.getpid()),
           "an epoll": poll.fileno(), "a memfd": os.memfd_create("x"), "TCP": tcp.fileno(), "a stream": stream[0].fileno(), "datagrams": datagram[0].fileno()}
    long = subprocess.Popen([BIN / "uds", "sandbox", "start", "--run-dir", scene.run, "--name", "open", "job", "--", "/bin/sleep", "1000"])
    wait_for("it runs", lambda: [row for row in listed(scene.run) if row["name"] == "open"])
    init = next(row for row in listed(scene.run) if row["name"] == "open")["init_pid"]
    start_request = (head(START) + b"job".ljust(64, b"\0")).ljust(whole_size(path), b"\0")
    for what, fd in odd.items():
        for op, data in (("start", start_request), ("exec", head(EXEC, init))):
            err, words = ask(path, 20 * PATIENCE, data, [fd] + [null] * 4)
            check(f"odd controls: {op}: {what}", err == errno.ENOTSOCK and b"SEQPACKET" in words, (err, words))
    warnings = [line for line in b.other if "[warn]" in line or "poll" in line]
    check("odd controls: nothing of it in the log", not warnings, warnings)
    long.kill()
    long.wait()
    for fd in (null, directory, place, file, *pipe, odd["a process"], odd["a memfd"]):
        os.close(fd)
    for it in (poll, tcp, *stream, *datagram):
        it.close()


def crowd(scene):
    """More at once than wait, and a broker that is killed while it is asked."""
    b = Broker(scene, json.dumps({"templates": {"job": {"warm": 2}, "bad": {"root": {"dir": str(scene.dir)}}}})).ready()
    wait_for("two wait", lambda: len(waiting(scene.run)) == 2)
    for row in listed(scene.run):
        scene.cgroups.add(row["cgroup"])
    command = [BIN / "uds", "sandbox", "start", "--run-dir", scene.run, "job", "--", "/bin/sh", "-c"]
    crowd = [subprocess.Popen([*command, f"exit {n + 1}"], stderr=subprocess.PIPE) for n in range(16)]
    ends = [p.wait(60 * PATIENCE) for p in crowd]
    check("crowd: each gets its own", ends == list(range(1, 17)), [(p.returncode, p.stderr.read()) for p in crowd])
    bad = [subprocess.Popen([BIN / "uds", "sandbox", "start", "--run-dir", scene.run, "bad", "--", "/bin/true"], stderr=subprocess.PIPE, text=True)
           for _ in range(3)]
    told = [(p.wait(60 * PATIENCE), p.stderr.read()) for p in bad]
    check("crowd: why one cannot be made all are told who want one", all(code == 121 and "mount" in said for code, said in told), told)
    wait_for("two wait again", lambda: len(waiting(scene.run)) == 2 and len(listed(scene.run)) == 2)
    os.kill(b.pid, signal.SIGSTOP)
    p = subprocess.Popen([*command, "exit 0"], stderr=subprocess.PIPE, text=True)
    wait_for("it waits for an answer", lambda: open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "S" and
             os.readlink(f"/proc/{p.pid}/exe").endswith("/uds"))
    b.end(signal.SIGKILL)
    _, said = p.communicate(timeout=60 * PATIENCE)
    check("crowd: who asks a broker that is killed is told that", p.returncode == 121 and "has ended before it answered" in said, (p.returncode, said))
    scene.expect_nothing_left("crowd")


run_parts(Scene(), lives, ends, rootless, requests, crowd, refused)
finish()
