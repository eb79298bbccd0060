# SPDX-License-Identifier: MIT
"""A client of uds-broker in plain Python, written from docs/protocol.md alone (P-n are its rules).

    c = Client("unix:/run/uds/broker.sock")
    c.subscribe("sensor.>", lambda m: print(m.text(SUBJECT), m.body))
    c.publish("sensor.kitchen", b"21.5")
    print(c.request("thumbnail", b"...", fds=[0], timeout=5).body)
    c.request("log.follow", on_part=lambda part: print(part.body))
    while c.process(): pass
"""
import os
import socket
import struct
import time

HELLO, GOODBYE, MESSAGE, REQUEST, REPLY, CANCEL, PART, CREDIT = 1, 2, 8, 16, 17, 18, 19, 20
SUBSCRIBE, UNSUBSCRIBE, PUBLISH, DELIVER, ACK, NOTICE = 32, 33, 34, 35, 36, 37
TYPES = (HELLO, GOODBYE, MESSAGE, REQUEST, REPLY, CANCEL, *range(SUBSCRIBE, NOTICE + 1))
STREAMING = 1 << 4  # of FEATURES: PART, CREDIT and WINDOW
(SUBJECT, QUEUE, TIMEOUT_MS, STATUS, DETAIL, METHOD, SEQUENCE, DROPPED, SENDER, VALUE, MODE,
 HEADER, RULE, WINDOW) = range(1, 15)
MAX_BODY, MAX_FDS, FEATURES, SUBSCRIPTION = 32, 33, 34, 0x8001
OK, BAD_REQUEST, UNIMPLEMENTED, INTERNAL = 0, 7, 8, 9
FORMAT = struct.Struct("<BBBBIHHIQ")  # magic version type flags body head fds reserved id


class ProtocolError(Exception):
    """The peer broke a rule, or is gone."""


class Refused(Exception):  # a status other than OK
    def __init__(self, frame):
        self.status, self.value = frame.number(STATUS), frame.number(VALUE)
        super().__init__(f"status {self.status}: {frame.text(DETAIL)} [{frame.text(RULE)}]")


def field(tag, value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<HH", tag, len(data)) + data


def u32(tag, value):
    return field(tag, struct.pack("<I", value))


def header_fields(headers):
    return b"".join(field(HEADER, name + b"\0" + value) for name, value in headers)


class Frame:
    def __init__(self, kind, ident, fds):
        self.kind, self.id, self.fds, self.fields, self.body = kind, ident, fds, [], b""

    def get(self, tag):
        return next((data for t, data in self.fields if t == tag), b"")

    def text(self, tag):
        return self.get(tag).decode()

    def number(self, tag):
        return int.from_bytes(self.get(tag), "little")

    def headers(self):
        return [tuple(data.split(b"\0", 1)) for tag, data in self.fields if tag == HEADER]

    def close_fds(self):
        while self.fds:
            os.close(self.fds.pop())


def default_address():
    local = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent", "uds/broker.sock")
    return os.environ.get("UDS_BROKER") or (local if os.path.exists(local) else "/run/uds/broker.sock")


def connect(address):
    scheme, _, name = address.partition(":") if ":" in address else ("unix", "", address)
    if scheme == "fd":
        return socket.socket(fileno=os.dup(int(name)))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if scheme == "seqpacket" else socket.SOCK_STREAM)
    sock.connect("\0" + name[1:] if name.startswith("@") else name)
    return sock


