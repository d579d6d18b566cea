"""A loopback server that speaks HTTP/2 over TLS, with a certificate made for the test; needs the openssl command."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived

PAGE = b"<title>Lemon cake</title>"
BOMB = b"<p>" * 1_000_000
NAME = "bakery.example"


class Http2Server:
    """Answers every path with PAGE, /huge with BOMB, /hang never. `certificate` is what a client must trust."""

    def __init__(self, port: int, certificate: Path) -> None:
        self.port = port
        self.trusting = ssl.create_default_context(cafile=str(certificate))
        self.connections = 0
        self.requests: list[str] = []  # ":authority" and ":path" of each


class _Connection(asyncio.Protocol):
    def __init__(self, server: Http2Server) -> None:
        self._server = server
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._transport: asyncio.Transport | None = None
        self._unsent: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections += 1
        self._http.initiate_connection()
        transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        for event in self._http.receive_data(data):
            if isinstance(event, RequestReceived):
                self._answer(event.stream_id, dict(event.headers))
            elif isinstance(event, DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self._send()
        self._transport.write(self._http.data_to_send())

    def _answer(self, stream: int, headers: dict[str, str]) -> None:
        path = headers[":path"]
        self._server.requests.append(headers[":authority"] + path)
        if path == "/hang":
            return
        kind, body = ("text/plain", b"") if path == "/robots.txt" else ("text/html", BOMB if path == "/huge" else PAGE)
        self._http.send_headers(stream, [(":status", "200"), ("content-type", kind)])
        self._unsent[stream] = body

    def _send(self) -> None:
        """As much of every answer as the client's windows let through."""
        for stream, body in list(self._unsent.items()):
            if self._http.streams[stream].closed:
                del self._unsent[stream]
                continue
            while body and (room := min(self._http.local_flow_control_window(stream), 16_384)) > 0:
                self._http.send_data(stream, body[:room])
                body = body[room:]
            self._unsent[stream] = body
            if not body:
                self._http.end_stream(stream)
                del self._unsent[stream]


@contextmanager
def http2_server(folder: Path) -> Iterator[Http2Server]:
    """Serves until the end of the block."""
    key, certificate = _certificate(folder)
    loop = asyncio.new_event_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    found: list[Http2Server] = []
    listening = loop.run_until_complete(loop.create_server(lambda: _Connection(found[0]), "127.0.0.1", 0, ssl=context))
    found.append(Http2Server(listening.sockets[0].getsockname()[1], certificate))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run([*command, *named, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return key, certificate
