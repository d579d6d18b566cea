"""Experiments: effects against second implementations, outcomes by hand, logs of bad rows, plans of what to judge."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from table_rows import day, write_rows

from enrich import console
from enrich.errors import BadInput
from enrich.judgments import run_judgments
from enrich.tables import EXPERIMENT_LOG, JUDGMENTS
from enrich.workspace import Catalogue, Workspace
from relevance.abtest import effects, page
from relevance.abtest.analysis import AbtestSettings, analyse_log
from relevance.abtest.effects import Sums
from relevance.abtest.judging_plan import judging_plan, spread_over
from relevance.abtest.log import experiment_log, read_log
from relevance.abtest.outcomes import Outcome, outcomes
from relevance.cli import relevance
from relevance.intervals import holm

JUDGED = pl.DataFrame({"query": ["lamp"] * 3, "pin_id": ["a", "b", "c"], "level": [5, 3, 1]})


def sums(y: list[float], n: list[float] | None = None, before: list[float] | None = None) -> Sums:
    values = (y, n or [1.0] * len(y), before or [0.0] * len(y))
    return Sums(*(np.asarray(one, dtype=np.float64) for one in values))


def event(user: str, arm: str, what: str, pin: str = "a", **other: object) -> dict[str, object]:
    """One of the events of a user's one search on day 1, unless told otherwise."""
    row = {"request_id": f"r-{user}", "session_id": f"s-{user}", "user_hash": user, "country": "US", "lang": "en"}
    place = {"query": "Lamp", "position": ord(pin) - ord("a") + 1, "event_timestamp": day(1)}
    return {**row, "arm": arm, "pin_id": pin, "event": what, **place, **other}


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows)


def test_one_row_a_user_is_welchs_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 40), rng.normal(1.5, 2, 60)
    found = effects.effect(sums(list(a)), sums(list(b)))
    expected = stats.ttest_ind(b, a, equal_var=False)
    interval = expected.confidence_interval()
    assert (found.p_value, found.low, found.high) == pytest.approx((expected.pvalue, interval.low, interval.high))
    assert found.lift == pytest.approx((b.mean() - a.mean()) / a.mean())


def test_a_ratio_of_sums_has_the_spread_that_drawing_users_again_shows() -> None:
    rng = np.random.default_rng(1)
    n = rng.integers(1, 9, 400).astype(float)
    y = rng.binomial(n.astype(int), rng.beta(2, 2, 400)).astype(float)
    draws = rng.integers(0, 400, (4_000, 400))
    drawn = y[draws].sum(axis=1) / n[draws].sum(axis=1)
    found = effects.effect(sums(list(y), list(n)), sums(list(y), list(n)))
    assert found.standard_error / sqrt(2) == pytest.approx(drawn.std(), rel=0.05)
    assert found.difference == 0


def test_what_users_did_before_is_taken_out() -> None:
    """y is what the user did before, and 1 more in treatment: without it the effect drowns, with it it is exact."""
    rng = np.random.default_rng(2)
    before = [list(rng.normal(0, 5, 50)) for _ in range(2)]
    control, treatment = (sums([x + arm for x in before[arm]], before=before[arm]) for arm in (0, 1))
    assert effects.effect(control, treatment).standard_error > 0.5
    found = effects.adjusted(control, treatment)
    assert found is not None
    assert (found.effect.difference, found.variance_removed) == pytest.approx((1, 1))
    assert effects.adjusted(sums([1, 2]), sums([1, 2])) is None  # nobody did anything before


def test_users_who_are_all_alike_give_no_interval_and_no_verdict() -> None:
    """Three users of each arm, all of one and none of the other: chance was not seen at work, so nothing is sure."""
    for control, treatment, gap in (([0.0] * 3, [1.0] * 3, 1.0), ([0.1] * 3, [0.1] * 7, 0.0)):
        found = effects.effect(sums(control), sums(treatment))
        assert found.difference == pytest.approx(gap)
        assert np.isnan([found.low, found.high, found.p_value, found.standard_error]).all()
        assert effects.always_valid_p([found], 0.5) == 1
        assert effects.adjusted(sums(control, before=[1, 2, 3]), sums(treatment)) is None
        same = sums(control), sums(control)
        assert np.isnan(effects.change(same, same).p_value)


