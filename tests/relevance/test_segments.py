"""What pairs are told apart by, and which unjudged pairs an audit looks at: small workspaces to check by eye."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl
import pytest
from table_rows import day, write_rows

from enrich.errors import BadInput
from enrich.tables import ENGAGEMENTS, INTERESTS, JUDGMENTS, PIN_TEXT, QUERY_FEATURES
from enrich.workspace import Workspace
from relevance.audit.pool import pool
from relevance.audit.worth import AuditSettings, Reason
from relevance.judging.segments import SEGMENTS, segment_columns, with_segments
from relevance.plan import Fold
from relevance.splits import Split

PAIRS = [("oak table", "p1"), ("oak table", "p2"), ("lamp", "p1"), ("red wool rug for two", "p2")]


class Known(NamedTuple):
    """Judged pairs and what the models read of them, as `Judged` has them."""

    workspace: Workspace
    pairs: pl.DataFrame
    texts: pl.DataFrame


@pytest.fixture
def judged(workspace: Workspace) -> Known:
    """oak table is asked often, in the US and in Germany; lamp once; of the rug nothing is known."""
    at = {"event_timestamp": day(3)}
    write_rows(workspace, INTERESTS, {"interest_id": "home", "name": "Home decor", "is_shopping": True})
    write_rows(
        workspace,
        QUERY_FEATURES,
        {"query": "oak table", "interests": ["home", "garden"], "frequency": 90, **at},
        {"query": "lamp", "interests": [], "frequency": 1, **at},
        *({"query": f"other {i}", "frequency": 30, **at} for i in range(3)),
    )
    asked = [("Oak  Table", "US"), ("oak table", "US"), ("oak table", "DE"), ("lamp", None), ("sofa", "FR")]
    write_rows(
        workspace,
        ENGAGEMENTS,
        *(
            {"query": query, "pin_id": "p1", "event": "impression", "country": country, "event_timestamp": day(n + 1)}
            for n, (query, country) in enumerate(asked)
        ),
    )
    write_rows(workspace, PIN_TEXT, {"pin_id": "p1", "title": "A", "category": "tables", **at})
    for who, (query, pin) in zip(["ann", "audit:bob", None, "ann"], PAIRS, strict=True):
        vote = {"query": query, "pin_id": pin, "level": 3.0, "judged_at": day(4)}
        write_rows(workspace, JUDGMENTS, {**vote, "annotator_id": who})
    pairs = pl.DataFrame(PAIRS, schema=["query", "pin_id"], orient="row").with_columns(lang=pl.lit("en"))
    texts = pairs.with_columns(
        pin_text__title=pl.Series(["A", None, "A", None]), pin_boards__board_titles=pl.Series([["x"], [], None, ["y"]])
    )
    return Known(workspace, pairs, texts)


def test_every_pair_has_its_segments(judged):
    found = segment_columns(judged)
    assert set(found.columns) == {"query", "pin_id", *SEGMENTS} - {"lang"}

    def column(name: str) -> list:
        return found.join(judged.pairs, on=["query", "pin_id"], maintain_order="right")[name].to_list()

    assert column("interest") == ["Home decor", "Home decor", None, None]
    assert column("words") == ["2", "2", "1", "4 or more"]
    assert column("popularity") == ["head", "head", "tail", "not in the log"]
    assert column("country") == ["US", "US", None, None]
    assert column("category") == ["tables", None, "tables", None]
    assert column("source") == ["imported", "audited", "imported", "imported"]
    assert column("title") == ["there", "missing", "there", "missing"]
    assert column("boards") == ["there", "missing", "missing", "there"]
    assert column("caption") == ["missing"] * 4


def test_rows_keep_their_order_and_unjudged_ones_have_no_segment(judged):
    rows = pl.DataFrame({"query": ["lamp", "lamp"], "pin_id": ["zz", "p1"]})
    found = with_segments(rows, segment_columns(judged))
    assert found.select("pin_id", "words").rows() == [("zz", None), ("p1", "1")]


class Labelled(NamedTuple):
    """Stands for SoftPairs."""

    rows: pl.DataFrame

    def scan(self) -> pl.LazyFrame:
        return self.rows.lazy()


class Models(NamedTuple):
    """A pipeline of a teacher that labelled four pairs, and nothing else."""

    workspace: Workspace
    judged: Known
    folds: list[Fold]
    labelled: pl.DataFrame

    def soft_pairs(self, fold: Fold) -> Labelled:
        assert fold is self.folds[-1]
        return Labelled(self.labelled)


def models(judged: Known, *rows: tuple[str, str, list[float], str]) -> Models:
    schema = {"query": pl.String, "pin_id": pl.String, "probabilities": pl.List(pl.Float32), "stratum": pl.String}
    labelled = pl.DataFrame(rows, schema=schema, orient="row").with_columns(event_timestamp=pl.lit(day(5)))
    nobody = Fold("serving", judged.workspace.models, Split(frozenset(), frozenset(), frozenset()))
    return Models(judged.workspace, judged, [nobody], labelled)


def test_what_is_judged_by_now_is_not_asked_again(judged):
    """The even one is unsure, the certain one is not; without students nothing is apart; rare is shared out."""
    even, certain = [0.2] * 5, [0.0, 0.0, 0.0, 0.0, 1.0]
    rows = [("oak table", "p1", even, "head/home/en/shown"), ("sofa", "p1", even, "tail/unknown/de/shown")]
    found = pool(models(judged, *rows, ("sofa", "p2", certain, "tail/unknown/unknown/random")), AuditSettings())
    assert sorted(found.select("query", "pin_id", "lang").rows()) == [("sofa", "p1", "de"), ("sofa", "p2", None)]
    by_pin = {row["pin_id"]: row for row in found.iter_rows(named=True)}
    assert by_pin["p1"][Reason.UNSURE] == pytest.approx(1) and by_pin["p2"][Reason.UNSURE] == pytest.approx(0, abs=1e-6)
    assert all(row[Reason.APART] == row[Reason.SPLIT] == row[Reason.DOUBTED] == 0 for row in by_pin.values())
    assert by_pin["p1"][Reason.RARE] == 0.5 and by_pin["p1"]["student"] is None


def test_a_pool_is_drawn_by_its_seed(judged):
    rows = [(f"q{i}", "p1", [0.2] * 5, "tail/unknown/de/shown") for i in range(40)]
    drawn = [set(pool(models(judged, *rows), AuditSettings(pool=8, seed=seed))["query"]) for seed in (0, 0, 1)]
    assert len(drawn[0]) == 8 and drawn[0] == drawn[1] != drawn[2]


def test_nothing_to_choose_from_is_one_line(judged):
    with pytest.raises(BadInput, match="relevance run"):
        pool(models(judged), AuditSettings())
