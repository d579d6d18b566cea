"""What one round of `relevance audit` is worth over as many pairs drawn at random, in the sample's world.

    python data/audit_check.py [--workspace W] [--pairs 200] [--repeats 3]

Reads a workspace of the sample in which `relevance run` was run (and keeps held-out predictions there, as `evaluate`
does); prints, of every reason and of chance: how often the teacher is wrong of the pairs chosen, and what a student of
human labels gains on held-out queries from their verdicts; of doubted levels, how many are wrong, how many of the
verdicts, and what the student gains where they join the votes. People are simulated as the sample's annotators were,
one verdict a pair; the latent truth is used for their verdicts and to mark, and never to choose. Differences are paired
by query, Holm-corrected over the reasons.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script: the packages stand beside this folder
    sys.path.insert(0, str(ROOT))

from data.sample_maker.chance import Rng  # noqa: E402
from data.sample_maker.judgments import Annotator, make_annotators, vote  # noqa: E402
from data.sample_maker.relevance import true_level  # noqa: E402
from data.sample_maker.settings import SampleSettings  # noqa: E402
from data.sample_maker.world import make_world  # noqa: E402
from enrich.judgments import gold_level  # noqa: E402
from enrich.normalise import normalise_query  # noqa: E402
from enrich.workspace import ENVIRONMENT_VARIABLE, Workspace  # noqa: E402
from relevance import intervals  # noqa: E402
from relevance.audit.pool import pool  # noqa: E402
from relevance.audit.worth import AuditSettings, Reason, choose  # noqa: E402
from relevance.framing.judged import STUDENT_SERVICE, of_queries  # noqa: E402
from relevance.intervals import BootstrapSettings, p_text  # noqa: E402
from relevance.learning.inputs import student_inputs  # noqa: E402
from relevance.learning.training import train_student  # noqa: E402
from relevance.metrics import Floats, Ints, most_probable  # noqa: E402
from relevance.pipeline import Pipeline, RunSettings  # noqa: E402
from relevance.plan import PlanSettings  # noqa: E402
from relevance.training_frame import HUMAN, training_frame  # noqa: E402

CHANCE, JUDGED_CHANCE, NONE, ALL = "random", "random, judged", "none", "all reasons"
_AGAINST = {Reason.DOUBTED.value: JUDGED_CHANCE}  # what an arm is held against, of pairs that were judged already
People = Sequence[Annotator]  # of the world that --seed names
_UNJUDGED = tuple(one for one in Reason if one is not Reason.DOUBTED)


class Truth(NamedTuple):
    """The sample's latent relevance, by query and pin."""

    relevance: Floats
    query: Mapping[str, int]
    pin: Mapping[str, int]

    @classmethod
    def of(cls, seed: int) -> Truth:
        engine = make_world(SampleSettings(seed=seed)).engine
        queries = {normalise_query(one.text): place for place, one in reversed(list(enumerate(engine.queries)))}
        return cls(engine.relevance, queries, {pin.pin_id: place for place, pin in enumerate(engine.pins)})

    def of_pairs(self, pairs: pl.DataFrame) -> Floats:
        rows = [self.query[one] for one in pairs["query"]]
        return np.asarray(self.relevance[rows, [self.pin[one] for one in pairs["pin_id"]]])

    def levels(self, pairs: pl.DataFrame) -> Ints:
        return np.asarray(true_level(self.of_pairs(pairs)), np.int64)


class Held(NamedTuple):
    """The held-out pairs: features, whose query each is of, what people said, what is true."""

    features: pl.DataFrame
    query: Ints
    gold: Ints
    true: Ints


