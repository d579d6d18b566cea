"""`relevance experiment encoders`: a cross-encoder against models that embed query and pin apart, and against words.

All learn from the same judged pairs of the same queries; dev pairs stop, choose and calibrate. bm25, the frozen
bi-encoder and the logistic regression on frozen embeddings take seconds; the tuned bi-encoder and the cross-encoder
(the teacher) are trained for each backbone. The teacher also learns from the log first; "judgments alone" is the one
that does not, which is what the others can be held against. The last column of the first table is the relative gain in
accuracy over the embedding baseline, as the paper's table has it (arXiv 2410.17152: +19.7 % for the largest backbone).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import polars as pl

from enrich.text_encoder import default_model_path
from relevance import stages
from relevance.baselines.baselines import Fitted
from relevance.baselines.bm25 import fit_bm25
from relevance.baselines.embedding_lr import STRENGTHS, fit_embedding_lr
from relevance.baselines.tuned_bi_encoder import TUNED_VERSION, TunedSettings, fit_tuned_bi_encoder
from relevance.bi_encoder import fit_bi_encoder
from relevance.drawings.rows import estimates
from relevance.experiments.arms import ANSWER_FILE, TEXTS, Arm, Scored
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.fields import vectors_of
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground
from relevance.experiments.records import ArmFigures, Drawing, Found, Table, Value
from relevance.experiments.site import Experiment, Fields, Site, Wanted, runs
from relevance.framing.judged import teacher_rows
from relevance.intervals import Difference
from relevance.judging.figures import Measure, Versus
from relevance.text import pin_texts_from_frame

BASELINE = "embedding_lr"  # what gains are over
_LEARNS_FROM = "train alone"  # what is fitted in seconds; once from dev too
_SHOWN = (Measure.ACCURACY, Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5, Measure.NDCG)
_TUNED_EPOCHS = 4  # that the tuned bi-encoder may take, as in the evaluation
_TUNED, _ALONE = 2, 3  # groups of arms after the quick ones and the cross-encoders


def demand(scale: Scale, wanted: Wanted, _: Fields = ()) -> Demand:
    """For each backbone a teacher and a tuned bi-encoder, which takes about as long; for the default one more."""
    each = runs(scale)
    both = 2.0 if scale.groups >= _TUNED else 1.0
    alone = 1.0 if scale.weak_pairs and scale.groups >= _ALONE else 0.0
    kinds = {"": both + alone, **dict.fromkeys(wanted.backbones, both)}
    asked = dict.fromkeys(kinds, 4.0 * each * scale.test_pairs)
    texts = (1 + len(wanted.backbones)) * 0.8 * (scale.train_pairs + scale.folds * scale.test_pairs)
    return Demand({name: count * each for name, count in kinds.items()}, asked, encoded=texts, seconds=20)


def run(site: Site) -> Found:
    arms = _arms(site)
    gathered = site.gather(arms)
    figures = Figures(gathered.answers)
    found = figures.arms()
    versus = _versus([arm.name for arm in arms], site.wanted.backbones)
    comparisons = figures.compare(versus)
    gains = {
        one.arm: one.difference for one in comparisons if one.rival == BASELINE and one.measure is Measure.ACCURACY
    }
    rows: list[tuple[Value, ...]] = []
    for arm in found:
        rows.append((arm.arm, *(arm.estimate(measure) for measure in _SHOWN), _relative(gains.get(arm.arm))))
    table = Table(
        "The models",
        f"Relative gain: accuracy ÷ accuracy of {BASELINE}, less one, paired by query.",
        ("model", *(measure.value for measure in _SHOWN), "relative gain"),
        tuple(rows),
    )
    notes = []
    if site.scale.groups < _TUNED:
        notes.append("There was no time for tuned bi-encoders.")
    drawings = tuple(_drawing(found, measure) for measure in (Measure.ACCURACY, Measure.NDCG))
    return Found(found, comparisons, (table,), drawings, tuple(notes), gathered.left_out)


def _relative(gain: Difference | None) -> str:
    if gain is None or isnan(gain.ratio):
        return "–"
    interval = "no interval" if isnan(gain.ratio_low) else f"{gain.ratio_low - 1:+.1%}, {gain.ratio_high - 1:+.1%}"
    return f"{gain.ratio - 1:+.1%} [{interval}]"


def _arms(site: Site) -> list[Arm]:
    frozen = _Frozen(site, "")
    arms = [
        _quick(site, frozen, BASELINE, essential=True),
        _quick(site, frozen, "bi_encoder", essential=True),
        _quick(site, frozen, "bm25", essential=True),
        _cross(site, "", essential=True),
    ]
    tuned = site.scale.groups >= _TUNED
    arms += [_tuned(site, "")] if tuned else []
    for backbone in site.wanted.backbones:
        other = _Frozen(site, backbone)
        arms += [_cross(site, backbone), *([_tuned(site, backbone)] if tuned else [])]
        arms += [_quick(site, other, f"{name} {site.wanted.label(backbone)}") for name in (BASELINE, "bi_encoder")]
    if site.learns_from_log and site.scale.groups >= _ALONE:
        arms.append(_cross(site, "", judgments_alone=True))
    return arms


class _Frozen:
    """A backbone's embeddings as they are, each text embedded once."""

    def __init__(self, site: Site, backbone: str) -> None:
        self.encoder = site.encoder_of(backbone) if backbone else site.encoder
        self.vectors = vectors_of(self.encoder)


