"""The report's price of a missing input is what the scorer pays where the payloads lack it."""

from __future__ import annotations

import polars as pl
import pytest

from enrich.pin_payload import pack_pins
from relevance import metrics
from relevance.judging.field_drop import compared, left_out
from relevance.judging.figures import EvaluationSettings
from relevance.learning.inputs import pin_columns
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.training import train_student
from relevance.online import Scorer
from relevance.student import StudentSettings
from tests.relevance.students import MemoryStore, WordEncoder, labelled_frame

FRAME = labelled_frame(24, 4, 3)
COLUMNS = {
    "nothing": [],
    "title": ["pin_text__title"],
    "caption": ["pin_caption__caption"],
    "boards": ["pin_boards__board_titles"],
    "text_embedding": ["pin_text_embedding__text_embedding"],
    "engagement": ["pin_engagement__impressions_365d"],
}


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    settings = StudentSettings(network=NetworkSettings(Size.S), epochs=12, batch_size=64)
    folder = tmp_path_factory.mktemp("student")
    return train_student(labelled_frame(20, 20, 1), labelled_frame(6, 20, 2), settings, folder, WordEncoder())


def served(student, frame: pl.DataFrame) -> list[list[float]]:
    """What the scorer answers from payloads made of `frame`."""
    store = MemoryStore(dict(zip(frame["pin_id"], pack_pins(pin_columns(frame)), strict=True)), {})
    scorer = Scorer(student, store, WordEncoder())
    rows = []
    for (query,), group in frame.group_by("query", maintain_order=True):
        rows += zip(group["pin_id"], scorer.score(str(query), group["pin_id"].to_list()), strict=True)
    found = dict(rows)
    return [list(found[pin].probabilities) for pin in frame["pin_id"]]


def test_the_drop_is_what_serving_pays(student) -> None:
    frame = FRAME.drop([c for c in FRAME.columns if c.startswith("query_features")])  # as of queries never stored
    rows = left_out(student, frame, WordEncoder())
    accuracy = {}
    for name, columns in COLUMNS.items():
        of_input = rows.filter(pl.col("without") == name)
        said = served(student, frame.drop(columns))
        assert of_input["probabilities"].to_list() == [pytest.approx(row, abs=1e-5) for row in said]
        accuracy[name] = metrics.accuracy(frame["level"], said)
    drops = {one.input: one for one in compared(rows, EvaluationSettings())}
    assert set(drops) == set(COLUMNS) - {"nothing"}  # any one that a pair has
    for name in drops:
        assert drops[name].accuracy.value == pytest.approx(accuracy[name] - accuracy["nothing"])
        assert drops[name].accuracy.low <= drops[name].accuracy.value <= drops[name].accuracy.high


def test_only_inputs_that_some_pair_has_are_left_out(student) -> None:
    rows = left_out(student, FRAME, WordEncoder())
    assert set(rows["without"]) == set(COLUMNS)
    drops = {one.input: one for one in compared(rows, EvaluationSettings())}
    assert (drops["caption"].pairs, drops["caption"].of) == (96, 96)
    assert drops["title"].pairs == FRAME["pin_text__title"].count()
    assert [one.accuracy.value for one in drops.values()] == sorted(one.accuracy.value for one in drops.values())
