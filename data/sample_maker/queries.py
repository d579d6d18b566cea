"""The sample catalogue's queries: what people want and how they type it.

A query wants what some pin shows, more or less of it; popularity falls off as people's queries do (Zipf); about one in
eight is another way to type an earlier one: a slip of the fingers, other words, another order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data.sample_maker.chance import Rng, choose, happens, stream
from data.sample_maker.phrases import Subject, say
from data.sample_maker.pins import LANGUAGE_SHARES, Pin
from data.sample_maker.relevance import Want
from data.sample_maker.vocabulary import Attributes, typo
from enrich.normalise import normalise_query

_CONSTRAINTS = (0.22, 0.44, 0.27, 0.07)  # shares of queries that want 0..3 things besides
_WANTED = {"colour": 0.38, "style": 0.25, "material": 0.22, "setting": 0.09, "count": 0.06}
_VARIANT_SHARE = 0.12
_FIRST_VARIANT = 30  # the most frequent queries are wishes of their own
_INTEREST_SHARE = 0.16  # of queries that want anything of an interest
_ZIPF = 0.72


class Query(NamedTuple):
    text: str
    lang: str
    want: Want
    weight: float  # share of its language's searches


def make_queries(seed: int, pins: list[Pin], n: int) -> list[Query]:
    """`n` queries, all different once normalised, most frequent first within what chance gives."""
    rng = stream(seed, "queries")
    weights = (np.arange(1, n + 1) + 4.0) ** -_ZIPF
    found: dict[str, Query] = {}
    for _ in range(100 * n):
        if len(found) == n:
            break
        again = len(found) > _FIRST_VARIANT and happens(rng, _VARIANT_SHARE)
        query = (_variant(rng, choose(rng, list(found.values()))) if again else None) or _query(rng, pins)
        key = normalise_query(query.text)
        if key and key not in found:
            found[key] = query._replace(weight=float(weights[len(found)]))
    return list(found.values())


def _query(rng: Rng, pins: list[Pin]) -> Query:
    lang = choose(rng, list(LANGUAGE_SHARES), list(LANGUAGE_SHARES.values()))
    want = _want(rng, choose(rng, pins))
    return Query(_text(rng, lang, want), lang, want, 0.0)


def _want(rng: Rng, pin: Pin) -> Want:
    """A wish that this pin fulfils."""
    scene = pin.scene
    by_interest = happens(rng, _INTEREST_SHARE)
    can_want = {
        "colour": True,
        "style": True,
        "material": scene.material != "plain",
        "setting": scene.setting != "studio" and not by_interest,
        "count": scene.count > 1 and not by_interest,
    }
    names = [name for name in _WANTED if can_want[name]]
    chances = np.array([_WANTED[name] for name in names])
    n = min(choose(rng, range(4), _CONSTRAINTS), len(names), 2 if by_interest else 3)
    wanted = {names[i] for i in rng.choice(len(names), n, replace=False, p=chances / chances.sum())}
    return Want(
        pin.interest,
        None if by_interest else scene.object,
        scene.colour if "colour" in wanted else None,
        scene.material if "material" in wanted else None,
        scene.setting if "setting" in wanted else None,
        pin.styles[0] if "style" in wanted else None,
        scene.count if "count" in wanted else None,
    )


def _text(rng: Rng, lang: str, want: Want) -> str:
    said = Attributes(want.colour, want.material, want.setting, want.count, want.style)
    section = "query.interest" if want.thing is None else "query.object"
    text = say(lang, section, Subject(want.interest, want.thing, said, want.style), rng)
    if lang == "ja" and happens(rng, 0.5):
        text = text.replace("の", " ")
    if happens(rng, 0.05):
        text = typo(text, rng)
    return text.capitalize() if happens(rng, 0.06) else text if happens(rng, 0.3) else text.lower()


def _variant(rng: Rng, query: Query) -> Query | None:
    """The same wish in other words, or with a slip; None when chance gives the same text."""
    text = typo(query.text, rng) if happens(rng, 0.45) else _text(rng, query.lang, query.want)
    if happens(rng, 0.25) and query.lang != "ja":
        parts = text.split()
        text = " ".join(parts[1:] + parts[:1]) if len(parts) == 2 else text
    return query._replace(text=text) if text != query.text else None