def test_one_arm_of_users_who_are_alike_gives_no_interval_either() -> None:
    """Nobody of control saved, of treatment one in three: the spread of one arm is not that of two."""
    for control, treatment in (([0.0] * 30, [0.0, 0.0, 1.0] * 10), ([0.0, 0.0, 1.0] * 10, [1.0] * 30)):
        sides = sums(control, before=list(range(30))), sums(treatment, before=list(range(30)))
        found = effects.effect(*sides)
        assert np.isnan([found.low, found.p_value, found.lift_low, found.standard_error]).all()
        assert not effects.is_look(found)
        assert effects.adjusted(*sides) is None
        assert np.isnan(effects.change((sides[0], sides[0]), sides).p_value)


def test_looks_begin_with_twenty_users_in_each_arm() -> None:
    early, due = (effects.effect(sums([0.0, 1.0] * half), sums([9.0, 10.0] * 15)) for half in (9, 10))
    assert (early.users, due.users) == ((18, 30), (20, 30))
    assert effects.always_valid_p([early], 0.5) == 1
    assert effects.always_valid_p([early, due], 0.5) == effects.always_valid_p([due], 0.5) < 1e-4


def test_what_is_plausible_is_fixed_by_the_first_look_and_not_by_later_days() -> None:
    """Day 1: control saves one in two of 40. Day 9 makes it one in twenty: the prior stays at 5 % of one half."""
    rows = [
        event(f"{arm}{date}-{number}", arm, what, event_timestamp=day(date))
        for date, users, every in ((1, 40, 2), (9, 400, 400))
        for arm in ("control", "t")
        for number in range(users)
        for what in ("impression", "save")[: 1 + (number % every == 0 or ((date, arm) == (1, "t") and number % 4 == 1))]
    ]
    log_ = experiment_log(frame(*rows))
    found = analyse_log(log_, JUDGED, log_.events.select(pl.col("user").unique(), before=pl.lit(0.0)), AbtestSettings())
    first = effects.effect(sums([1.0, 0.0] * 20), sums([1.0, 1.0, 1.0, 0.0] * 10))
    assert found.results[0].always_valid_p == pytest.approx(effects.always_valid_p([first], 0.05 * 0.5))
    assert found.results[0].always_valid_p < 1


def test_all_outcomes_of_all_treatments_are_corrected_together() -> None:
    three = pl.concat([many(120), many(120).filter(pl.col("arm") == "treatment").with_columns(
        pl.col("user_hash", "session_id", "request_id") + "x", arm=pl.lit("other"))])  # fmt: skip
    log_ = experiment_log(three)
    before = log_.events.select(pl.col("user").unique(), before=pl.lit(0.0))
    found = analyse_log(log_, JUDGED, before, AbtestSettings())
    plain = [one.effect.p_value for one in found.results]
    assert len(plain) == 8 and np.isfinite(plain).sum() == 2  # fulfilment twice: of the others all users are alike
    assert [one.p_holm for one in found.results] == pytest.approx(holm(plain), nan_ok=True)
    assert found.results[0].p_holm == pytest.approx(2 * plain[0])
    assert "(Holm)" in next(line for line in page.render(found).splitlines() if line.startswith("  difference"))


def test_a_log_without_positions_has_no_ndcg_and_no_precision() -> None:
    """And in a log of both, a search with an impression of no position is left out, and the impression counted."""
    whole = many(80)
    for rows, unplaced, reason in (
        (whole.with_columns(position=pl.lit(None, pl.Int64)), 80, "no impression has a position"),
        (whole.with_columns(position=pl.when(pl.col("user_hash") != "u0").then("position")), 1, None),
    ):
        log_ = experiment_log(rows)
        before = log_.events.select(pl.col("user").unique(), before=pl.lit(0.0))
        found = analyse_log(log_, JUDGED, before, AbtestSettings())
        assert found.unplaced == unplaced
        assert [one.reason for one in found.results] == [None, reason, reason, None]
        assert f"an impression of no position: {unplaced}" in page.render(found)
    assert found.results[1].effect.users == (39, 40)


