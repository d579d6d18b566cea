"""What the teacher reads: a query and a pin's texts, marked, budgeted in tokens and joined into one sequence.

    [CLS] query [SEP] title: … caption: … boards: … queries: … link: … description: … [SEP]

Reads `PinText` records (of a teacher_v1 training frame, or made by hand) and gives token ids. A missing field costs
nothing. Where the fields do not fit, each keeps up to its share of the room and the longest for its share is cut first;
none is ever cut to nothing. The settings are kept with every checkpoint, so that a model always reads as it was taught.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from transformers import PreTrainedTokenizerBase

from enrich.errors import BadInput
from enrich.normalise import collapse_space, normalise_query
from relevance.text_fields import Field, frame_columns

TokenIds = npt.NDArray[np.int32]

_CHARACTERS_A_TOKEN = 16  # more text than this times `max_tokens` is never tokenised, whatever a page holds
_CACHED_TEXTS = 200_000  # distinct texts kept tokenised; about 100 MB at 128 tokens
_SHOWN = 60  # characters of what is no text, in an error
_EMPTY: TokenIds = np.zeros(0, dtype=np.int32)


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


class FieldBudget(NamedTuple):
    """How a field is written: its marker, and its share of the pin's room when the fields compete for it."""

    field: Field
    marker: str
    share: float


DEFAULT_FIELDS = (
    FieldBudget(Field.TITLE, "title:", 0.25),
    FieldBudget(Field.CAPTION, "caption:", 0.15),
    FieldBudget(Field.BOARDS, "boards:", 0.15),
    FieldBudget(Field.QUERIES, "queries:", 0.15),
    FieldBudget(Field.LINK, "link:", 0.10),
    FieldBudget(Field.DESCRIPTION, "description:", 0.20),
)


@dataclass(frozen=True, slots=True)
class TextSettings:
    """How (query, pin) becomes a sequence; recorded in the checkpoint."""

    fields: tuple[FieldBudget, ...] = DEFAULT_FIELDS  # in the order written; a field that is absent is not read
    max_tokens: int = 128  # of the whole sequence, special tokens included
    query_tokens: int = 32  # of the query at most
    separator: str = "\n"  # between query and pin for tokenizers that have no separator of their own (decoders)

    def __post_init__(self) -> None:
        names = [budget.field for budget in self.fields]
        if not names or len(set(names)) != len(names):
            raise BadInput(f"expected one or more distinct text fields, found {names}; name each at most once")
        if min(budget.share for budget in self.fields) <= 0:
            raise BadInput("expected each text field's share to be above 0; leave a field out to not read it")
        if self.query_tokens < 1 or self.max_tokens < self.query_tokens + 8 * len(self.fields):
            raise BadInput(
                f"expected max_tokens of at least query_tokens + 8 a field ({self.query_tokens} + "
                f"{8 * len(self.fields)}), found {self.max_tokens}; raise max_tokens or read fewer fields"
            )

    def selecting(self, *fields: Field) -> TextSettings:
        """The same settings reading `fields` alone, for instance the title."""
        kept = tuple(budget for budget in self.fields if budget.field in fields)
        return TextSettings(kept, self.max_tokens, self.query_tokens, self.separator)


class Segment:
    """What a position of a sequence holds; the values of `Rendered.segments`.

    FIELD and above are the pin's: FIELD + i is the i-th field that the settings read.
    """

    SPECIAL, QUERY, MARKER, FIELD = 0, 1, 2, 3


class Rendered(NamedTuple):
    """One sequence: its token ids and what each position holds (`Segment`), both int32 [tokens]."""

    ids: TokenIds
    segments: TokenIds


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


class _Template(NamedTuple):
    """The tokenizer's own special tokens around a pair, read off an example."""

    before: TokenIds
    between: TokenIds
    after: TokenIds


