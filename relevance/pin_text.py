"""A pin's texts, and a query with them, as the teacher is given them: plain records, checked and tidied once.

Made by hand or of a teacher_v1 training frame; `text.py` makes token ids of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import NamedTuple

import polars as pl

from enrich.errors import BadInput
from enrich.normalise import collapse_space
from relevance.text_fields import Field, frame_columns

_SHOWN = 60  # characters of what is no text, in an error


class PinText(NamedTuple):
    """A pin's texts; None, "" and () all mean that it has none."""

    title: str | None = None
    description: str | None = None
    caption: str | None = None
    link_title: str | None = None
    link_description: str | None = None
    board_titles: tuple[str, ...] = ()
    engaged_queries: tuple[str, ...] = ()

    def of(self, field: Field) -> str:
        """The field's text on one line, best first where it is a list; "" when the pin has none."""
        match field:
            case Field.TITLE:
                parts: Iterable[str | None] = (self.title,)
            case Field.DESCRIPTION:
                parts = (self.description,)
            case Field.CAPTION:
                parts = (self.caption,)
            case Field.LINK:
                parts = (self.link_title, self.link_description)
            case Field.BOARDS:
                parts = self.board_titles or ()
            case Field.QUERIES:
                parts = self.engaged_queries or ()
        separator = ". " if field is Field.LINK else ", "
        return separator.join(filter(None, (collapse_space(part or "") for part in parts)))


def plain_text(pin: PinText) -> str:
    """All fields of the pin as one unmarked text, for models that do not tell fields apart; "" when it has none."""
    return ". ".join(filter(None, (pin.of(field) for field in Field)))


class PairText(NamedTuple):
    query: str
    pin: PinText


def pair_texts(queries: Sequence[str], pins: Sequence[str | PinText]) -> list[PairText]:
    """Pairs by position; a str is a pin that has only a title, and a list of boards or queries is taken as a tuple.

    Raises BadInput when the lengths differ, or something is no text.
    """
    for what, given in (("queries", queries), ("pin texts", pins)):
        if isinstance(given, str | bytes | PinText | Mapping) or not isinstance(given, Sized):
            raise BadInput(f"expected {what} as a list, one a pair, found {_shown(given)}; put a single one in a list")
    if len(queries) != len(pins):
        raise BadInput(f"expected as many pin texts as queries, found {len(pins)} and {len(queries)}")
    return [PairText(_query(query, i), _pin(pin, i)) for i, (query, pin) in enumerate(zip(queries, pins, strict=True))]


def _query(query: object, place: int) -> str:
    if not isinstance(query, str):
        raise BadInput(f'expected query {place} as a str, found {_shown(query)}; "" is a query without words')
    return query


def _pin(pin: object, place: int) -> PinText:
    if isinstance(pin, str):
        return PinText(title=pin)
    if not isinstance(pin, PinText):
        raise BadInput(
            f"expected pin text {place} as a str or a PinText, found {_shown(pin)}; PinText() is a pin without texts"
        )
    *texts, boards, queries = pin
    if type(boards) is not tuple or type(queries) is not tuple:
        boards, queries = (_listed(pin, name, place) for name in ("board_titles", "engaged_queries"))
        pin = pin._replace(board_titles=boards, engaged_queries=queries)
    found: tuple[object, ...] = (*texts, *boards, *queries)
    for text in found:
        if text is not None and not isinstance(text, str):
            name = next(name for name, value in pin._asdict().items() if text is value or _among(text, value))
            raise BadInput(f"expected texts in {name} of pin text {place}, found {_shown(text)}; None is none")
    return pin


def _among(text: object, value: object) -> bool:
    return isinstance(value, tuple) and any(text is one for one in value)


def _listed(pin: PinText, name: str, place: int) -> tuple[str, ...]:
    given: object = getattr(pin, name)
    if given is None:
        return ()
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sized) or not isinstance(given, Iterable):
        raise BadInput(
            f"expected {name} of pin text {place} as a tuple of texts, found {_shown(given)}; put one text in a tuple"
        )
    return tuple(given)


def _shown(value: object) -> str:
    """On one line, however long it is."""
    said = collapse_space(repr(value))
    return f"{type(value).__name__} {said if len(said) <= _SHOWN else said[:_SHOWN] + '…'}"


def pin_texts_from_frame(frame: pl.DataFrame) -> list[PinText]:
    """The pins' texts of a teacher_v1 training frame, in its order; a view that is absent gives empty fields."""
    columns = [_column(frame, name) for field in Field for name in frame_columns(field)]
    return [
        PinText(title, description, caption, link_title, link_description, tuple(boards or ()), tuple(queries or ()))
        for title, description, caption, link_title, link_description, boards, queries in zip(*columns, strict=True)
    ]


def _column(frame: pl.DataFrame, name: str) -> list[object]:
    return frame[name].to_list() if name in frame.columns else [None] * frame.height
