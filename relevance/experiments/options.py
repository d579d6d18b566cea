"""`relevance experiment options`: which options of teaching earn their keep, each alone against the teacher as it is.

    teacher                 as `relevance run` teaches it
    level alone             the loss aims at the gold level, not at half of the annotators' votes
    coral, cumulative-link  an ordinal last layer
    head …                  reads the pooled token alone (arXiv 2410.17152), or that and both sides' mean states
    judgments alone         the log is not learned from first
    others                  by the flag of `relevance train-teacher` and its value

All are taught by the same pairs and calibrated on the same dev pairs. R-drop is given dropout in the backbone, without
which its two passes differ in the head alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import polars as pl

from relevance.drawings.rows import differences
from relevance.experiments.arms import Arm, Scored
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground
from relevance.experiments.records import Compared, Drawing, Found
from relevance.experiments.site import TEACHER_ARM, Experiment, Fields, Site, Wanted, runs
from relevance.judging.figures import Measure, Versus
from relevance.teaching.choices import Loss, Targets
from relevance.teaching.network import HeadInput

_R_DROP, _DROPOUT = 1.0, 0.1
JUDGMENTS_ALONE = "judgments alone"


class _Option(NamedTuple):
    """A teacher that differs in these of the settings."""

    name: str
    changed: dict[str, Any]
    passes: float = 1.0  # through the network a step, by the plain teacher's


_GROUPS = (
    (
        _Option("level alone", {"targets": Targets.LEVEL}),
        _Option("coral", {"loss": Loss.CORAL}),
        _Option("cumulative-link", {"loss": Loss.CUMULATIVE_LINK}),
        _Option("label smoothing .1", {"label_smoothing": 0.1}),
    ),
    (
        _Option("head: token and segments", {"head_inputs": HeadInput.SEGMENTS}),
        _Option("head: token", {"head_inputs": HeadInput.TOKEN}),
        _Option("layer decay .9", {"layer_decay": 0.9}),
        _Option("field dropout .1", {"field_dropout": 0.1}),
        _Option("query slips .15", {"query_slips": 0.15}),
    ),
    (
        _Option("backbone dropout .1", {"backbone_dropout": _DROPOUT}, 1.4),
        _Option("R-drop 1", {"r_drop": _R_DROP, "backbone_dropout": _DROPOUT}, 2.8),
        _Option("two epochs", {"epochs": 2}),
        _Option("level alone, two epochs", {"targets": Targets.LEVEL, "epochs": 2}),
    ),
)


def demand(scale: Scale, wanted: Wanted, _: Fields = ()) -> Demand:
    chosen = [option for group in _GROUPS[: scale.groups] for option in group]
    teachers = runs(scale) * (1.0 + bool(scale.weak_pairs) + sum(option.passes for option in chosen))
    backbone = wanted.backbones[0] if wanted.backbones else ""
    asked = runs(scale) * (2.0 + len(chosen)) * scale.test_pairs
    return Demand({backbone: teachers}, {backbone: asked}, seconds=20)


def run(site: Site) -> Found:
    options = [option for group in _GROUPS[: site.scale.groups] for option in group]
    arms = [Arm(TEACHER_ARM, partial(_taught, site, {}), essential=True)]
    arms += [Arm(option.name, partial(_taught, site, option.changed)) for option in options]
    if site.learns_from_log:
        arms.insert(1, Arm(JUDGMENTS_ALONE, partial(_alone, site)))
    gathered = site.gather(arms)
    figures = Figures(gathered.answers)
    comparisons = figures.compare([Versus(arm.name, TEACHER_ARM) for arm in arms[1:]])
    notes = [] if len(options) == sum(map(len, _GROUPS)) else ["There was no time for the other options."]
    drawings = [_drawing(comparisons, measure) for measure in (Measure.ACCURACY, Measure.AUROC_4) if comparisons]
    return Found(figures.arms(), comparisons, (), tuple(drawings), tuple(notes), gathered.left_out)


def _taught(site: Site, changed: dict[str, Any], ground: Ground, seed: int) -> Scored:
    settings = replace(site.bench.teacher_settings, **changed)
    return site.bench.answered(site.teacher(ground, seed, settings=settings), ground.test)


def _alone(site: Site, ground: Ground, seed: int) -> Scored:
    settings = replace(site.bench.teacher_settings, seed=seed)
    teacher = site.bench.teacher(ground.train, ground.dev, pl.DataFrame(), settings)
    return site.bench.answered(teacher, ground.test)


def _drawing(comparisons: Sequence[Compared], measure: Measure) -> Drawing:
    rows = [(one.arm, one.difference) for one in comparisons if one.measure is measure]
    said = f"{measure.heading} less that of the teacher as it is, with 95 % intervals over queries."
    return Drawing(f"{measure.heading} by option", differences(f"{measure} by option", rows), said, True)


OPTIONS = Experiment(demand, run, soft_pairs=0, groups=len(_GROUPS))
