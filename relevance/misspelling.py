"""Words misspelled as people do: what training does to some queries, so that models read through it.

Pure but for the generator given.
"""

from __future__ import annotations

import numpy as np

_SHORTEST = 4  # letters of a word that is misspelled: of shorter ones a slip makes another word
_SHARE = 0.5  # of such words in a query that has slips; one at least
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """The letters beside each on a keyboard: in its own row, and in the next ones at the same place or one off."""
    keys = {letter: (row, place) for row, letters in enumerate(_ROWS) for place, letter in enumerate(letters)}
    return {
        letter: "".join(
            other
            for other, (row, place) in keys.items()
            if other != letter and abs(row - at[0]) <= 1 and abs(place - at[1]) <= 1
        )
        for letter, at in keys.items()
    }


_NEIGHBOURS = _neighbours()


def misspelled(query: str, random: np.random.Generator) -> str:
    """The query with one slip in each of some longer words; itself where it has none."""
    words = query.split(" ")
    open_to_it = [place for place, word in enumerate(words) if len(word) >= _SHORTEST and _of_letters(word)]
    count = min(len(open_to_it), max(1, round(_SHARE * len(open_to_it))))
    for place in random.permutation(len(open_to_it))[:count].tolist():
        at = open_to_it[place]
        words[at] = slipped(words[at], random)
    return " ".join(words)


def _of_letters(word: str) -> bool:
    """Of an alphabet, known by its having capitals: a character less is another word where each is a syllable."""
    return word.isalpha() and word.lower() != word.upper()


def slipped(word: str, random: np.random.Generator) -> str:
    """The word with one of the four slips that most misspellings are (Damerau 1964): a letter left out, one too many,
    another one in its place, two in the other's. The first letter stays, as it mostly does.

    What is too many is the letter again or, as what is wrong, one beside it on the keyboard; a letter that is on none
    is left out or swapped.
    """
    place = int(random.integers(1, len(word)))
    before, letter, after = word[:place], word[place], word[place + 1 :]
    beside = _NEIGHBOURS.get(letter.lower(), "")
    match int(random.integers(4 if beside else 2)):
        case 0:
            return before + after
        case 1:
            return _swapped(word, place) or before + after
        case 2:
            return before + letter + str(random.choice([letter, *beside])) + after
        case _:
            return before + str(random.choice([*beside])) + after


def _swapped(word: str, place: int) -> str | None:
    """The word with the letter at `place` in the place of the one before, or behind, where that one is the first."""
    first = max(1, place - 1)
    swapped = word[:first] + word[first + 1] + word[first] + word[first + 2 :]
    return swapped if swapped != word else None
