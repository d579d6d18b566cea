"""What must not reach a feature: e-mail addresses, phone and card numbers, handles and URLs in what people typed.

Pure functions over one text, used on queries (one that holds any is dropped whole, since its key cannot be altered) and
on board titles (`scrub` takes the pieces out). They lean towards finding too much: a lost title is cheaper than a leak.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import regex

from enrich.normalise import collapse_space

_TOP_LEVEL_DOMAINS = (
    "com|org|net|info|biz|io|co|me|tv|app|dev|shop|store|online|site|blog|link|xyz|top|club|edu|gov|eu|uk|us|ca|au|nz|"
    "ie|de|fr|es|it|nl|be|ch|at|pl|pt|br|mx|ar|cl|pe|se|no|fi|dk|gr|cz|hu|ro|ua|jp|cn|kr|hk|tw|sg|th|vn|id|ph|in|pk|"
    "il|ae|sa|eg|ir|ru|tr|za|ng|ke|ly|gg|рф|укр|бел|срб|中国|中國|公司|香港|台湾|台灣|한국|भारत|ไทย|السعودية|مصر|امارات"
)
_CARD_DIGITS = range(13, 20)  # ISO/IEC 7812
_PHONE_DIGITS = range(8, 16)  # a national number with its area code .. the limit of ITU-T E.164
_YEAR = regex.compile(r"(?:19|20)\d\d")
_DATE = regex.compile(r"[0-3]?\d([./-])[01]?\d\1(?:19|20)\d\d|(?:19|20)\d\d([./-])[01]?\d\2[0-3]?\d")


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


_LOCAL = r"[\w.+%'!#$&*/=?^`{|}~-]{1,64}"  # RFC 5322, section 3.2.3; letters of any script (RFC 6531)
_EMAIL = regex.compile(
    rf"{_LOCAL}\s?@+\s?[\w-]{{1,63}}(?:[.。][\w-]{{1,63}}){{1,8}}"
    rf"|{_LOCAL}@+(?:\[[^\]\s]{{1,64}}\]|[\w-]{{0,63}}\p{{L}}[\w-]{{0,63}})"  # no dot, but in one word: jane@gmail
    r"|[\w.+-]{1,64}\s?(?:\(at\)|\[at\]|\sat\s)\s?[\w-]{1,63}\s?(?:\(dot\)|\[dot\]|\sdot\s)\s?[a-z]{2,24}\b",
    regex.IGNORECASE,
)
_HOST = r"(?<![\w@.-])(?:[\p{L}\p{N}][\p{L}\p{N}\p{M}-]{0,62}[.。]){1,8}"
_URL = regex.compile(
    r"[a-z][a-z0-9+.-]{1,20}://\S*|www\.\S+"
    rf"|{_HOST}(?:{_TOP_LEVEL_DOMAINS})(?![\w-]|\.\w)(?:[/?#]\S*)?"
    rf"|{_HOST}[a-z]{{2,24}}/[\w~%@?#-]\S*",
    regex.IGNORECASE,
)
_HANDLE = regex.compile(r"(?<![\w@])@++[\w.-]{2,30}")
_NUMBER = regex.compile(r"(?<!\p{Nd})\+?\(?\d(?:[ \t.,()/_\p{Pd}−ー・·]{0,4}\d){7,63}(?!\p{Nd})")
_PATTERNS = (  # each with what it cannot do without, which is quicker to look for
    (Private.EMAIL, _EMAIL, re.compile(r"@|\bdot\b|dot[)\]]", re.IGNORECASE)),
    (Private.URL, _URL, re.compile(r"[.。]|://")),
    (Private.HANDLE, _HANDLE, re.compile("@")),
)
_EIGHT_DIGITS = re.compile(r"(?:\d\D{0,9}){8}")
_PART_OF_A_WORD = regex.compile(r"[\p{Latin}_]")
_TELEPHONE = regex.compile(r"(?<!\p{L})(?:tel|fon|phone|mobile|mob|cell|call|sms|whatsapp)$", regex.IGNORECASE)
_UNSEEN = regex.compile(
    r"[\p{Cf}\ufe0e\ufe0f\u20e3]"
)  # formats, joiners, marks of direction, keycaps: they show nothing


def find_private(text: str) -> tuple[Private, ...]:
    """The kinds of private pieces in `text`; empty when there are none."""
    return scrub(text).reasons


def scrub(text: str) -> Scrubbed:
    """`text` (NFKC) without its private pieces, and why they went; nothing private is left, or has come together.

    Signs that cannot be seen hide no piece; they stay where there is none, for Persian and Hindi words need joiners.
    """
    shown, reasons = collapse_space(unicodedata.normalize("NFKC", text)), list[Private]()
    while True:
        for as_read in _as_read(shown):
            clean, found = _without_private(as_read)
            if found:
                shown, reasons = clean, reasons + found
                break
        else:
            return Scrubbed(shown, tuple(dict.fromkeys(reasons)))


def _as_read(text: str) -> Iterator[str]:
    """The text without what cannot be seen, and as it is."""
    if not text.isascii():
        bare = collapse_space(unicodedata.normalize("NFKC", _UNSEEN.sub("", text)))
        if bare != text:
            yield bare
    yield text


def _without_private(clean: str) -> tuple[str, list[Private]]:
    """One pass of every pattern."""
    reasons: list[Private] = []
    for reason, pattern, sign in _PATTERNS:
        if sign.search(clean):
            clean, found = pattern.subn(" ", clean)
            reasons += [reason] if found else []
    if not _EIGHT_DIGITS.search(clean):
        return collapse_space(clean), reasons
    kept, end = [], 0
    for match in _NUMBER.finditer(clean):
        kind = _number_kind(match.group(), _in_a_word(clean, match.start(), match.end()))
        if kind:
            kept.append(clean[end : match.start()])
            end = match.end()
            reasons.append(kind)
    return collapse_space(" ".join([*kept, clean[end:]])), reasons


def _in_a_word(text: str, start: int, end: int) -> bool:
    """Whether a number stands in a word of Latin letters, as article numbers do: B0123456789. Not: tel0123456789."""
    before = text[start - 1 : start]
    led = _PART_OF_A_WORD.match(before) and not _TELEPHONE.search(text[max(0, start - 10) : start])
    return bool(led or _PART_OF_A_WORD.match(text[end : end + 1]))


def _number_kind(number: str, in_a_word: bool) -> Private | None:
    """Card: 13 to 19 digits that pass Luhn's check. Phone: 8 to 15 digits written as telephone numbers are.

    That is: with a leading + or 0, or in groups that are not all years ("2024 2025") or a date. A bare run of other
    digits is left: catalogues are full of article numbers. Of more digits those of some groups that follow one another
    are enough: after a card comes its date, after one telephone another.
    """
    number = "".join(str(unicodedata.digit(sign)) if sign.isdecimal() else sign for sign in number)  # ٠١٢ and ०१२ too
    groups = [group.group() for group in regex.finditer(r"[+(]*\d+", number)]
    if _DATE.fullmatch(number) or all(_YEAR.fullmatch(group) for group in groups):
        return None
    runs = ("".join(filter(str.isdigit, "".join(run))) for run in _runs(groups))
    if any(len(digits) in _CARD_DIGITS and _passes_luhn(digits) for digits in runs):
        return Private.CARD
    pieces = (regex.findall(r"[+(]*\d+", piece) for piece in number.split(","))  # 1,234,567,890 is none
    phone = not in_a_word and any(_is_phone(run) for piece in pieces for run in _runs(piece))
    return Private.PHONE if phone else None


def _runs(groups: list[str]) -> Iterator[list[str]]:
    """The groups that follow one another, as many as a card's digits allow."""
    for first in range(len(groups)):
        digits = 0
        for last in range(first, len(groups)):
            digits += len(groups[last])
            if digits > _CARD_DIGITS.stop + 4:  # their signs
                break
            yield groups[first : last + 1]


def _is_phone(groups: list[str]) -> bool:
    if sum(sign.isdigit() for group in groups for sign in group) not in _PHONE_DIGITS:
        return False
    return groups[0][0] in "+0(" or (len(groups) > 1 and not all(_YEAR.fullmatch(group) for group in groups))


def _passes_luhn(digits: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1, annex B)."""
    doubled = (int(d) * 2 for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0
