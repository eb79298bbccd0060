#!/usr/bin/env python3
"""A peer that breaks the protocol harms nobody but itself.

One broker, one honest pair (a server and a caller). After every attack the pair exchanges a call, the attacker must
have been cut off (or still be ignored, where silence is its attack), and in the end the router has the descriptors and
the memory that it had before.
"""
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import wire
from wire import Peer, lingering, wrapped

BIN = os.environ["UDS_BIN"]
ROUTER = 0


def children(pid):
    return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]


def router_of(broker):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for pid in children(broker):
            if open(f"/proc/{pid}/comm").read().strip() == "uds-router":
                return pid
        time.sleep(0.01)  # polling a condition with a deadline
    sys.exit("no uds-router among the broker's children")


class Pair:
    """An honest server and an honest caller."""

    def __init__(self, path):
        self.server, self.caller, self.count = Peer(path), Peer(path), 0
        self.server.send(wire.frame(wire.SUBSCRIBE, 1, wire.field(wire.F_SUBJECT, "honest") + wire.u32(wire.F_MODE, 1)))
        ack = self.server.expect(wire.ACK)
        assert ack.status == 0, (ack.status, ack.text(wire.F_DETAIL))

    def call(self):
        self.count += 1
        body = b"call %d" % self.count
        self.caller.send(wire.frame(wire.REQUEST, self.count, wire.field(wire.F_SUBJECT, "honest"), body))
        request = self.server.expect(wire.REQUEST)
        assert request.body == body
        self.server.send(wire.frame(wire.REPLY, request.id, body=body[::-1]))
        reply = self.caller.expect(wire.REPLY)
        assert (reply.id, reply.status, reply.body) == (self.count, 0, body[::-1])


def memfds(count):
    return [os.memfd_create(f"x{i}") for i in range(count)]


def attack_garbage(path):
    p = Peer(path, greet=False)
    p.send(os.urandom(4096).replace(b"\xd5", b"\x00"))
    p.wait_closed()
    p.close()


def attack_garbage_after_hello(path):
    p = Peer(path)
    p.send(b"\x00" * 64)
    p.wait_closed()
    p.close()


def attack_wrong_version(path):
    p = Peer(path, greet=False)
    p.send(wire.header(wire.HELLO, version=9))
    p.wait_closed()
    p.close()


def attack_no_hello(path):
    p = Peer(path, greet=False)
    p.send(wire.frame(wire.PUBLISH, 1, wire.field(wire.F_SUBJECT, "x")))
    p.wait_closed()
    p.close()


def attack_reserved_bits(path):
    for extra in ({"flags": 1}, {"reserved": 1}):
        p = Peer(path)
        p.send(wire.header(wire.PUBLISH, **extra))
        p.wait_closed()
        p.close()


def attack_length_4gib(path):
    p = Peer(path)
    p.send(wire.header(wire.PUBLISH, body_len=0xFFFFFFFF, head_len=0))
    p.wait_closed()
    p.close()


def attack_head_of_64k(path):
    p = Peer(path)
    p.send(wire.header(wire.PUBLISH, head_len=0xFFFF) + b"A" * 0xFFFF)
    p.wait_closed()
    p.close()


def attack_malformed_head(path):
    head = struct.pack("<HH", wire.F_SUBJECT, 500) + b"short"
    p = Peer(path)
    p.send(wire.frame(wire.PUBLISH, 1, head))
    p.wait_closed()
    p.close()


def attack_fds_254(path):
    fds = memfds(2)
    p = Peer(path)
    try:
        socket.send_fds(p.sock, [wire.frame(wire.PUBLISH, 1, nfds=254)], [fds[0]] * 254)
        sys.exit("the kernel took 254 fds: SCM_MAX_FD is not 253 here")
    except OSError as e:
        assert e.errno == 22, e  # EINVAL
    # What a peer *can* do: say 254 in the header, or send 253 where 16 are accepted.
    p.send(wire.frame(wire.PUBLISH, 1, wire.field(wire.F_SUBJECT, "x"), nfds=254), [fds[0]] * 253)
    p.wait_closed()
    p.close()
    p = Peer(path)
    p.send(wire.frame(wire.PUBLISH, 1, wire.field(wire.F_SUBJECT, "x"), nfds=253), [fds[0]] * 253)
    p.wait_closed()
    p.close()
    for fd in fds:
        os.close(fd)


