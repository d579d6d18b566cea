"""The loopback server answers, for every site of the sample, as its index says."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from data.serve_pages import serve_pages

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_pages(SAMPLE / "pages") as port:
        yield port


class Answer(NamedTuple):
    status: int
    location: str | None
    content_type: str | None
    body: bytes


def get(port: int, url: str) -> Answer:
    host, _, path = url.removeprefix("http://").partition("/")
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", f"/{path}", headers={"Host": host})
        response = connection.getresponse()
        return Answer(
            response.status, response.getheader("Location"), response.getheader("Content-Type"), response.read()
        )


@pytest.fixture(scope="module")
def links() -> pl.Series:
    return pl.read_parquet(SAMPLE / "pins.parquet")["link_url"].drop_nulls()


def test_every_link_answers_as_the_index_says(port, links):
    index = json.loads((SAMPLE / "pages" / "index.json").read_text())["pages"]
    for url in links.unique().sort().to_list()[::9]:
        answer = get(port, url)
        assert answer.status == index[url]["status"]
        assert answer.location == index[url].get("location")
        if "file" in index[url]:
            assert answer.content_type == index[url]["content_type"]
            assert answer.body == (SAMPLE / "pages" / index[url]["file"]).read_bytes()


def test_sites_are_told_apart_by_host(port, links):
    assert get(port, "http://casalino.example/robots.txt").body.startswith(b"User-agent: *\nDisallow: /cart")
    assert get(port, "http://www.theoldtramshed.example/robots.txt").body == b"User-agent: *\nDisallow: /\n"
    url = links[0]
    assert get(port, url.replace("http://", "http://nowhere.").replace("www.", "")).status == 404


def test_a_client_that_hangs_up_is_not_told_of(capfd):
    with serve_pages(SAMPLE / "pages") as port:
        with closing(socket.create_connection(("127.0.0.1", port))) as connection:
            connection.sendall(b"GET /")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
        assert get(port, "http://nowhere.example/").status == 404  # so the first was taken
        while any("process_request" in thread.name for thread in threading.enumerate()):
            time.sleep(0.01)
    assert capfd.readouterr().err == ""