class Renderer:
    """Renders pairs for one tokenizer, tokenising each distinct text once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: TextSettings) -> None:
        """Raises BadInput for a tokenizer without a tokenizer.json, and for markers that leave the fields no room."""
        self._tokenizer = tokenizer
        self._settings = settings
        self._template = self._read_template()
        self._cache: dict[str, TokenIds] = {}
        self._markers = self._tokenise([budget.marker for budget in settings.fields], special=True)
        self._refuse_crowded()

    @property
    def settings(self) -> TextSettings:
        return self._settings

    def render(self, pairs: Sequence[PairText]) -> list[Rendered]:
        """The pairs' sequences, each at most `max_tokens` long, in order."""
        queries = [normalise_query(pair.query) for pair in pairs]
        pins = {pair.pin: [pair.pin.of(budget.field) for budget in self._settings.fields] for pair in pairs}
        self._learn([*queries, *(text for texts in pins.values() for text in texts)])
        return [self._join(self._cached(query), pins[pair.pin]) for query, pair in zip(queries, pairs, strict=True)]

    def _join(self, query: TokenIds, texts: Sequence[str]) -> Rendered:
        before, between, after = self._template
        query = query[: self._settings.query_tokens]
        room = self._settings.max_tokens - len(before) - len(query) - len(between) - len(after)
        pieces = [
            (before, Segment.SPECIAL),
            (query, Segment.QUERY),
            (between, Segment.SPECIAL),
            *self._pin(texts, room),
            (after, Segment.SPECIAL),
        ]
        return Rendered(
            np.concatenate([ids for ids, _ in pieces]),
            np.repeat(np.asarray([segment for _, segment in pieces], np.int32), [len(ids) for ids, _ in pieces]),
        )

    def _pin(self, texts: Sequence[str], room: int) -> list[tuple[TokenIds, int]]:
        """The fields that are there, each after its marker, and what each piece is (`Segment`)."""
        present = [i for i, text in enumerate(texts) if len(self._cached(text))]
        tokens = [self._cached(texts[i]) for i in present]
        room -= sum(len(self._markers[i]) for i in present)
        shares = [self._settings.fields[i].share for i in present]
        kept = fit([len(field) for field in tokens], shares, room)
        return [
            piece
            for i, field, length in zip(present, tokens, kept, strict=True)
            for piece in ((self._markers[i], Segment.MARKER), (field[:length], Segment.FIELD + i))
        ]

    def _cached(self, text: str) -> TokenIds:
        return self._cache[text] if text else _EMPTY

    def _learn(self, texts: Iterable[str]) -> None:
        wanted = set(texts) - {""}
        if len(self._cache) + len(wanted) > _CACHED_TEXTS:
            self._cache.clear()
        fresh = sorted(wanted - self._cache.keys())
        self._cache.update(zip(fresh, self._tokenise(fresh), strict=True))

    def _refuse_crowded(self) -> None:
        """Raises BadInput where what always stands in a sequence leaves no room for a token a field."""
        markers = sum(map(len, self._markers))
        fixed = sum(map(len, self._template)) + self._settings.query_tokens + markers
        least = fixed + len(self._markers)
        if self._settings.max_tokens < least:
            raise BadInput(
                f"expected max_tokens of at least {least} for special tokens, query_tokens, markers ({markers}) and a "
                f"token a field, found {self._settings.max_tokens}; raise max_tokens or shorten the markers"
            )

    def forget_texts(self) -> None:
        """Tokenise anew what was kept."""
        self._cache.clear()

    def _tokenise(self, texts: list[str], special: bool = False) -> list[TokenIds]:
        """Without special tokens; one that is written in a text becomes one only where it may be `special`."""
        if not texts:
            return []
        longest = self._settings.max_tokens * _CHARACTERS_A_TOKEN
        encoded = self._tokenizer(
            [text[:longest] for text in texts],
            add_special_tokens=False,
            split_special_tokens=not special,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return [np.asarray(ids[: self._settings.max_tokens], dtype=np.int32) for ids in encoded]

    def _read_template(self) -> _Template:
        if not self._tokenizer.is_fast:
            raise BadInput(
                f"expected a tokenizer with a tokenizer.json, found {type(self._tokenizer).__name__} without one; "
                "convert it with transformers' AutoTokenizer and save_pretrained"
            )
        example = self._tokenizer("a", "b")
        ids, sides = np.asarray(example["input_ids"], dtype=np.int32), example.sequence_ids()
        first, second = sides.index(0), sides.index(1)
        end = len(sides) - sides[::-1].index(1)
        between = ids[len(sides) - sides[::-1].index(0) : second]
        return _Template(ids[:first], between if len(between) else self._own_separator(), ids[end:])

    def _own_separator(self) -> TokenIds:
        return np.asarray(self._tokenizer(self._settings.separator, add_special_tokens=False)["input_ids"], np.int32)


def fit(lengths: Sequence[int], shares: Sequence[float], room: int) -> list[int]:
    """How many tokens each field keeps, at most `room` in all: min(length, level x share), never less than one.

    `level` is the largest that fits, so the field that is longest for its share is cut first and room that a short
    field leaves goes to the others. `lengths` are 1 or more; `room` must hold one token a field.
    """
    if sum(lengths) <= room:
        return list(lengths)
    kept = [0] * len(lengths)
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] / shares[i])
    for rank, i in enumerate(order):
        others = order[rank + 1 :]
        share = shares[i] / (shares[i] + sum(shares[j] for j in others))
        kept[i] = max(1, min(lengths[i], int(room * share), room - len(others)))
        room -= kept[i]
    return kept
