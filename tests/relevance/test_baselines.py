"""The baselines that learn, logistic regression on frozen vectors and the tuned bi-encoder; all are made once."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from table_rows import day, write_rows
from tiny_lessons import THINGS, rows
from tiny_models import tiny_bert, tiny_llama, tiny_t5, tiny_xlmr

from enrich import tables
from enrich.errors import BadInput
from enrich.text_encoder import TextEncoder
from enrich.workspace import Workspace
from relevance import stages
from relevance.baselines import baselines, embedding_lr
from relevance.baselines.baselines import Baseline, Baselines, encoder_note
from relevance.baselines.embedding_lr import MostRows, fit_embedding_lr
from relevance.baselines.tuned_bi_encoder import TunedSettings, fit_tuned_bi_encoder
from relevance.bi_encoder import TextVectors, fit_bi_encoder
from relevance.calibration import Calibration
from relevance.framing.judged import Judged
from relevance.judging.predictions import Predictor
from relevance.metrics import accuracy, auroc_at_least
from relevance.plan import Fold, PlanSettings, plan
from relevance.splits import Split, SplitKind
from relevance.teaching.checkpoint import TeacherRecord, TeacherSettings
from relevance.teaching.network import Pooling
from relevance.teaching.rows import TeacherRows
from relevance.text import PinText

TINY = TunedSettings(epochs=8, batch_size=16, learning_rate=3e-3)


def test_logistic_regression_learns_what_cosines_do_not_say(tmp_path: Path) -> None:
    """The level is decided by the query alone: u says it, and no cosine does."""
    vectors = TextVectors(TextEncoder(str(tiny_bert(tmp_path))))
    known = rows(200)
    levels = np.array([2 if query in THINGS[:4] else 4 for query in known.queries])
    by_query = TeacherRows(known.queries, known.pin_texts, levels)
    learned = fit_embedding_lr(by_query, by_query, vectors)
    probabilities = learned.predict(known.queries, known.pin_texts)
    assert (
        accuracy(levels, probabilities)
        > 0.99
        > accuracy(levels, fit_bi_encoder(by_query, vectors).predict(known.queries, known.pin_texts))
    )
    assert probabilities.dtype == np.float32 and probabilities[:, [0, 2, 4]].max() == 0  # levels never seen
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(learned.score(["rug"], ["oak rug"]), learned.predict(["rug"], ["oak rug"]) @ range(1, 6))
    assert learned.predict([], []).shape == (0, 5)


def test_the_dev_pairs_choose_how_strongly_it_is_held_back(tmp_path: Path) -> None:
    vectors = TextVectors(TextEncoder(str(tiny_bert(tmp_path))))
    known = rows(200)
    opposite = TeacherRows(known.queries, known.pin_texts, 6 - known.levels)
    agreeing = fit_embedding_lr(known, known, vectors).model.C
    misleading = fit_embedding_lr(known, opposite, vectors).model.C
    assert (agreeing, misleading) == (10.0, 0.1)


def test_of_many_pairs_it_is_chosen_and_fitted_on_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows each fit is given: three to choose on whole queries, one on both sides."""
    vectors, known, dev = TextVectors(TextEncoder(str(tiny_bert(tmp_path)))), rows(200), rows(40, 1)
    fitted, fit = list[int](), embedding_lr._fitted

    def watched(inputs, levels, strength):
        fitted.append(len(levels))
        return fit(inputs, levels, strength)

    monkeypatch.setattr(embedding_lr, "_fitted", watched)
    whole = fit_embedding_lr(known, dev, vectors, MostRows(200, 200)).model
    assert fitted == [200, 200, 200, 240]
    assert np.array_equal(fit_embedding_lr(known, dev, vectors).model.coef_, whole.coef_)
    fitted.clear()
    fit_embedding_lr(known, dev, vectors, MostRows(60, 100))
    *choosing, last = fitted
    assert last == 140 and len({*choosing}) == 1 and 60 <= choosing[0] < 100
    fitted.clear()
    fit_embedding_lr(known, dev, vectors, on_both=False)
    assert fitted == [200, 200, 200, 200]  # dev chooses alone
    one_level = replace(known, levels=np.where(np.array(known.queries) == "rug", 1, 5))
    fit_embedding_lr(one_level, dev, vectors, MostRows(1, 200))  # of one query, and so of one level


