#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--listen and `listen:`: sockets that are bound outside serve from a sandbox without network, and give it none."""
import atexit
import ctypes
import json
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, NOBODY, DEADLINE, Broker, Scene, check, need_root, run_parts, wait_for  # noqa: E402

need_root()
PYTHON = "/usr/bin/python3"  # the one that everybody may run
SERVER = r"""
import os, socket, sys
assert int(os.environ["LISTEN_PID"]) == os.getpid()
names = os.environ["LISTEN_FDNAMES"].split(":")
assert int(os.environ["LISTEN_FDS"]) == len(names)
socks = [socket.socket(fileno=3 + i) for i in range(len(names))]
print("up", *names, flush=True)
for name, s in zip(names, socks):
    if s.type == socket.SOCK_DGRAM:
        data, peer = s.recvfrom(100)
        s.sendto(name.encode() + b" " + data, peer)
    else:
        while True:
            c, _ = s.accept()
            data = c.recv(100)
            if data:  # not one that only looks whether somebody listens
                break
        c.sendall(name.encode() + b" " + data)
        c.close()
"""
ESCAPE = r"""
import socket
s = socket.socket(fileno=3)
c, _ = s.accept()
port = int(c.recv(100))
import ctypes, sys
other, _ = s.accept()
ctypes.CDLL(None).connect(other.fileno(), b"\0" * 16, 16)
other.bind(("127.0.0.1", 0))
other.listen()
print("elsewhere", other.getsockname()[1], flush=True)
sys.stdin.readline()
for sock in (c, s):
    try:
        sock.shutdown(socket.SHUT_RDWR)
        if sock is c:  # connect to nowhere: tcp_disconnect()
            import ctypes
            ctypes.CDLL(None).connect(c.fileno(), b"\0" * 16, 16)
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
    except BlockingIOError:
        pass
    sock.settimeout(0.5)
    try:
        got = sock.recv(100) if sock.getpeername() else b""
    except OSError as e:
        got = b""
    print("got", got, flush=True)
"""


# Unmade, it knocks at the door of who conspires with it, and goes on knocking.
KNOCK = r"""
import socket, sys
s = socket.socket(fileno=3)
host = int(sys.stdin.readline())
s.shutdown(socket.SHUT_RDWR)
s.settimeout(1.5)
try:
    s.connect(("127.0.0.1", host))
    print("got", s.recv(100), flush=True)
except OSError as e:
    print("nothing", flush=True)
"""


