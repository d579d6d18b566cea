"""The stages' guards: names that a model may have, and models that are asked only what they never saw."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance import stages
from relevance.judging.predictions import Predictor
from relevance.pipeline import Pipeline, RunSettings
from relevance.plan import Fold
from relevance.splits import Split


@pytest.mark.parametrize("name", ["", "folds", "student", "../sources", "teacher.b", "teacher_", "Teacher"])
def test_a_teacher_takes_the_place_of_nothing_else(name: str, tmp_path: Path) -> None:
    fold = Fold("serving", tmp_path / "models", Split(frozenset("a"), frozenset("b"), frozenset("c")))
    with pytest.raises(BadInput, match="--name"):
        Pipeline(Workspace.at(tmp_path), RunSettings()).teach(fold, name)


@pytest.mark.parametrize("taught", [None, frozenset({"chair", "lamp"})])
def test_a_model_is_not_asked_what_it_learned(taught: frozenset[str] | None, tmp_path: Path) -> None:
    stages.make(tmp_path / "teacher", "f1", lambda folder: (folder / "teacher.json").write_text("{}"), taught)
    split = Split(train=frozenset({"vase"}), dev=frozenset({"sofa"}), test=frozenset({"chair", "table"}))
    with pytest.raises(BadInput, match="never saw the 2 held-out queries"):
        Predictor(_Nothing(), None).predictions("teacher", [Fold("serving", tmp_path, split)])


class _Nothing:
    pairs = pl.DataFrame({"query": ["chair"]})
