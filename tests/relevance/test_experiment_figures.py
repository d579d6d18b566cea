"""Figures of arms: as the evaluation has them, means over seeds, differences by query, corrected together."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from enrich.errors import BadInput
from relevance.drawings import axes, rows
from relevance.drawings.curves import Curve, Level, curves
from relevance.drawings.front import Dot, front, on_front
from relevance.evaluation import evaluate
from relevance.experiments import page
from relevance.experiments.budget import Cut, Plan, Rates, Scale
from relevance.experiments.figures import MEASURES, Figures
from relevance.experiments.records import Drawing, Found, Result, Table
from relevance.intervals import BootstrapSettings, Estimate, p_text
from relevance.judging.figures import EvaluationSettings, Measure, Versus
from relevance.judging.gold import Predictions
from relevance.metrics import expected_level

FEW = BootstrapSettings(draws=200)


def answers(seed: int, skill: float = 1.0, queries: int = 12, pins: int = 8) -> pl.DataFrame:
    """Pairs of random levels, the same whatever the seed; probabilities that lean towards them by `skill`."""
    levels = np.random.default_rng(0).integers(1, 6, queries * pins)
    logits = np.random.default_rng(seed).normal(size=(len(levels), 5)) + skill * np.eye(5)[levels - 1]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pl.DataFrame(
        {
            "query": [f"q{i // pins:02d}" for i in range(len(levels))],
            "pin_id": [f"p{i}" for i in range(len(levels))],
            "level": levels,
            "lang": ["en"] * len(levels),
            "probabilities": probabilities.tolist(),
            "score": expected_level(probabilities),
        }
    )


def test_figures_are_those_of_the_evaluation() -> None:
    frame = answers(1)
    found = Figures({"arm": [frame]}, FEW).arms()[0]
    judged = evaluate([Predictions("arm", frame)], settings=EvaluationSettings(bootstrap=FEW)).model("arm")
    for measure in MEASURES:
        expected = judged.estimate(measure)
        assert expected is not None and found.estimate(measure) == pytest.approx((*expected[:3], None))
    assert (found.pairs, found.queries, found.seeds) == (96, 12, 1)


def test_an_arm_of_several_seeds_is_their_mean() -> None:
    one, two = answers(1), answers(2)
    each = [Figures({"arm": [frame]}, FEW).arms()[0].estimate(Measure.ACCURACY).value for frame in (one, two)]
    both = Figures({"arm": [one, two]}, FEW).arms()[0]
    assert both.estimate(Measure.ACCURACY).value == pytest.approx(sum(each) / 2) and both.seeds == 2


def test_comparisons_are_corrected_for_all_that_were_made_together() -> None:
    figures = Figures({"good": [answers(1, 3.0)], "fair": [answers(2, 1.0)], "poor": [answers(3, 0.0)]}, FEW)
    wanted = [Versus("good", "fair"), Versus("fair", "poor"), Versus("good", "absent")]
    found = figures.compare(wanted, (Measure.ACCURACY,))
    assert [(one.arm, one.rival) for one in found] == [("good", "fair"), ("fair", "poor")]
    raw = sorted(one.difference.p_value for one in found)
    assert sorted(one.holm_p for one in found)[0] == pytest.approx(min(1, 2 * raw[0]))
    alone = figures.compare(wanted[:1], (Measure.ACCURACY,))[0]
    assert alone.holm_p == alone.difference.p_value and alone.difference.value > 0


def test_arms_that_answer_other_pairs_are_refused() -> None:
    with pytest.raises(BadInput, match="asked about the same pairs"):
        Figures({"one": [answers(1)], "other": [answers(1, queries=11)]}, FEW)
    with pytest.raises(BadInput, match="answers about judged test pairs, found none"):
        Figures({"one": [answers(1).head(0)]}, FEW)


def at(value: float) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1)


def test_the_front_holds_those_that_none_betters_at_their_cost() -> None:
    dots = [Dot("S", 1, at(0.4), 1), Dot("M", 2, at(0.39), 1), Dot("L", 3, at(0.45), 1), Dot("T", 900, at(0.5), 0)]
    assert [dot.name for dot in on_front(dots)] == ["S", "L", "T"]


def test_drawings_name_their_axes_and_series_and_escape_names() -> None:
    points = ((1.0, at(0.4)), (2.0, Estimate(0.5, float("nan"), float("nan"))))
    svg = curves("t", "labels", "accuracy", [Curve("<b>", points), Curve("two", points)], [Level("line", 0.6)])
    assert all(word in svg for word in ("labels", "accuracy", "two", "line")) and "<b>" not in svg
    assert svg.count('class="whisker') == 2  # a figure without an interval has none
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    assert curves("t", "x", "y", [Curve("none", ((1.0, nothing),))]) == ""


@pytest.mark.parametrize(("values", "anchor"), [((0.2, 0.6), "start"), ((0.6, 0.2), "end")])
def test_a_line_is_named_where_no_mark_is(values, anchor):
    points = tuple((float(x), Estimate(value, value, value)) for x, value in enumerate(values))
    svg = curves("t", "x", "y", [Curve("one", points)], [Level("line", 0.6)])
    assert f'text-anchor="{anchor}">line</text>' in svg


@pytest.mark.parametrize("values", [(4.9, 2747.0), (3.0, 3.1), (7.0,), (1.0, 9e6), (100.0, 105.0, 2000.0)])
def test_no_ticks_text_meets_the_next_ones(values: tuple[float, ...]) -> None:
    for log in (True, False):
        x = axes.x_axis(values, log)
        spots = [(x(tick), 6.6 * len(axes.short(tick)) / 2) for tick in x.ticks]
        assert x.ticks and all(x.first - 1 <= at <= x.last + 1 for at, _ in spots)
        assert all(b - a > half + other for (a, half), (b, other) in itertools.pairwise(spots))


def test_a_models_name_stands_on_no_interval_where_there_is_room() -> None:
    """M's name would run through the interval of L, right of it; it goes to the left."""
    svg = front(
        "t", "ms", "accuracy", [Dot("M", 5.0, at(0.5), 1), Dot("L", 5.6, at(0.5), 1), Dot("T", 900, at(0.5), 0)]
    )
    anchors = {name: anchor for anchor, name in re.findall(r'text-anchor="(\w+)">([MLT])<', svg)}
    assert anchors == {"M": "end", "L": "start", "T": "start"}


