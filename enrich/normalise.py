"""One spelling of a text: how a query becomes its key, and how a text becomes the terms that matching counts.

Pure functions, used by the jobs, by training and by scoring alike, so that a term is the same everywhere.
"""

from __future__ import annotations

import re
import unicodedata

import regex

MAX_QUERY_CHARACTERS = 500
_SPACE = regex.compile(r"\s+")
# Format characters that are signs themselves.
SHOWN = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
_CONTROL = regex.compile(rf"(?V1)[[\p{{Cc}}\p{{Cs}}\p{{Cf}}]--[\s\u200c\u200d{SHOWN}]]")
_UNSEEN = regex.compile(rf"(?V1)[\p{{Cf}}--[{SHOWN}]]")
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"  # scripts written without spaces
_TERM = regex.compile(rf"[{_UNSPACED}]+|(?![{_UNSPACED}])[\p{{L}}\p{{N}}](?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}\p{{N}}])*")
_ASCII_TERM = re.compile(r"[a-z0-9]+")
_UNSPACED_RUN = regex.compile(rf"[{_UNSPACED}]+")
_SIGN = regex.compile(rf"(?=[{_UNSPACED}])\X")
_LETTER = regex.compile(r"\X")
_ACCENT = regex.compile(r"[\u0300-\u036f]")  # combining diacritics of Latin, Greek and Cyrillic, of no other script


def collapse_space(text: str) -> str:
    """White space of any kind to single blanks, none at the ends; control and format characters and lone surrogates
    dropped, but for the joiners of Persian and Hindi words and of emojis.
    """
    return str(_SPACE.sub(" ", _CONTROL.sub("", text))).strip()


def normalise_query(text: str) -> str:
    """The key of a query: NFKC, lower case, collapsed white space, at most MAX_QUERY_CHARACTERS characters, none of
    which cannot be seen.
    """
    seen = text if text.isascii() else _UNSEEN.sub("", text)
    return collapse_space(_fold(collapse_space(seen)))[:MAX_QUERY_CHARACTERS].rstrip()


def terms(text: str) -> list[str]:
    """The text's terms in order: lower-cased words without accents and without what cannot be seen in them; character
    bigrams where no spaces are written, and a sign that stands alone there.
    """
    if text.isascii():  # most of most catalogues; the same words, ten times as fast
        return _ASCII_TERM.findall(text.lower())
    found: list[str] = []
    for word in _TERM.findall(_fold(_UNSEEN.sub("", text))):
        if _UNSPACED_RUN.fullmatch(word):
            letters = _LETTER.findall(word)  # with their marks: Thai vowels and tones belong to a consonant
            found.extend("".join(letters[i : i + 2]) for i in range(max(1, len(letters) - 1)))
        else:
            found.append(_without_accents(word))
    return found


def signs(text: str) -> list[str]:
    """Each sign of the bigrams in `terms(text)`, where it stands: what a text, and no query, has beside its terms, so
    that a query of one sign finds it. Nothing that counts in its length.
    """
    if text.isascii():
        return []
    runs = map(_LETTER.findall, _UNSPACED_RUN.findall(_fold(_UNSEEN.sub("", text))))
    return [sign for run in runs if len(run) > 1 for sign in run]


def is_sign(term: str) -> bool:
    """Whether one of `terms` is a single sign of a script without spaces, with its marks."""
    return _SIGN.fullmatch(term) is not None


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def _without_accents(word: str) -> str:
    if word.isascii():
        return word
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", word)))
