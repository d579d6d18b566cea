"""An evaluation's figures equal the measures; gaps count against a ranking; differences, segments and JSON hold."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from enrich.errors import BadInput
from relevance import metrics
from relevance.evaluation import Versus, evaluate
from relevance.intervals import BootstrapSettings
from relevance.judging.figures import PEOPLE, EvaluationSettings, FieldCoverage, Measure
from relevance.judging.gold import Predictions
from relevance.reliability import Reliability

SETTINGS = EvaluationSettings(BootstrapSettings(draws=200), segment_pairs=10)


def predictions(model: str, skill: float, queries: int = 12, pins: int = 10, seed: int = 0) -> Predictions:
    """Random gold levels, the same for every model, and probabilities that lean to them by `skill`."""
    gold, noise = np.random.default_rng(seed), np.random.default_rng(len(model))
    n = queries * pins
    levels = gold.integers(1, 6, n)
    probabilities = skill * np.eye(5)[levels - 1] + (1 - skill) * noise.dirichlet(np.ones(5), n)
    return Predictions(
        model,
        pl.DataFrame(
            {
                "query": [f"q{i // pins}" for i in range(n)],
                "pin_id": [f"p{i}" for i in range(n)],
                "level": levels,
                "lang": ["en" if i // pins % 2 else "fr" for i in range(n)],
                "probabilities": probabilities.tolist(),
                "fold": [i // pins % 3 for i in range(n)],
            }
        ),
    )


GOOD, POOR = predictions("good", 0.4), predictions("poor one", 0.1)


def test_every_figure_equals_its_measure():
    found = evaluate([GOOD], settings=SETTINGS).model("good")
    levels, probabilities = GOOD.rows["level"], np.array(GOOD.rows["probabilities"].to_list())
    expected = {
        Measure.ACCURACY: metrics.accuracy(levels, probabilities),
        Measure.WITHIN_ONE: metrics.within_one(levels, probabilities),
        Measure.AUROC_3: metrics.auroc_at_least(levels, probabilities, 3),
        Measure.AUROC_4: metrics.auroc_at_least(levels, probabilities, 4),
        Measure.AUROC_5: metrics.auroc_at_least(levels, probabilities, 5),
        Measure.KAPPA: metrics.quadratic_kappa(levels, metrics.most_probable(probabilities)),
        Measure.TAU: metrics.kendall_tau(levels, metrics.most_probable(probabilities)),
        Measure.ECE: metrics.calibration_error(levels, probabilities),
        Measure.NDCG: metrics.ndcg(*_ranking(GOOD.rows, metrics.expected_level(probabilities))),
        Measure.SDCG: metrics.sdcg(*_ranking(GOOD.rows, metrics.expected_level(probabilities))),
        Measure.PRECISION: metrics.precision(*_ranking(GOOD.rows, metrics.expected_level(probabilities))),
        Measure.TAU_BY_QUERY: metrics.kendall_tau_by_query(*_ranking(GOOD.rows, metrics.expected_level(probabilities))),
        Measure.JUDGED: 1.0,
    }
    assert {figure.measure for figure in found.figures} == set(Measure)
    for figure in found.figures:
        assert figure.estimate.value == pytest.approx(expected[figure.measure]), figure.measure
        assert figure.estimate.low <= figure.estimate.value <= figure.estimate.high or figure.measure is Measure.ECE


def test_calibration_errors_of_each_level_equal_those_of_the_rows():
    found = evaluate([GOOD], settings=SETTINGS).model("good").level_errors
    levels, probabilities = GOOD.rows["level"].to_numpy(), np.array(GOOD.rows["probabilities"].to_list())
    expected = Reliability.of(levels, probabilities, SETTINGS.bins)
    assert [one.exactly.value for one in found] == pytest.approx([curve.error for curve in expected.exactly])
    assert [one.at_least.value for one in found[1:]] == pytest.approx([curve.error for curve in expected.at_least])
    curves = evaluate([GOOD], settings=SETTINGS).model("good").level_reliability
    assert curves == tuple(curve.bins for curve in expected.exactly)
    assert found[0].at_least is None and all(one.exactly.low <= one.exactly.high for one in found)


def _ndcg(rows: pl.DataFrame, scores: np.ndarray) -> float:
    return metrics.ndcg(*_ranking(rows, scores), 20)


def _ranking(rows: pl.DataFrame, scores: np.ndarray) -> tuple[metrics.Qrels, metrics.Run]:
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for query, pin, level, score in zip(rows["query"], rows["pin_id"], rows["level"], scores, strict=True):
        qrels.setdefault(query, {})[pin] = level
        run.setdefault(query, {})[pin] = float(score)
    return qrels, run


def test_probabilities_may_be_arrays_as_numpy_rows_become():
    arrays = GOOD.rows.with_columns(pl.col("probabilities").cast(pl.Array(pl.Float64, 5)))
    found, expected = (evaluate([one], settings=SETTINGS) for one in (Predictions("good", arrays), GOOD))
    assert found.to_json() == expected.to_json()  # in which nan equals nan


def test_the_shape_of_the_whole():
    found = evaluate([GOOD, POOR], [Versus("good", "poor one")], settings=SETTINGS)
    assert (found.pairs, found.queries, found.folds, sum(found.level_counts)) == (120, 12, 3, 120)
    assert np.sum(found.model("good").confusion) == 120
    assert sum(one.rows for one in found.model("good").reliability) == 120
    accuracy = next(c.difference for c in found.comparisons if c.measure is Measure.ACCURACY)
    assert accuracy.low > 0 and accuracy.p_value < 0.05 and accuracy.ratio > 1


def test_segments_are_evaluations_of_their_own():
    found = evaluate([GOOD], settings=SETTINGS)
    assert [(s.column, s.value, s.pairs, s.queries) for s in found.segments] == [
        ("lang", "en", 60, 6),
        ("lang", "fr", 60, 6),
    ]
    french = evaluate([Predictions("good", GOOD.rows.filter(pl.col("lang") == "fr"))], settings=SETTINGS)
    whole, part = found.segments[1].models[0], french.models[0]
    assert whole.estimate(Measure.ACCURACY).value == part.estimate(Measure.ACCURACY).value


def test_a_pair_that_a_model_does_not_answer_counts_against_its_ranking_alone():
    gaps = Predictions("gaps", GOOD.rows.filter(pl.col("query") != "q0"))
    found = evaluate([GOOD, gaps], settings=SETTINGS)
    assert (found.model("good").answered, found.model("gaps").answered) == (120, 110)
    per_query = _by_query(GOOD)
    expected = sum(value for query, value in per_query.items() if query != "q0") / 12
    assert found.model("gaps").estimate(Measure.NDCG).value == pytest.approx(expected)


def test_models_are_compared_on_the_pairs_that_both_answer():
    """A run of GOOD's own scores for half of each query's pins: on these it is GOOD, and only rankings differ."""
    half = GOOD.rows.filter(pl.int_range(pl.len()) % 2 == 0)
    scored = half.with_columns(score=pl.Series(metrics.expected_level(np.array(half["probabilities"].to_list()))))
    good = GOOD.rows.with_columns(
        score=pl.Series(metrics.expected_level(np.array(GOOD.rows["probabilities"].to_list())))
    )
    models = [Predictions("good", good.drop("probabilities")), Predictions("run", scored.drop("probabilities"))]
    found = evaluate(models, [Versus("good", "run"), Versus("run", "good")], settings=SETTINGS)
    whole, part = (found.model(name).estimate(Measure.AUROC_4).value for name in ("good", "run"))
    assert whole != part
    gaps = {(c.model, c.measure): c.difference.value for c in found.comparisons}
    assert all(gaps[name, measure] == 0 for name in ("good", "run") for measure in (Measure.AUROC_3, Measure.AUROC_4))
    assert gaps["good", Measure.NDCG] > 0
    assert ("good", Measure.JUDGED) not in gaps


def test_a_model_that_shares_no_pair_with_another_is_not_told_from_it():
    first, rest = (Predictions(name, GOOD.rows.filter(side)) for name, side in (
        ("first", pl.col("query") < "q5"), ("rest", pl.col("query") >= "q5")))  # fmt: skip
    found = evaluate([first, rest], [Versus("first", "rest")], settings=SETTINGS)
    accuracy = next((c.difference for c in found.comparisons if c.measure is Measure.ACCURACY), None)
    assert accuracy is None or np.isnan([accuracy.value, accuracy.p_value]).all()


def _by_query(one: Predictions) -> dict[str, float]:
    scores = metrics.expected_level(np.array(one.rows["probabilities"].to_list()))
    return {
        query: _ndcg(rows, scores[(one.rows["query"] == query).to_numpy()])
        for (query,), rows in one.rows.group_by("query", maintain_order=True)
    }


def test_a_model_of_scores_alone_has_ranking_figures():
    scored = GOOD.rows.with_columns(score=pl.int_range(pl.len()).cast(pl.Float64)).drop("probabilities")
    found = evaluate([Predictions("run", scored)], settings=SETTINGS).models[0]
    assert {figure.measure for figure in found.figures} == {
        Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5, Measure.NDCG, Measure.SDCG, Measure.PRECISION,
        Measure.TAU_BY_QUERY, Measure.JUDGED,
    }  # fmt: skip
    assert found.confusion == ()


def test_unjudged_pairs_take_places_in_the_ranking_and_nothing_else():
    extra = pl.DataFrame(
        {"query": ["q0"], "pin_id": ["new"], "level": [None], "probabilities": [[0.0, 0.0, 0.0, 0.0, 1.0]]},
        schema_overrides={"level": pl.Int64},
    )
    more = Predictions("good", pl.concat([GOOD.rows, extra], how="diagonal"))
    plain, found = evaluate([GOOD], settings=SETTINGS).models[0], evaluate([more], settings=SETTINGS).models[0]
    assert found.estimate(Measure.ACCURACY) == plain.estimate(Measure.ACCURACY)
    assert found.estimate(Measure.NDCG).value < plain.estimate(Measure.NDCG).value


def test_a_segment_is_the_first_value_that_a_model_knows():
    silent = Predictions("silent", GOOD.rows.with_columns(lang=pl.lit(None, pl.String)))
    assert evaluate([silent, GOOD], settings=SETTINGS).segments[0].value == "en"
    half = silent.rows.with_columns(lang=pl.when(pl.col("query") < "q5").then(pl.lit("en")))
    values = [s.value for s in evaluate([Predictions("half", half)], settings=SETTINGS).segments]
    assert sorted(values) == ["en", "unknown"]
    assert evaluate([silent], settings=SETTINGS).segments == ()  # all pairs of one value: that is the headline


def test_a_model_that_answers_nothing_of_a_segment_has_a_ranking_of_zero_there():
    english = Predictions("english", GOOD.rows.filter(pl.col("lang") == "en"))
    french = evaluate([GOOD, english], settings=SETTINGS).segments[1].models[1]
    assert (french.answered, french.estimate(Measure.NDCG).value) == (0, 0.0)
    assert french.estimate(Measure.ACCURACY) is None and np.isnan(french.estimate(Measure.AUROC_3).value)


def test_unjudged_pins_keep_their_places_in_a_segment_too():
    extra = GOOD.rows[:1].with_columns(pin_id=pl.lit("new"), level=pl.lit(None, pl.Int64), score=pl.lit(9.0))
    scored = GOOD.rows.with_columns(score=pl.int_range(pl.len()).cast(pl.Float64) / 1000)
    plain, more = (
        evaluate([Predictions("run", rows)], settings=SETTINGS).segments[1].models[0].estimate(Measure.NDCG)
        for rows in (scored, pl.concat([scored, extra]))
    )
    assert more.value < plain.value


def test_one_class_gives_figures_without_values_and_json_nulls():
    rows = GOOD.rows.with_columns(level=pl.lit(5))
    found = evaluate([Predictions("good", rows)], settings=SETTINGS)
    assert np.isnan(found.models[0].estimate(Measure.AUROC_3).value)
    plain = json.loads(found.to_json())
    auroc = next(f for f in plain["models"][0]["figures"] if f["measure"] == "AUROC 3+")
    assert auroc["estimate"]["value"] is None and auroc["estimate"]["reason"]


def test_json_says_it_all():
    found = evaluate(
        [GOOD, POOR], [Versus("good", "poor one")], [FieldCoverage("title", 71, 100)], ["synthetic"], SETTINGS
    )
    plain = json.loads(found.to_json())
    assert plain["gains"].startswith("2^(level-1)-1") and plain["caveats"] == ["synthetic"]
    assert plain["coverage"] == [{"field": "title", "pins": 71, "of": 100}]
    assert plain["settings"]["bootstrap"]["draws"] == 200
    assert {c["measure"] for c in plain["comparisons"]} == {str(m) for m in Measure if m is not Measure.JUDGED}


def test_many_comparisons_are_corrected_for_each_other():
    """Against two poor models: the smaller p-value doubles, the larger stays, or is raised to it (Holm)."""
    other = predictions("poor two", 0.3)
    found = evaluate([GOOD, POOR, other], [Versus("good", "poor one"), Versus("good", "poor two")], settings=SETTINGS)
    for measure in (Measure.ACCURACY, Measure.NDCG):
        plain = [c.difference.p_value for c in found.comparisons if c.measure is measure]
        corrected = [c.p_holm for c in found.comparisons if c.measure is measure]
        assert min(corrected) == pytest.approx(min(1.0, 2 * min(plain)))
        assert max(corrected) == pytest.approx(max(max(plain), min(corrected)))


def _said(model: str, levels: list[int]) -> Predictions:
    """Twelve queries of two pins each, the model sure of these levels, gold 1 and 5 by turns."""
    columns = {
        "query": [f"q{i // 2}" for i in range(24)],
        "pin_id": [f"p{i}" for i in range(24)],
        "level": [1, 5] * 12,
        "lang": ["en", "en", "fr", "fr"] * 6,
        "probabilities": np.eye(5)[np.array(levels * 12) - 1].tolist(),
    }
    return Predictions(model, pl.DataFrame(columns))


def test_fidelity_and_distributions_by_hand():
    """The teacher says 2 and 5, the student 1 and 4: each leans half a level from people, the student one from it."""
    models = [_said("teacher", [2, 5]), _said("student", [1, 4])]
    asked = [Versus("teacher", PEOPLE), Versus("student", "teacher")]
    found = evaluate(models, settings=SETTINGS, faithful=asked)
    parts = {(one.model, one.rival, one.value): one for one in found.fidelity}
    assert set(parts) == {(*versus, value) for versus in asked for value in ("all", "en", "fr")}
    people, teacher = parts["teacher", PEOPLE, "all"], parts["student", "teacher", "fr"]
    assert (people.pairs, people.queries, people.same.value, people.within_one.value) == (24, 12, 0.5, 1.0)
    assert (people.lean.value, teacher.lean.value, teacher.same.value) == (0.5, -1.0, 0.0)
    whole = found.distributions[0]
    assert [(one.who, one.levels) for one in whole.shares] == [
        (PEOPLE, (0.5, 0, 0, 0, 0.5)),
        ("teacher", (0, 0.5, 0, 0, 0.5)),
        ("student", (0.5, 0, 0, 0.5, 0)),
    ]


def test_fidelity_needs_models_that_say_levels():
    scored = Predictions("run", GOOD.rows.with_columns(score=pl.lit(1.0)).drop("probabilities"))
    with pytest.raises(BadInput, match="scores alone"):
        evaluate([scored], settings=SETTINGS, faithful=[Versus("run", PEOPLE)])
    with pytest.raises(BadInput, match="nobody"):
        evaluate([GOOD], settings=SETTINGS, faithful=[Versus("good", "nobody")])


def test_the_largest_segments_of_a_column_are_shown():
    many = GOOD.rows.with_columns(lang=pl.col("query"))
    settings = EvaluationSettings(BootstrapSettings(draws=200), segment_pairs=10, segment_values=3)
    assert len(evaluate([Predictions("good", many)], settings=settings).segments) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop("level"), "found columns"),
        (lambda rows: rows.drop("probabilities"), "score or probabilities"),
        (lambda rows: rows.with_columns(level=pl.lit(None, pl.Int64)), "judged pairs"),
        (lambda rows: rows.with_columns(level=pl.lit(0)), "levels 1..5"),
        (lambda rows: pl.concat([rows, rows[:1]]), "stand twice"),
        (lambda rows: rows.with_columns(score=pl.lit(float("nan"))), "finite scores"),
        (lambda rows: rows.with_columns(probabilities=pl.lit([0.5, 0.5])), "five probabilities"),
        (lambda rows: rows.with_columns(probabilities=pl.lit([1.0] * 5)), "sum to 1"),
    ],
)
def test_malformed_predictions_give_one_line(change, words):
    with pytest.raises(BadInput, match=words) as caught:
        evaluate([Predictions("good", change(GOOD.rows))], settings=SETTINGS)
    assert "\n" not in str(caught.value)


def test_models_must_agree_on_gold_and_comparisons_must_name_models():
    other = Predictions("other", GOOD.rows.with_columns(level=6 - pl.col("level")))
    with pytest.raises(BadInput, match="disagree"):
        evaluate([GOOD, other], settings=SETTINGS)
    with pytest.raises(BadInput, match="nobody"):
        evaluate([GOOD], [Versus("good", "nobody")], settings=SETTINGS)
