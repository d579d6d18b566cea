"""The teacher beside the student: what the cross-encoder says of a few pairs, for the inspector page.

Reads W/models/teacher, loaded when it is first asked (90 MB and more) and anew when it was trained again, and the pins'
texts as cards.py has them. One question is worked on at a time; answers are kept for as long as teacher and texts are
the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from enrich.errors import BadInput
from enrich.tables import LEVELS
from enrich.workspace import Workspace
from relevance.service.cards import Cards, pin_text
from relevance.service.live import mark
from relevance.serving.kept import Generations

if TYPE_CHECKING:
    from relevance.teacher import Teacher
    from relevance.text import PinText

_KEPT = 20_000  # answers


class TaughtPin(NamedTuple):
    pin_id: str
    probabilities: tuple[float, ...]
    relevance: float  # expected level


class AskedTeacher:
    """Of one workspace; for any number of threads."""

    def __init__(self, workspace: Workspace, cards: Cards) -> None:
        self._folder = workspace.models / "teacher"
        self._cards = cards
        self._teacher: Teacher | None = None
        self._loaded: tuple[int, ...] | None = None  # what teacher.json was then
        self._lock = threading.Lock()
        self._kept: Generations[tuple[float, ...]] = Generations(_KEPT)

    @property
    def there(self) -> bool:
        return self._record.is_file()

    @property
    def _record(self) -> Path:
        """Written last of a teacher's files."""
        return self._folder / "teacher.json"

    def ask(self, query: str, pin_ids: Sequence[str]) -> tuple[str, list[TaughtPin]]:
        """The teacher's fingerprint, and what it says of the pins that the catalogue has and can give.

        Raises BadInput where there is no teacher.
        """
        found_cards = self._cards.of(list(dict.fromkeys(pin_ids)))
        cards = [card for card in found_cards if card is not None and not card.unread]
        with self._lock:
            teacher = self._load()
            texts = [pin_text(card) for card in cards]
            keys = [repr((teacher.record.fingerprint, query, text)) for text in texts]
            known = {key: said for key in keys if (said := self._kept.get(key)) is not None}
            asked = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
            known |= self._answered(teacher, query, asked)
            found = [known[key] for key in keys]  # what was kept may be gone by now
        pins = [
            TaughtPin(card.pin_id, said, sum(level * p for level, p in zip(LEVELS, said, strict=True)))
            for card, said in zip(cards, found, strict=True)
        ]
        return teacher.record.fingerprint, pins

    def _answered(self, teacher: Teacher, query: str, texts: Mapping[str, PinText]) -> dict[str, tuple[float, ...]]:
        """What the teacher says now of each text, by its key; kept."""
        if not texts:
            return {}
        rows = teacher.predict([query] * len(texts), list(texts.values())).tolist()
        said = {key: tuple(row) for key, row in zip(texts, rows, strict=True)}
        self._kept.keep(list(said), list(said.values()))
        return said

    def _load(self) -> Teacher:
        found = mark(self._record)
        if self._teacher is None or found != self._loaded:
            if found is None:
                raise BadInput(f"expected a teacher in {self._folder}, found none; run `relevance train-teacher`")
            from relevance.teacher import Teacher  # here: transformers is slow to import, and most never ask

            self._teacher, self._loaded = Teacher.load(self._folder), found
        return self._teacher
