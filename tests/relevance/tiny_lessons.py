"""What a tiny teacher is taught in a second: pairs a reader can judge, and a kill in the middle."""

from __future__ import annotations

import numpy as np
from transformers import TrainerCallback

from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.rows import TeacherRows, WeakRows
from relevance.text import PinText

THINGS = ("table", "chair", "lamp", "rug", "sofa", "desk", "vase", "clock")
TINY = TeacherSettings(epochs=2, batch_size=16, hidden=(16,), head_learning_rate=1e-2, learning_rate=1e-3)


def rows(count: int, seed: int = 0) -> TeacherRows:
    """Pairs whose level is 5 when the pin is what the query asks for, else 1."""
    random = np.random.default_rng(seed)
    asked, shown = random.integers(0, len(THINGS), (2, count))
    shown = np.where(random.random(count) < 0.5, asked, shown)
    return TeacherRows(
        queries=[THINGS[i] for i in asked],
        pin_texts=[PinText(title=f"oak {THINGS[i]}", board_titles=("dining ideas",) * (i % 3)) for i in shown],
        levels=np.where(asked == shown, 5, 1),
    )


class Kill(TrainerCallback):
    """What a power cut is to a run: nothing after `steps` steps of it happens."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt


def weak_rows(count: int) -> WeakRows:
    """What `rows` says, less surely."""
    sure = rows(count, 2)
    probabilities = np.where(sure.levels[:, None] == 5, [[0.1, 0, 0, 0, 0.9]], [[0.9, 0, 0, 0, 0.1]])
    return WeakRows(sure.queries, sure.pin_texts, probabilities.astype(np.float32))