@pytest.mark.parametrize("fit", ["embedding_lr", "bi_encoder_tuned"])
def test_empty_sides_are_refused(tmp_path: Path, fit: str) -> None:
    backbone = str(tiny_bert(tmp_path))

    def fitted(train: TeacherRows, dev: TeacherRows) -> object:
        if fit == "embedding_lr":
            return fit_embedding_lr(train, dev, TextVectors(TextEncoder(backbone)))
        return fit_tuned_bi_encoder(train, dev, backbone, TINY)

    with pytest.raises(BadInput, match="dev split, found none"):
        fitted(rows(8), rows(0))
    with pytest.raises(BadInput, match="training split, found none"):
        fitted(rows(0), rows(8))


def test_tuning_learns_what_the_frozen_encoder_does_not_know(tmp_path: Path) -> None:
    backbone = str(tiny_bert(tmp_path))
    train, dev, test = rows(320), rows(64, 1), rows(200, 2)
    frozen = fit_bi_encoder(train, TextVectors(TextEncoder(backbone)))
    tuned = fit_tuned_bi_encoder(train, dev, backbone, TINY)
    before, after = (
        auroc_at_least(test.levels, one.predict(test.queries, test.pin_texts), 3) for one in (frozen, tuned)
    )
    assert after > 0.99 > before
    probabilities = tuned.predict(test.queries, test.pin_texts)
    assert probabilities.shape == (200, 5) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert tuned.predict([], []).shape == (0, 5) and np.isfinite(tuned.score(["", "rug"], [PinText(), ""])).all()


