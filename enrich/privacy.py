"""What must not reach a feature: e-mail addresses, phone and card numbers, handles and URLs in what people typed.

Pure functions over one text, used on queries (one that holds any is dropped whole, since its key cannot be altered) and
on board titles (`scrub` takes the pieces out). They lean towards finding too much: a lost title is cheaper than a leak.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import regex

from enrich.normalise import collapse_space

_COUNTRIES = (  # of top-level domains
    "ac|ad|ae|af|ag|ai|al|am|ao|aq|ar|as|at|au|aw|ax|az|ba|bb|bd|be|bf|bg|bh|bi|bj|bm|bn|bo|br|bs|bt|bw|by|bz|ca|cc|cd|"
    "cf|cg|ch|ci|ck|cl|cm|cn|co|cr|cu|cv|cw|cx|cy|cz|de|dj|dk|dm|do|dz|ec|ee|eg|er|es|et|eu|fi|fj|fk|fm|fo|fr|ga|gd|ge|"
    "gf|gg|gh|gi|gl|gm|gn|gp|gq|gr|gs|gt|gu|gw|gy|hk|hm|hn|hr|ht|hu|id|ie|il|im|in|io|iq|ir|is|it|je|jm|jo|jp|ke|kg|kh|"
    "ki|km|kn|kp|kr|kw|ky|kz|la|lb|lc|li|lk|lr|ls|lt|lu|lv|ly|ma|mc|md|me|mg|mh|mk|ml|mm|mn|mo|mp|mq|mr|ms|mt|mu|mv|mw|"
    "mx|my|mz|na|nc|ne|nf|ng|ni|nl|no|np|nr|nu|nz|om|pa|pe|pf|pg|ph|pk|pl|pm|pn|pr|ps|pt|pw|py|qa|re|ro|rs|ru|rw|sa|sb|"
    "sc|sd|se|sg|sh|si|sk|sl|sm|sn|so|sr|ss|st|su|sv|sx|sy|sz|tc|td|tf|tg|th|tj|tk|tl|tm|tn|to|tr|tt|tv|tw|tz|ua|ug|uk|"
    "us|uy|uz|va|vc|ve|vg|vi|vn|vu|wf|ws|ye|yt|za|zm|zw|"
    "рф|укр|бел|срб|中国|中國|公司|香港|台湾|台灣|한국|भारत|ไทย|السعودية|مصر|امارات"
)
_TOP_LEVEL_DOMAINS = (
    "com|org|net|info|biz|edu|gov|name|mobi|pro|app|art|blog|boutique|cafe|cloud|club|design|dev|email|fun|gallery|icu|"
    "link|live|media|news|online|page|photo|photos|photography|pics|shop|site|space|store|studio|tech|top|travel|vip|"
    f"website|wiki|xyz|{_COUNTRIES}"
)
_PLAIN_ENDINGS = "com|net|org|edu|gov|info|biz|uk|fr|ru|jp|cn|br|pl|nl"  # such as are no words of their own
_MAILERS = (
    "gmail|googlemail|yahoo|ymail|hotmail|outlook|live|msn|icloud|aol|proton|protonmail|gmx|web|mail|yandex|naver|daum|qq|"
    "163|126|foxmail|rediffmail|zoho|orange|libero|uol|bol|terra|comcast|verizon"
)
_CARD_DIGITS = range(13, 20)  # ISO/IEC 7812
_PHONE_DIGITS = range(8, 16)  # a national number with its area code .. the limit of ITU-T E.164
_CALLED_DIGITS = range(7, 16)  # after a word that says that it is one
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
    rf"|{_LOCAL}\s?@+\s?[\w-]{{1,63}}(?:\s?[.。]\s?[\w-]{{1,63}}){{0,4}}(?:\s?[.。]\s?|\s)(?:{_PLAIN_ENDINGS})\b"
    r"|[\w.+-]{1,64}\s?(?:\(at\)|\[at\])\s?[\w-]{1,63}\s?(?:\(dot\)|\[dot\]|\sdot\s)\s?[a-z]{2,24}\b"
    rf"|[\w.+-]{{1,64}}\sat\s[\w-]{{1,63}}\s?(?:\(dot\)|\[dot\]|\sdot\s)\s?(?:{_TOP_LEVEL_DOMAINS})\b"
    rf"|[\w.+-]{{1,64}}\sat\s(?:{_MAILERS})\s(?:com|net|org|de|ru|co\suk|{_PLAIN_ENDINGS})\b"
    rf"|[\w.+-]{{1,64}}_at_[\w-]{{1,63}}_dot_(?:{_TOP_LEVEL_DOMAINS})(?![^\W_])",
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
_NUMBER = regex.compile(r"(?<!\p{Nd})\+?\(?\d(?:[ \t.,()/_\p{Pd}−ー・·]{0,4}\d){6,63}(?!\p{Nd})")
_CARD = regex.compile(r"(?<!\p{Nd})(?:\d{3,7}\s?[+:|]\s?){2,5}\d{1,7}(?!\p{Nd})")  # in groups that no telephone has
_PATTERNS = (  # each with what it cannot do without, which is quicker to look for
    (Private.EMAIL, _EMAIL, re.compile(r"@|dot| at ", re.IGNORECASE)),
    (Private.URL, _URL, re.compile(r"[.。]|://")),
    (Private.HANDLE, _HANDLE, re.compile("@")),
)
_SEVEN_DIGITS = re.compile(r"(?:\d\D{0,9}){7}")
_PART_OF_A_WORD = regex.compile(r"[\p{Latin}_]")
_TELEPHONE = regex.compile(  # a word that says that the number after it is one
    r"(?:(?<!\p{L})(?:(?:cell|mobile|tele|handy)?(?:phone|fon|fone|fono)|t[ée]l|t[ée]l[ée]phone|tel[ée]fono|mobile?|m[óo]vil|"
    r"mob|cell?|celular|call|dial|sms|fax|whats\s?app|viber|te?xt\sme|тел|телефон|звони(?:те)?|ватсап|вотсап|फोन|फ़ोन|"
    r"मोबाइल|هاتف|جوال|موبايل|واتساب|واتس)|電話|电话|携帯|手机|手機|微信|전화|휴대폰|폰|โทร|เบอร์)"
    r"(?:\s?(?:me|us|now|at|on|no|nr|num|number|is)(?!\p{L}))*[\s.:：#=-]{0,3}$",
    regex.IGNORECASE,
)
_TELEPHONE_CHARACTERS = 40  # before a number in which such a word is looked for
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
    if not _SEVEN_DIGITS.search(clean):
        return collapse_space(clean), reasons
    kept, end = [], 0
    for match in _NUMBER.finditer(clean):
        kind = _number_kind(match.group(), *_stands(clean, match.start(), match.end()))
        if kind:
            kept.append(clean[end : match.start()])
            end = match.end()
            reasons.append(kind)
    clean = " ".join([*kept, clean[end:]])
    for match in reversed(list(_CARD.finditer(clean))):
        if _is_card(_digits(match.group())):
            clean = f"{clean[: match.start()]} {clean[match.end() :]}"
            reasons.append(Private.CARD)
    return collapse_space(clean), reasons


def _stands(text: str, start: int, end: int) -> tuple[bool, bool]:
    """Whether a number stands in a word of Latin letters, as article numbers do: B0123456789. Not: tel0123456789. And
    whether a word before it says that it is a telephone's.
    """
    called = bool(_TELEPHONE.search(text[max(0, start - _TELEPHONE_CHARACTERS) : start]))
    led = not called and _PART_OF_A_WORD.match(text[start - 1 : start])
    return bool(led or _PART_OF_A_WORD.match(text[end : end + 1])), called


def _number_kind(number: str, in_a_word: bool, called: bool) -> Private | None:
    """Card: 13 to 19 digits that pass Luhn's check. Phone: 8 to 15 digits written as telephone numbers are.

    That is: with a leading + or 0, or in groups that are not all years ("2024 2025"), sizes (10 12 14 16) or a date, or
    of 7 digits and more where it is `called` one. A bare run of other digits is left: catalogues are full of article
    numbers. Of more digits those of some groups that follow one another
    are enough: after a card comes its date, after one telephone another.
    """
    number = _in_ascii(number)
    groups = [group.group() for group in regex.finditer(r"[+(]*\d+", number)]
    if _DATE.fullmatch(number) or all(_YEAR.fullmatch(group) for group in groups):
        return None
    if any(_is_card(_digits("".join(run))) for run in _runs(groups)):
        return Private.CARD
    pieces = (regex.findall(r"[+(]*\d+", piece) for piece in number.split(","))  # 1,234,567,890 is none
    phone = not in_a_word and any(_is_phone(run, called) for piece in pieces for run in _runs(piece))
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


def _is_phone(groups: list[str], called: bool) -> bool:
    if sum(sign.isdigit() for group in groups for sign in group) not in (_CALLED_DIGITS if called else _PHONE_DIGITS):
        return False
    if called or groups[0][0] in "+0(":
        return True
    return len(groups) > 1 and not all(_YEAR.fullmatch(group) for group in groups) and not _are_sizes(groups)


def _are_sizes(groups: list[str]) -> bool:
    """Whether the groups rise as sizes do: 36 38 40 42 44."""
    numbers = [int(group) for group in groups if group.isdigit() and len(group) <= 2]
    steps = {after - before for before, after in pairwise(numbers)}
    return len(numbers) == len(groups) and len(steps) == 1 and 0 < steps.pop() <= 10


def _is_card(digits: str) -> bool:
    return len(digits) in _CARD_DIGITS and _passes_luhn(digits)


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, _in_ascii(text)))


def _in_ascii(number: str) -> str:
    """٠١٢ and ०१२ as 012."""
    return "".join(str(unicodedata.digit(sign)) if sign.isdecimal() else sign for sign in number)


def _passes_luhn(digits: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1, annex B)."""
    doubled = (int(d) * 2 for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0
