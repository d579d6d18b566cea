"""The gate between `relevance label` and `relevance train-student`: soft labels are looked at before they teach.

Reads a fold's soft labels, its sample, its judged pairs and query_features; asks the teacher about judged dev pairs;
writes drift.json beside the labels. What is compared, and what blocks, drift.py says. The verdict is kept with a
fingerprint of teacher, labels and judgments, and made anew when one of them changed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import polars as pl

from enrich import parts
from enrich.backends import BOUNDED
from enrich.errors import BadInput
from enrich.history import History
from enrich.job import input_hash
from enrich.records import to_json
from enrich.tables import LEVELS, QUERY_FEATURES
from enrich.workspace import Workspace
from relevance import stages
from relevance.framing.judged import of_queries
from relevance.labelling import strata
from relevance.labelling.drift import LEAST_QUERIES, Asked, Finding, Labels, Like, Rows, Verdict, findings
from relevance.labelling.log_pairs import PAIR
from relevance.labelling.sample import SoftSample
from relevance.labelling.worker import NO_TEXT, SUM_TOLERANCE, SoftTeacher, Texts
from relevance.metrics import Floats
from relevance.splits import Split
from relevance.text import pin_texts_from_frame

FILE = "drift.json"
_KEPT = (*PAIR, "event_timestamp", "probabilities", "stratum")
_VERSION = 3  # of the checks
_MOST_LABELS = 200_000  # looked at, of whole parts, which are fair samples of the pins
_MOST_JUDGED = 1_000  # pairs that the teacher is asked about
_ECHOED = 200  # labelled pairs that it is asked about again
_SHOWN = 5  # findings in the command's output


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was found of one teacher's labels."""

    producer: str
    made_from: str  # fingerprint of the teacher, the labels and the judgments
    findings: list[Finding]

    @property
    def blocks(self) -> list[Finding]:
        return [one for one in self.findings if one.verdict is Verdict.BLOCKS]

    def lines(self) -> list[str]:
        """For people: how many checks passed, then what warns or blocks."""
        odd = sorted((one for one in self.findings if one.verdict is not Verdict.OK), key=lambda one: one.verdict.value)
        passed = len(self.findings) - len(odd)
        more = [f"  and {len(odd) - _SHOWN} more"] if len(odd) > _SHOWN else []
        checked = f"label quality: {passed} of {len(self.findings)} checks passed"
        return [checked, *(f"  {one.verdict.value}: {said(one)}" for one in odd[:_SHOWN]), *more]

    def refuse(self, folder: Path) -> None:
        """Raises BadInput where a finding blocks."""
        if self.blocks:
            raise BadInput(
                f"expected soft labels fit to teach a student, found {len(self.blocks)} gross fault(s), first: "
                f"{said(self.blocks[0])}; look at {folder / FILE}, train the teacher anew and run `relevance label`, "
                "or go on all the same with `relevance train-student --accept-drift`"
            )


def said(one: Finding) -> str:
    """A finding on one line."""
    interval = "" if one.low == one.figure == one.high else f" [{one.low:.3f}, {one.high:.3f}]"
    return f"{one.check} of {one.of}: {one.figure:.3f}{interval}, limit {one.limit:g}, {one.pairs:,} pairs"