def test_what_is_no_better_on_dev_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dev levels say the opposite of what is taught: where dev may choose, the model as it was before stays."""
    backbone, known = str(tiny_bert(tmp_path)), rows(160)
    opposite = TeacherRows(known.queries, known.pin_texts, 6 - known.levels)
    frozen = fit_bi_encoder(known, TextVectors(TextEncoder(backbone))).score(known.queries, known.pin_texts)
    last = fit_tuned_bi_encoder(known, opposite, backbone, TINY).score(known.queries, known.pin_texts)
    assert np.abs(last - frozen).max() > 0.1
    monkeypatch.setattr("relevance.teaching.rows.DEV_QUERIES_TO_CHOOSE", len(THINGS))
    tuned = fit_tuned_bi_encoder(known, opposite, backbone, TINY).score(known.queries, known.pin_texts)
    np.testing.assert_allclose(tuned, frozen, atol=0.02)  # bf16 against float32


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tmp_path: Path) -> None:
    backbone = str(tiny_bert(tmp_path))

    def scores(seed: int) -> np.ndarray:
        settings = TunedSettings(epochs=1, batch_size=16, learning_rate=1e-3, seed=seed)
        return fit_tuned_bi_encoder(rows(80), rows(32, 1), backbone, settings).score(THINGS, THINGS[::-1])

    first = scores(0)
    assert np.array_equal(first, scores(0)) and not np.array_equal(first, scores(1))


@pytest.mark.parametrize("make", [tiny_xlmr, tiny_t5, tiny_llama])
def test_every_family_of_backbones_can_be_tuned(tmp_path: Path, make) -> None:
    settings = TunedSettings(epochs=1, batch_size=16, learning_rate=1e-3)
    tuned = fit_tuned_bi_encoder(rows(32), rows(16, 1), str(make(tmp_path)), settings)
    assert np.isfinite(tuned.predict(["rug", ""], ["oak rug", PinText()])).all()


@pytest.fixture
def judged(workspace: Workspace) -> Judged:
    """Eight pins, and for each of twelve queries the judgments of four of them."""
    pins = [{"pin_id": f"p{i}", "title": f"oak {thing}", "event_timestamp": day(1)} for i, thing in enumerate(THINGS)]
    write_rows(workspace, tables.PIN_TEXT, *pins)
    rows = [
        {"query": f"{colour} {THINGS[q]}", "pin_id": f"p{p}", "level": 5 if p == q else 1 + (p + q) % 3, "votes": [3.0]}
        | {"event_timestamp": day(10 + q), "lang": "en" if q % 4 else "de"}
        for colour in ("red", "blue")
        for q in range(6)
        for p in (q, q + 1, q + 2, (q + 3) % 8)
    ]
    write_rows(workspace, tables.JUDGMENT, *rows)
    return Judged.of(workspace)


def test_answers_are_kept_and_a_killed_baseline_begins_again(
    judged: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = plan(judged.pairs, tmp_path / "models", PlanSettings(folds=2))
    encoder = TextEncoder(str(tiny_bert(tmp_path / "encoder")))
    monkeypatch.setattr(baselines, "default_model_path", lambda: tmp_path / "encoder")
    killed = True
    made: list[Baseline] = []

    class Watched(Baselines):
        def fit(self, baseline, fold):
            made.append(baseline)
            if killed:
                raise KeyboardInterrupt
            return super().fit(baseline, fold)

    monkeypatch.setattr("relevance.judging.predictions.Baselines", Watched)
    tuned = TunedSettings(epochs=1, batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        Predictor(judged, encoder, tuned).predictions("bi_encoder_tuned", folds)
    killed = False
    for name in Baseline:
        made.clear()
        first = Predictor(judged, encoder, tuned).predictions(name, folds).rows
        assert made == [name, name] and first.height == judged.pairs.height
        assert Predictor(judged, encoder, tuned).predictions(name, folds).rows.equals(first)
        assert made == [name, name]
    again = TunedSettings(epochs=1, batch_size=8, seed=1)
    Predictor(judged, encoder, again).predictions("bi_encoder_tuned", folds)
    assert len(made) == 4  # other settings, other answers


def test_the_splits_by_time_and_language_are_asked_of_the_judged_pairs(judged: Judged, tmp_path: Path) -> None:
    encoder = TextEncoder(str(tiny_bert(tmp_path / "encoder")))
    for kind, name in ((SplitKind.TIME, "time"), (SplitKind.LANGUAGE, "language-en")):
        (fold,) = plan(judged.pairs, tmp_path, PlanSettings(split=kind))
        rows = Predictor(judged, encoder).predictions("embedding_lr", [fold]).rows
        if kind is SplitKind.TIME:
            tested = judged.pairs.filter(pl.col("event_timestamp") >= fold.split.log.before)
        else:
            tested = judged.pairs.filter(pl.col("lang") == "de")
        assert rows.select("query", "pin_id").equals(tested.select("query", "pin_id")) and rows.height
        assert (tmp_path / "splits" / name / "predictions" / "embedding_lr").is_dir()


@pytest.mark.parametrize(
    ("backbone", "encoder", "named"),
    [
        (None, "all-MiniLM-L6-v2@123", None),
        ("org/bge-m3@v2", "bge-m3@123", None),
        ("org/bge-m3@v2", "all-MiniLM-L6-v2@123", "org/bge-m3@v2"),
        (None, "bge-m3@123", "sentence-transformers/all-MiniLM-L6-v2"),
    ],
)
def test_a_report_names_the_encoder_that_is_not_the_teachers_backbone(
    tmp_path: Path, backbone: str | None, encoder: str, named: str | None
) -> None:
    record = TeacherRecord(TeacherSettings(backbone), Pooling.CLS, Calibration(), "f", "d", None, {})
    stages.make(tmp_path / "teacher", "f", lambda out: (out / "teacher.json").write_text(json.dumps(asdict(record))))
    fold = Fold("serving", tmp_path, Split(frozenset(), frozenset(), frozenset()))
    note = encoder_note(encoder, [fold])
    assert note is None if named is None else f"not with the teacher's backbone {named};" in str(note)
    assert encoder_note(encoder, []) is None