def attack_lying_fd_count(path):
    fds = memfds(3)
    head = wire.field(wire.F_SUBJECT, "x")
    for said, given in ((2, 1), (1, 2), (0, 1), (1, 3)):
        p = Peer(path)
        p.send(wire.frame(wire.PUBLISH, 1, head, nfds=said), fds[:given])
        p.wait_closed()
        p.close()
    p = Peer(path)  # announces one, sends none, and goes on talking
    p.send(wire.frame(wire.PUBLISH, 1, head, nfds=1) + wire.frame(wire.PUBLISH, 2, head))
    p.wait_closed()
    p.close()
    for fd in fds:
        os.close(fd)


def attack_fds_mid_frame(path):
    """Whether one receive or two see this is the scheduler's choice: fds by the first byte's receive, or a broken rule."""
    (fd,) = memfds(1)
    data = wire.frame(wire.PUBLISH, 1, wire.field(wire.F_SUBJECT, "x"), b"B" * 100, nfds=1)
    p = Peer(path)
    p.send(data[:30])
    p.send(data[30:], [fd])
    try:
        p.expect(wire.ACK)
    except wire.Closed:
        pass
    p.close()
    os.close(fd)


def attack_dies_mid_frame(path):
    for cut in (1, 12, 24, 40):
        p = Peer(path)
        p.send(wire.frame(wire.PUBLISH, 1, wire.field(wire.F_SUBJECT, "x"), b"B" * 100)[:cut])
        p.close()


def attack_dies_mid_frame_with_fds(path):
    (fd,) = memfds(1)
    p = Peer(path)
    p.send(wire.frame(wire.PUBLISH, 1, wire.field(wire.F_SUBJECT, "x"), b"B" * 100, nfds=1)[:30], [fd])
    p.close()
    os.close(fd)


def attack_forged_replies(path):
    """Replies to calls that this peer never received, among them the broker's likely next ids."""
    p = Peer(path)
    for ident in [*range(1, 64), 1 << 40]:
        p.send(wire.frame(wire.REPLY, ident, body=b"forged"))
    p.send(wire.frame(wire.REQUEST, 7, wire.field(wire.F_SUBJECT, "nobody.here")))
    try:
        while p.recv().kind != wire.REPLY:
            pass
    except wire.Closed:
        pass  # cutting it off is as good as ignoring it
    p.close()


def attack_subscribe_flood(path):
    p = Peer(path)
    refused = 0
    for i in range(1, 40001):
        head = wire.field(wire.F_SUBJECT, f"flood.{i}")
        try:
            p.send(wire.frame(wire.SUBSCRIBE, i, head))
            if i % 500 == 0:
                while True:
                    ack = p.recv()
                    refused += ack.status == 6
                    if ack.id == i:
                        break
        except (wire.Closed, OSError):
            refused += 1
            break
        if refused:
            break
    p.close()
    assert refused, "40000 subscriptions of one peer met no quota"


def attack_never_reads(path):
    """Calls and never takes an answer."""
    p = Peer(path)
    p.sock.setblocking(False)
    data = wire.frame(wire.REQUEST, 5, wire.field(wire.F_SUBJECT, "nobody.here"), b"x" * 1000)
    sent = 0
    deadline = time.monotonic() + 3
    while sent < 8 << 20 and time.monotonic() < deadline:
        try:
            sent += p.sock.send(data * 16)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    return p  # kept open: the pair must go on beside it


def publish_and_close(p, sock, ident=1):
    """The broker has the last reference: it keeps the socket while the frame is not whole."""
    data = wire.frame(wire.PUBLISH, ident, wire.field(wire.F_SUBJECT, "nobody"), b"x", nfds=1)
    p.send(data[:-1], [sock.fileno()])
    sock.close()
    p.send(data[-1:])


def attack_socket_that_lingers(path):
    """What the broker closes last must not be waited for, whatever its sender has set."""
    p = Peer(path)
    sock, far = lingering()
    publish_and_close(p, sock)
    p.expect(wire.ACK)
    p.close()
    far.close()


