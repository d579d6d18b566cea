"""The report's price of a missing input is what the scorer pays where the payloads lack it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from enrich.pin_packing import pack_pins
from enrich.query_payload import PAIR_COLUMNS, QueryValues, pack_query
from relevance import metrics
from relevance.judging.field_drop import compared, left_out
from relevance.judging.figures import EvaluationSettings
from relevance.learning.inputs import pin_columns
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.training import train_student
from relevance.online import Scorer
from relevance.pin_rows import INPUTS
from relevance.student import StudentSettings
from tests.relevance.students import MemoryStore, WordEncoder, labelled_frame

_PAIR = "query_pin_engagement__"
COLUMNS = {
    "nothing": [],
    "title": ["pin_text__title"],
    "description": ["pin_text__description"],
    "caption": ["pin_caption__caption"],
    "link": ["pin_link__link_title", "pin_link__link_description"],
    "boards": ["pin_boards__board_titles"],
    "queries": ["pin_queries__engaged_queries"],
    "text_embedding": ["pin_text_embedding__text_embedding"],
    "visual_embedding": ["pin_visual_embedding__visual_embedding"],
    "graph_embedding": ["pin_graph__graph_embedding"],
    "engagement": ["pin_engagement__impressions_365d"],
    "pair": [_PAIR + column for column in PAIR_COLUMNS],
}


def rich_frame(queries: int, pins: int, seed: int) -> pl.DataFrame:
    """A frame in which some pair has every input, none of them for nothing."""
    frame = labelled_frame(queries, pins, seed)
    random = np.random.default_rng(seed)
    word = pl.col("pin_caption__caption").str.split(" ").list  # of "a COLOUR THING"
    colour, thing = word.get(1), word.get(2)
    described, linked, asked = (pl.lit(pl.Series(random.random(frame.height) < 0.6)) for _ in range(3))
    vectors = WordEncoder().encode(frame.select(pl.concat_str(colour, thing, separator=" ")).to_series()).tolist()
    noise = random.integers(0, 3, frame.height)
    return frame.with_columns(
        pl.when(described).then(pl.concat_str(pl.lit("the "), colour)).alias("pin_text__description"),
        pl.when(linked).then(thing).alias("pin_link__link_title"),
        pl.when(linked).then(pl.concat_str(pl.lit("buy "), colour)).alias("pin_link__link_description"),
        pl.when(asked).then(pl.concat_list(pl.concat_str(colour, thing))).alias("pin_queries__engaged_queries"),
        pl.Series("pin_visual_embedding__visual_embedding", vectors, pl.List(pl.Float32)),
        pl.Series("pin_graph__graph_embedding", vectors[::-1], pl.List(pl.Float32)),
        *(pl.Series(_PAIR + name, np.maximum(frame["level"] - noise, 0), pl.Float32) for name in PAIR_COLUMNS),
    ).drop([c for c in frame.columns if c.startswith("query_features")])  # as of queries never stored


FRAME = rich_frame(24, 4, 3)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    settings = StudentSettings(network=NetworkSettings(Size.S), epochs=12, batch_size=64)
    folder = tmp_path_factory.mktemp("student")
    return train_student(rich_frame(20, 20, 1), rich_frame(6, 20, 2), settings, folder, WordEncoder())


def served(student, frame: pl.DataFrame) -> list[list[float]]:
    """What the scorer answers from payloads made of `frame`."""
    queries = {}
    for (query,), group in frame.group_by("query"):
        has_rates = _PAIR + PAIR_COLUMNS[0] in frame.columns
        rates = group.select(_PAIR + c for c in PAIR_COLUMNS).to_numpy().astype(np.float32) if has_rates else None
        queries[query] = pack_query(QueryValues(), group["pin_id"].to_list() if has_rates else (), rates)
    store = MemoryStore(dict(zip(frame["pin_id"], pack_pins(pin_columns(frame)), strict=True)), queries)
    scorer = Scorer(student, store, WordEncoder())
    rows = []
    for (query,), group in frame.group_by("query", maintain_order=True):
        rows += zip(group["pin_id"], scorer.score(str(query), group["pin_id"].to_list()), strict=True)
    found = dict(rows)
    return [list(found[pin].probabilities) for pin in frame["pin_id"]]


def test_the_drop_is_what_serving_pays(student) -> None:
    rows = left_out(student, FRAME, WordEncoder())
    accuracy, whole = {}, None
    for name, columns in COLUMNS.items():
        of_input = rows.filter(pl.col("without") == name)
        said = served(student, FRAME.drop(columns))
        assert of_input["probabilities"].to_list() == [pytest.approx(row, abs=1e-5) for row in said]
        whole = said if whole is None else whole
        assert name == "nothing" or np.abs(np.subtract(said, whole)).max() > 1e-3  # the student did read it
        accuracy[name] = metrics.accuracy(FRAME["level"], said)
    drops = {one.input: one for one in compared(rows, EvaluationSettings())}
    assert set(drops) == set(COLUMNS) - {"nothing"} == set(INPUTS)
    for name in drops:
        assert drops[name].accuracy.value == pytest.approx(accuracy[name] - accuracy["nothing"])
        assert drops[name].accuracy.low <= drops[name].accuracy.value <= drops[name].accuracy.high


def test_only_inputs_that_some_pair_has_are_left_out(student) -> None:
    rows = left_out(student, FRAME.drop(COLUMNS["link"]), WordEncoder())
    assert set(rows["without"]) == set(COLUMNS) - {"link"}
    drops = {one.input: one for one in compared(rows, EvaluationSettings())}
    assert (drops["caption"].pairs, drops["caption"].of) == (96, 96)
    assert drops["title"].pairs == FRAME["pin_text__title"].count()
    assert [one.accuracy.value for one in drops.values()] == sorted(one.accuracy.value for one in drops.values())