def test_sessions_that_stand_for_users_are_said_to() -> None:
    for rows, said in (
        (many(40).with_columns(user_hash=pl.lit(None, pl.String)), "\nsessions stand for users"),
        (many(40).with_columns(user_hash=pl.when(pl.col("user_hash") != "u1").then("user_hash")), "\n1 sessions stand"),
        (many(40), None),
    ):
        log_ = experiment_log(rows)
        before = log_.events.select(pl.col("user").unique(), before=pl.lit(0.0))
        told = page.render(analyse_log(log_, JUDGED, before, AbtestSettings()))
        assert said in told if said else "stand for users" not in told


def test_a_change_of_the_effect_is_welchs_test_of_what_each_user_changed_by() -> None:
    rng = np.random.default_rng(4)
    first, last = ([sums(list(rng.normal(arm, 1, 30 + arm))) for arm in (0, 1)] for _ in range(2))
    found = effects.change((first[0], first[1]), (last[0], last[1]))
    moved = [after.y - before.y for before, after in zip(first, last, strict=True)]
    expected = stats.ttest_ind(moved[1], moved[0], equal_var=False)
    assert (found.difference, found.p_value) == pytest.approx((moved[1].mean() - moved[0].mean(), expected.pvalue))
    assert found.low == pytest.approx(expected.confidence_interval().low)


def test_always_valid_is_the_mixture_test_and_never_forgets() -> None:
    strong = effects.effect(sums([0, 1] * 50), sums([0.4, 1.4] * 50))
    variance, mixed = strong.standard_error**2, 0.5**2
    evidence = sqrt(variance / (variance + mixed)) * exp(
        mixed * strong.difference**2 / (2 * variance * (variance + mixed))
    )
    assert effects.always_valid_p([strong], 0.5) == pytest.approx(1 / evidence)
    nothing = effects.effect(sums([0, 1] * 50), sums([0, 1] * 50))
    assert effects.always_valid_p([nothing], 0.5) == 1
    assert effects.always_valid_p([strong, nothing], 0.5) == pytest.approx(1 / evidence)


def test_looking_daily_raises_no_more_false_alarms_than_told() -> None:
    """Forty users a day for twenty days, 400 times, no effect: the plain test cries wolf, this one hardly."""
    rng = np.random.default_rng(3)
    plain = valid = 0
    for _ in range(400):
        arms = rng.normal(1, 1, (2, 20, 20))
        looks = [
            effects.effect(sums(list(arms[0, :last].ravel())), sums(list(arms[1, :last].ravel())))
            for last in range(1, 21)
        ]
        plain += min(look.p_value for look in looks) < 0.05
        valid += effects.always_valid_p(looks, 0.3) < 0.05
    assert plain / 400 > 0.15
    assert valid / 400 <= 0.07


def test_holm_by_hand() -> None:
    """Ascending: .01 × 3 = .03, .03 × 2 = .06, and .04 × 1, which is not let fall below .06."""
    assert holm([0.04, 0.01, float("nan"), 0.03]) == pytest.approx([0.06, 0.03, float("nan"), 0.06], nan_ok=True)


def test_the_sample_ratio_and_the_least_effect() -> None:
    assert effects.sample_ratio_p([500, 500], [1, 1]) == 1
    assert effects.sample_ratio_p([400, 600], [1, 1]) < 1e-9
    assert effects.sample_ratio_p([400, 600], [2, 3]) == 1
    assert effects.least_detectable(1.0) == pytest.approx(1.95996 + 0.84162, abs=1e-4)


def test_outcomes_by_hand() -> None:
    """Shown c, x, a: x is not judged; DCG of levels 1, 5 is 15 / log2(3), at best 15 + 3 / log2(3)."""
    rows = [
        event("u", "control", "impression", "c", position=1),
        event("u", "control", "impression", "x", position=2),
        event("u", "control", "impression", "a", position=3),
        event("u", "control", "save", "a", position=3),
        event("u", "control", "hide", "c", position=1),
        event("v", "control", "impression", "x"),
    ]
    log_ = experiment_log(frame(*rows))
    found = dict(outcomes(log_.events, JUDGED))
    assert dict(found[Outcome.FULFILMENT].select("user", "y").iter_rows()) == {"u": 1.0, "v": 0.0}
    (ndcg,) = found[Outcome.NDCG]["y"]
    assert ndcg == pytest.approx((15 / log(3, 2)) / (15 + 3 / log(3, 2)))
    assert found[Outcome.PRECISION]["y"].to_list() == [0.5]
    hides = found[Outcome.HIDES].select(pl.col("y", "n").sum()).row(0)
    assert hides == (1.0, 4.0)


