"""A loopback web server that answers well or badly, as its paths say; every host name at once (`connect_to`)."""

from __future__ import annotations

import gzip
import hashlib
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa

PAGE = (
    b"<html><head><title>Lemon cake | Bakery</title><meta property=og:site_name content=Bakery>"
    b"<meta name=description content='Sour and sweet'></head></html>"
)
BOMB = gzip.compress(b"\0" * 20_000_000)
NESTED_BOMB = gzip.compress(b"\0" * 500_000) * 50
BOMB_BR, BOMB_ZSTD = (pa.compress(b"\0" * 20_000_000, codec=codec, asbytes=True) for codec in ("brotli", "zstd"))
ROBOTS: dict[str, bytes | int | str] = {  # host -> its robots.txt, or the status or the fault that it answers instead
    "closed.example": b"User-agent: *\nDisallow: /private\n",
    "patient.example": b"User-agent: *\nCrawl-delay: 86400\n",
    "broken-robots.example": 503,
    "busy-robots.example": 429,
    "no-robots.example": 404,
    "hidden-robots.example": 403,
    "empty-robots.example": 204,
    "moved-robots.example": "loop",
    "lost-robots.example": "nowhere",
    "away-robots.example": "to_metadata",
    "garbled-robots.example": "not_http",
    "mislabelled-robots.example": "not_gzip",
    "reset-robots.example": "reset",
}


class FaultyServer(ThreadingHTTPServer):
    """`requests` lists "host/path" of every request in order; `before` is called with it before the answer."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[str] = []
        self.before: Callable[[str], None] = lambda request: None
        self.closing = threading.Event()
        self.hung = threading.Event()
        self.pages: dict[str, bytes] = {}  # path -> page, for paths that are no fault (but may be versioned)
        self.missing: set[str] = set()  # paths of pages that are gone
        self.connections = 0  # that were opened
        self.forbidden = ""  # X-Robots-Tag of the versioned page
        self.conditions: list[tuple[str | None, str | None]] = []  # If-None-Match, If-Modified-Since of each request

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed or that gives up breaks its connection; nobody need read of it."""

    def pages_asked(self) -> list[str]:
        """The requests but those for robots.txt."""
        return [request for request in self.requests if not request.endswith("/robots.txt")]


