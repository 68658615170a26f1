"""A real process that serves what `FakeServer` does: PACKAGE PORT MODE [CERTIFICATE KEY].

Prints its port. MODE is "serve", or the moment at which it kills itself with SIGKILL:
"before-answer" or "in-answer" of the first inference.
"""

from __future__ import annotations

import os
import signal
import ssl
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx

from strongroom.package.file import read

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from fake_server import FakeServer  # noqa: E402

package, port, mode, *certificate = sys.argv[1:]
fake = FakeServer(read(package))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.command == "POST" and mode == "before-answer":
            os.kill(os.getpid(), signal.SIGKILL)
        url = f"http://localhost{self.path}"
        answer = fake.handle(
            httpx.Request(self.command, url, headers=dict(self.headers), content=content)
        )
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "POST" and mode == "in-answer":
            self.wfile.write(answer.content[:50])
            self.wfile.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        self.wfile.write(answer.content)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *arguments: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", int(port)), Handler)
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
