"""Through real sockets: a head that is too long or too slow is refused with one line, and never holds a connection."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import uvicorn

from relevance.online import Scorer
from relevance.service.app import create_app
from relevance.service.settings import MAX_BODY_BYTES, ServiceSettings
from relevance.service.wire import Wire
from tests.relevance.services import PINS, QUIET, memory_store, parts_of, tiny_student
from tests.relevance.students import WordEncoder


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head or an answer that a busy machine is late with is none too slow."""
    monkeypatch.setattr(Hasty, "seconds", 60.0)
    monkeypatch.setattr(Hasty, "taking_seconds", 60.0)


class Hasty(Wire):
    seconds, taking_seconds = 0.3, 0.3
    lost = threading.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> Scorer:
    return Scorer(tiny_student(tmp_path_factory.mktemp("m")), memory_store(), WordEncoder())


@pytest.fixture(scope="module")
def port(scorer) -> Iterator[int]:
    with serving(scorer) as port:
        yield port


@contextmanager
def serving(scorer: Scorer, settings: ServiceSettings = QUIET) -> Iterator[int]:
    app = create_app(parts_of(scorer, settings))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app, http=Hasty, ws="none", log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def asked(port: int, *sent: bytes) -> bytes:
    """All that the service says until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            for some in sent:
                connection.sendall(some)
        except OSError:
            pass  # refused before all was sent
        found = b""
        try:
            while some := connection.recv(65_536):
                found += some
        except ConnectionResetError:
            pass  # closed with some of what was sent unread
        return found


def head(path: str, size: int, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: x", f"content-length: {size}", *lines, "", ""]).encode()


@pytest.mark.parametrize("sent", [b"", b"POST /score HTTP/1.1\r\nhost: x\r\n", b"GET /"])
def test_a_head_that_does_not_end_in_time_is_a_408(port, sent):
    said = asked(port, sent)
    assert said.startswith(b"HTTP/1.1 408 ") and b"found its headers still coming" in said


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("some", [b"x-a: " + b"a" * 1_000, b"x-a: a\r\n" * 100])
def test_a_head_without_end_is_refused(port, some):
    endless = (some for _ in range(100_000))
    said = asked(port, b"GET /healthz HTTP/1.1\r\n", *endless)
    assert said == b"" or said.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))  # or reset, its answer with it


@pytest.mark.usefixtures("patient")
def test_requests_one_after_the_other_and_bodies_of_any_size_pass(port):
    body = json.dumps({"query": "blue chair", "pin_ids": [*PINS[:2], *(f"{i:0900d}" for i in range(1_000))]}).encode()
    some = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
    assert len(some) > 10
    request = head("/score", len(body), "content-type: application/json")
    last = head("/score", 2, "content-type: application/json", "connection: close") + b"{}"
    said = asked(port, request, *some, request, *some, request + body, last)
    assert said.count(b"HTTP/1.1 200 ") == 3 and said.count(b"HTTP/1.1 422 ") == 1


@pytest.mark.usefixtures("patient")
def test_a_body_that_was_refused_does_not_hold_its_connection(port):
    chunks = b"POST /score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    for sent, status in ((chunks, b"411"), (head("/score", MAX_BODY_BYTES + 1), b"413")):
        said = asked(port, sent)
        assert said.startswith(b"HTTP/1.1 " + status) and b"connection: close" in said


@pytest.mark.usefixtures("patient")
def test_a_body_that_does_not_end_in_time_is_a_408_and_does_not_hold_its_connection(scorer):
    with serving(scorer, replace(QUIET, body_seconds=0.1)) as port:
        said = asked(port, head("/score", 100, "content-type: application/json"), b"{")
    assert said.startswith(b"HTTP/1.1 408 ") and b"connection: close" in said


def test_what_comes_of_a_body_after_its_answer_gets_no_second_one(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head("/nowhere", 100))
        said = b""
        while b"}" not in said:
            said += connection.recv(65_536)
        connection.sendall(b"{")
        assert said.startswith(b"HTTP/1.1 404 ") and connection.recv(65_536) == b""  # closed


def test_an_answer_that_nobody_takes_does_not_hold_its_connection(port):
    asks = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 1_000  # of which some 30 MB are the answer
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        Hasty.lost.clear()
        connection.sendall(asks)
        assert Hasty.lost.wait(30)
