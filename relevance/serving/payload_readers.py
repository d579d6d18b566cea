"""One Bytes feature of a thousand keys in one trip to the online store, without a protobuf a cell.

Reads what Feast's SQLite and Redis stores hold, in their own layout (`docs/specs/online_store_format.md` in Feast's
repository); any other store is read through its `online_read`. `relevance/serving/lookup.py` says what the answers
mean.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore, _table_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from enrich.payload import all_whole, is_whole
from relevance.serving.redis_replies import Batch, Replies, Take

_PAYLOAD = "payload"
_REDIS_KEYS = 128  # in one batch; more are answered later by a server that must first hold all answers
_BYTES_FIELD = 0x0A  # how a protobuf Value that holds bytes begins: field 1, length-delimited
_SQLITE_KEYS = 10_000  # in one statement; SQLite takes at most 32,766
_SQLITE_ROWS = 64  # fetched at once


class Rows(NamedTuple):
    """What a store has of each key, in the order asked."""

    payloads: list[bytes | None]  # None where there is no row, and where the payload was taken back
    times: list[datetime | None]  # event times; None where there is no row. Empty where the reader was not `dated`
    whole: bool = False  # every payload's checksum was found right as it was read; False says nothing


class PayloadReader(Protocol):
    """Reads one view; raises whatever its store raises."""

    def read(self, keys: Sequence[str]) -> Rows: ...


def reader_of(config: RepoConfig, store: OnlineStore, view: FeatureView) -> PayloadReader:
    """The fastest reader there is for the store's kind; event times are read where the view has a time to live."""
    if isinstance(store, SqliteOnlineStore):
        return SqliteReader(config, store, view)
    if is_one_redis(config) and not config.registry.enable_online_feature_view_versioning:
        return RedisReader(config, view)
    return AnyReader(config, store, view)


class SqliteReader:
    """Reads Feast's table of the view through a read-only connection a thread."""

    def __init__(self, config: RepoConfig, store: SqliteOnlineStore, view: FeatureView) -> None:
        self._path = store._get_db_path(config)
        self._table = _table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
        self._keys = KeyBytes(view.join_keys[0], config.entity_key_serialization_version)
        self._dated = bool(view.ttl)
        self._local = threading.local()

    def read(self, keys: Sequence[str]) -> Rows:
        wanted, whole = self._keys.of_all(keys), True
        found: dict[bytes, bytes | None] = {}
        times: dict[bytes, datetime | None] = {}
        for rows in self._rows(wanted):
            payloads = [bytes_of(row[1]) for row in rows]
            whole = all_whole(payloads) and whole
            found.update(zip([row[0] for row in rows], payloads, strict=True))
            if self._dated:
                times.update((key, _sqlite_time(event)) for key, _, event in rows)
        return Rows(list(map(found.get, wanted)), list(map(times.get, wanted)) if self._dated else [], whole)

    def _rows(self, wanted: list[bytes]) -> Iterator[list[tuple[Any, ...]]]:
        """Key, value and, where dated, time; so many at once as the chip's cache holds."""
        columns = "entity_key, value, event_ts" if self._dated else "entity_key, value"
        for first in range(0, len(wanted), _SQLITE_KEYS):
            some = wanted[first : first + _SQLITE_KEYS]
            cursor = self._connection().execute(
                f'SELECT {columns} FROM "{self._table}" '
                f"WHERE entity_key IN ({','.join('?' * len(some))}) AND feature_name = '{_PAYLOAD}'",
                some,
            )
            while rows := cursor.fetchmany(_SQLITE_ROWS):
                yield rows

    def _connection(self) -> sqlite3.Connection:
        """This thread's, to the file that is there now: one that was replaced would be read from for ever."""
        found = Path(self._path).stat()
        file = (found.st_dev, found.st_ino)
        if getattr(self._local, "file", None) != file:
            address = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            self._local.connection = sqlite3.connect(address, uri=True, timeout=10)
            self._local.file = file
        connection: sqlite3.Connection = self._local.connection
        return connection