@contextmanager
def faulty_server() -> Iterator[FaultyServer]:
    server = FaultyServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.hung.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").split(":")[0]
        request = host + self.path
        self.server.requests.append(request)
        self.server.before(request)
        if self.path in self.server.missing:
            self._send(404, b"")
            return
        if self.path == "/robots.txt":
            self._robots(ROBOTS.get(host, b""))
            return
        fault = getattr(self, "fault_" + self.path.split("/")[1].split("?")[0].replace("-", "_"), None)
        if fault is None:
            self._send(200, self.server.pages.get(self.path, PAGE))
        else:
            fault()

    def _robots(self, answer: bytes | int | str) -> None:
        if isinstance(answer, str):
            getattr(self, f"fault_{answer}")()
        elif isinstance(answer, int):
            self._send(answer, b"")
        else:
            self._send(200, answer, content_type="text/plain")

    def _send(self, status: int, body: bytes, content_type: str = "text/html; charset=utf-8", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _raw(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.wfile.write(piece)
        self.close_connection = True

    def fault_hang(self) -> None:
        """Say nothing until `hung` is set, then hang up."""
        self.server.hung.wait(60)
        self.close_connection = True

    def fault_drip(self) -> None:
        """A byte now and then: no read is late, and the whole never ends."""
        self._raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        try:
            while not self.server.closing.wait(0.05):
                self.wfile.write(b" ")
        except OSError:
            return

    def fault_reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def fault_loop(self) -> None:
        self._send(302, b"", Location="/loop")

    def fault_hop(self) -> None:
        self._send(301, b"", Location="/good")

    def fault_to_metadata(self) -> None:
        self._send(302, b"", Location="http://169.254.169.254/latest/meta-data/")

    def fault_to_file(self) -> None:
        self._send(302, b"", Location="file:///etc/passwd")

    def fault_to_closed(self) -> None:
        self._send(302, b"", Location="http://closed.example/private/page")

    def fault_to_versioned_elsewhere(self) -> None:
        self._send(302, b"", Location="http://closed.example/versioned")

    def fault_nowhere(self) -> None:
        self._send(302, b"")

    def fault_huge(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(10**12))
        self.end_headers()
        self.close_connection = True

    def fault_missing_and_silent(self) -> None:
        """Not found, and the page that says so never ends."""
        self._raw(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n<p>")
        self.fault_hang()

    def fault_long_picture(self) -> None:
        self._send(200, b"\x89PNG" * 100_000, content_type="image/png")

    def fault_endless(self) -> None:
        self._raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        self._flood(b"<p>" * 10_000)

    def fault_announcements(self) -> None:
        """Announces an answer, without end."""
        self._flood(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 100)

    def fault_crumbs(self) -> None:
        """A body in chunks of a byte each, behind a kilobyte of chunk extension."""
        self._raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._flood(b"1;" + b"x" * 1_000 + b"\r\n \r\n")

    def _flood(self, piece: bytes) -> None:
        self.close_connection = True
        try:
            while not self.server.closing.is_set():
                self.wfile.write(piece)
        except OSError:
            return

    def fault_bomb(self) -> None:
        self._send(200, BOMB, Content_Encoding="gzip")

    def fault_nested_bomb(self) -> None:
        self._send(200, NESTED_BOMB, Content_Encoding="gzip")

    def fault_gzip(self) -> None:
        self._send(200, gzip.compress(PAGE), Content_Encoding="gzip")

    def fault_raw_deflate(self) -> None:
        deflate = zlib.compressobj(wbits=-15)
        self._send(200, deflate.compress(PAGE) + deflate.flush(), Content_Encoding="deflate")

    def fault_not_gzip(self) -> None:
        self._send(200, PAGE, Content_Encoding="gzip")

    def fault_br(self) -> None:
        self._send(200, pa.compress(PAGE, codec="brotli", asbytes=True), Content_Encoding="br")

    def fault_zstd(self) -> None:
        self._send(200, pa.compress(PAGE, codec="zstd", asbytes=True), Content_Encoding="zstd")

    def fault_bomb_br(self) -> None:
        self._send(200, BOMB_BR, Content_Encoding="br")

    def fault_bomb_zstd(self) -> None:
        self._send(200, BOMB_ZSTD, Content_Encoding="zstd")

    def fault_not_brotli(self) -> None:
        self._send(200, PAGE, Content_Encoding="br")

    def fault_unasked_encoding(self) -> None:
        self._send(200, PAGE, Content_Encoding="compress")

    def fault_unlisted(self) -> None:
        self._send(200, PAGE, X_Robots_Tag="noindex, nofollow")

    def fault_no_snippet(self) -> None:
        self._send(200, PAGE, X_Robots_Tag="nosnippet")

    def fault_unchanged(self) -> None:
        """304 to whom it did not ask to compare."""
        self._send(304, b"")

    def fault_versioned(self) -> None:
        """A page with validators: 304 to whoever has it as it is."""
        page = self.server.pages.get(self.path, PAGE)
        etag, modified = f'"{hashlib.sha1(page).hexdigest()}"', "Mon, 06 Jan 2025 00:00:00 GMT"
        self.server.conditions.append((self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")))
        if self.headers.get("If-None-Match") == etag:
            self._send(304, b"", ETag=etag, X_Robots_Tag=self.server.forbidden)
        else:
            self._send(200, page, ETag=etag, Last_Modified=modified, X_Robots_Tag=self.server.forbidden)

    def fault_to_umlaut(self) -> None:
        """A redirect whose target is in plain UTF-8, as it should not be."""
        self._raw("HTTP/1.1 302 Found\r\nLocation: /süß\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def fault_to_latin_umlaut(self) -> None:
        self._raw(
            "HTTP/1.1 302 Found\r\nLocation: /süß\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode("latin-1")
        )

    def fault_to_versioned(self) -> None:
        self._send(302, b"", Location="/versioned")

    def fault_picture(self) -> None:
        self._send(200, b"\x89PNG", content_type="image/png")

    def fault_untyped(self) -> None:
        self._raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x89PNG")

    def fault_pdf_as_html(self) -> None:
        self._send(200, b"%PDF-1.7\n<title>Lemon cake</title>")

    def fault_untyped_marked(self) -> None:
        """A page without Content-Type, behind a byte order mark."""
        self._raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n\xef\xbb\xbf" % (3 + len(PAGE)), PAGE)

    def fault_typed_twice(self) -> None:
        self._send(200, PAGE, content_type="text/html, text/html; charset=utf-8")

    def fault_not_http(self) -> None:
        self._raw(b"SSH-2.0-OpenSSH_9.6\r\n")

    def fault_short(self) -> None:
        """Promises more than it sends."""
        self._raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<html>")

    def fault_missing(self) -> None:
        self._send(404, b"")

    def fault_refused(self) -> None:
        """A status of the site's own making, as some large ones answer robots with."""
        self._send(999, b"")

    def fault_unavailable(self) -> None:
        self._send(503, b"")

    def fault_flaky(self) -> None:
        """503 at the first time of asking, a page at the second."""
        first = self.server.requests.count(self.headers.get("Host", "") + self.path) == 1
        self._send(503 if first else 200, b"" if first else PAGE)

    def fault_patience(self) -> None:
        self._send(429, b"", Retry_After="3600")

    def fault_second_thoughts(self) -> None:
        """As flaky, but says when to come again."""
        first = self.server.requests.count(self.headers.get("Host", "") + self.path) == 1
        self._send(503 if first else 200, b"" if first else PAGE, Retry_After="1")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
