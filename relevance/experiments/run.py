"""An experiment from its name to its page: ground, measured speeds, plan, arms, figures.

Reads a workspace (pins and judgments are enough); writes W/experiments (models, answers, speeds: what a run that goes
on finds again) and W/reports/experiment-NAME. Run by `relevance experiment NAME`. What serves is not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl

from enrich import checkpoints, parts
from enrich.errors import BadInput
from enrich.history import History
from enrich.judgments import counted_votes
from enrich.tables import PINS
from enrich.workspace import Workspace
from relevance import feature_store
from relevance.catalogue import catalogue_texts
from relevance.experiments import measuring
from relevance.experiments.ablation import ABLATION
from relevance.experiments.arms import Bench
from relevance.experiments.behind import of_labels
from relevance.experiments.bias_segments import audiences_of
from relevance.experiments.budget import Clock, Plan, Rates, Scale, plan
from relevance.experiments.encoders import ENCODERS
from relevance.experiments.fields import ALL_FIELDS, present
from relevance.experiments.ground import Ground, OfWorkspace, grounds_of
from relevance.experiments.label_budget import LABEL_BUDGET
from relevance.experiments.latency import LATENCY
from relevance.experiments.names import Name
from relevance.experiments.noise import NOISE
from relevance.experiments.options import OPTIONS
from relevance.experiments.page import write_page
from relevance.experiments.records import Result
from relevance.experiments.robustness import ROBUSTNESS
from relevance.experiments.site import Experiment, Site, Wanted
from relevance.experiments.stability import STABILITY
from relevance.experiments.transfer import TRANSFER
from relevance.framing.judged import STUDENT_SERVICE
from relevance.pipeline import Pipeline, RunSettings
from relevance.plan import PlanSettings
from relevance.splits import WHOLE_LOG, Split

EXPERIMENTS: dict[Name, Experiment] = {
    Name.ENCODERS: ENCODERS,
    Name.ABLATION: ABLATION,
    Name.LABEL_BUDGET: LABEL_BUDGET,
    Name.LATENCY: LATENCY,
    Name.TRANSFER: TRANSFER,
    Name.NOISE: NOISE,
    Name.ROBUSTNESS: ROBUSTNESS,
    Name.STABILITY: STABILITY,
    Name.OPTIONS: OPTIONS,
}


def run_experiment(
    workspace: Workspace, name: Name, wanted: Wanted, say: Callable[[str], None] = lambda _: None
) -> tuple[Result, Path]:
    """The result and its page. Raises BadInput where nothing is judged, a side is empty, or a flag names nothing."""
    experiment = EXPERIMENTS[name]
    _refuse(experiment, name, wanted)
    pipeline = Pipeline(workspace, settings_of(experiment, wanted))
    splits = _splits(pipeline, experiment, wanted)
    judged = pipeline.judged.features
    room = workspace.root / "experiments"
    bench = Bench(
        room,
        pipeline.encoder,
        pipeline.settings.teacher,
        pipeline.settings.student,
        OfWorkspace(pipeline, room),
        Clock(wanted.minutes),
        feature_store.fingerprint(workspace, STUDENT_SERVICE),
    )
    full = full_scale(judged, splits, experiment, wanted, pipeline.settings)
    ground = grounds_of(judged, splits, replace(full, folds=1), wanted.seed)[0]
    full = _that_there_is(full, bench, ground, pipeline)
    rates = measuring.measured(bench, ground, _backbones(experiment, wanted))
    chosen = planned(experiment, full, rates, wanted, judged)
    say("\n".join(chosen.lines()))
    site = site_of(name, bench, judged, splits, chosen, wanted)
    site = replace(
        site,
        catalogue=lambda: catalogue_texts(workspace)["text"],
        votes=lambda: counted_votes(workspace).collect(),
        table=lambda table: parts.scan(workspace.folder(table)),
        audiences=partial(audiences_of, workspace),
    )
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by relevance experiment {name}."
    found = experiment.run(site)
    behind = of_labels(site, chosen, by_design=experiment.weak_pairs == 0)
    found = replace(found, notes=(*found.notes, *behind, *bench.refused))
    result = Result(name, name.question, workspace.catalogue.title, made, chosen, found)
    return result, write_page(workspace.reports / f"experiment-{name}", result)


def settings_of(experiment: Experiment, wanted: Wanted) -> RunSettings:
    """As `relevance run` has them, but for seed, folds and, where backbones are not compared, the one named."""
    base = RunSettings()
    own = wanted.backbones[0] if wanted.backbones and not experiment.compares_backbones else None
    return RunSettings(
        plan=PlanSettings(folds=wanted.folds, seed=wanted.seed, train_lang=wanted.train_lang),
        teacher=replace(base.teacher.on(own), seed=wanted.seed),
        weak=replace(base.weak, seed=wanted.seed),
        sample=replace(base.sample, seed=wanted.seed),
        student=replace(base.student, seed=wanted.seed),
    )


def full_scale(
    judged: pl.DataFrame,
    splits: list[tuple[str, Split]],
    experiment: Experiment,
    wanted: Wanted,
    settings: RunSettings,
) -> Scale:
    """The experiment uncut."""
    sizes = dict(judged.group_by("query").len().iter_rows())
    train, dev, test = (
        max(sum(sizes.get(query, 0) for query in side) for side in sides)
        for sides in zip(*((split.train, split.dev, split.test) for _, split in splits), strict=True)
    )
    others = [experiment.others(judged, split, wanted).height for _, split in splits] if experiment.others else [0]
    return Scale(
        seeds=wanted.seeds or experiment.seeds,
        folds=len(splits),
        train_pairs=train,
        weak_pairs=settings.weak.pairs if experiment.weak_pairs is None else experiment.weak_pairs,
        epochs=settings.teacher.epochs_for(train),
        soft_pairs=settings.sample.pairs if experiment.soft_pairs is None else experiment.soft_pairs,
        test_pairs=test,
        dev_pairs=dev,
        groups=experiment.groups,
        other_pairs=max(others),
    )


def planned(experiment: Experiment, full: Scale, rates: Rates, wanted: Wanted, judged: pl.DataFrame) -> Plan:
    """The scale that fits the minutes; what a flag asked for is not cut."""
    fields = present(judged, wanted.fields or ALL_FIELDS)
    kept = {"seeds"} if wanted.seeds else set()
    kept |= {"folds"} if wanted.folds and experiment.splits is None else set()
    return plan(
        full,
        lambda scale: experiment.demand(scale, wanted, fields),
        rates,
        wanted.minutes,
        frozenset(kept),
        experiment.precious,
    )


def site_of(
    name: Name, bench: Bench, judged: pl.DataFrame, splits: list[tuple[str, Split]], chosen: Plan, wanted: Wanted
) -> Site:
    """The experiment's site at the planned scale, its catalogue being the judged pins and its votes theirs."""
    bench.teacher_settings = replace(bench.teacher_settings, epochs=chosen.scale.epochs)
    grounds = grounds_of(judged, splits, chosen.scale, wanted.seed)
    return Site(name, bench, grounds, chosen.scale, wanted, judged, pl.Series, pl.DataFrame, lambda _: pl.LazyFrame())