def attack_socket_that_lingers_in_a_socket(path):
    p = Peer(path)
    far = []
    for ident in range(1, 200):
        sock, other = lingering()
        far.append(other)
        outer = wrapped(sock)
        sock.close()
        publish_and_close(p, outer, ident)
    while p.recv().id != ident:
        pass
    p.close()
    for sock in far:
        sock.close()


def attack_connection_with_one_that_lingers(path):
    """It lies unread in the connection's queue when the broker closes that, for its garbage."""
    p = Peer(path)
    sock, far = lingering()
    os.kill(ROUTER, signal.SIGSTOP)  # as one that is busy, but surely
    (other,) = memfds(1)
    p.send(b"\0" * 24, [other])
    p.send(b"\0" * 24, [sock.fileno()])
    sock.close()
    os.close(other)
    os.kill(ROUTER, signal.SIGCONT)
    p.wait_closed()
    p.close()
    return far  # while it does not read, the socket lingers


def attack_half_frame_and_silence(path):
    p = Peer(path)
    p.send(wire.frame(wire.PUBLISH, 1, wire.field(wire.F_SUBJECT, "x"), b"B" * 100)[:40])
    return p


def attack_big_promise_and_silence(path):
    p = Peer(path)
    p.send(wire.header(wire.PUBLISH, body_len=16 << 20, head_len=0, ident=1))
    return p


def stay_silent(path):
    """Fills what one user may have of connections, without a word: all of them end, and soon."""
    before, silent = time.monotonic(), []
    for _ in range(200):
        silent.append(Peer(path, greet=False))
    for p in silent:
        p.sock.settimeout(20)
        p.wait_closed()
        p.close()
    assert 8 < time.monotonic() - before < 15, time.monotonic() - before


def check_watches_copies(pid):
    """Where the kernel lets anybody watch memfds (fanotify), the confined router does."""
    group = ctypes.CDLL(None).fanotify_init(0x200 | 2 | 1, 0)  # FAN_REPORT_FID | FAN_NONBLOCK | FAN_CLOEXEC
    if group < 0:
        print("    no fanotify here: not checked that the router uses it")
        return
    os.close(group)
    names = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
    assert "anon_inode:[fanotify]" in names, names


def rss_kib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def count_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def main():
    global ROUTER
    with tempfile.TemporaryDirectory(prefix="uds-hostile.") as tmp:
        path = f"{tmp}/b.sock"
        ready_r, ready_w = os.pipe()
        broker = subprocess.Popen([f"{BIN}/uds-broker", "--listen", f"unix:{path}", "--run-dir", f"{tmp}/run",
                                   "--ready-fd", str(ready_w)], pass_fds=[ready_w])
        os.close(ready_w)
        try:
            assert os.read(ready_r, 1), "the broker did not become ready"
            router = router_of(broker.pid)
            ROUTER = router
            pair = Pair(path)
            pair.call()
            check_watches_copies(router)
            fds_before, rss_before = count_fds(router), rss_kib(router)
            silent = []
            for name, attack in [(n, f) for n, f in globals().items() if n.startswith("attack_")]:
                kept = attack(path)
                if kept:
                    silent.append(kept)
                pair.call()
                print(f"ok  {name[7:].replace('_', ' ')}", flush=True)
            stay_silent(path)
            pair.call()
            print("ok  200 that never greet", flush=True)
            assert router_of(broker.pid) == router, "the router was replaced: an attack killed it"
            for p in silent:
                p.close()
            deadline = time.monotonic() + 10
            while count_fds(router) != fds_before and time.monotonic() < deadline:
                time.sleep(0.01)
            assert count_fds(router) == fds_before, f"router fds: {fds_before} before, {count_fds(router)} after"
            grown = rss_kib(router) - rss_before
            if os.environ.get("UDS_SANITIZED") != "1":  # ASan's quarantine keeps freed memory
                assert grown < 32 << 10, f"router grew by {grown} KiB"
            print(f"router: {fds_before} fds as before, {grown} KiB more memory")
        finally:
            broker.terminate()
            try:
                broker.wait(10)
            except subprocess.TimeoutExpired:
                broker.kill()
                broker.wait()
                raise
        assert not os.path.exists(path), "socket file left behind"


main()