def test_precision_counts_the_first_eight_places_judged_or_not() -> None:
    shown = [event("u", "control", "impression", pin, position=place) for place, pin in enumerate("xyzwstuab", 1)]
    found = dict(outcomes(experiment_log(frame(*shown)).events, JUDGED))
    assert found[Outcome.PRECISION]["y"].to_list() == [1.0]  # a, level 5, is eighth; b, level 3, ninth


def many(users: int) -> pl.DataFrame:
    """Half the users in each arm; of treatment nine in ten save, of control all of one week; weeks by turns."""
    rows = []
    for number in range(users):
        arm = ("control", "treatment")[number % 2]
        at = {"event_timestamp": day(1 + 7 * (number // 2 % 2)), "country": ("US", "DE")[number % 3 == 0]}
        rows.append(event(f"u{number}", arm, "impression", **at))
        if number % 40 not in (1, 23) and (arm == "treatment" or number % 4 == 0):
            rows.append(event(f"u{number}", arm, "save", **at))
    return frame(*rows)


def test_an_analysis_tells_weeks_and_segments() -> None:
    log_ = experiment_log(many(400))
    found = analyse_log(log_, JUDGED, log_.events.select(pl.col("user").unique(), before=pl.lit(0.0)), AbtestSettings())
    fulfilment = found.results[0]
    assert (fulfilment.effect.control, fulfilment.effect.treatment) == (0.5, 0.9)
    assert fulfilment.effect.low < 0.4 < fulfilment.effect.high
    assert fulfilment.always_valid_p < 1e-5
    assert [week.number for week in fulfilment.weeks] == [1, 2]
    # of control, those of the first week are the ones that save
    assert [week.effect.difference for week in fulfilment.weeks] == pytest.approx([-0.1, 0.9])
    assert np.isnan([week.effect.p_value for week in fulfilment.weeks]).all()  # in a week all of control are alike
    assert fulfilment.fading is not None
    assert fulfilment.fading.difference == pytest.approx(1)
    assert np.isnan(fulfilment.fading.low)  # every user of control changed alike: no spread, no interval
    assert {(one.column, one.value) for one in fulfilment.segments} == {
        ("country", "US"),
        ("country", "DE"),
        ("lang", "en"),
    }
    assert found.judged_share == 1.0
    assert not found.ratio_is_broken


def test_a_week_cut_short_is_said_to_be_and_fading_is_of_whole_weeks() -> None:
    """Two weeks and a day: the day is week 3, and whether the effect lasts is asked of the weeks before it."""
    rows = [
        event(f"u{number}", arm, what, event_timestamp=day(date))
        for number, (date, arm) in enumerate((date, arm) for date in (1, 5, 8, 14, 15) for arm in ("control", "t") * 4)
        for what in ("impression", "save")[: 1 + (number % 4 == 0 or date == 15)]
    ]
    log_ = experiment_log(frame(*rows))
    before = log_.events.select(pl.col("user").unique(), before=pl.lit(0.0))
    fulfilment = analyse_log(log_, JUDGED, before, AbtestSettings()).results[0]
    assert [(week.number, week.days) for week in fulfilment.weeks] == [(1, 7), (2, 7), (3, 1)]
    said = page.render(analyse_log(log_, JUDGED, before, AbtestSettings()))
    assert "week 3, 1 d" in said and "nan" not in said


def test_a_log_with_years_between_its_days_is_analysed_at_once() -> None:
    """A look a day that brought something, not one for each day since 1971."""
    rows = [event(f"u{n}", ("control", "t")[n % 2], "impression", event_timestamp=at)
            for n, at in enumerate([datetime(1971, 1, 1, tzinfo=UTC), day(1)] * 4)]  # fmt: skip
    log_ = experiment_log(frame(*rows))
    before = log_.events.select(pl.col("user").unique(), before=pl.lit(0.0))
    assert analyse_log(log_, JUDGED, before, AbtestSettings()).results[0].effect.users == (4, 4)


def test_users_in_two_arms_are_left_out_and_counted() -> None:
    rows = [event("u", "control", "impression"), event("v", "treatment", "impression")]
    log_ = experiment_log(frame(*rows, event("w", "control", "impression"), event("w", "treatment", "click")))
    assert (log_.users, log_.crossed) == ({"control": 1, "treatment": 1}, 1)
    with pytest.raises(BadInput, match="each in one arm"):
        experiment_log(frame(event("w", "control", "impression"), event("w", "treatment", "click")))


def test_a_row_without_a_user_is_the_one_that_its_session_names() -> None:
    """s1 names u in one of its two rows; s2 names two people, s3 nobody, so there the session stands for a user."""
    rows = [
        event("u", "control", "impression", session_id="s1", user_hash=None),
        event("u", "control", "save", session_id="s1"),
        *(event(user, "control", "impression", session_id="s2") for user in ("v", "w")),
        event("x", "control", "save", session_id="s2", user_hash=None),
        event("y", "control", "save", session_id="s3", user_hash=None),
    ]
    log_ = experiment_log(frame(*rows))
    assert (log_.users, log_.sessions) == ({"control": 5}, 2)
    assert log_.events.filter(pl.col("session_id") == "s1")["user"].unique().to_list() == ["u"]
    moved = event("u", "treatment", "impression", session_id="s1", user_hash=None)
    assert experiment_log(frame(*rows, moved)).crossed == 1


def test_a_log_of_bad_rows_is_counted_by_reason(tmp_path: Path) -> None:
    header = "request_id,session_id,user_hash,arm,country,lang,query,pin_id,position,event,event_timestamp\n"
    good = "r,s,u,control,US,en,lamp,a,1,impression,2025-01-01T00:00:00Z\n"
    bad = "r,s,u,control,US,en,lamp,b,1,teleport,2025-01-01T00:00:00Z\n"
    (tmp_path / "log.csv").write_text(header + good + good + bad)
    found = read_log(workspace(tmp_path), tmp_path / "log.csv")
    assert found.events.height == 1
    assert sum(found.dropped.values()) == 2
    torn = good.replace("\n", ",too,many,cells\n")
    (tmp_path / "log.csv").write_text(header + good + torn)
    assert read_log(workspace(tmp_path), tmp_path / "log.csv").dropped == {"unreadable-line": 1}
    (tmp_path / "log.csv").write_text(header + good + torn + bad)
    with pytest.raises(BadInput, match=r"2 of 3 rows bad \(.*unreadable-line 1"):
        read_log(workspace(tmp_path), tmp_path / "log.csv")


def test_wrong_logs_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(workspace(tmp_path).root)
    (tmp_path / "log.csv").write_text("request_id,arm\nr,control\n")
    for arguments, said in (
        ([], "expected events of an experiment"),
        ([str(tmp_path / "none.csv")], "found nothing; check the path"),
        ([str(tmp_path / "log.csv")], "needs a column"),
        ([str(tmp_path / "log.csv"), "--shares", "50,x"], "--shares"),
        ([str(tmp_path / "log.csv"), "--shares", "nan,1"], "--shares"),
        ([str(tmp_path / "log.csv"), "--plausible-lift", "inf"], "--plausible-lift"),
        ([str(tmp_path / "log.csv"), "--plausible-lift", "nan"], "plausible lift above 0"),
    ):
        assert console.run(relevance, ["abtest", *arguments, "--workspace", root]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = workspace(tmp_path)
    write_rows(here, EXPERIMENT_LOG, *many(40).to_dicts())
    assert console.run(relevance, ["abtest", "--workspace", str(here.root), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "nDCG@20: treatment - control" in lines
    assert "  not to be had: nothing judged was shown" in lines
    said = json.loads(lines[-1])
    assert said["results"][0]["effect"]["difference"] == pytest.approx(0.4)
    assert console.run(relevance, ["abtest", "--workspace", str(here.root), "--control", "c"]) == 2
    assert "expected events of an arm 'c'" in capsys.readouterr().err


def test_judgments_that_all_failed_are_as_none(tmp_path: Path) -> None:
    """A judged pin that the catalogue lacks gets a row without a level; fulfilment and hides need none."""
    here = workspace(tmp_path)
    write_rows(here, EXPERIMENT_LOG, *many(40).to_dicts())
    write_rows(here, JUDGMENTS, {"query": "lamp", "pin_id": "none", "level": 5.0, "judged_at": day(1)})
    assert run_judgments(here).failed
    assert console.run(relevance, ["abtest", "--workspace", str(here.root)]) == 0


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(16, 400),
)
def test_a_plan_spends_all_it_can(strata: list[tuple[float, int, int]], total: int) -> None:
    claims, most, held = (np.asarray(column) for column in zip(*strata, strict=True))
    given_ = spread_over(claims, most, total, held)
    assert given_.sum() == min(total, most.sum())
    assert (given_ <= most).all()
    assert (held + given_ >= np.minimum(2, held + most)).all()


def test_a_plan_by_hand() -> None:
    """Equal claims share equally, what is held counts, and no other way to spend the same is better."""
    alike, many_, none = np.ones(3), np.full(3, 100), np.zeros(3, np.int64)
    assert sorted(spread_over(alike, many_, 8, none)) == [2, 3, 3]
    assert spread_over(alike, many_, 8, np.array([6, 1, 0])).tolist() == [0, 4, 4]
    claims = np.array([9.0, 3.0, 1.0])
    splits = [(a, b, 14 - a - b) for a in range(2, 11) for b in range(2, 13 - a)]
    best = min(splits, key=lambda split: float((claims**2 / np.asarray(split)).sum()))
    assert tuple(spread_over(claims, many_, 14, none)) == best


def asked(lang: str, number: int, query: str, first: str = "a") -> list[dict[str, object]]:
    """A search that showed `first`, then b."""
    search = {"request_id": f"r-{lang}-{number}", "lang": lang, "query": query, "user_hash": f"u-{lang}-{number}"}
    return [event("u", "control", "impression", pin, **search, position=place) for place, pin in ((1, first), (2, "b"))]


def test_a_plan_judges_more_where_queries_differ_more() -> None:
    """Two languages of 60 queries, 8 judged of each: en is best or worst by turns, de always best: en gets most."""
    rows, judged = [], []
    for number in range(60):
        for lang in ("en", "de"):
            query = f"{lang} lamp {number}"
            rows += asked(lang, number, query, "c" if lang == "en" and number % 2 else "a")
            judged += [JUDGED.with_columns(query=pl.lit(query))] if number < 8 else []
    events = experiment_log(frame(*rows)).events
    plan = judging_plan(events, pl.concat(judged), 40)
    wanted = {one.lang: one.searches_to_judge for one in plan.strata}
    assert sum(wanted.values()) == 40
    assert wanted["en"] > 1.5 * wanted["de"]
    assert plan.error <= plan.proportional_error <= plan.simple_random_error
    assert "judge 40 searches, each of another query" in page.render_plan(plan)
    few = pl.concat(judged).filter(pl.col("query").str.starts_with("en"))
    with pytest.raises(BadInput, match="expected at least 2 searches"):
        judging_plan(events, few, 1)


def test_a_plan_asks_for_nothing_that_is_judged_already() -> None:
    """en asks one query 60 times, and it is judged; of one of de's 60 all is level 1: 57 queries are left to judge."""
    rows = [row for n in range(60) for row in asked("en", n, "en lamp", "ac"[n % 2]) + asked("de", n, f"de lamp {n}")]
    judged = [JUDGED.with_columns(query=pl.lit(query)) for query in ("en lamp", "de lamp 0", "de lamp 1")]
    plan = judging_plan(
        experiment_log(frame(*rows)).events,
        pl.concat([*judged, JUDGED.with_columns(query=pl.lit("de lamp 2"), level=pl.lit(1, pl.Int64))]),
        100,
    )
    left = {one.lang: (one.searches, one.queries, one.judged, one.searches_to_judge) for one in plan.strata}
    assert left == {"en": (60, 1, 1, 0), "de": (59, 59, 2, 57)}
    variance = {one.lang: one.spread**2 for one in plan.strata}
    weight = 60 / 119
    expected = weight**2 * variance["en"] / 1 + (1 - weight) ** 2 * variance["de"] / 59
    assert plan.error == plan.proportional_error == pytest.approx(sqrt(expected))


def workspace(folder: Path) -> Workspace:
    made = Workspace.at(folder / "w")
    made.create(Catalogue("native", "here"))
    return made
