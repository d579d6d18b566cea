"""Hashes in one trip: what redis-py's own pipeline does, retries and refusals included."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis_server import RedisServer

from enrich.stores.redis_hashes import Hash, read_hashes, write_hashes
from enrich.stores.safe_redis import SafeRedisOnlineStoreConfig, client

FIELDS = (b"%b", b"\x00\r\n", b"_ts:100%d")


class Another(Redis):
    """A client that is not just Redis, as a cluster's: it is asked through its pipeline."""


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> tuple[Redis, Redis]:
    """Of two databases of one server: ours and redis-py's own way."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    host, port = server.address.split(":")
    ours = client(SafeRedisOnlineStoreConfig(connection_string=server.address))
    yield ours, Another(host=host, port=int(port), db=1)
    server.stop()


cells = st.none() | st.binary(max_size=40) | st.just(b"%d%%\r\n" * 20_000)
written = st.lists(st.tuples(st.binary(max_size=4), st.tuples(cells, cells, st.binary(max_size=9))), max_size=20)


@given(written)
def test_both_ways_leave_and_read_the_same(clients: tuple[Redis, Redis], rows: list[tuple[bytes, tuple[bytes, ...]]]):
    found = []
    for redis in clients:
        redis.flushdb()
        write_hashes(redis, [Hash(*row) for row in rows], FIELDS, None)
        found.append(({key: redis.hgetall(key) for key in redis.keys("*")}, read_hashes(redis, [b"", b"x"], FIELDS)))
    assert found[0] == found[1]
    expected: dict[bytes, dict[bytes, bytes]] = {}
    for key, values in rows:
        known = {field: value for field, value in zip(FIELDS, values, strict=True) if value is not None}
        expected[key] = expected.get(key, {}) | known
    assert found[0][0] == expected


@pytest.mark.parametrize(
    ("patient", "pauses"), [(True, [0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5]), (False, [0.02])]
)
def test_a_node_that_is_gone_is_asked_for_two_seconds_or_given_up_at_once(
    patient: bool, pauses: list[float], monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and never listens: a connection is refused
        address, slept = f"127.0.0.1:{free.getsockname()[1]}", []
        monkeypatch.setattr("redis.retry.sleep", slept.append)
        with pytest.raises(RedisConnectionError):
            client(SafeRedisOnlineStoreConfig(connection_string=address), patient).connection_pool.get_connection()
    assert slept == pytest.approx(pauses)


def test_hashes_expire_where_they_are_told_to(clients: tuple[Redis, Redis]):
    for redis in clients:
        write_hashes(redis, [Hash(b"key", (b"1", b"2", b"3"))], FIELDS, 60)
        assert 0 < redis.ttl(b"key") <= 60


def test_a_refused_command_is_raised_and_its_connection_not_used_again(clients: tuple[Redis, Redis]):
    for redis in clients:
        redis.set(b"text", b"no hash")
        many = [b"fine"] * 3_000
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            read_hashes(redis, [*many, b"text", *many], FIELDS)
        assert read_hashes(redis, [b"fine"], FIELDS) == [[None, None, None]]
