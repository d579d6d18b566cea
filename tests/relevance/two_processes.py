"""What each of two processes does in test_processes.py: `torchrun --nproc_per_node 2 two_processes.py FOLDER STEPS`.

Teaches into FOLDER/undisturbed, where that is not done, then into FOLDER/killed; with STEPS the first process falls
dead in the second after so many.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from tiny_lessons import TINY, rows, weak_rows
from transformers import TrainerCallback

from relevance.teaching import processes
from relevance.teaching import training as teacher_training
from relevance.teaching.checkpoint import TeacherSettings


class Die(TrainerCallback):
    """No exception, no farewell: the process is gone after `steps` steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
        self._left -= 1
        if self._left < 0:
            os._exit(9)


def settings(backbone: Path) -> TeacherSettings:
    """Without dropout, whose draws are another's in each process."""
    return replace(TINY, backbone=str(backbone), dropout=0.0, epochs=3)


def main(folder: Path, steps: int) -> None:
    if processes.follows():
        teacher_training.follow()
        return
    for name, callbacks in (("undisturbed", []), ("killed", [Die(steps)] if steps else [])):
        if not (folder / name / "teacher.json").exists():
            teacher_training.train_teacher(
                rows(96), rows(19, 1), settings(folder / "backbone"), folder / name, None, weak_rows(48), callbacks
            )
    processes.tell(None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
