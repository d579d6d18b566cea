"""Whether a Redis still holds what was loaded into it: a key that is written after a load, and gone with the rows.

Redis started anew without its file, flushed, or failed over to an empty node says of every pin that nobody wrote it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from feast import RepoConfig

from relevance.serving.payload_readers import is_one_redis


def has_lost_its_rows(config: RepoConfig) -> bool:
    """Whether the store is one Redis node, and has no mark. Of a node that cannot be asked nothing is said."""
    redis = _client(config)
    if redis is None:
        return False
    from redis.exceptions import RedisError

    try:
        return not redis.exists(_key(config))
    except RedisError:
        return False


def mark_loaded(config: RepoConfig) -> None:
    """Say that rows were loaded. Where it cannot be said they are loaded whole the next time."""
    redis = _client(config)
    if redis is None:
        return
    from redis.exceptions import RedisError

    with suppress(RedisError):
        redis.set(_key(config), 1)


def _key(config: RepoConfig) -> str:
    return f"corkboard:loaded:{config.project}"


def _client(config: RepoConfig) -> Any:
    """None where the store is another one, or a cluster."""
    if not is_one_redis(config):
        return None
    from enrich.stores.safe_redis import client  # here, since redis is an optional extra

    return client(config.online_store)