def main(arguments: Sequence[str] | None = None) -> int:
    flags = _flags(arguments)
    workspace = Workspace.open(flags.workspace)
    os.environ[ENVIRONMENT_VARIABLE] = str(workspace.root)
    settings = RunSettings(plan=PlanSettings(folds=1), accept_drift=True)
    pipeline, truth = Pipeline(workspace, settings), Truth.of(flags.seed)
    people = make_annotators(flags.seed)
    held = _held(pipeline, truth)
    right: dict[str, list[Ints]] = {}
    for repeat in range(flags.repeats):
        rows = pool(pipeline, AuditSettings(pairs=flags.pairs, seed=repeat))
        chosen = _chosen(rows, pipeline.folds[-1].split.train, flags.pairs, repeat)
        if not repeat:
            _print_yield(chosen, truth, people, np.random.default_rng(flags.seed))
        for name, pairs in tqdm(_arms(chosen), desc=f"repeat {repeat + 1}", disable=None):
            found = _retrained(pipeline, pairs, truth, people, repeat, held)
            right.setdefault(name, []).append(np.stack([found == held.gold, found == held.true]))
    _print_gain({name: np.mean(ones, axis=0) for name, ones in right.items()}, held, flags.pairs)
    return 0


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a round of `relevance audit` is worth over chance.")
    parser.add_argument("--workspace", type=Path, help="of the sample, trained  [default: data/workspace]")
    parser.add_argument("--pairs", type=int, default=200, help="judged in a round")
    parser.add_argument("--repeats", type=int, default=3, help="pools, draws and seeds of training")
    parser.add_argument("--seed", type=int, default=SampleSettings().seed, help="of the sample's world")
    return parser.parse_args(arguments)


def _held(pipeline: Pipeline, truth: Truth) -> Held:
    features = of_queries(pipeline.judged.features, pipeline.folds[-1].split.test)
    query = (features["query"].rank("dense") - 1).to_numpy().astype(np.int64)
    return Held(features, query, features["level"].to_numpy().astype(np.int64), truth.levels(features))


def _chosen(rows: pl.DataFrame, taught: frozenset[str], pairs: int, seed: int) -> dict[str, pl.DataFrame]:
    """The pairs of each reason alone, of all that speak of unjudged pairs, and of chance, with the same caps.

    Judged pairs are of queries that a student is taught, so that a verdict can mend what it learns from.
    """
    settings = AuditSettings(pairs=pairs, seed=seed)
    of_taught = pl.col("level").is_not_null() & pl.col("query").is_in(sorted(taught))
    unjudged, judged = rows.filter(pl.col("level").is_null()), rows.filter(of_taught)
    rng = np.random.default_rng(seed)
    lots = [one.with_columns(pl.Series(Reason.RARE, 1 + rng.random(one.height))) for one in (unjudged, judged)]
    by_lot = replace(settings, reasons=(Reason.RARE,))
    return {
        CHANCE: choose(lots[0], by_lot),
        ALL: choose(unjudged, replace(settings, reasons=_UNJUDGED)),
        **{reason.value: choose(unjudged, replace(settings, reasons=(reason,))) for reason in _UNJUDGED},
        Reason.DOUBTED.value: choose(judged, replace(settings, reasons=(Reason.DOUBTED,))),
        JUDGED_CHANCE: choose(lots[1], by_lot),
    }


def _arms(chosen: Mapping[str, pl.DataFrame]) -> list[tuple[str, pl.DataFrame | None]]:
    """What a student is taught besides: nothing, or the verdicts on these pairs."""
    return [(NONE, None), *((name, rows) for name, rows in chosen.items() if rows.height)]


def _print_yield(chosen: Mapping[str, pl.DataFrame], truth: Truth, people: People, rng: Rng) -> None:
    for name, pairs in chosen.items():
        true = truth.levels(pairs)
        if pairs["level"].is_null().all():
            said = most_probable(np.asarray(pairs["teacher"].to_list()))
            print(
                f"{name}: {pairs.height} pairs of {pairs['query'].n_unique()} queries; the teacher is wrong of "
                f"{np.mean(said != true):.1%}, by two levels or more of {np.mean(np.abs(said - true) > 1):.1%}"
            )
            continue
        gold = pairs["level"].to_numpy()
        verdicts = np.array([_verdict(rng, people, one) for one in truth.of_pairs(pairs)])
        print(
            f"{name}: {pairs.height} judged pairs; the gold level is wrong of {np.mean(gold != true):.1%}, "
            f"one person's verdict of {np.mean(verdicts != true):.1%}"
        )