def run(scene, *args, code=SERVER, uid=0):
    extra = {"user": uid, "group": uid, "extra_groups": [], "env": {"XDG_RUNTIME_DIR": str(scene.dir / "nobody")}}
    p = subprocess.Popen([scene.program("uds", uid), "run", *([] if uid else ["--run-dir", scene.run]), *args, "--",
                          PYTHON, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, **(extra if uid else {}))
    atexit.register(p.kill)
    return p


def up(p):
    """Its first line; the address of each socket whose port the kernel chose."""
    line = p.stdout.readline().split()
    check("it is up", line[:1] == ["up"], line or p.stderr.read())
    return line[1:]


def port_of(p):
    line = p.stderr.readline()
    if "only root seal it" in line:  # of the one before
        line = p.stderr.readline()
    check("the port is told", "listening on" in line, line)
    return int(line.rsplit(":", 1)[1])


def ask(family, kind, address, text=b"hi"):
    with socket.socket(family, kind) as s:
        s.settimeout(DEADLINE)
        s.connect(address)
        s.send(text)
        return s.recv(100)


def finish(p):
    out, err = p.communicate(timeout=DEADLINE)
    check("it ends with 0", p.returncode == 0, err)
    return out


def inet(scene):
    p = run(scene, "--listen", "web=tcp:localhost:0", "--listen", "six=tcp:[::1]:0", "--listen", "dns=udp:127.0.0.1:0")
    ports = [port_of(p) for _ in range(3)]
    check("names in their order", up(p) == ["web", "six", "dns"])
    check("tcp", ask(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", ports[0])) == b"web hi")
    check("tcp on IPv6", ask(socket.AF_INET6, socket.SOCK_STREAM, ("::1", ports[1])) == b"six hi")
    check("udp", ask(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", ports[2])) == b"dns hi")
    finish(p)
    p = run(scene, "--listen", "any=tcp:*:0", code=SERVER)
    port = port_of(p)
    up(p)
    busy = run(scene, "--listen", f"any=tcp:127.0.0.1:{port}")
    err = busy.communicate(timeout=DEADLINE)[1]
    check("an address in use is named", busy.returncode == 121 and f"tcp:127.0.0.1:{port}: Address already in use" in
          err and "somebody listens there" in err, err)
    check("* is IPv4 as well", ask(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)) == b"any hi")
    finish(p)


def paths(scene):
    path, records, grams = (str(scene.dir / name) for name in ("s", "r,1", "d"))
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    p = run(scene, "--listen", f"s=unix:{path},mode=0666,backlog=7", "--listen", f"r=seqpacket:{records},mode=0600",
            "--listen", f"d=dgram:{grams}", "--listen", f"a=unix:@uds-listen-{os.getpid()}")
    check("names", up(p) == ["s", "r", "d", "a"])
    check("a stale file is taken over, with the mode", stat.S_IMODE(os.stat(path).st_mode) == 0o666)
    check("the usual mode", stat.S_IMODE(os.stat(grams).st_mode) == 0o600)
    busy = run(scene, "--listen", f"s=unix:{path}")
    err = busy.communicate(timeout=DEADLINE)[1]
    check("a live one is not", busy.returncode == 121 and "somebody listens there" in err, err)
    check("unix", ask(socket.AF_UNIX, socket.SOCK_STREAM, path) == b"s hi")
    check("seqpacket, and a comma in its name", ask(socket.AF_UNIX, socket.SOCK_SEQPACKET, records) == b"r hi")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(f"\0uds-listen-{os.getpid()}-peer")  # in this network namespace: where the socket is from
        s.settimeout(DEADLINE)
        s.sendto(b"hi", grams)
        check("dgram", s.recv(100) == b"d hi")
    check("abstract", ask(socket.AF_UNIX, socket.SOCK_STREAM, f"\0uds-listen-{os.getpid()}") == b"a hi")
    finish(p)
    left = [f for f in (path, records, grams) if os.path.exists(f)]
    check("the files go with it", not left, left)
    # Killed in the middle, the cleaner removes them.
    p = run(scene, "--listen", f"s=unix:{path}")
    up(p)
    p.send_signal(signal.SIGKILL)
    p.communicate(timeout=DEADLINE)
    wait_for("the file is gone", lambda: not os.path.exists(path), DEADLINE)


def refused(scene):
    (scene.dir / "file").write_text("x")
    for address, words in ((f"unix:{scene.dir}/file", "what is there is no socket"),
                           (f"unix:{scene.dir}/no/s", "its directory does not exist"),
                           ("tcp:203.0.113.1:0", "no interface here has that address"),
                           ("tcp:example.org:80", "names are not looked up"), ("tcp:::1:80", "use HOST:PORT"),
                           ("tcp:127.0.0.1:65536", "use HOST:PORT"), ("tcp:127.0.0.1:1,mode=0600", "mode is for paths"),
                           ("unix:/x,netns=y", "lies in no network namespace"), ("unix:/x,mode=9", "use permissions"),
                           ("tcp:127.0.0.1:0,netns=nobody-has-this", "no such network namespace"),
                           ("unix:x", "use an absolute path"), ("fd:3", "use tcp:HOST:PORT"), ("", "use tcp:HOST:PORT")):
        p = run(scene, "--listen", "x=" + address)
        err = p.communicate(timeout=DEADLINE)[1]
        check(f"refused: {address}", p.returncode == 121 and words in err and address in err, err)
    p = run(scene, "--listen", "web")
    check("a name is needed", "is not NAME=ADDRESS" in p.communicate(timeout=DEADLINE)[1])
    (scene.dir / "nobody").mkdir(mode=0o700)
    os.chown(scene.dir / "nobody", NOBODY, NOBODY)
    p = run(scene, "--listen", "web=tcp:127.0.0.1:1", uid=NOBODY)
    check("a port of root's", "ip_unprivileged_port_start" in p.communicate(timeout=DEADLINE)[1])
    p = run(scene, "--degrade=cgroup", "--listen", "web=tcp:127.0.0.1:0", uid=NOBODY)
    port = port_of(p)
    up(p)
    check("rootless", ask(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)) == b"web hi")
    finish(p)


def no_way_out(scene):
    """A TCP listener, and a connection that came through it, must not become a connection to the host's network."""
    with socket.socket() as host:
        host.bind(("127.0.0.1", 0))
        host.listen()
        host.settimeout(0)
        p = run(scene, "--listen", "web=tcp:127.0.0.1:0", code=ESCAPE)
        port = port_of(p)
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as c, socket.create_connection(("127.0.0.1", port)):
            c.sendall(str(host.getsockname()[1]).encode())
            line = p.stdout.readline().split()
            check("it listens elsewhere", line[:1] == ["elsewhere"], line)
            try:
                socket.create_connection(("127.0.0.1", int(line[1])), 0.5).close()
                check("and nobody gets through", False)
            except TimeoutError:
                pass
            p.stdin.write("\n")
            out = finish(p)
        check("nothing was received", out == "got b''\ngot b''\n", out)
        try:
            host.accept()
            check("nobody has connected", False)
        except BlockingIOError:
            pass


def no_simultaneous_open(scene):
    """Who conspires with the payload does not answer its SYN, but sends one of its own: a connection for both of them. A
    port that the kernel chose is another after shutdown(2), so it takes one that was named."""
    p = run(scene, "--listen", "web=tcp:127.0.0.1:18124", code=KNOCK)
    with socket.socket() as silent, socket.socket() as host:
        for s in silent, host:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        silent.bind(("127.0.0.1", 0))
        drop = ctypes.create_string_buffer(struct.pack("<HBBI", 0x06, 0, 0, 0), 8)  # BPF_RET 0: nobody is refused, nobody answered
        silent.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HxxxxxxP", 1, ctypes.addressof(drop)))
        silent.listen()
        host.bind(silent.getsockname())
        p.stdin.write(f"{host.getsockname()[1]}\n")
        p.stdin.flush()
        wait_for("it knocks", lambda: f":{host.getsockname()[1]:04X} 02" in pathlib.Path("/proc/net/tcp").read_text(), DEADLINE)
        host.settimeout(1)
        try:
            host.connect(("127.0.0.1", 18124))
            host.sendall(b"it is out")
        except OSError:
            pass
        out = finish(p)
    check("nobody is let out", out == "nothing\n", out)


def elsewhere(scene):
    """An address of another network namespace: nobody answers there from here."""
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec cat"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    p = run(scene, "--listen", f"web=tcp:127.0.0.1:18123,netns={holder.pid}")
    up(p)
    try:
        ask(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 18123))
        check("not here", False)
    except ConnectionRefusedError:
        pass
    got = subprocess.run(["nsenter", "-t", str(holder.pid), "-n", PYTHON, "-c",
                          "import socket; s = socket.create_connection(('127.0.0.1', 18123)); s.send(b'hi'); "
                          "print(s.recv(100))"], capture_output=True, text=True, timeout=DEADLINE).stdout
    check("but there", got == "b'web hi'\n", got)
    finish(p)
    holder.communicate(timeout=DEADLINE)


def stack(scene):
    """The broker keeps the socket while the sandbox is down: who connects then is served by its next life."""
    path = scene.dir / "s"
    b = Broker(scene, f"""
sandboxes:
  web:
    command: [{PYTHON}, -c, {json.dumps(SERVER)}]
    listen: {{a: "unix:{path}"}}
    restart: always
  dead: {{command: [/bin/sh, -c, "exit 1"], listen: {{x: "unix:{path}2"}}}}
""").ready()
    for life in range(3):  # it ends after each answer
        check(f"life {life}", ask(socket.AF_UNIX, socket.SOCK_STREAM, str(path)) == b"a hi")
    wait_for("who has failed for good listens no more", lambda: not pathlib.Path(f"{path}2").exists(), DEADLINE)
    check("it ends with 0", b.end() == 0, b.log())
    check("the file is gone", not path.exists())
    scene.expect_nothing_left("stack")


def on_demand(scene):
    """Who ends well is started again by who wants it, and not before."""
    path = scene.dir / "s"
    b = Broker(scene, f"""
sandboxes:
  web:
    command: [{PYTHON}, -c, {json.dumps(SERVER)}]
    listen: {{a: "unix:{path}"}}
""").ready()
    check("its first life", ask(socket.AF_UNIX, socket.SOCK_STREAM, str(path)) == b"a hi")
    b.wait("web", "ended")
    check("is the only one", len(b.find("web", "started")) == 1, b.log())
    check("until somebody comes", ask(socket.AF_UNIX, socket.SOCK_STREAM, str(path)) == b"a hi")
    check("the second", len(b.find("web", "started")) == 2, b.log())
    check("it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("on demand")


def stack_refused(scene):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        address = f"tcp:127.0.0.1:{s.getsockname()[1]}"
        for entry, words in ((f"{{a: \"{address}\"}}", f"sandbox web: listen: {address}: Address already in use"),
                             ("{a: tcp:x}", "field 'sandboxes.web.listen.a'"), ("{\"a:b\": \"tcp:*:1\"}", "no name for a socket"),
                             ("[1]", "must be a map")):
            b = Broker(scene, f"sandboxes: {{web: {{command: [/bin/true], listen: {entry}}}}}\n")
            check("it does not start", b.process.wait(DEADLINE) != 0)
            b.reader.join()
            check(f"and says {words}", words in b.log(), b.log())


run_parts(Scene(), inet, paths, refused, no_way_out, no_simultaneous_open, elsewhere, stack, on_demand, stack_refused)
