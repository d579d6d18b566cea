"""The ground an experiment stands on: judged rows by fold, cut to its scale, and the unjudged rows beside them.

Reads a workspace through the pipeline's own functions (judged pairs, weak labels, the sample of soft pairs), each as a
student_v1 frame, which holds what the teacher reads too; keeps the frames of soft pairs in W/experiments/frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import polars as pl

from enrich.errors import BadInput
from enrich.job import input_hash
from relevance import stages
from relevance.experiments.budget import Scale
from relevance.framing.judged import STUDENT_SERVICE, TEACHER_SERVICE
from relevance.pipeline import Pipeline
from relevance.plan import Fold
from relevance.splits import Split
from relevance.teaching.weak_labels import weak_pairs
from relevance.text import pin_texts_from_frame, plain_text
from relevance.training_frame import TEACHER, training_frame

_FILE = "rows.parquet"


class Ground(NamedTuple):
    """A fold's judged rows: what is learned from, what training is stopped by, what is asked about."""

    name: str
    train: pl.DataFrame
    dev: pl.DataFrame
    test: pl.DataFrame
    split: Split


class Unjudged(Protocol):
    """Rows that nobody judged, of a fold's training side."""

    def weak(self, ground: Ground, pairs: int) -> pl.DataFrame:
        """Of the log, with levels read off it (`probabilities`): teacher_v1 columns; empty where there are none."""

    def soft(self, ground: Ground, pairs: int) -> pl.DataFrame:
        """For a teacher to label: student_v1 columns, stratum, lang; at most so many."""


class OfWorkspace:
    """A workspace's unjudged rows."""

    def __init__(self, pipeline: Pipeline, room: Path) -> None:
        self._pipeline = pipeline
        self._room = room

    def weak(self, ground: Ground, pairs: int) -> pl.DataFrame:
        workspace = self._pipeline.workspace
        judged = self._pipeline.judged.pairs.select("query", "pin_id", "level")
        training = ground.train.select("query", "pin_id", "level")
        settings = replace(self._pipeline.settings.weak, pairs=pairs)
        found = weak_pairs(workspace, judged, training, ground.split.held_out, settings, ground.split.log)
        return training_frame(workspace, found, TEACHER_SERVICE) if found.height else found

    def _enriched(self) -> list[tuple[str, int, int]]:
        """What features are joined from, by its files."""
        files = sorted((self._pipeline.workspace.root / "enriched").glob("*/*.parquet"))
        return [(f"{file.parent.name}/{file.name}", (s := file.stat()).st_size, s.st_mtime_ns) for file in files]

    def soft(self, ground: Ground, pairs: int) -> pl.DataFrame:
        settings = replace(self._pipeline.settings, sample=replace(self._pipeline.settings.sample, pairs=pairs))
        made_for = stages.fingerprint(settings.sample, ground.split.train, ground.split.held_out, ground.split.log)
        fold = Fold("experiment", self._room / "samples" / made_for, ground.split)
        sampler = Pipeline(self._pipeline.workspace, settings)
        sampler.__dict__ |= {"index": self._pipeline.index, "encoder": self._pipeline.encoder}  # made once
        sample = sampler.sample(fold)
        folder = self._room / "frames" / made_for

        def work(out: Path) -> None:
            rows = sample.scan().collect()
            joined = training_frame(self._pipeline.workspace, rows, STUDENT_SERVICE)
            said = [plain_text(pin) != "" for pin in pin_texts_from_frame(joined)]
            joined.filter(pl.Series(said, dtype=pl.Boolean)).write_parquet(out / _FILE)

        stages.make(folder, stages.fingerprint(sample.made_from, self._enriched()), work)
        return pl.read_parquet(folder / _FILE).with_columns(label_source=pl.lit(TEACHER))


def grounds_of(judged: pl.DataFrame, splits: Sequence[tuple[str, Split]], scale: Scale, seed: int) -> list[Ground]:
    """The splits' rows at this scale. Raises BadInput where a side is empty or all training rows are of one level."""
    made = []
    for name, split in splits[: scale.folds]:
        sides = ((split.train, scale.train_pairs), (split.dev, scale.dev_pairs), (split.test, scale.test_pairs))
        train, dev, test = (_cut(judged, side, pairs, seed) for side, pairs in sides)
        held_back = (split.dev | split.test) - frozenset(dev["query"]) - frozenset(test["query"])  # none learns from it
        kept = replace(
            split,
            train=frozenset(train["query"]),
            dev=frozenset(dev["query"]),
            test=frozenset(test["query"]),
            left_out=split.left_out | held_back,
        )
        made.append(Ground(name, train, dev, test, kept))
    for ground in made:
        _check(ground)
    return made


def subset(rows: pl.DataFrame, pairs: int, seed: int) -> pl.DataFrame:
    """About so many rows, of whole queries in an order of hashes: a smaller subset is part of a larger one."""
    return _whole_queries(rows, pairs, lambda query: input_hash(str(seed), query))


def _cut(judged: pl.DataFrame, queries: frozenset[str], pairs: int, seed: int) -> pl.DataFrame:
    return subset(judged.filter(pl.col("query").is_in(sorted(queries))), pairs, seed)


def _whole_queries(rows: pl.DataFrame, pairs: int, order: Callable[[str], str]) -> pl.DataFrame:
    if rows.height <= pairs:
        return rows
    sizes = rows.group_by("query").len().to_dicts()
    kept, total = list[str](), 0
    for one in sorted(sizes, key=lambda one: order(one["query"])):
        if kept and total + one["len"] > pairs:
            break
        kept.append(one["query"])
        total += one["len"]
    return rows.filter(pl.col("query").is_in(kept))


def _check(ground: Ground) -> None:
    for side, rows in (("training", ground.train), ("dev", ground.dev), ("test", ground.test)):
        if rows.is_empty():
            raise BadInput(f"expected judged {side} queries in fold {ground.name}, found none; judge more queries")
    if ground.train["level"].n_unique() < 2:
        raise BadInput(
            "expected training judgments of two levels or more, found only level "
            f"{ground.train['level'][0]}; judge more"
        )


def thinned(rows: pl.DataFrame, pairs: int, seed: int) -> pl.DataFrame:
    """At most so many rows, single pairs in an order of hashes: spread over all queries, smaller ones within larger."""
    if rows.height <= pairs:
        return rows
    order = [input_hash(str(seed), query, pin) for query, pin in rows.select("query", "pin_id").iter_rows()]
    first = pl.Series(order).arg_sort().head(max(0, pairs)).sort()
    return rows[first]