def _that_there_is(full: Scale, bench: Bench, ground: Ground, pipeline: Pipeline) -> Scale:
    """The full scale, without pairs that this catalogue cannot give: a plan would cut other things for them."""
    whole = ground._replace(split=replace(ground.split, log=WHOLE_LOG))
    held = bench.weak(whole, full.weak_pairs).height  # random ones too: more than any fold has of the log
    return replace(full, weak_pairs=min(full.weak_pairs, held), soft_pairs=min(full.soft_pairs, _most_soft(pipeline)))


def _most_soft(pipeline: Pipeline) -> int:
    """More pairs than this the caps a query and a pin do not leave; negatives fill what the log does not."""
    workspace, sample = pipeline.workspace, pipeline.settings.sample
    asked = int(History(workspace).log().query.nunique().execute()) + pipeline.judged.features["query"].n_unique()
    return min(sample.per_query * asked, sample.per_pin * parts.count(workspace.folder(PINS)))


def _splits(pipeline: Pipeline, experiment: Experiment, wanted: Wanted) -> list[tuple[str, Split]]:
    """The divisions of the queries whose test sides are asked about."""
    if experiment.splits is not None:
        return experiment.splits(pipeline.judged.pairs, wanted)
    return [(fold.name, fold.split) for fold in pipeline.folds if fold.tested]


def _backbones(experiment: Experiment, wanted: Wanted) -> list[str]:
    """Those that are taught; the bench's own first."""
    own = "" if experiment.compares_backbones or not wanted.backbones else wanted.backbones[0]
    return [own, *(one for one in wanted.backbones if one != own)]


def _refuse(experiment: Experiment, name: Name, wanted: Wanted) -> None:
    if len(wanted.backbones) > 1 and not experiment.compares_backbones:
        raise BadInput(
            f"expected one --backbone for experiment {name}, found {len(wanted.backbones)}; encoders and latency "
            "compare them"
        )
    if wanted.folds is not None and experiment.splits is not None:
        raise BadInput(f"expected no --folds for experiment {name}, which has its own, found {wanted.folds}")
    for backbone in wanted.backbones:
        checkpoints.locate(backbone, "a backbone")