@dataclass(frozen=True, slots=True)
class Gate:
    """What is compared: a fold's labels and judged pairs."""

    workspace: Workspace
    split: Split
    sample: SoftSample
    labels: Path  # folder of the table soft_label
    judged: pl.DataFrame  # query, pin_id, level, lang of the workspace's judged pairs
    most_labels: int = _MOST_LABELS

    def report(
        self, producer: str, load: Callable[[], SoftTeacher], judged_texts: Callable[[], pl.DataFrame], texts: Texts
    ) -> DriftReport:
        """The verdict on `producer`'s labels, as kept or made now.

        Where they are needed, `load` gives the teacher, `judged_texts` the judged pairs with its teacher_v1 columns,
        and `texts` other pairs with them.
        """
        files = sorted((f.name, f.stat().st_size) for f in self.labels.glob("*.parquet"))
        kept = self.judged.select(*PAIR, "level", "lang")
        made_from = stages.fingerprint(_VERSION, producer, files, kept, self.split.dev, self.sample.made_from)
        path = self.labels / FILE
        if (found := _read(path)) and (found.producer, found.made_from) == (producer, made_from):
            return found
        teacher = load()
        asked = _asked(self.workspace, teacher, self.split, judged_texts())
        labels = self._labels(producer, teacher, texts)
        report = DriftReport(producer, made_from, list(findings(labels, asked, self._like())))
        parts.write_text(path, to_json(report, indent=1) + "\n")
        return report

    def _labels(self, producer: str, teacher: SoftTeacher, texts: Texts) -> Labels:
        counted = _counted(self.labels, producer)
        sound, lost = int(counted["sound"].sum()), _lost(self.labels, producer)
        some = _some_parts(self.labels, counted, producer, self.most_labels).select(*_KEPT).collect()
        echoed = some.gather_every(-(-some.height // _ECHOED)) if some.height else some
        again = _ask(teacher, texts(echoed.select(*PAIR, "event_timestamp"))) if some.height else _array(some)
        echo = Rows(echoed["query"], _array(echoed)), again
        return Labels(sound + lost, lost, Rows(some["query"], _array(some)), some["stratum"], echo)

    def _like(self) -> Like:
        pairs = self.sample.judged().join(self.judged.select(*PAIR, "level"), on=PAIR)
        human = np.asarray(np.asarray(LEVELS) == pairs["level"].to_numpy()[:, None], np.float64)
        return Like(Rows(pairs["query"], human), pairs["stratum"])


def _asked(workspace: Workspace, teacher: SoftTeacher, split: Split, texts: pl.DataFrame) -> Asked:
    """The teacher on dev pairs; on pairs that it was taught too where dev has too few queries."""
    dev = of_queries(texts, split.dev)
    held_out = dev["query"].n_unique() >= LEAST_QUERIES
    rows = _whole_queries(dev if held_out else of_queries(texts, split.dev | split.train), _MOST_JUDGED)
    found = _ask(teacher, rows)
    classes = rows.select("query", language=pl.col("lang").fill_null(strata.UNKNOWN)).join(
        _frequencies(workspace, rows["query"].unique()), on="query", how="left", maintain_order="left"
    )
    classes = classes.with_columns(pl.col("frequency").fill_null("unlogged"))
    levels = rows["level"].to_numpy().astype(np.int64)
    return Asked(Rows(rows["query"], found), levels, classes.select("language", "frequency"), held_out)


def _ask(teacher: SoftTeacher, rows: pl.DataFrame) -> Floats:
    """What the teacher says of a teacher_v1 frame, [n, 5]; zeros for what is no number."""
    said = teacher.predict(rows["query"].to_list(), pin_texts_from_frame(rows))
    return np.nan_to_num(np.asarray(said, np.float64).reshape(-1, len(LEVELS)), nan=0.0, posinf=0.0, neginf=0.0)


def _whole_queries(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """Rows of so many queries, in an order of hashes, that they are `most` or just more."""
    sizes = rows.group_by("query").len().to_dict(as_series=False)
    ordered = sorted(zip(sizes["query"], sizes["len"], strict=True), key=lambda item: input_hash(item[0]))
    chosen: list[str] = []
    for query, size in ordered:
        if most <= 0:
            break
        chosen.append(query)
        most -= size
    return of_queries(rows, frozenset(chosen))


def _frequencies(workspace: Workspace, queries: pl.Series) -> pl.DataFrame:
    """query and frequency (head, torso, tail by searches) of those of these queries that have been logged."""
    rows = History(workspace, BOUNDED).source(QUERY_FEATURES)
    newest = ibis.row_number().over(
        group_by="query", order_by=[ibis.desc("event_timestamp"), ibis.desc("created_timestamp")]
    )
    latest = rows.select("query", "frequency", place=newest)
    latest = latest.filter((latest.place == 0) & (latest.frequency > 0))
    histogram = latest.group_by("frequency").agg(queries=latest.count()).to_polars()
    classes = strata.frequency_classes(dict(histogram.iter_rows()))
    asked = ibis.memtable(pl.DataFrame({"query": queries}, schema={"query": pl.String}))
    found: pl.DataFrame = latest.semi_join(asked, "query").select("query", "frequency").to_polars()
    named = [classes[volume] for volume in found["frequency"]]
    return found.select("query", frequency=pl.Series(named, dtype=pl.String))


def _counted(folder: Path, producer: str) -> pl.DataFrame:
    """file, sound of each part with the teacher's labels, in order: how many answers are in it."""
    every = pl.scan_parquet(parts.glob(folder), include_file_paths="file").filter(pl.col("producer") == producer)
    return every.group_by("file").agg(sound=_sound().sum()).collect(engine="streaming").sort("file")


def _lost(folder: Path, producer: str) -> int:
    """How many pairs with a text the teacher never gave a distribution, however often it was asked."""
    every = parts.scan(folder).filter(pl.col("producer") == producer)
    failed = every.filter(pl.col("reason").ne_missing(pl.lit(NO_TEXT)), ~_sound()).select(PAIR).unique()
    lost = failed.collect(engine="streaming")
    mended = every.filter(_sound()).join(lost.lazy(), on=PAIR, how="semi").select(PAIR).unique()
    return lost.height - int(mended.select(pl.len()).collect(engine="streaming").item())


def _some_parts(folder: Path, counted: pl.DataFrame, producer: str, most: int) -> pl.LazyFrame:
    """The teacher's answers, or, of many, those of parts spread evenly over its own."""
    answered = counted.filter(pl.col("sound") > 0)
    files: list[str] = answered["file"].to_list()[:: max(1, round(int(answered["sound"].sum()) / most))]
    return pl.scan_parquet(files or [parts.schema_part(folder)]).filter(pl.col("producer") == producer, _sound())


def _sound() -> pl.Expr:
    """Whether the probabilities are five, none below 0, sum 1; NaN is greater than any number here."""
    said = pl.col("probabilities")
    whole = (said.list.len() == len(LEVELS)) & (said.list.min() >= 0) & ((said.list.sum() - 1).abs() <= SUM_TOLERANCE)
    return whole.fill_null(False)


def _array(rows: pl.DataFrame) -> Floats:
    """The probabilities, [n, 5]."""
    return rows["probabilities"].explode().to_numpy().astype(np.float64).reshape(-1, len(LEVELS))


def _read(path: Path) -> DriftReport | None:
    """As kept; None where there is none that can be read: it is made again."""
    try:
        raw = json.loads(path.read_text())
        return DriftReport(raw["producer"], raw["made_from"], [_finding(one) for one in raw["findings"]])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _finding(raw: dict[str, Any]) -> Finding:
    """As `to_json` wrote it, nan as null."""
    numbers = {name: math.nan if raw[name] is None else float(raw[name]) for name in ("figure", "low", "high", "limit")}
    return Finding(**{**raw, **numbers, "verdict": Verdict(raw["verdict"])})