class RedisReader:
    """Reads Feast's hashes of one Redis node: all commands in one buffer, then an answer a key.

    redis-py's pipeline does the same and takes twice as long, for it packs and parses every command by itself. (A Lua
    script, which needs one answer for all keys, spares the client more and costs the server three times that.)
    """

    def __init__(self, config: RepoConfig, view: FeatureView) -> None:
        from enrich.stores.safe_redis import client  # here, since redis is an optional extra

        self._pool = client(config.online_store, patient=False).connection_pool
        self._keys = KeyBytes(view.join_keys[0], config.entity_key_serialization_version)
        self._local = threading.local()  # a buffer a thread
        self._project = config.project.encode()
        self._dated = bool(view.ttl)
        fields = [_mmh3(f"{view.name}:{_PAYLOAD}"), *([f"_ts:{view.name}".encode()] if self._dated else [])]
        self._fields = len(fields)
        self._opening = b"*%d\r\n$5\r\nHMGET\r\n$" % (2 + len(fields))
        self._ending = b"".join(b"\r\n$%d\r\n%b" % (len(field), field) for field in fields) + b"\r\n"

    def read(self, keys: Sequence[str]) -> Rows:
        if not keys:
            return Rows([], [])
        names = self._keys.of_all(keys)
        some = (names[first : first + _REDIS_KEYS] for first in range(0, len(names), _REDIS_KEYS))
        seals = _Seals()
        takes: tuple[Take, ...] = (seals.take, bytes) if self._dated else (seals.take,)
        values = self._ask([Batch(self._commands(batch), len(batch)) for batch in some], takes)
        times = list(map(_redis_time, values[1::2])) if self._dated else []
        return Rows(values[:: self._fields], times, seals.whole)

    def _commands(self, names: list[bytes]) -> bytes:
        """An HMGET a key. Between keys of one length stand always the same bytes."""
        lengths, project = set(map(len, names)), self._project
        if len(lengths) > 1:
            return b"".join(self._commands([name]) for name in names)
        before = b"%b%d\r\n" % (self._opening, lengths.pop() + len(project))
        after = project + self._ending
        return before + (after + before).join(names) + after

    def _ask(self, batches: Sequence[Batch], takes: Sequence[Take]) -> list[bytes | None]:
        """Payload and, where dated, time of every answer, by the client's own rules of trying again."""
        connection = self._pool.get_connection()
        try:
            return connection.retry.call_with_retry(  # type: ignore[no-any-return]
                lambda: self._round_trip(connection, batches, takes), lambda error: connection.disconnect()
            )
        finally:
            self._pool.release(connection)

    def _round_trip(self, connection: Any, batches: Sequence[Batch], takes: Sequence[Take]) -> list[bytes | None]:
        replies: Replies | None = getattr(self._local, "replies", None)
        if replies is None:
            replies = self._local.replies = Replies()
        try:
            return replies.ask(connection, batches, takes)
        except BaseException:  # whatever it was, answers may be left on the line: nobody may read them as their own
            connection.disconnect()
            raise


class _Seals:
    """Copies payloads out of what came in and looks at their checksums at once, while they are in the chip's cache."""

    __slots__ = ("whole",)

    def __init__(self) -> None:
        self.whole = True

    def take(self, value: memoryview) -> bytes | None:
        payload = payload_of(value)
        if payload is not None and not is_whole(payload):
            self.whole = False
        return payload


class AnyReader:
    """Reads through the store's own `online_read`, one thread at a time: stores keep one connection."""

    def __init__(self, config: RepoConfig, store: OnlineStore, view: FeatureView) -> None:
        self._config, self._store, self._view = config, store, view
        self._one_at_a_time = threading.Lock()

    def read(self, keys: Sequence[str]) -> Rows:
        name = self._view.join_keys[0]
        wanted = [EntityKey(join_keys=[name], entity_values=[Value(string_val=key)]) for key in keys]
        with self._one_at_a_time:
            rows = self._store.online_read(self._config, self._view, wanted, [_PAYLOAD])
        values = [row.get(_PAYLOAD) if row else None for _, row in rows]
        payloads = [v.bytes_val if v is not None and v.HasField("bytes_val") else None for v in values]
        return Rows(payloads, [time for time, _ in rows], all_whole(payloads))


class KeyBytes:
    """Feast's bytes of a key that is one text: the same for all texts, but for the text and its length at the end."""

    def __init__(self, join_key: str, version: int) -> None:
        nothing = EntityKey(join_keys=[join_key], entity_values=[Value(string_val="")])
        self._before = serialize_entity_key(nothing, entity_key_serialization_version=version)[:-4]

    def of_all(self, keys: Sequence[str]) -> list[bytes]:
        texts = [key.encode("utf-8", "surrogatepass") for key in keys]  # half a pair is in no store, and no error
        before = {size: self._before + size.to_bytes(4, "little") for size in set(map(len, texts))}
        return [before[len(text)] + text for text in texts]

    def of(self, key: str) -> bytes:
        return self.of_all([key])[0]


def payload_of(value: memoryview) -> bytes | None:
    """As `bytes_of`, of a value that lies in a buffer: what is as long as most payloads is copied once."""
    if len(value) > 2 and value[0] == _BYTES_FIELD and value[1] & 0x80 and not value[2] & 0x80:
        return bytes(value[3:])
    return bytes_of(bytes(value))


def bytes_of(value: bytes | None) -> bytes | None:
    """What a serialized protobuf Value of bytes holds; None for one that holds nothing.

    A damaged one is given as it is: its payload's own check finds it out, and costs that pin alone.
    """
    if not value:
        return None
    if value[0] != _BYTES_FIELD:
        return _any_value(value)
    if len(value) > 2 and value[1] & 0x80 and not value[2] & 0x80:  # as long as most payloads
        return value[3:]
    start = 1
    while start < len(value) and value[start] & 0x80:  # the length, seven bits a byte
        start += 1
    return value[start + 1 :]


def _any_value(value: bytes) -> bytes | None:
    try:
        read = Value.FromString(value)
    except DecodeError:
        return value
    return bytes(read.bytes_val) if read.HasField("bytes_val") else None


def _sqlite_time(seconds: int | None) -> datetime | None:
    """As `safe_sqlite.py` writes it, and Feast's own class in a process that runs in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _redis_time(stamp: bytes | None) -> datetime | None:
    if stamp is None:
        return None
    try:
        found = Timestamp.FromString(stamp)
    except DecodeError:  # damaged: as one without a time, which does not expire
        return None
    return datetime.fromtimestamp(found.seconds + found.nanos / 1e9, UTC)


def is_one_redis(config: RepoConfig) -> bool:
    """Whether the online store is one node of Redis, no cluster."""
    kind = getattr(config.online_store, "redis_type", None)
    return kind is not None and kind.value == "redis"
