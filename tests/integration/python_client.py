#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Python client of examples/python, written from docs/protocol.md alone, against C on the other side: a plain peer
(test-echo) over stream and records, then a broker."""
import importlib.util
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

BIN = pathlib.Path(os.environ["UDS_BIN"])
SOURCE = pathlib.Path(os.environ["UDS_SOURCE"])
spec = importlib.util.spec_from_file_location("uds_client", SOURCE / "examples/python/uds_client.py")
uds = importlib.util.module_from_spec(spec)
spec.loader.exec_module(uds)


def open_fds():
    return sorted(os.listdir("/proc/self/fd"))


def pipe_with(data):
    """The read end of a pipe that holds data."""
    r, w = os.pipe()
    os.write(w, data)
    os.close(w)
    return r


def expect(what, condition):
    if not condition:
        raise AssertionError(what)


def expect_refused(status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except uds.Refused as refused:
        expect(f"status {status}, not {refused}", refused.status == status)
        return refused
    raise AssertionError(f"{call.__name__} was not refused")


# ---- a plain peer ----

def echo_messages(client):
    got = []

    def on_message(frame):
        got.append((frame.id, frame.body, frame.headers(), [os.read(fd, 100) for fd in frame.fds]))

    client.on_message = on_message
    head = uds.field(uds.HEADER, b"k\0v") + uds.field(0x8005, b"skipped")
    fds = [pipe_with(b"first"), pipe_with(b"second")]
    client.send(uds.MESSAGE, 7, head, b"body", fds)
    for fd in fds:
        os.close(fd)
    client.send(uds.MESSAGE, 8)
    while len(got) < 2:
        expect("an echo", client.process(10))
    expect(f"message with head, body and fds: {got[0]}", got[0] == (7, b"body", [(b"k", b"v")], [b"first", b"second"]))
    expect("empty message", got[1] == (8, b"", [], []))


def echo_requests(client):
    fd = pipe_with(b"cargo")
    reply = client.request(None, b"question", method="any", fds=[fd], timeout=10)
    os.close(fd)
    expect("body of the reply", reply.body == b"question")
    expect("fd of the reply", [os.read(f, 100) for f in reply.fds] == [b"cargo"])
    reply.close_fds()
    refused = expect_refused(1007, client.request, None, b"words", method="fail")
    expect("value and words", refused.value == 42 and "words" in str(refused))
    try:
        client.request(None, b"", method="silence", timeout=0.05)
        raise AssertionError("silence was answered")
    except TimeoutError:
        pass
    # The connection goes on after a deadline.
    expect("a request after a deadline", client.request(None, b"x", timeout=10).body == b"x")


def echo_large(client):
    body = os.urandom(3 << 20)
    got = []
    client.on_message = lambda frame: got.append(frame.body)
    sender = threading.Thread(target=client.send, args=(uds.MESSAGE, 1, b"", body))
    sender.start()
    expect("a large echo", client.process(30))
    sender.join()
    expect("three megabytes come back", got == [body])


def limits(client):
    expect("what the peer takes", (client.peer_max_body, client.peer_max_fds) == (16 << 20, 16))
    for call in (lambda: client.send(uds.MESSAGE, body=bytes((16 << 20) + 1)), lambda: client.send(uds.MESSAGE, fds=[0] * 17)):
        try:
            call()
            raise AssertionError("a message over the limits was sent")
        except ValueError:
            pass


def fds_ride_on_first_bytes(address):
    """What C sends, looked at byte by byte."""
    sock = uds.connect(address)
    hello = uds.FORMAT.pack(0xD5, 1, uds.HELLO, 0, 0, 16, 0, 0, 0) + uds.u32(32, 1 << 20) + uds.u32(33, 16)
    frames = []
    for nfds in (0, 1, 0, 2, 1, 0, 0):
        frames.append((uds.FORMAT.pack(0xD5, 1, uds.MESSAGE, 0, 3, 0, nfds, 0, 1) + b"abc", nfds))
    sock.sendall(hello)
    for data, nfds in frames:
        socket.send_fds(sock, [data], [0] * nfds) if nfds else sock.sendall(data)
    # Its HELLO, then the frames back; a fd may come with the first byte of a frame that claims it, and nowhere else.
    length = uds.FORMAT.unpack(sock.recv(24, socket.MSG_PEEK | socket.MSG_WAITALL))[5]
    at, want = 0, [(0, 24 + length)] + [(n, len(d)) for d, n in frames]
    for nfds, length in want:
        for i in range(length):
            data, fds, flags, _ = socket.recv_fds(sock, 1, 253)
            for fd in fds:
                os.close(fd)
            expect(f"{len(fds)} fds at byte {i} of frame {at}", len(data) == 1 and len(fds) == (nfds if i == 0 else 0))
            expect("nothing cut off", not flags & socket.MSG_CTRUNC)
        at += 1
    sock.close()


def with_echo(address):
    echo = subprocess.Popen([BIN / "test" / "test-echo", address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        expect("test-echo listens", echo.stdout.readline() == "ready\n")
        client = uds.Client(address)
        echo_messages(client)
        echo_requests(client)
        limits(client)
        client.close()
        if address.startswith("unix:"):
            client = uds.Client(address)
            echo_large(client)
            client.close()
            fds_ride_on_first_bytes(address)  # P-20
    finally:
        echo.stdin.close()
        expect("test-echo ends well", echo.wait(10) == 0)
        echo.stdout.close()


# ---- a broker ----

def pump(client, condition, what):
    end = time.monotonic() + 10
    while not condition():
        expect(what, time.monotonic() < end)
        client.process(0.1)


def publish_and_subscribe(address):
    a, b = uds.Client(address), uds.Client(address)
    got = []
    b.subscribe("py.*.temp", lambda m: got.append((m.text(uds.SUBJECT), m.body, m.number(uds.SEQUENCE), m.text(uds.SENDER), m.headers())))
    for i in range(3):
        a.publish(f"py.room{i}.temp", b"%d" % i, headers=[(b"unit", b"C")])
    a.publish("py.room.humidity", b"no")
    pump(b, lambda: len(got) == 3, "three deliveries")
    expect("subjects and bodies in order", [g[:2] for g in got] == [(f"py.room{i}.temp", b"%d" % i) for i in range(3)])
    expect("sequence counts from 1", [g[2] for g in got] == [1, 2, 3])  # P-28
    expect(f"the broker's word for us: {got[0][3]}", all(g[3] == f"uid:{os.getuid()}" for g in got))
    expect("headers", all(g[4] == [(b"unit", b"C")] for g in got))

    # A sender that writes SENDER itself: refused or overwritten, but nobody gets to read it.
    head = uds.field(uds.SUBJECT, "py.forged.temp") + uds.field(uds.SENDER, "sandbox:trusted")
    try:
        a.ask(uds.PUBLISH, head, b"forged", timeout=10)
    except uds.Refused:
        pass
    a.publish("py.last.temp", b"last")
    pump(b, lambda: got[-1][1] == b"last", "the last delivery")
    expect("a forged sender", all(g[3] == f"uid:{os.getuid()}" for g in got))  # P-29

    # A wildcard alone does not reach the broker's own subjects: no refusal, but no match either.
    seen = []
    b.subscribe(">", lambda m: seen.append(m.text(uds.SUBJECT)))
    a.publish("py.end", b"")
    pump(b, lambda: "py.end" in seen, "a delivery by '>'")
    expect("only plain subjects", not [s for s in seen if s.startswith("$")])

    for subject in ("", "a..b", ".a", "a.", "a b", "a.*", ">"):
        expect_refused(uds.BAD_REQUEST, a.publish, subject)  # P-26
        expect_refused(uds.BAD_REQUEST, a.request, subject, timeout=10)
    expect_refused(uds.BAD_REQUEST, a.subscribe, "a.>.b", print)
    a.close()
    b.close()


def queue_groups(address):
    a = uds.Client(address)
    counts = [0, 0]

    def counter(i):
        def count(_):
            counts[i] += 1
        return count

    a.subscribe("py.job", counter(0), queue="workers")
    a.subscribe("py.job", counter(1), queue="workers")
    for _ in range(10):
        a.publish("py.job")
    pump(a, lambda: sum(counts) >= 10, "ten jobs")
    expect("nobody else gets one", not a.process(0.05) and sum(counts) == 10)
    a.close()


def request_and_serve(address):
    client, server = uds.Client(address), uds.Client(address)
    expect_refused(3, client.request, "py.service", timeout=10)  # P-30
    senders = []

    def handler(frame):
        senders.append(frame.text(uds.SENDER))
        if frame.text(uds.METHOD) == "fail":
            return 1234, b"", ()
        if frame.text(uds.METHOD) == "headers":
            return uds.OK, repr(frame.headers()).encode(), ()
        if frame.text(uds.METHOD) == "raise":
            raise ZeroDivisionError
        return uds.OK, frame.body.upper(), [os.dup(fd) for fd in frame.fds]

    ident = server.serve("py.service", handler)
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            try:
                server.process(0.02)
            except ZeroDivisionError:
                senders.append("raised")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        memfd = os.memfd_create("cargo", os.MFD_ALLOW_SEALING)
        os.write(memfd, b"sealed")
        import fcntl
        fcntl.fcntl(memfd, 1033, 0x1 | 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: seal, shrink, grow, write
        reply = client.request("py.service", b"shout", method="any", fds=[memfd], timeout=10)
        expect("the reply's body", reply.body == b"SHOUT")
        expect("the reply's fd", [os.pread(fd, 10, 0) for fd in reply.fds] == [b"sealed"])
        reply.close_fds()
        os.close(memfd)
        expect("the server knows who asked", senders == [f"uid:{os.getuid()}"])
        headers = [(b"trace", b"17"), (b"trace", b"18"), (b"empty", b"")]
        reply = client.request("py.service", method="headers", headers=headers, timeout=10)
        expect("headers of a request, in their order", reply.body == repr(headers).encode())
        expect_refused(1234, client.request, "py.service", method="fail", timeout=10)
        expect_refused(uds.INTERNAL, client.request, "py.service", method="raise", timeout=10)
    finally:
        stop.set()
        thread.join()
    expect("who runs the server hears of the exception", senders[-1] == "raised")
    server.ask(uds.UNSUBSCRIBE, ident=ident)
    expect_refused(3, client.request, "py.service", timeout=10)
    client.close()
    server.close()


def streams(address):
    """Parts of `uds reply --stream`, more than the window many times over; a refusal after some; one taken back."""
    command = 'case "$UDS_METHOD" in fail) echo one; exit 3;; endless) while echo on; do :; done;; esac; seq 1 500'
    server = subprocess.Popen([BIN / "uds", "reply", "--to", address, "--verbose", "--stream", "py.stream", "--", "sh", "-c", command],
                              stderr=subprocess.PIPE, text=True)
    try:
        expect("uds reply serves", "serving" in server.stderr.readline())
        client = uds.Client(address)
        got = []
        client.request("py.stream", timeout=30, window=4, on_part=lambda part: got.append(int(part.body)))
        expect("all parts in order", got == list(range(1, 501)))
        got = []
        refused = expect_refused(9, client.request, "py.stream", method="fail", timeout=30, on_part=lambda part: got.append(part.body))
        expect("what came before the failure", got == [b"one"] and refused is not False)
        got = []
        try:
            client.request("py.stream", method="endless", timeout=3 if "UDS_VM" in os.environ else 0.3, on_part=lambda part: got.append(part.body))
            raise AssertionError("a stream without an end ended")
        except TimeoutError:
            pass
        except uds.Refused as refused:  # the deadline travels: the broker may be first to see that it is over
            expect(f"the deadline's status, not {refused}", refused.status == 2)
        expect("parts before the deadline", len(got) > 16)
        plain = client.request("py.stream", timeout=30)
        expect("the same in one reply, after a stream that was taken back", plain.body.count(b"\n") == 500)
        client.close()
    finally:
        server.terminate()
        server.wait(20)
        server.stderr.close()


def default_address(directory):
    saved = dict(os.environ)
    socket_file = pathlib.Path(directory, "uds/broker.sock")
    try:
        os.environ.pop("UDS_BROKER", None)
        os.environ["XDG_RUNTIME_DIR"] = directory
        expect("the system's broker", uds.default_address() == "/run/uds/broker.sock")
        socket_file.parent.mkdir()
        socket_file.touch()
        expect("the user's broker", uds.default_address() == str(socket_file))
        os.environ["UDS_BROKER"] = "unix:@named"
        expect("the broker that was named", uds.default_address() == "unix:@named")
    finally:
        os.environ.clear()
        os.environ.update(saved)


def poor_hellos():
    """What the C side never sends: refused, with the rule's number."""
    good = uds.u32(uds.MAX_BODY, 1 << 20) + uds.u32(uds.MAX_FDS, 16)
    for head, ident, kind, rule in ((good, 0, uds.MESSAGE, "P-12"), (good, 1, uds.HELLO, "P-14"), (b"", 0, uds.HELLO, "P-15"),
                                    (uds.u32(uds.MAX_BODY, 1 << 20) + uds.u32(uds.MAX_FDS, 254), 0, uds.HELLO, "P-15")):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(uds.FORMAT.pack(0xD5, 1, kind, 0, 0, len(head), 0, 0, ident) + head)
            try:
                uds.Client(f"fd:{ours.fileno()}")
                raise AssertionError(f"{rule} was not seen")
            except uds.ProtocolError as error:
                expect(f"{rule}, not {error}", rule in str(error))


