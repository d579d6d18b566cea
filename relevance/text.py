"""What the teacher reads: a query and a pin's texts, marked, budgeted in tokens and joined into one sequence.

    [CLS] query [SEP] title: … caption: … boards: … queries: … link: … description: … [SEP]

Reads `PinText` records (of a teacher_v1 training frame, or made by hand) and gives token ids. A missing field costs
nothing. Where the fields do not fit, each keeps up to its share of the room and the longest for its share is cut first;
none is ever cut to nothing. The settings are kept with every checkpoint, so that a model always reads as it was taught.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from enrich.errors import BadInput
from enrich.normalise import normalise_query
from relevance.pin_text import PairText as PairText
from relevance.pin_text import PinText as PinText
from relevance.pin_text import pair_texts as pair_texts
from relevance.pin_text import pin_texts_from_frame as pin_texts_from_frame
from relevance.pin_text import plain_text as plain_text
from relevance.text_fields import Field

TokenIds = npt.NDArray[np.int32]

_CHARACTERS_A_TOKEN = 16  # more text than this times `max_tokens` is never tokenised, whatever a page holds
_CACHED_TEXTS = 200_000  # distinct texts kept tokenised; about 100 MB at 128 tokens
_EMPTY: TokenIds = np.zeros(0, dtype=np.int32)


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
    separator: str = "\n"  # between query and pin for tokenizers that have nothing of their own there (decoders)

    def __post_init__(self) -> None:
        names = [budget.field for budget in self.fields]
        if not names or len(set(names)) != len(names):
            raise BadInput(f"expected one or more distinct text fields, found {names}; name each at most once")
        if min(budget.share for budget in self.fields) <= 0:
            raise BadInput("expected each text field's share to be above 0; leave a field out to not read it")
        if self.query_tokens < 1 or self.max_tokens < self.query_tokens + 8 * len(self.fields):
            raise BadInput(
                f"expected --max-tokens of at least query_tokens + 8 a field ({self.query_tokens} + "
                f"{8 * len(self.fields)}), found {self.max_tokens}; raise it or read fewer fields"
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
                f"expected --max-tokens of at least {least} for special tokens, query_tokens, markers ({markers}) and "
                f"a token a field, found {self._settings.max_tokens}; raise it or shorten the markers"
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
        return _Template(ids[:first], between if self._separates(between) else self._own_separator(), ids[end:])

    def _separates(self, between: TokenIds) -> bool:
        """Whether anything stands there but the token that begins a text, which Llama 3's puts before both."""
        begins = self._tokenizer.bos_token_id
        return bool(len(between)) and (begins == self._tokenizer.eos_token_id or bool((between != begins).any()))

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
