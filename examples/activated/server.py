#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A web server that was given its socket, tells when it is ready and how it is, and keeps its watchdog quiet.

It knows nothing of sandboxes: the conventions are systemd's, sd_listen_fds(3) and sd_notify(3)."""
import http.server
import os
import socket


def listening():
    """The socket called "web" among those that were passed, which start at 3."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise SystemExit("no sockets for us: start it by `uds run --listen web=tcp:127.0.0.1:8080 …`")
    names = os.environ["LISTEN_FDNAMES"].split(":")
    return socket.socket(fileno=3 + names.index("web"))


def tell(state):
    if "NOTIFY_SOCKET" in os.environ:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(state.encode(), os.environ["NOTIFY_SOCKET"])


class Answer(http.server.BaseHTTPRequestHandler):
    served = 0

    def do_GET(self):
        Answer.served += 1
        body = b"served from a sandbox without network\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        tell(f"STATUS={Answer.served} requests served")

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("", 0), Answer, bind_and_activate=False)
server.socket.close()
server.socket = listening()
# Half of the time after which we would be killed; without a watchdog it does not matter.
server.timeout = int(os.environ.get("WATCHDOG_USEC", 10_000_000)) / 2_000_000
tell("READY=1\nSTATUS=waiting for requests")
while True:
    server.handle_request()
    tell("WATCHDOG=1")
