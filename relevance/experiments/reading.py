"""How a backbone's tokenizer reads texts: what it does not know, and what it takes apart into letters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

_UNKNOWN = 0.2  # share of tokens from which a language's figures are a floor: unknown ones alone
_IN_PIECES = 0.5  # unknown ones and single letters; of languages that a tokenizer was made for it is a third at most
_HAN = "CJK UNIFIED"  # how Unicode names signs of which one may be a word


class Reading(NamedTuple):
    """How a tokenizer reads texts: the shares of tokens that it does not know, and that are one letter each."""

    unknown: float
    letters: float

    @property
    def fails(self) -> bool:
        return self.unknown > _UNKNOWN or self.unknown + self.letters > _IN_PIECES

    def __str__(self) -> str:
        return f"{self.unknown:.0%} unknown, {self.letters:.0%} single letters"


def unknown_share(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Share of the texts' tokens that are the tokenizer's unknown one; 0 for a tokenizer without one."""
    if tokenizer.unk_token_id is None or not texts:
        return 0.0
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    ids = [token for row in rows for token in row]
    return ids.count(tokenizer.unk_token_id) / max(1, len(ids))


def reading(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Reading:
    """Of the texts' tokens that hold a letter, or are unknown; all 0 without one.

    A single Han sign is a word as often as not, and no sign of failing. A tokenizer that does not tell what part of the
    text a token is (a slow one) shows unknown tokens only.
    """
    if not texts:
        return Reading(0.0, 0.0)
    told = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast)
    if not tokenizer.is_fast:
        return Reading(unknown_share(tokenizer, texts), 0.0)
    unknown = letters = tokens = 0
    for text, ids, places in zip(texts, told["input_ids"], told["offset_mapping"], strict=True):
        for token, (start, end) in zip(ids, places, strict=True):
            piece = text[start:end].strip()
            known = tokenizer.unk_token_id is None or token != tokenizer.unk_token_id
            unknown += not known
            letters += known and len(piece) == 1 and piece.isalpha() and not _is_han(piece)
            tokens += not known or any(sign.isalpha() for sign in piece)
    return Reading(unknown / max(1, tokens), letters / max(1, tokens))


def _is_han(sign: str) -> bool:
    return unicodedata.name(sign, "").startswith(_HAN)
