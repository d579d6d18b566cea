"""What captions are like as texts, and what of that should worry a person: length, language, sameness, loops, drift.

Reads and writes nothing; `caption_status.py` gathers the captions. Feast's monitoring treats a text as a category, and
sees neither a model that says one sentence of everything nor one that began to stammer. Each alarm is one line with its
figures; the bounds are below, and docs/decisions.md has what they say of captions that are as they should be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from enrich.language import identify
from enrich.normalise import terms

FEWEST = 100  # captions; of fewer, shares say nothing
MAX_FAILED = 0.1  # of the pictures that were tried
MAX_EMPTY = 0.01  # of the captions made
MAX_ONE_SENTENCE = 0.1  # of the different pictures
MIN_DIFFERENT = 0.2  # sentences ÷ different pictures
MAX_LOOPING = 0.02  # of the captions
MAX_LOOPS_CUT = 0.1  # of the captions
MIN_WORDS = 3  # half of the captions have as many
MAX_LENGTH_FACTOR = 1.5  # of the mean length, from one run to the next
MAX_LANGUAGE_MOVED = 0.25  # of the captions, from one language to another
MAX_SAMENESS_ROSE = 0.25  # of the captions that another picture has, too
_MOST_IDENTIFIED = 2_000  # different captions whose language is asked for, spread evenly
_COMMONEST = 5


@dataclass(frozen=True, slots=True)
class TextFigures:
    """Of the captions that are not empty. Two pins of one picture count as one where a share is of pictures."""

    captions: int
    empty: int
    words: tuple[int, int, int, int, int]  # fewest, 10 %, half, 90 %, most
    mean_words: float
    pictures: int
    sentences: int  # different captions
    shared: float  # pictures whose caption another picture has, too
    commonest: tuple[tuple[str, int], ...]  # and of how many pictures
    looping: float  # captions that say a run of words twice in a row
    languages: Counter[str]  # of at most _MOST_IDENTIFIED different captions; those too short to tell left out


@dataclass(frozen=True, slots=True)
class Run:
    """What was written together by one producer, between these times."""

    producer: str
    began: datetime
    ended: datetime
    figures: TextFigures


def figures(captions: Sequence[str], pictures: Sequence[str]) -> TextFigures:
    """Of a caption a pin, each of the picture named beside it."""
    there = [caption for caption in captions if caption.strip()]
    by_picture = {picture: caption for picture, caption in zip(pictures, captions, strict=True) if caption.strip()}
    times = Counter(by_picture.values())
    lengths = sorted(len(terms(caption)) for caption in there)
    return TextFigures(
        captions=len(there),
        empty=len(captions) - len(there),
        words=_quantiles(lengths),
        mean_words=sum(lengths) / max(1, len(lengths)),
        pictures=len(by_picture),
        sentences=len(times),
        shared=sum(count for count in times.values() if count > 1) / max(1, len(by_picture)),
        commonest=tuple(sorted(times.items(), key=lambda item: (-item[1], item[0]))[:_COMMONEST]),
        looping=sum(map(loops, there)) / max(1, len(there)),
        languages=_languages(sorted(times)),
    )


def loops(caption: str) -> bool:
    """Whether a run of words is said again right behind itself ("a shoe on a shoe on a"), or a word three times."""
    said = terms(caption) if " " in caption else []  # scripts without spaces have no words to tell
    return any(
        said[at : at + length] * (times - 1) == said[at + length : at + times * length]
        for length in range(1, len(said) // 2 + 1)
        for times in (3 if length == 1 else 2,)
        for at in range(len(said) - times * length + 1)
    )


def _quantiles(lengths: Sequence[int]) -> tuple[int, int, int, int, int]:
    if not lengths:
        return (0, 0, 0, 0, 0)
    fewest, tenth, half, most_of, most = (lengths[round(at * (len(lengths) - 1))] for at in (0, 0.1, 0.5, 0.9, 1))
    return fewest, tenth, half, most_of, most


def _languages(sentences: Sequence[str]) -> Counter[str]:
    spread = sentences[:: -(-len(sentences) // _MOST_IDENTIFIED) or 1]
    return Counter(language for language in identify(spread) if language)


# ---- alarms


def text_alarms(found: TextFigures) -> list[str]:
    """What the captions as they stand say of their model."""
    lines, made = [], found.captions + found.empty
    if made >= FEWEST and found.empty > MAX_EMPTY * made:
        lines.append(f"{found.empty / made:.0%} of captions are empty: the model says nothing of these pictures")
    if found.pictures < FEWEST:
        return lines
    sentence, count = found.commonest[0]
    if count > MAX_ONE_SENTENCE * found.pictures:
        share = f"{count / found.pictures:.0%} of the pictures have one caption, {_quoted(sentence)}"
        lines.append(f"{share}: the model does not know these pictures, or they are placeholders")
    if found.sentences < MIN_DIFFERENT * found.pictures:
        lines.append(
            f"{found.pictures:,} different pictures share {found.sentences:,} captions: they tell little apart"
        )
    if found.looping > MAX_LOOPING:
        lines.append(f"{found.looping:.0%} of captions repeat themselves: the model loops")
    if found.words[2] < MIN_WORDS:
        lines.append(f"half of the captions have fewer than {MIN_WORDS} words")
    return lines


def failure_alarms(failed: Counter[str], tried: int) -> list[str]:
    if tried < FEWEST or failed.total() <= MAX_FAILED * tried:
        return []
    reason, count = failed.most_common(1)[0]
    return [f"{failed.total() / tried:.0%} of the pictures could not be captioned, {count:,} of them {reason}"]


def cut_alarms(cut: int, made: int) -> list[str]:
    """Captions that went round in circles no longer do once cut, and what is left of them is short."""
    if made < FEWEST or cut <= MAX_LOOPS_CUT * made:
        return []
    return [f"{cut / made:.0%} of captions went round in circles and were cut: the model loops"]


def drift_alarms(before: Run, latest: Run) -> list[str]:
    """How the latest captions differ from those written before; nothing where either are too few."""
    old, new = before.figures, latest.figures
    if min(old.captions, new.captions) < FEWEST:
        return []
    lines, since = [], f"since {latest.began:%Y-%m-%d}"
    if before.producer != latest.producer:
        since += f", with {latest.producer} after {before.producer}"
    if abs(math.log((new.mean_words + 1) / (old.mean_words + 1))) > math.log(MAX_LENGTH_FACTOR):
        way = "fell" if new.mean_words < old.mean_words else "rose"
        lines.append(f"mean length {way} from {old.mean_words:.1f} to {new.mean_words:.1f} words {since}")
    if languages_moved(old.languages, new.languages) > MAX_LANGUAGE_MOVED:
        lines.append(f"language changed from {_mix(old.languages)} to {_mix(new.languages)} {since}")
    if new.shared - old.shared > MAX_SAMENESS_ROSE:
        lines.append(f"pictures that share a caption rose from {old.shared:.0%} to {new.shared:.0%} {since}")
    return lines


def languages_moved(before: Counter[str], latest: Counter[str]) -> float:
    """The share that would have to change its language for both to be mixed alike; 0 where either tells nothing."""
    if not (before and latest):
        return 0.0
    apart = (before[one] / before.total() - latest[one] / latest.total() for one in {*before, *latest})
    return sum(map(abs, apart)) / 2


def _mix(languages: Counter[str]) -> str:
    return ", ".join(f"{name} {count / languages.total():.0%}" for name, count in languages.most_common(2))


def _quoted(caption: str) -> str:
    return repr(caption[:60])
