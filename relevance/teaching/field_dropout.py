"""Field dropout: in training, a pin's text fields go missing by chance, so that the teacher learns to read any of them.

Pure. What is dropped follows from (seed, epoch, place of the pair) alone, so a resumed run drops the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from relevance.text import PairText, PinText, TextSettings
from relevance.text_fields import Field


def without(pin: PinText, fields: Collection[Field]) -> PinText:
    """The pin as if it had none of `fields`."""
    return PinText(
        title=None if Field.TITLE in fields else pin.title,
        description=None if Field.DESCRIPTION in fields else pin.description,
        caption=None if Field.CAPTION in fields else pin.caption,
        link_title=None if Field.LINK in fields else pin.link_title,
        link_description=None if Field.LINK in fields else pin.link_description,
        board_titles=() if Field.BOARDS in fields else pin.board_titles,
        engaged_queries=() if Field.QUERIES in fields else pin.engaged_queries,
    )


def drop_fields(pairs: Sequence[PairText], text: TextSettings, chance: float, seed: int, epoch: int) -> list[PairText]:
    """The pairs of one epoch: each field that is read goes at `chance`, but of those a pin has one always stays.

    The query stays whole.
    """
    draws = np.random.default_rng((seed, epoch)).random((len(pairs), len(text.fields)))
    names = [budget.field for budget in text.fields]
    return [_drop(pair, names, draw, chance) for pair, draw in zip(pairs, draws.tolist(), strict=True)]


def _drop(pair: PairText, names: Sequence[Field], draws: Sequence[float], chance: float) -> PairText:
    present = [(draw, name) for draw, name in zip(draws, names, strict=True) if pair.pin.of(name)]
    staying = max(present, default=None)
    dropped = {name for draw, name in present if draw < chance and (draw, name) != staying}
    return pair._replace(pin=without(pair.pin, dropped)) if dropped else pair
