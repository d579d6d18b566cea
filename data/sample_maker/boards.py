"""The sample catalogue's boards: whose they are, what they are called, which pins were saved to them and when.

A board has a theme (an object, a style, a material, a colour, an interest, or nothing in particular) and a title that
says the theme, or hints at it; people save to it what fits, mostly.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from data.pictures.scenes import COLOURS, OBJECTS
from data.sample_maker.chance import Floats, Rng, choose, happens, stream
from data.sample_maker.phrases import Subject, phrasebook, say
from data.sample_maker.pins import END, START, STYLES_OF, Pin
from data.sample_maker.users import User
from data.sample_maker.vocabulary import words

COVERAGE = 0.95  # of pins, saved to at least one board; some only under "stuff": 0.91 have a title that says something
_MORE_SAVES = 3.6  # mean saves of a pin after the first, at popularity 1
_KINDS = {"object": 0.30, "style": 0.34, "material": 0.07, "colour": 0.05, "interest": 0.15, "misc": 0.09}
_FIT = {"object": 10.0, "style": 6.0, "material": 2.5, "colour": 2.0, "interest": 1.2, "misc": 0.10}
_STRAY = 0.004  # how well a board fits a pin that its theme says nothing of
_OWN_STYLE_TITLE = 0.45  # of boards of a style, titled by a saying ("grandma's attic")


class Board(NamedTuple):
    board_id: str
    title: str
    owner_hash: str
    created_at: datetime
    lang: str
    kind: str
    interest: str
    theme: str  # the object, style, material or colour; empty otherwise


class Save(NamedTuple):
    board_id: str
    pin_id: str
    saved_at: datetime


def make_boards(seed: int, users: list[User], n: int) -> list[Board]:
    """`n` boards of the users, in their owners' languages."""
    rng = stream(seed, "boards")
    ids = rng.choice(9 * 10**7, size=n, replace=False) + 10**7
    return [_board(rng, f"b{board_id}", choose(rng, users)) for board_id in ids]


def _board(rng: Rng, board_id: str, owner: User) -> Board:
    kind = choose(rng, list(_KINDS), list(_KINDS.values()))
    thing = choose(rng, OBJECTS)
    interest, style = thing.interest, choose(rng, STYLES_OF[thing.interest])
    material = choose(rng, [m for m in thing.materials if m != "plain"])
    colour = choose(rng, COLOURS).name
    about = Subject(interest, thing.name, style=style, material=material, colour=colour)
    section = f"board.{kind}"
    if kind == "material" and words(owner.lang).is_pattern(material):
        section = "board.pattern"
    if kind == "style" and happens(rng, _OWN_STYLE_TITLE) and f"board.{style}" in phrasebook(owner.lang):
        section = f"board.{style}"
    title = say(owner.lang, section, about, rng)
    if owner.lang != "ja" and happens(rng, 0.35):
        title = title.title() if happens(rng, 0.3) else title[:1].upper() + title[1:]
    theme = {"object": thing.name, "style": style, "material": material, "colour": colour}.get(kind, "")
    created = START - timedelta(days=200) + rng.beta(1.1, 2.2) * (END - START + timedelta(days=100))
    return Board(board_id, title, owner.user_hash, created, owner.lang, kind, interest, theme)


def _fit(board: Board, pin: Pin) -> float:
    """How likely the board's owner is to save the pin to it, relative to other boards."""
    tongue = 1.0 if board.lang == pin.lang else 0.2 if board.lang == "en" else 0.05
    return tongue * _theme_fit(board, pin)


def _theme_fit(board: Board, pin: Pin) -> float:
    scene = pin.scene
    same_interest = board.interest == pin.interest
    holds = {
        "object": board.theme == scene.object,
        "style": board.theme in pin.styles,
        "material": board.theme == scene.material,
        "colour": board.theme == scene.colour,
        "interest": same_interest,
        "misc": True,
    }[board.kind]
    if not holds:
        return _STRAY
    elsewhere = board.kind in ("style", "material", "colour") and not same_interest
    return _FIT[board.kind] * (0.06 if elsewhere else 1.0)


def make_saves(seed: int, boards: list[Board], pins: list[Pin]) -> list[Save]:
    """Which pin was saved to which board, and when: after both were made, soon after, by time of saving."""
    rng = stream(seed, "saves")
    appeal = np.exp(rng.normal(0, 0.5, len(boards)))
    saves = [
        Save(boards[i].board_id, pin.pin_id, _saved_at(rng, boards[i], pin))
        for pin in pins
        if happens(rng, COVERAGE)
        for i in _boards_of(rng, pin, boards, appeal)
    ]
    return sorted(saves, key=lambda save: (save.saved_at, save.board_id, save.pin_id))


def _boards_of(rng: Rng, pin: Pin, boards: list[Board], appeal: Floats) -> list[int]:
    weights = appeal * np.array([_fit(board, pin) for board in boards])
    n = min(1 + int(rng.poisson(_MORE_SAVES * min(pin.popularity, 2.0))), len(boards), 14)
    return [int(i) for i in rng.choice(len(boards), n, replace=False, p=weights / weights.sum())]


def _saved_at(rng: Rng, board: Board, pin: Pin) -> datetime:
    first = max(board.created_at, pin.created_at)
    after = first + timedelta(days=float(rng.exponential(60.0)), microseconds=int(rng.integers(10**6)))
    return after if after < END else first + float(rng.random()) * (END - first)