def _verdict(rng: Rng, people: People, relevance: float) -> int:
    return vote(rng, people[int(rng.integers(len(people)))], float(relevance))


def _retrained(
    pipeline: Pipeline, pairs: pl.DataFrame | None, truth: Truth, people: People, seed: int, held: Held
) -> Ints:
    """The levels that a student of human labels says of the held-out pairs, the verdicts on `pairs` learned as well."""
    split, features = pipeline.folds[-1].split, pipeline.judged.features
    rows = of_queries(features, split.train)
    if pairs is not None:
        rows = _with_verdicts(pipeline, rows, pairs, truth, people, seed)
    settings = replace(pipeline.settings.student, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        dev = of_queries(features, split.dev)
        student = train_student(rows, dev, settings, Path(folder) / "student", pipeline.encoder)
    inputs = student_inputs(held.features, pipeline.encoder)
    return most_probable(student.predict(inputs.features(student.statistics)).astype(np.float64))


def _with_verdicts(
    pipeline: Pipeline, rows: pl.DataFrame, pairs: pl.DataFrame, truth: Truth, people: People, seed: int
) -> pl.DataFrame:
    """The rows, a simulated verdict among the votes of each of `pairs`; unjudged ones are a day after the last one."""
    rng = np.random.default_rng([seed, 7])
    said = [float(_verdict(rng, people, one)) for one in truth.of_pairs(pairs)]
    verdicts = pairs.select("query", "pin_id", verdict=pl.Series(said, dtype=pl.Float32))
    if pairs["level"].is_null().all():
        at = pipeline.judged.pairs["event_timestamp"].max() + timedelta(days=1)
        new = verdicts.with_columns(event_timestamp=pl.lit(at), label_source=pl.lit(HUMAN))
        new = new.with_columns(votes=pl.concat_list("verdict")).drop("verdict")
        new = new.with_columns(level=gold_level(pl.col("votes")))
        return pl.concat([rows, training_frame(pipeline.workspace, new, STUDENT_SERVICE)], how="diagonal_relaxed")
    joined = rows.join(verdicts, on=["query", "pin_id"], how="left", maintain_order="left")
    more = pl.when(pl.col("verdict").is_not_null()).then(pl.concat_list("votes", "verdict")).otherwise("votes")
    return joined.with_columns(votes=more).with_columns(level=gold_level(pl.col("votes"))).drop("verdict")


def _print_gain(right: Mapping[str, Floats], held: Held, pairs: int) -> None:
    """Accuracy against people and against the truth, [2, n] a name, and what each way gains over chance."""
    queries = int(held.query.max()) + 1
    draws = intervals.draw_queries(queries, BootstrapSettings())
    print(f"a student of human labels and {pairs} verdicts, on {len(held.gold)} pairs of {queries} held-out queries")
    for place, against in enumerate(("people", "the truth")):
        statistics = {name: intervals.mean(held.query, found[place], queries) for name, found in right.items()}
        others = [(name, _AGAINST.get(name, CHANCE)) for name in statistics if name not in (CHANCE, JUDGED_CHANCE)]
        found = [intervals.difference(statistics[name], statistics[rival], draws) for name, rival in others]
        corrected = intervals.holm([one.p_value for one in found])
        means = [f"{name} {right[name][place].mean():.3f}" for name in (CHANCE, JUDGED_CHANCE) if name in right]
        print(f"  accuracy against {against}: {', '.join(means)}")
        for (name, rival), one, p_value in zip(others, found, corrected, strict=True):
            print(
                f"    {name} {right[name][place].mean():.3f}: {one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}] over "
                f"{rival}, p {p_text(p_value)} (Holm)"
            )


if __name__ == "__main__":
    sys.exit(main())
