"""Typed records as JSON. (`dataclasses.asdict` cannot: it rebuilds a Counter from pairs and counts the pairs.)"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from math import isfinite
from pathlib import PurePath


def to_json(record: object, indent: int | None = None) -> str:
    """A record, or a list of them, as JSON: dataclasses and NamedTuples as objects, times and paths as texts, nan null.

    Raises TypeError for what has no JSON form.
    """
    return json.dumps(_plain(record), ensure_ascii=False, indent=indent, allow_nan=False)


def to_mapping(record: object) -> dict[str, object]:
    """A record as what its JSON says: for a caller that adds to it or prints it."""
    mapping: dict[str, object] = json.loads(to_json(record))
    return mapping


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