def result() -> Result:
    figures = Figures({"good <i>": [answers(1, 3.0)], "poor": [answers(3, 0.0)]}, FEW)
    scale = Scale(1, 1, 100, 0, 1, 0, 96, 24)
    plan = Plan(scale, scale, 10, 4.2, 61.0, (Cut("seeds", 3, 1),), Rates({"": 10.0}, {"": 99.0}, 50.0, 5.0))
    found = Found(
        figures.arms(),
        figures.compare([Versus("good <i>", "poor")]),
        (Table("More", "how to read", ("row", "figure"), (("one", at(0.5)), ("two", None))),),
        (Drawing("Drawn", rows.estimates("Drawn", [("good", at(0.5))])),),
        ("a note",),
        ("slow arm",),
    )
    return Result("encoders", "Is it?", "native: mine", "now", plan, found)


def test_the_page_says_what_was_cut_and_left_out_and_runs_nothing() -> None:
    html = page.render(result())
    assert "seeds 3 → 1" in html and "slow arm" in html and "a note" in html
    assert "good &lt;i&gt;" in html and "<i>" not in html and "<script" not in html
    assert "better" in html and "0.400 – 0.600" in html
    assert "wants about 61 minutes" in html and "Fewer than ten queries" not in html


def test_each_difference_has_its_corrected_p_beneath_it() -> None:
    html = page.render(result())
    p = {one.measure: one.holm_p for one in result().found.comparisons}
    assert len(p) == 5 and html.count("<small>p ") == 4  # that of accuracy has a column
    assert f"<small>p {escape(p_text(p[Measure.AUROC_4]))}</small>" in html


def test_a_page_of_few_queries_says_that_nothing_has_an_interval() -> None:
    figures = Figures({"a": [answers(1, queries=4)], "b": [answers(2, queries=4)]}, FEW)
    found = Found(figures.arms(), figures.compare([Versus("a", "b")], (Measure.ACCURACY,)))
    html = page.render(replace(result(), found=found))
    assert "Fewer than ten queries" in html and "too few queries" in html
    assert html.count("AUROC 3+</th>") == 1  # among the arms; what was not compared is no column


def test_the_json_has_every_figure_and_no_nan() -> None:
    found = json.loads(result().to_json())
    assert found["plan"]["cuts"] == [{"what": "seeds", "full": 3, "now": 1}]
    assert found["arms"][0]["figures"][0]["estimate"]["low"] < found["arms"][0]["figures"][0]["estimate"]["high"]
    assert found["left_out"] == ["slow arm"] and {"holm_p", "difference"} <= found["comparisons"][0].keys()


def test_the_terminal_is_told_the_same() -> None:
    said = "\n".join(page.lines(result(), Path("W/reports/experiment-encoders/index.html")))
    assert "seeds 3 → 1" in said and "slow arm" in said and "good <i> - poor: accuracy +" in said
