"""What is asked of a scorer: a query and pin ids, checked, each pin once; pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from enrich.errors import BadInput
from relevance.features import Ints


def places_of(asked: Sequence[str], ids: Sequence[str]) -> Ints:
    """Where each of the asked pins stands among `ids`, which are the same, each once."""
    place = {pin: i for i, pin in enumerate(ids)}
    return np.fromiter(map(place.__getitem__, asked), np.int64, len(asked))


def checked(query: str, pin_ids: Sequence[str]) -> tuple[str, ...]:
    """The pin ids. Raises BadInput for what is no query or are no pin ids."""
    if not isinstance(query, str):
        raise BadInput(f"expected a query as text, found {type(query).__name__}")
    if isinstance(pin_ids, str | bytes):
        raise BadInput("expected a list of pin ids, found one text; put it into a list")
    try:
        ids = tuple(pin_ids)
    except TypeError as error:
        raise BadInput(f"expected a list of pin ids, found {type(pin_ids).__name__}") from error
    if set(map(type, ids)) != {str}:
        ids = tuple(map(_text, ids))
    try:
        "".join(ids).encode()
    except UnicodeEncodeError as error:
        raise BadInput("expected pin ids as texts that UTF-8 can hold, found one with a lone surrogate") from error
    return ids


def _text(pin: object) -> str:
    """The id, and of NumPy's own kind of text a plain one. Raises BadInput for anything else."""
    if not isinstance(pin, str):
        raise BadInput(f"expected pin ids as texts, found {type(pin).__name__} {pin!r}")
    return str(pin) if isinstance(pin, np.str_) else pin
