# SPDX-License-Identifier: MIT
"""The admin socket of a launcher, by hand: what `uds exec` and `uds sandbox start` send, and what they never would."""
import array
import os
import socket
import struct

LIST, EXEC, START = 1, 2, 3


def connected(path, patience_s):
    """As `uds exec` is: where the kernel names no peers (before 6.5) who connects is asked for a secret back."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(patience_s)
    sock.connect(str(path))
    try:
        os.close(sock.getsockopt(socket.SOL_SOCKET, 77)) # SO_PEERPIDFD
    except OSError:
        sock.send(sock.recv(16))
    return sock


def head(op, value=0):
    return struct.pack("=IIq", op, 0, value)


def ask(path, patience_s, data, fds=()):
    """The error number and the words of the answer; None: it hung up."""
    with connected(path, patience_s) as sock:
        sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        answer = sock.recv(4096)
    return (struct.unpack("=i", answer[:4])[0], answer) if answer else None
