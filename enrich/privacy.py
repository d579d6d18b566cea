"""What must not reach a feature: e-mail addresses, phone and card numbers, handles and URLs in what people typed.

Pure functions over one text, used on queries (one that holds any is dropped whole, since its key cannot be altered) and
on board titles (`scrub` takes the pieces out). They lean towards finding too much: a lost title is cheaper than a leak.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import NamedTuple

import regex

from enrich.normalise import collapse_space

_TOP_LEVEL_DOMAINS = (
    "com|org|net|info|biz|io|co|me|tv|app|dev|shop|store|online|site|blog|edu|gov|eu|uk|us|ca|au|de|fr|es|it|nl|be|"
    "ch|at|pl|pt|br|mx|ar|cl|se|no|fi|dk|jp|cn|kr|in|ru|tr|za"
)
_CARD_DIGITS = range(13, 20)  # ISO/IEC 7812
_PHONE_DIGITS = range(8, 16)  # a national number with its area code .. the limit of ITU-T E.164
_YEAR = regex.compile(r"(?:19|20)\d\d")


class Private(StrEnum):
    """Why a text, or a piece of one, may not be used."""

    EMAIL = "private-email"
    URL = "private-url"
    HANDLE = "private-handle"
    CARD = "private-card-number"
    PHONE = "private-phone-number"


class Scrubbed(NamedTuple):
    text: str  # without the private pieces; white space collapsed
    reasons: tuple[Private, ...]  # of the pieces taken out, each once, in the order looked for


_EMAIL = regex.compile(r"[\w.+%-]{1,64}\s?@\s?[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_URL = regex.compile(
    r"(?:https?://|www\.)\S+"
    rf"|(?<![\w@.-])(?:[a-z0-9](?:[a-z0-9-]{{0,62}})\.){{1,8}}(?:{_TOP_LEVEL_DOMAINS})(?![\w-]|\.\w)(?:[/?#]\S*)?",
    regex.IGNORECASE,
)
_HANDLE = regex.compile(r"(?<![\w@])@[\w.]{2,30}")
_NUMBER = regex.compile(r"(?<![\w.,])\+?\(?\d(?:[ \t.()/-]{0,2}\d){7,24}(?![\w]|[.,]\d)")


def find_private(text: str) -> tuple[Private, ...]:
    """The kinds of private pieces in `text`; empty when there are none."""
    return scrub(text).reasons


def scrub(text: str) -> Scrubbed:
    """`text` (NFKC) without its private pieces, and why they went; nothing private is left, or has come together."""
    clean, reasons = _without_private(collapse_space(unicodedata.normalize("NFKC", text)))
    all_reasons = list(reasons)
    while reasons:
        clean, reasons = _without_private(clean)
        all_reasons += reasons
    return Scrubbed(collapse_space(clean), tuple(dict.fromkeys(all_reasons)))


def _without_private(clean: str) -> tuple[str, list[Private]]:
    """One pass of every pattern."""
    reasons: list[Private] = []
    for reason, pattern in ((Private.EMAIL, _EMAIL), (Private.URL, _URL), (Private.HANDLE, _HANDLE)):
        clean, found = pattern.subn(" ", clean)
        reasons += [reason] if found else []
    for number in _NUMBER.findall(clean):
        kind = _number_kind(number)
        if kind:
            clean = clean.replace(number, " ")
            reasons.append(kind)
    return collapse_space(clean), reasons


def _number_kind(number: str) -> Private | None:
    """Card: 13 to 19 digits that pass Luhn's check. Phone: 8 to 15 digits written as telephone numbers are.

    That is: with a leading + or 0, or in groups that are not all years ("2024 2025"). A bare run of other digits is
    left: catalogues are full of article numbers.
    """
    number = "".join(str(unicodedata.digit(sign)) if sign.isdecimal() else sign for sign in number)  # ٠١٢ and ०१२ too
    digits = regex.sub(r"\D", "", number)
    if len(digits) in _CARD_DIGITS and _passes_luhn(digits):
        return Private.CARD
    groups = regex.findall(r"\d+", number)
    written_as_phone = number.startswith(("+", "0", "(")) or (
        len(groups) > 1 and not all(_YEAR.fullmatch(group) for group in groups)
    )
    return Private.PHONE if len(digits) in _PHONE_DIGITS and written_as_phone else None


def _passes_luhn(digits: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1, annex B)."""
    doubled = (int(d) * 2 for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0
