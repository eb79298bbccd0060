"""The wire format in Python, for tests that must be able to say things a library never would."""
import array
import os
import socket
import struct

HELLO, GOODBYE, MESSAGE, REQUEST, REPLY, CANCEL = 1, 2, 8, 16, 17, 18
SUBSCRIBE, UNSUBSCRIBE, PUBLISH, DELIVER, ACK, NOTICE = 32, 33, 34, 35, 36, 37
F_SUBJECT, F_QUEUE, F_TIMEOUT_MS, F_STATUS, F_DETAIL, F_METHOD = 1, 2, 3, 4, 5, 6
F_SEQUENCE, F_DROPPED, F_SENDER, F_VALUE, F_MODE, F_HEADER, F_RULE = 7, 8, 9, 10, 11, 12, 13
F_MAX_BODY, F_MAX_FDS, F_FEATURES = 32, 33, 34

HEADER = struct.Struct("<BBBBIHHIQ")


def header(kind, body_len=0, head_len=0, nfds=0, ident=0, magic=0xD5, version=1, flags=0, reserved=0):
    return HEADER.pack(magic, version, kind, flags, body_len, head_len, nfds, reserved, ident)


def field(tag, value):
    if isinstance(value, str):
        value = value.encode()
    return struct.pack("<HH", tag, len(value)) + value


def u32(tag, value):
    return field(tag, struct.pack("<I", value))


def u64(tag, value):
    return field(tag, struct.pack("<Q", value))


def frame(kind, ident=0, head=b"", body=b"", nfds=0):
    return header(kind, len(body), len(head), nfds, ident) + head + body


def hello(max_body=16 << 20, max_fds=16):
    return frame(HELLO, head=u32(F_MAX_BODY, max_body) + u32(F_MAX_FDS, max_fds) + u64(F_FEATURES, 0))


class Frame:
    def __init__(self, kind, ident, head, body, nfds):
        self.kind, self.id, self.body, self.nfds = kind, ident, body, nfds
        self.fields = []
        while head:
            tag, length = struct.unpack_from("<HH", head)
            self.fields.append((tag, head[4 : 4 + length]))
            head = head[4 + length :]

    def get(self, tag, default=None):
        return next((v for t, v in self.fields if t == tag), default)

    def text(self, tag):
        return (self.get(tag) or b"").decode()

    @property
    def status(self):
        raw = self.get(F_STATUS)
        return struct.unpack("<I", raw)[0] if raw else 0


class Closed(Exception):
    pass


class Peer:
    """One raw connection. Every receive has a deadline, so that a test fails and never hangs."""

    def __init__(self, path, greet=True, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.buf, self.fds = b"", []
        if greet:
            self.sock.sendall(hello())
            first = self.recv()
            assert first.kind == HELLO, first.kind

    def send(self, data, fds=()):
        """Sends all of it, unless the other side has hung up: then the next receive says so."""
        try:
            if fds:
                sent = socket.send_fds(self.sock, [data], list(fds))
                data = data[sent:]
            if data:
                self.sock.sendall(data)
        except ConnectionError:
            pass

    def fill(self, want):
        while len(self.buf) < want:
            try:
                data, anc, flags, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(253 * 4))
            except ConnectionError as e:
                raise Closed(str(e)) from e
            for level, kind, raw in anc:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    got = array.array("i")
                    got.frombytes(raw[: len(raw) - len(raw) % got.itemsize])
                    self.fds += list(got)
            if not data:
                raise Closed("end of stream")
            self.buf += data

    def recv(self):
        self.fill(HEADER.size)
        magic, version, kind, flags, body_len, head_len, nfds, reserved, ident = HEADER.unpack_from(self.buf)
        assert (magic, version, flags, reserved) == (0xD5, 1, 0, 0), "the broker itself broke the format"
        total = HEADER.size + head_len + body_len
        self.fill(total)
        head = self.buf[HEADER.size : HEADER.size + head_len]
        body = self.buf[HEADER.size + head_len : total]
        self.buf = self.buf[total:]
        return Frame(kind, ident, head, body, nfds)

    def expect(self, kind):
        got = self.recv()
        assert got.kind == kind, f"wanted frame type {kind}, got {got.kind}: {got.fields}"
        return got

    def wait_closed(self):
        """The other side must hang up; whatever it still says first is read."""
        while True:
            try:
                self.recv()
            except Closed:
                return

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        self.sock.close()


def lingering(seconds=60):
    """A TCP socket whose last close(2) waits: SO_LINGER, and bytes that nobody takes."""
    listener = socket.create_server(("127.0.0.1", 0))
    sock = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    listener.close()
    sock.setblocking(False)
    try:
        while True:
            sock.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
    return sock, far


def wrapped(sock):
    """A socket in whose queue another one lies: closing this one closes that one."""
    near, far = socket.socketpair()
    socket.send_fds(near, [b"x"], [sock.fileno()])
    near.close()
    return far
