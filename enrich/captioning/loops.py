"""Captions that go round in circles, as greedy search can: cut after the first time round."""

from __future__ import annotations

import regex

LOOP_CUT = "loop-cut"  # the caption_rule of a caption that was cut
_LONGEST = 16  # pieces of a phrase
_WORD_TIMES, _PHRASE_TIMES = 3, 2  # as often in a row is a loop: "very very" is said, "with a with a" is not

# A word of letters, a character of a script that does not part its words, a number, or a mark; and the space before it.
_PIECE = regex.compile(r"\s*(?:[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}'’]+|\p{N}+|[^\s])")
_MARK = regex.compile(r"[\p{P}\p{S}]+")
_LEADS_ON = frozenset(("a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"))


def without_loop(caption: str) -> tuple[str, bool]:
    """The caption up to where it begins to say again what it has just said, and whether it was cut.

    A word three times in a row is a loop, and a phrase of up to sixteen words twice. What is left ends neither in a
    comma nor in a word that leads on to what was cut ("a man with a" is "a man").
    """
    pieces: list[str] = _PIECE.findall(caption)
    said = [piece.strip().lower() for piece in pieces]
    for end in range(1, len(said)):
        for length in range(1, min(_LONGEST, end) + 1):
            if _goes_round(said, end - length, length):
                return _ended(pieces[:end]), True
    return caption, False


def _goes_round(said: list[str], start: int, length: int) -> bool:
    """Whether the phrase at `start` comes again at once, so often that it is a loop."""
    phrase = said[start : start + length]
    if all(_MARK.fullmatch(piece) for piece in phrase):
        return False  # "..." is a mark of its own
    times = _WORD_TIMES if length == 1 else _PHRASE_TIMES
    return said[start : start + times * length] == phrase * times


def _ended(pieces: list[str]) -> str:
    while len(pieces) > 1 and (pieces[-1].strip().lower() in _LEADS_ON or _MARK.fullmatch(pieces[-1].strip())):
        pieces = pieces[:-1]
    return "".join(pieces).strip()
