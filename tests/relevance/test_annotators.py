"""Agreement of annotators: published examples, a second implementation, and cases that can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import krippendorff
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from table_rows import day, write_rows

from enrich import console
from enrich.errors import BadInput
from enrich.tables import JUDGMENTS
from enrich.workspace import Catalogue, Workspace
from relevance.annotators.agreement import AgreementSettings, agreement_of
from relevance.annotators.coincidences import Scale
from relevance.cli import relevance
from relevance.intervals import BootstrapSettings

QUICK = AgreementSettings(BootstrapSettings(draws=100), common_pairs=2)


def votes(rows: list[tuple[str, str, str | None, float]], days: list[int] | None = None) -> pl.DataFrame:
    """query, pin, annotator, level."""
    frame = pl.DataFrame(
        rows,
        schema={"query": pl.String, "pin_id": pl.String, "annotator_id": pl.String, "level": pl.Float64},
        orient="row",
    )
    return frame.with_columns(judged_at=pl.Series([day(one) for one in days or [1] * len(rows)]))


def table(counts: list[list[int]]) -> pl.DataFrame:
    """Anonymous votes: one row a pair, the number of its votes for each level."""
    return votes(
        [
            (f"q{pair}", "p", None, level)
            for pair, row in enumerate(counts)
            for level, count in enumerate(row, 1)
            for _ in range(count)
        ]
    )


def test_fleiss_own_example() -> None:
    """Fourteen raters, ten subjects, five categories: κ = .210."""
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    found = agreement_of(table(counts), QUICK)
    assert found.fleiss_kappa.value == pytest.approx(0.210, abs=0.0005)
    assert found.same.value == pytest.approx(0.378, abs=0.0005)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=2, max_size=12))
def test_alpha_equals_a_second_implementation(counts: list[list[int]]) -> None:
    shared = np.asarray([row for row in counts if sum(row) > 1])
    if len(shared) < 1 or (shared.sum(axis=0) > 0).sum() < 2:
        return
    found = agreement_of(table(counts), QUICK)
    for scale in Scale:
        expected = krippendorff.alpha(
            value_counts=shared, value_domain=[1, 2, 3, 4, 5], level_of_measurement=scale.value
        )
        assert found.alpha[scale].value == pytest.approx(expected)


def test_two_annotators_by_hand() -> None:
    """a: 1 1 5 5, b: 1 2 5 4. Half the couples are the same, all within one; b is 0, +1, 0, -1 from a."""
    rows = [
        (f"q{i}", "p", who, level)
        for who, levels in (("a", (1, 1, 5, 5)), ("b", (1, 2, 5, 4)))
        for i, level in enumerate(levels)
    ]
    found = agreement_of(votes(rows), QUICK)
    assert (found.votes, found.pairs, found.shared_pairs, found.queries, found.anonymous) == (8, 4, 4, 4, 0)
    assert (found.same.value, found.within_one.value, found.accuracy.value) == (0.5, 1.0, 0.5)
    by_name = {one.annotator: one for one in found.annotators}
    assert (by_name["b"].bias.value, by_name["b"].distance.value) == (0.0, 0.5)
    (couple,) = found.couples
    assert (couple.one, couple.other, couple.pairs, couple.same.value) == ("a", "b", 4, 0.5)
    assert couple.kappa.value == pytest.approx(cohen_kappa_score([1, 1, 5, 5], [1, 2, 5, 4]))
    levels = [1, 2, 3, 4, 5]
    quadratic = cohen_kappa_score([1, 1, 5, 5], [1, 2, 5, 4], weights="quadratic", labels=levels)
    assert couple.quadratic_kappa.value == pytest.approx(quadratic)
    assert {one.level: one.agreement.value for one in found.levels} == {
        1: pytest.approx(2 / 3),  # three votes for 1, two of them met by another
        2: 0,
        4: 0,
        5: pytest.approx(2 / 3),
    }


def test_who_grows_stricter_drifts() -> None:
    """c votes one level below the others more with each month: a slope of -1 in 30 days."""
    rows, days = [], []
    for month in range(3):
        for query in range(10):
            for who, level in (("a", 4), ("b", 4), ("c", 4 - month)):
                rows.append((f"q{query}", f"p{month}", who, level))
                days.append(1 + 30 * month)
    drifts = {one.annotator: one.drift for one in agreement_of(votes(rows, days), QUICK).annotators}
    assert drifts["c"].value == pytest.approx(-1)
    assert (drifts["c"].low, drifts["c"].high) == (pytest.approx(-1), pytest.approx(-1))  # every query says so
    assert drifts["a"].value == pytest.approx(0.5)


def test_a_vote_is_the_gold_of_the_others() -> None:
    """Of 5, 4, 3 the others' means are 3.5, 4, 4.5: gold 4, 4, 5 (half up), met by one of three."""
    rows = [("q", "p", who, level) for who, level in (("a", 5), ("b", 4), ("c", 3))]
    assert agreement_of(votes(rows), QUICK).accuracy.value == pytest.approx(1 / 3)


def test_single_votes_say_nothing_and_the_reason_is_told() -> None:
    found = agreement_of(votes([("q", "p", "a", 3), ("r", "p", None, 4)]), QUICK)
    assert (found.shared_pairs, found.anonymous) == (0, 1)
    assert np.isnan(found.alpha[Scale.ORDINAL].value)
    assert found.same.reason


def test_agreement_on_a_level_has_an_interval_by_the_queries_that_have_votes_for_it() -> None:
    """Level 5 in 4 of 200 queries, whose two people agree: the 196 others say nothing of it."""
    rows = [
        (f"q{query}", "p", who, 5.0 if query < 4 else float(1 + (query % 3 == 0 and who == "b")))
        for query in range(200)
        for who in ("a", "b")
    ]
    low, *_, high = agreement_of(votes(rows), QUICK).levels
    assert high.agreement.value == 1 and np.isnan(high.agreement.low) and high.agreement.reason
    assert low.agreement.low < low.agreement.value < low.agreement.high


def test_no_votes_and_a_continuous_scale_are_refused() -> None:
    with pytest.raises(BadInput, match="expected judgments, found none"):
        agreement_of(votes([]), QUICK)
    with pytest.raises(BadInput, match="at most 100 levels, found 101"):
        agreement_of(votes([("q", str(i), "a", 1 + i / 100) for i in range(101)]), QUICK)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spellings of a query are one, an annotator's second vote takes the place of the first."""
    workspace = Workspace.at(tmp_path / "w")
    workspace.create(Catalogue("native", "here"))
    rows = [
        {"query": query, "pin_id": "p", "annotator_id": who, "level": level, "judged_at": day(when)}
        for query, who, level, when in (
            ("Oak  table", "a", 1.0, 1),
            ("oak table", "a", 5.0, 2),
            ("oak table", "b", 5.0, 2),
        )
    ]
    write_rows(workspace, JUDGMENTS, *rows)
    command = ["agreement", "--workspace", str(workspace.root), "--json"]
    assert console.run(relevance, command) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["votes"], said["same"]["value"], said["alpha"]["nominal"]["value"]) == (2, 1.0, None)


def test_a_workspace_without_judgments_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace.at(tmp_path / "w")
    workspace.create(Catalogue("native", "here"))
    assert console.run(relevance, ["agreement", "--workspace", str(workspace.root)]) == 2
    assert "expected judgments, found none" in capsys.readouterr().err
