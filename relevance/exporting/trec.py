"""Judged pairs and models' rankings as TREC files, so that ir_measures, trec_eval and others confirm our numbers.

    relevance export trec DIR

Reads the judged pairs of held-out queries and the models' predictions of them; writes topics.tsv (id, query), qrels.txt
(levels 1..5), qrels.gains.txt (the gains of nDCG, for tools that take grades as gains), runs/MODEL.txt, documents.tsv
(the pins whose ids had to be changed), and a README that says what to type and what must come out. Runs of a former
export, which their tag tells from others, go.

A run's scores fall strictly, in the float32 that trec_eval reads them as: pins are in our order, so no tool breaks a
tie in another way. The second column of qrels.txt is "level", which tells `enrich import trec` that grades are levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from enrich import parts
from enrich.importers.trec import LEVELS_ALREADY
from relevance import metrics, rankings
from relevance.exporting.claim import claim
from relevance.exporting.ids import DOCUMENTS, changed_ids, document_id, query_id
from relevance.judging.gold import Predictions, by_query_and_pin, ranked
from relevance.metrics import GAINS, GAINS_NAME, Floats

NDCG, PRECISION = "nDCG@20", "P(rel=4)@8"
_WITH_GAINS = "nDCG(gains={1:0,2:1,3:3,4:7,5:15})@20"  # of levels, as ir_measures writes it
_RUN_TAG = "corkboard"
_LONGEST_LINE = 4096


class Confirmed(NamedTuple):
    """What a tool must find of a run."""

    model: str
    ndcg: float
    precision: float


@dataclass(frozen=True, slots=True)
class TrecExport:
    folder: Path
    queries: int
    pairs: int
    runs: tuple[Confirmed, ...]

    def lines(self) -> list[str]:
        return [
            f"{self.pairs:,} judged pairs of {self.queries:,} held-out queries, {len(self.runs)} runs: {self.folder}",
            *(f"  {one.model}: {NDCG} {one.ndcg:.4f}, {PRECISION} {one.precision:.4f}" for one in self.runs),
        ]


def write_trec(folder: Path, gold: pl.DataFrame, predictions: Sequence[Predictions]) -> TrecExport:
    """Write the files of the judged pairs `gold` (query, pin_id, level) and of the models' rankings.

    Raises BadInput, with nothing written, where others' files have these names.
    """
    claim(folder, ("README.md", "topics.tsv", "qrels.txt", "qrels.gains.txt", "runs", DOCUMENTS))
    (folder / "runs").mkdir(exist_ok=True)
    queries, qrels = gold["query"].unique().sort().to_list(), by_query_and_pin(gold, "level")
    _write_lines(folder / "topics.tsv", (f"{query_id(query)}\t{query}" for query in queries))
    _write_lines(folder / "qrels.txt", _qrels(qrels, LEVELS_ALREADY, {level: level for level in GAINS}))
    _write_lines(folder / "qrels.gains.txt", _qrels(qrels, "0", {level: int(gain) for level, gain in GAINS.items()}))
    _forget_runs(folder / "runs", {one.model for one in predictions})
    found = []
    for one in predictions:
        rows = ranked(one).rows.filter(pl.col("query").is_in(queries))
        run = by_query_and_pin(rows, "score")
        _write_lines(folder / "runs" / f"{one.model}.txt", _run(run))
        found.append(Confirmed(one.model, metrics.ndcg(qrels, run), metrics.precision(qrels, run)))
    pins = pl.concat([gold["pin_id"], *(one.rows["pin_id"] for one in predictions)])
    _write_lines(folder / DOCUMENTS, changed_ids(pins.unique().sort()))
    export = TrecExport(folder, len(queries), gold.height, tuple(found))
    parts.write_text(folder / "README.md", _readme(export))
    return export


def falling(scores: Floats) -> Floats:
    """Scores [n] that do not rise, as float32 that fall: the next lower number where one is no less than the last."""
    found = scores.astype(np.float32)
    for place in range(1, len(found)):
        if not found[place] < found[place - 1]:
            found[place] = np.nextafter(found[place - 1], np.float32(-np.inf))
    return found.astype(np.float64)


def _qrels(qrels: Mapping[str, Mapping[str, int]], iteration: str, grades: Mapping[int, int]) -> Iterator[str]:
    for query, pins in qrels.items():
        for pin, level in pins.items():
            yield f"{query_id(query)} {iteration} {document_id(pin)} {grades[level]}"


def _run(run: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for query, scores in run.items():
        order = rankings.ranking(scores)
        values = falling(np.asarray([scores[pin] for pin in order], np.float64))
        for rank, (pin, value) in enumerate(zip(order, values, strict=True), 1):
            yield f"{query_id(query)} Q0 {document_id(pin)} {rank} {np.float32(value)!s} {_RUN_TAG}"


def _forget_runs(folder: Path, models: Set[str]) -> None:
    """Remove what a former export wrote of other models."""
    for run in folder.glob("*.txt"):
        with run.open(encoding="utf-8", errors="replace") as file:
            ours = file.readline(_LONGEST_LINE).split()[-1:] == [_RUN_TAG]
        if ours and run.stem not in models:
            run.unlink()


def _write_lines(path: Path, lines: Iterator[str]) -> None:
    parts.write_text(path, "".join(f"{line}\n" for line in lines))


def _readme(export: TrecExport) -> str:
    rows = "\n".join(f"| {one.model} | {one.ndcg:.4f} | {one.precision:.4f} |" for one in export.runs)
    return f"""\
# Judged pairs and runs, as TREC files

{export.pairs:,} judged pairs of {export.queries:,} queries that no model saw in training. Grades in qrels.txt are
levels, 1 highly irrelevant to 5 highly relevant; nDCG takes gains {GAINS_NAME}. A pin
that is not judged gains nothing, and a query that a run leaves out scores 0.

    ir_measures qrels.txt runs/MODEL.txt "{_WITH_GAINS}" "{PRECISION}"
    ir_measures qrels.gains.txt runs/MODEL.txt "{NDCG}"
    trec_eval -c -m ndcg_cut.20 qrels.gains.txt runs/MODEL.txt

| run | {NDCG} | {PRECISION} |
|---|---|---|
{rows}

topics.tsv has the queries' texts. A run that was made elsewhere on these topics: `relevance evaluate --run FILE=NAME`.
"""