def with_broker(directory):
    if not (BIN / "uds-broker").exists():
        return "uds-broker is not built"
    address = f"unix:{directory}/broker.sock"
    log = open(f"{directory}/log", "w+")
    env = dict(os.environ, XDG_RUNTIME_DIR=directory)
    broker = subprocess.Popen([BIN / "uds-broker", "--listen", address], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
    try:
        end = time.monotonic() + 15
        while True:
            try:
                uds.connect(address).close()
                break
            except OSError:
                expect("the broker listens", broker.poll() is None and time.monotonic() < end)
                time.sleep(0.02)  # polls for the socket, bounded above
        publish_and_subscribe(address)
        queue_groups(address)
        request_and_serve(address)
        streams(address)
    except BaseException:
        log.seek(0)
        sys.stderr.write(log.read())
        raise
    finally:
        broker.send_signal(signal.SIGTERM)
        broker.wait(20)
        log.close()
    expect(f"the broker ends well, not with {broker.returncode}", broker.returncode == 0)
    expect("no socket is left", not os.path.exists(f"{directory}/broker.sock"))
    return None


def main():
    before = open_fds()
    with tempfile.TemporaryDirectory(prefix="uds-py-") as directory:
        with_echo(f"unix:{directory}/echo.sock")
        with_echo(f"seqpacket:{directory}/echo.sock")
        with_echo(f"unix:@uds-py-{os.getpid()}")
        expect("no socket is left", os.listdir(directory) == [])
        poor_hellos()
        default_address(directory)
        missing = with_broker(directory)
    expect(f"no fd is left: {before} {open_fds()}", open_fds() == before)
    if missing:
        print(missing)
        sys.exit(77)


main()
