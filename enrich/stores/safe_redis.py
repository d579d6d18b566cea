"""Feast's Redis online store with corrections that arrive, and a client that outlives a restart.

Named in feature_store.yaml. Hashes are Feast's own, so that `type: redis` reads them too. Feast's skips every row whose
event time is not newer than the stored one, so a value that was corrected in place (same event time, known later) never
arrives; here both clocks are compared, and only an older row is left out. Its client waits for ever and gives up at the
first error; this one has a timeout of a second and tries again: where rows are written for about two seconds, with
growing pauses; where a scorer waits, which has other answers, once, and only what was refused or cut off.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import pyarrow as pa
from feast import FeatureView
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import (
    RedisOnlineStore,
    RedisOnlineStoreConfig,
    RedisType,
    _versioned_fv_name,
)
from feast.repo_config import RepoConfig
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import StrictStr
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from enrich.stores.online_rows import Protos, Rows, rows_of_batch, rows_of_protos
from enrich.stores.redis_hashes import Hash, read_hashes, write_hashes

_Clocks = tuple[int, int]  # event and created, µs since 1970

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMEOUT_SECONDS = 1.0  # of a connection and of an answer; connection_string may say otherwise
_RETRIES = 8  # with pauses of 20, 40, 80 ... ms, at most 500 ms: 2.1 s in all
_IMPATIENT_RETRIES = 1  # after 20 ms: a connection that a restart cut off is made anew
_NEVER: _Clocks = (-(2**63), 0)  # older than every row
_MICROSECONDS = struct.Struct("<q")


class SafeRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The settings of `online_store` in feature_store.yaml."""

    type: StrictStr = "enrich.stores.safe_redis.SafeRedisOnlineStore"  # type: ignore[assignment]


class SafeRedisOnlineStore(RedisOnlineStore):
    """Feast's RedisOnlineStore; what was corrected arrives."""

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> Any:
        if not self._client and online_store_config.redis_type == RedisType.redis:
            self._client = client(online_store_config)
        return super()._get_client(online_store_config)

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Protos, progress: Callable[[int], Any] | None
    ) -> None:
        """Every row whose clocks are not older than the stored row's; a hash is written whole or not."""
        self._write(config, table, rows_of_protos(data, config.entity_key_serialization_version))
        if progress:
            progress(len(data))

    def write_arrow(self, config: RepoConfig, table: FeatureView, batch: pa.RecordBatch) -> None:
        """`online_write_batch` of an Arrow batch."""
        self._write(config, table, rows_of_batch(batch, table, config.entity_key_serialization_version))

    def _write(self, config: RepoConfig, table: FeatureView, rows: Rows) -> None:
        settings, view, project = config.online_store, _versioned_fv_name(table, config), config.project.encode()
        redis = self._get_client(settings)
        keys = [key + project for key in rows.keys]
        stamps = (f"_ts:{view}".encode(), f"_created:{view}".encode())
        stored = read_hashes(redis, keys, stamps)
        newest = {key: _clocks(*clocks) for key, clocks in zip(keys, stored, strict=True)}
        fields = (*(_mmh3(f"{view}:{feature.name}") for feature in rows.features), *stamps)
        write_hashes(redis, _hashes(rows, keys, newest), fields, settings.key_ttl_seconds)


def _hashes(rows: Rows, keys: Sequence[bytes], newest: dict[bytes, _Clocks]) -> Iterator[Hash]:
    """Each row that is not older than the `newest` of its key, which it then is: its features, and both clocks."""
    values = zip(*(feature.values for feature in rows.features), strict=True)
    for key, cells, event, created in zip(keys, values, rows.events, rows.created, strict=True):
        clocks = (_us(event), 0 if created is None else _us(created))
        if clocks >= newest[key]:
            newest[key] = clocks
            yield Hash(key, (*cells, _timestamp(event), _MICROSECONDS.pack(clocks[1])))


def client(settings: RedisOnlineStoreConfig, patient: bool = True) -> Any:
    """A client of one Redis node with timeouts and retries, which `connection_string` may set otherwise.

    A `patient` one asks again for 2.1 s, after a late answer too: nine seconds in all of a node that hangs. Another one
    fails within 0.1 s of a node that is gone, and after one time-out of a node that hangs.
    """
    nodes, arguments = RedisOnlineStore._parse_connection_string(settings.connection_string)
    again = (RedisConnectionError, BusyLoadingError, *((RedisTimeoutError,) if patient else ()))
    retries = _RETRIES if patient else _IMPATIENT_RETRIES
    limits = {
        "socket_timeout": _TIMEOUT_SECONDS,
        "socket_connect_timeout": _TIMEOUT_SECONDS,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.01), retries, supported_errors=again),
        "retry_on_error": list(again),
    }
    return Redis(host=nodes[0]["host"], port=int(nodes[0]["port"]), **{**limits, **arguments})


def _clocks(event: bytes | None, created: bytes | None) -> _Clocks:
    """The stored row's clocks. A row that Feast's own class wrote has no second one and is older than its equals."""
    if event is None:
        return _NEVER
    stamp = Timestamp.FromString(event)
    known = _MICROSECONDS.unpack(created)[0] if created is not None else 0
    return stamp.seconds * 1_000_000 + stamp.nanos // 1000, known


@lru_cache(maxsize=4096)
def _us(time: datetime) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=4096)
def _timestamp(time: datetime) -> bytes:
    stamp = Timestamp()
    stamp.FromDatetime(time if time.tzinfo else time.replace(tzinfo=UTC))
    return bytes(stamp.SerializeToString())
