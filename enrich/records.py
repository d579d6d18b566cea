"""Typed records as JSON. (`dataclasses.asdict` cannot: it rebuilds a Counter from pairs and counts the pairs.)"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import datetime


def to_json(record: object, indent: int | None = None) -> str:
    """A dataclass, or a list of them, as JSON; times as ISO strings. Raises TypeError for what has no JSON form."""
    return json.dumps(record, default=_plain, indent=indent)


def to_mapping(record: object) -> dict[str, object]:
    """A dataclass as what its JSON says: for a caller that adds to it or prints it."""
    mapping: dict[str, object] = json.loads(to_json(record))
    return mapping


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"expected a dataclass or a time, found {type(value).__name__}")