def _quick(site: Site, frozen: _Frozen, name: str, essential: bool = False) -> Arm:
    """An arm that is fitted in seconds; the same whatever the seed."""
    kind = name.partition(" ")[0]

    def fit(ground: Ground) -> Fitted:
        if kind == "bm25":
            return fit_bm25(teacher_rows(ground.train), site.catalogue())
        if kind == "bi_encoder":
            return fit_bi_encoder(teacher_rows(ground.train), frozen.vectors)
        return fit_embedding_lr(teacher_rows(ground.train), teacher_rows(ground.dev), frozen.vectors, on_both=False)

    def answer(ground: Ground, seed: int) -> Scored:
        beside = site.catalogue().to_frame() if kind == "bm25" else (frozen.encoder.producer, STRENGTHS)
        return _kept(site, ground, (kind, _LEARNS_FROM, beside), lambda: fit(ground))

    return Arm(name, answer, seeded=False, essential=essential)


def _tuned(site: Site, backbone: str) -> Arm:
    """The backbone fine-tuned with query and pin apart."""

    def answer(ground: Ground, seed: int) -> Scored:
        settings = TunedSettings(epochs=min(_TUNED_EPOCHS, site.scale.epochs + 1), seed=seed)
        named = backbone or site.bench.teacher_settings.backbone
        model = named or str(default_model_path())
        rows, dev = teacher_rows(ground.train), teacher_rows(ground.dev)
        of = ("tuned", TUNED_VERSION, model, settings, *site.bench.files_of(named))
        return _kept(site, ground, of, lambda: fit_tuned_bi_encoder(rows, dev, model, settings))

    return Arm(f"bi_encoder_tuned {site.wanted.label(backbone)}", answer)


def _cross(site: Site, backbone: str, judgments_alone: bool = False, essential: bool = False) -> Arm:
    """The backbone fine-tuned as the teacher is."""

    def answer(ground: Ground, seed: int) -> Scored:
        settings = replace(site.bench.teacher_settings, seed=seed)
        settings = settings.on(backbone) if backbone else settings
        weak = pl.DataFrame() if judgments_alone else site.bench.weak(ground, site.scale.weak_pairs)
        return site.bench.answered(site.bench.teacher(ground.train, ground.dev, weak, settings), ground.test)

    alone = ", judgments alone" if judgments_alone else ""
    return Arm(f"cross_encoder {site.wanted.label(backbone)}{alone}", answer, essential=essential)


def _kept(site: Site, ground: Ground, of: tuple[object, ...], fit: Callable[[], Fitted]) -> Scored:
    """What a fitted model says of the test rows, kept: probabilities and, in the last column, scores."""
    sides = [side.select(_read_by(side)) for side in (ground.train, ground.dev, ground.test)]

    def work(out: Path) -> None:
        model = fit()
        queries, pins = ground.test["query"].to_list(), pin_texts_from_frame(ground.test)
        said = [np.asarray(model.predict(queries, pins)), np.asarray(model.score(queries, pins))[:, None]]
        np.save(out / ANSWER_FILE, np.hstack(said).astype(np.float64))

    found = site.bench.kept(stages.fingerprint(*of, *sides), work)
    return Scored(found[:, :-1], found[:, -1])


def _read_by(frame: pl.DataFrame) -> list[str]:
    return sorted(name for name in frame.columns if name in ("query", "pin_id", "level") or name.startswith(TEXTS))


def _drawing(found: Sequence[ArmFigures], measure: Measure) -> Drawing:
    """Every arm's figure, a row each."""
    svg = estimates(f"{measure} by arm", [(one.arm, one.estimate(measure)) for one in found])
    return Drawing(f"{measure.heading} by arm", svg, "With 95 % intervals over queries.", True)


def _versus(names: Sequence[str], backbones: Sequence[str]) -> list[Versus]:
    cross = [name for name in names if name.startswith("cross_encoder")]
    rivals = [name for name in names if not name.startswith("cross_encoder")]
    pairs = [Versus(name, BASELINE) for name in [*cross, *rivals] if name != BASELINE]
    pairs += [Versus(one, rival) for one in cross for rival in rivals if rival != BASELINE]
    return [*pairs, *(Versus(one, cross[0]) for one in cross[1:])]


ENCODERS = Experiment(demand, run, soft_pairs=0, groups=_ALONE, compares_backbones=True)
