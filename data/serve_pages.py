"""A loopback web server of the sample's link pages: every site of the sample, told apart by the Host header.

Reads data/sample/pages/index.json (or that of another folder made by make_sample.py) and the files beside it.

    python data/serve_pages.py [FOLDER] [--port N]      prints the address, serves until interrupted

The links of the sample are `http://SITE.example/...`; a fetcher that connects to this server instead of resolving those
names (`enrich links --connect-to 127.0.0.1:PORT`) fetches them over real HTTP: pages, redirects, robots.txt, errors.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT = Path(__file__).resolve().parent / "sample" / "pages"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a URL answers: a status, and a file of the folder, a target, or a text."""

    status: int
    content_type: str = "text/plain; charset=utf-8"
    file: str | None = None
    location: str | None = None
    text: str = ""


NOT_FOUND = Answer(404, text="not found\n")


def read_index(folder: Path) -> dict[str, Answer]:
    """URL -> its answer, robots.txt files among them. Raises FileNotFoundError when the folder has no index."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    answers = {
        url: Answer(
            entry["status"],
            entry.get("content_type", "text/plain; charset=utf-8"),
            entry.get("file"),
            entry.get("location"),
        )
        for url, entry in index["pages"].items()
    }
    robots = {f"http://{host}/robots.txt": Answer(200, text=text) for host, text in index["robots"].items()}
    return {**answers, **robots}


def _handler(folder: Path, answers: Mapping[str, Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, with_body: bool) -> None:
            answer = answers.get(self._url(), NOT_FOUND)
            body = (folder / answer.file).read_bytes() if answer.file else answer.text.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(body)))
            if answer.location:
                self.send_header("Location", answer.location)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def _url(self) -> str:
            """The URL asked for; as a proxy is asked (whole) or as a site is (Host and path)."""
            if self.path.startswith("http://"):
                asked = urlsplit(self.path)
                return f"http://{asked.hostname}{self.path[len(f'http://{asked.netloc}') :] or '/'}"
            host = self.headers.get("Host", "").partition(":")[0].lower()
            return f"http://{host}{self.path}"

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the fetcher keeps its own account."""

    return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024  # as many connections as a fetcher opens at once; what overflows waits for seconds

    def handle_error(self, request: object, client_address: object) -> None:
        """One that hangs up before its answer is no fault of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serve_pages(folder: Path = DEFAULT, port: int = 0) -> Iterator[int]:
    """Serve the folder's pages on 127.0.0.1 in a thread, giving the port (a free one unless named)."""
    with _Server(("127.0.0.1", port), _handler(folder, read_index(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the sample's link pages on 127.0.0.1.")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT, help="a pages folder (default: the sample's)")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    arguments = parser.parse_args()
    if not (arguments.folder / "index.json").is_file():
        parser.error(f"expected pages with an index.json in {arguments.folder}, found none; run data/make_sample.py")
    with serve_pages(arguments.folder, arguments.port) as port:
        print(f"127.0.0.1:{port}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
