#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A router gone bad, as the supervisor would meet it if somebody had taken over the real one and shed its confinement. Run by
uds-broker --router; router_hostile.py copies it beside a file "support" with the path of wire.py and reads what it says:
"attack NAME: STATUS…" on stderr. The first life asks; each further one breaks the protocol in one way."""
import ctypes
import os
import pathlib
import socket
import sys
import time

here = pathlib.Path(__file__).parent
sys.path.insert(0, (here / "support").read_text())
import wire  # noqa: E402

SUPERVISOR = "uds.supervisor.Supervisor/"
OK, DENIED, QUOTA, BAD_REQUEST, UNIMPLEMENTED = 0, 4, 6, 7, 8


def say(*words):
    os.write(2, (" ".join(map(str, words)) + "\n").encode())


def uint(field, value):
    """A protobuf varint field."""
    out = bytearray([field << 3])
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


class Router(wire.Peer):
    def __init__(self):
        self.sock = socket.socket(fileno=3)
        self.sock.settimeout(20)
        self.buf, self.fds, self.next = b"", [], 1
        self.sock.sendall(wire.hello())

    def obey(self, until):
        """Answer what the supervisor asks until a frame is the one that is wanted."""
        while True:
            frame = self.recv()
            if until(frame):
                return frame
            if frame.kind == wire.REQUEST:
                self.sock.sendall(wire.frame(wire.REPLY, frame.id))

    def ask(self, method, body=b"", fds=()):
        self.next += 1
        head = wire.field(wire.F_METHOD, method)
        self.send(wire.frame(wire.REQUEST, self.next, head, body, len(fds)), fds)
        return self.obey(lambda f: f.kind == wire.REPLY and f.id == self.next)


def attest_what_lingers(r, facts):
    """A descriptor whose last close(2) waits for a minute, and the supervisor has the last."""
    sock, far = wire.lingering()
    outer = wire.wrapped(sock)
    sock.close()
    r.next += 1
    data = wire.frame(wire.REQUEST, r.next, wire.field(wire.F_METHOD, SUPERVISOR + "Attest"), facts, 1)
    r.send(data[:-1], [outer.fileno()])
    outer.close()
    r.send(data[-1:])
    r.obey(lambda f: f.kind == wire.REPLY and f.id == r.next)
    status = r.ask(SUPERVISOR + "Attest", facts).status  # is anybody there?
    far.close()
    return status


def questions(r):
    read_end, write_end = os.pipe()
    directory = os.open("/", os.O_RDONLY)
    child = os.fork()
    if child == 0:
        os._exit(0)
    dead = os.pidfd_open(child)
    os.waitpid(child, 0)
    alive = os.pidfd_open(1)
    facts = uint(1, 1)
    for name, method, body, fds in (
        ("attest nothing", "Attest", facts, []),
        ("attest a pipe", "Attest", facts, [read_end]),
        ("attest a directory", "Attest", facts, [directory]),
        ("attest the control socket", "Attest", facts, [3]),
        ("attest the dead", "Attest", facts, [dead]),
        ("attest unknown facts", "Attest", uint(1, 0xFFFFFFFF), [alive]),
        ("attest a process", "Attest", uint(1, 7), [alive]),
        ("attest garbage", "Attest", b"\xff" * 64, [alive]),
        ("attest deep", "Attest", b"\x0b" * 4000, [alive]),
        ("stats of 0", "Stats", uint(1, 0), []),
        ("stats of 2^32-1", "Stats", uint(1, 0xFFFFFFFF), []),
        ("stats of 99", "Stats", uint(1, 99), []),
        ("stats of 2^32+1", "Stats", uint(1, (1 << 32) + 99), []),
        ("stats of 1", "Stats", uint(1, 1), []),
        ("start 0", "Start", uint(1, 0), []),
        ("start 99", "Start", uint(1, 99), []),
        ("start the running", "Start", uint(1, 1), []),
        ("start the failed", "Start", uint(1, 2), []),
        ("no such verb", "Exec", b"\x0a\x07/bin/sh", []),
        ("no verb", "", b"", []),
    ):
        say(f"attack {name}:", r.ask(SUPERVISOR + method, body, fds).status)
    say("attack attest what lingers:", attest_what_lingers(r, facts))
    say("attack our own service:", r.ask("uds.supervisor.Router/Configure").status)
    say("attack no method:", r.ask("").status)


def flood(r):
    for verb, count in (("Stats", 6000), ("Start", 300)):
        statuses, begin = {}, time.monotonic()
        for _ in range(count):
            status = r.ask(SUPERVISOR + verb, uint(1, 3 if verb == "Start" else 1)).status
            statuses[status] = statuses.get(status, 0) + 1
        say(f"flood {verb}: in {(time.monotonic() - begin) * 1000:.0f} ms", *(f"{k}={v}" for k, v in sorted(statuses.items())))


def breach(r, life):
    pipes = [os.pipe()[0] for _ in range(2)]
    say("breach", life)
    if life == 1:  # over the limit of 4 KiB
        r.sock.sendall(wire.header(wire.REQUEST, 5000, 0, 0, 9))
    elif life == 2:  # 4 GiB
        r.sock.sendall(wire.header(wire.REQUEST, 0xFFFFFFFF, 0, 0, 9))
    elif life == 3:
        socket.send_fds(r.sock, [wire.frame(wire.REQUEST, 9, wire.field(wire.F_METHOD, SUPERVISOR + "Attest"), nfds=2)], pipes)
    elif life == 4:
        r.sock.sendall(b"GET / HTTP/1.1\r\n" * 4)
    elif life == 5:  # hangs up and stays
        r.sock.shutdown(socket.SHUT_RDWR)
        r.sock.close()
        ctypes.CDLL(None).pause()
    else:  # half a frame, then silence
        r.sock.sendall(wire.header(wire.REQUEST, 100, 0, 0, 9)[:11])
        ctypes.CDLL(None).pause()
    r.obey(lambda f: False)


def main():
    lives = here / "lives"
    life = int(lives.read_text()) if lives.exists() else 0
    lives.write_text(str(life + 1))
    r = Router()
    r.obey(lambda f: f.kind == wire.HELLO)
    # Not before the sandboxes are there.
    wanted = [3 if life == 0 else 0]

    def up(frame):
        if frame.kind == wire.REQUEST and frame.text(wire.F_METHOD).endswith("/AddLink"):
            wanted[0] -= 1
        if frame.kind == wire.REQUEST:
            r.sock.sendall(wire.frame(wire.REPLY, frame.id))
        return wanted[0] <= 0

    r.obey(up)
    if life == 0:
        questions(r)
        flood(r)
        say("done")
        r.obey(lambda f: False)
    breach(r, life)


main()
