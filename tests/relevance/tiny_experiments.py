"""An experiment's site without a workspace: a tiny catalogue in memory, models that are taught in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from relevance.experiments.arms import Bench
from relevance.experiments.budget import Clock, Plan, Rates
from relevance.experiments.ground import Ground
from relevance.experiments.names import Name
from relevance.experiments.run import EXPERIMENTS, full_scale, planned, settings_of, site_of
from relevance.experiments.site import Site, Wanted
from relevance.learning.network import NetworkSettings, Size
from relevance.splits import Split, split_queries
from relevance.student import StudentSettings
from tests.relevance.students import WordEncoder, labelled_frame
from tests.relevance.tiny_lessons import TINY
from tests.relevance.tiny_models import tiny_bert

RATES = Rates({"": 1e6}, {"": 1e6}, 1e6, 1e6)
STUDENT = StudentSettings(network=NetworkSettings(Size.S), epochs=2, patience=2)


class Unjudged:
    """Rows of a catalogue's log, that hold the fold's training queries' like."""

    def weak(self, ground: Ground, pairs: int) -> pl.DataFrame:
        return labelled_frame(8, 2, 77, "teacher").head(pairs)

    def soft(self, ground: Ground, pairs: int) -> pl.DataFrame:
        rows = labelled_frame(12, 6, 78, "teacher").drop("probabilities")
        return rows.head(pairs).with_columns(stratum=pl.lit("head/home/en/shown"))


class Nothing:
    """A catalogue without a log, all of whose pairs are judged."""

    def weak(self, ground: Ground, pairs: int) -> pl.DataFrame:
        return pl.DataFrame()

    def soft(self, ground: Ground, pairs: int) -> pl.DataFrame:
        return ground.train.head(0)


def judged_rows(queries: int = 40, pins: int = 3) -> pl.DataFrame:
    """Judged pairs; a third of the queries are German."""
    frame = labelled_frame(queries, pins, 5)
    german = [query for place, query in enumerate(sorted(frame["query"].unique())) if place % 3 == 0]
    return frame.with_columns(lang=pl.when(pl.col("query").is_in(german)).then(pl.lit("de")).otherwise(pl.lit("en")))


def site(folder: Path, name: Name, wanted: Wanted | None = None, unjudged: object = None, minutes: float = 60) -> Site:
    """The experiment's site on the tiny catalogue, at full size."""
    return site_and_plan(folder, name, wanted, unjudged, minutes)[0]


def site_and_plan(
    folder: Path, name: Name, wanted: Wanted | None = None, unjudged: object = None, minutes: float = 60
) -> tuple[Site, Plan]:
    wanted = wanted or Wanted(minutes=minutes)
    experiment = EXPERIMENTS[name]
    judged = judged_rows()
    splits: list[tuple[str, Split]] = [("one", split_queries(judged, wanted.seed, 0.15, 0.3))]
    if experiment.splits is not None:
        splits = experiment.splits(judged, wanted)
    backbone = folder / "backbone"
    if not backbone.is_dir():
        tiny_bert(backbone)
    teacher = replace(TINY, backbone=str(backbone), epochs=1, batch_size=64)
    bench = Bench(folder / "experiments", WordEncoder(), teacher, STUDENT, unjudged or Unjudged(), Clock(minutes))
    settings = replace(settings_of(experiment, wanted), teacher=teacher)
    chosen = planned(experiment, full_scale(judged, splits, experiment, wanted, settings), RATES, wanted, judged)
    votes = judged.select("query", "pin_id", "votes").explode("votes").rename({"votes": "level"})
    named = votes.with_columns(annotator_id=pl.Series([f"a{i % 3}" for i in range(votes.height)]))
    made = site_of(name, bench, judged, splits, chosen, wanted)
    texts = lambda: judged["pin_caption__caption"].rename("text")  # noqa: E731
    return replace(made, catalogue=texts, votes=lambda: named), chosen