class Client:
    def __init__(self, address=None, max_body=16 << 20, max_fds=16):
        self.sock = connect(address or default_address())
        self.max_body, self.max_fds = max_body, max_fds
        self.data, self.fds = b"", []  # received, not yet of a frame
        self.last_id, self.handlers, self.waiting, self.streams, self.features = 0, {}, {}, {}, 0
        self.on_message = self.on_notice = lambda frame: None
        self.send(HELLO, head=u32(MAX_BODY, max_body) + u32(MAX_FDS, max_fds) + field(FEATURES, struct.pack("<Q", STREAMING)))
        hello = self.receive()  # P-31: nothing else is sent before it
        if hello.kind != HELLO or hello.id or hello.body or hello.fds:
            raise ProtocolError("P-12 or P-14: no HELLO")
        if len(hello.get(MAX_BODY)) != 4 or len(hello.get(MAX_FDS)) != 4 or hello.number(MAX_FDS) > 253:
            raise ProtocolError("P-15: no good HELLO")
        self.features = STREAMING & hello.number(FEATURES)  # in use: what both have
        self.peer_max_body, self.peer_max_fds = hello.number(MAX_BODY), hello.number(MAX_FDS)

    def send(self, kind, ident=0, head=b"", body=b"", fds=()):
        if kind != HELLO and (len(body) > self.peer_max_body or len(fds) > self.peer_max_fds):
            raise ValueError("over the peer's limits")  # P-7, P-8
        data = FORMAT.pack(0xD5, 1, kind, 0, len(body), len(head), len(fds), 0, ident) + head + body
        sent = socket.send_fds(self.sock, [data], fds) if fds else 0  # P-20: on the first byte
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def fill(self, size):
        while len(self.data) < size:
            data, fds, flags, _ = socket.recv_fds(self.sock, self.max_body + 8216, 253, socket.MSG_CMSG_CLOEXEC)
            self.fds.extend(fds)
            if flags & socket.MSG_CTRUNC or not data:
                raise ProtocolError("the connection ended" if not data else "P-21: descriptors were lost")
            self.data += data

    def receive(self):
        """The next frame, whatever it is. The caller closes its fds."""
        self.fill(FORMAT.size)
        magic, version, kind, flags, body_len, head_len, nfds, reserved, ident = FORMAT.unpack_from(self.data)
        for number, good in enumerate((magic == 0xD5, version == 1, flags == 0, reserved == 0,
                                       kind in TYPES or (kind in (PART, CREDIT) and self.features),
                                       head_len <= 8192, body_len <= self.max_body, nfds <= self.max_fds), 1):
            if not good:
                raise ProtocolError(f"P-{number} is broken")
        at, end = FORMAT.size, FORMAT.size + head_len
        self.fill(end + body_len)
        if len(self.fds) < nfds:
            raise ProtocolError("P-10: descriptors are missing")
        frame = Frame(kind, ident, [self.fds.pop(0) for _ in range(nfds)])
        while at < end:
            tag, length = struct.unpack_from("<HH", self.data, at) if at + 4 <= end else (0, 65535)
            if at + 4 + length > end:
                raise ProtocolError("P-9: the head is not a whole number of fields")
            frame.fields.append((tag, self.data[at + 4:at + 4 + length]))
            at += 4 + length
        frame.body, self.data = self.data[end:end + body_len], self.data[end + body_len:]
        return frame

    def dispatch(self, frame):
        if frame.kind in (REPLY, ACK) and frame.id in self.waiting:
            self.waiting[frame.id] = frame
            return
        if frame.kind == DELIVER and frame.id in self.handlers:
            self.handlers[frame.id](frame)
        elif frame.kind == REQUEST:
            self.answer(frame)
        elif frame.kind == PART and frame.id in self.streams:
            self.take_part(frame)
        elif frame.kind in (MESSAGE, NOTICE):
            (self.on_message if frame.kind == MESSAGE else self.on_notice)(frame)
        elif frame.kind == GOODBYE:
            raise ProtocolError(f"goodbye: {frame.number(STATUS)} {frame.text(DETAIL)}")
        frame.close_fds()  # what nobody took; a late REPLY or PART too (P-24, P-65)

    def answer(self, frame):
        handler = self.handlers.get(frame.number(SUBSCRIPTION))
        status, body, fds = INTERNAL, b"", ()
        try:
            status, body, fds = handler(frame) if handler else (UNIMPLEMENTED, b"", ())
        finally:  # P-23: also when the handler raises
            self.send(REPLY, frame.id, u32(STATUS, status) if status else b"", body, fds)
            for fd in fds:
                os.close(fd)

    def take_part(self, frame):
        stream = self.streams[frame.id]
        if stream["credit"] == 0:
            self.send(CANCEL, frame.id)
            raise ProtocolError("P-62: more parts than were asked for")
        stream["credit"] -= 1
        stream["on_part"](frame)
        owed = stream["window"] - stream["credit"]
        if owed * 2 >= stream["window"]:
            self.send(CREDIT, frame.id, u32(WINDOW, owed))
            stream["credit"] += owed

    def process(self, timeout=None):
        """Handles one frame. False if none came in time."""
        self.sock.settimeout(timeout)
        try:
            frame = self.receive()
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(None)
        self.dispatch(frame)
        return True

    def ask(self, kind, head=b"", body=b"", fds=(), timeout=None, ident=None, stream=None):
        end = time.monotonic() + (timeout or 1e9)
        if not ident:
            ident = self.last_id = self.last_id + 1  # P-22, P-27: one counter for all
        self.waiting[ident] = None
        if stream:
            self.streams[ident] = stream
        try:
            self.send(kind, ident, head, body, fds)
            frame = self.wait(kind, ident, end, timeout)
        finally:
            self.waiting.pop(ident)
            self.streams.pop(ident, None)
        if frame.number(STATUS) != OK:
            frame.close_fds()
            raise Refused(frame)
        return frame

    def wait(self, kind, ident, end, timeout):
        while self.waiting[ident] is None:
            if not self.process(max(end - time.monotonic(), 0.001) if timeout else None) and time.monotonic() >= end:
                if kind == REQUEST:
                    self.send(CANCEL, ident)
                raise TimeoutError("no answer in time")
        return self.waiting[ident]

    def subscribe(self, subject, handler, queue=None, mode=0):
        """handler(frame) for each delivery; the fds it does not take out of frame.fds are closed."""
        ident = self.last_id = self.last_id + 1
        self.handlers[ident] = handler
        head = field(SUBJECT, subject) + (field(QUEUE, queue) if queue else b"") + (u32(MODE, mode) if mode else b"")
        self.ask(SUBSCRIBE, head, ident=ident)
        return ident

    def serve(self, subject, handler):
        """handler(frame) returns (status, body, fds); the fds are closed when they are sent."""
        return self.subscribe(subject, handler, mode=1)

    def publish(self, subject, body=b"", headers=(), fds=(), confirm=True):
        head = field(SUBJECT, subject) + header_fields(headers)
        self.ask(PUBLISH, head, body, fds) if confirm else self.send(PUBLISH, 0, head, body, fds)

    def request(self, subject, body=b"", method=None, headers=(), fds=(), timeout=None, on_part=None, window=16):
        """The REPLY; its fds are the caller's. Raises Refused or TimeoutError. @subject None: a direct connection.
        on_part(frame) gets each part that comes before it; the fds it does not take out of frame.fds are closed."""
        if on_part and not self.features:
            raise ProtocolError("the peer knows no streaming replies")  # P-60
        stream = {"on_part": on_part, "window": window, "credit": window} if on_part else None
        head = (field(SUBJECT, subject) if subject is not None else b"") + (field(METHOD, method) if method else b"")
        head += header_fields(headers) + (u32(TIMEOUT_MS, int(timeout * 1000)) if timeout else b"")
        return self.ask(REQUEST, head + (u32(WINDOW, window) if on_part else b""), body, fds, timeout, stream=stream)

    def close(self):
        self.send(GOODBYE)
        self.sock.close()
        Frame(GOODBYE, 0, self.fds).close_fds()
