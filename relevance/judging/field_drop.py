"""What the student loses where one input is missing at serving: the same held-out pairs, each input left out in turn.

Reads the folds' students and their test pairs' features; writes FOLD/predictions/student_without, so that `relevance
evaluate`, whose report lists them, computes them again only for another student or other pairs. An input is left out
before packing: the payload is the one that serving would hold had the enrichment never been made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from enrich.pin_packing import pack_pins
from enrich.pin_payload import ENGAGEMENT_COLUMNS, VECTORS, unpack_pins
from enrich.tables import LEVELS
from relevance import intervals, metrics, stages
from relevance.framing.judged import Judged, of_queries
from relevance.intervals import Statistic
from relevance.judging.figures import CUTOFF, EvaluationSettings, InputDrop
from relevance.judging.gold import by_query_and_pin
from relevance.learning.inputs import QueryEncoder, StudentInputs, pin_columns, student_inputs
from relevance.metrics import Ints
from relevance.model_names import STUDENT_MODEL
from relevance.pin_rows import INPUTS, absent_inputs
from relevance.plan import Fold
from relevance.student import Student
from relevance.text_fields import COLUMNS

_FILE = "predictions.parquet"
_NOTHING = "nothing"  # left out
_PAIR = "pair"
_COLUMNS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in VECTORS},
    **{str(field): tuple(column for _, column in columns) for field, columns in COLUMNS.items()},
    "engagement": ENGAGEMENT_COLUMNS,
}  # of `pack_pins`, by input


def input_drops(
    judged: Judged, folds: Sequence[Fold], encoder: QueryEncoder, settings: EvaluationSettings | None = None
) -> tuple[InputDrop, ...]:
    """Of every input that any test pair has, the dearest first; none where a fold has no student."""
    tested = [fold for fold in folds if fold.tested]
    if not tested or any(stages.made_from_of(fold.folder / STUDENT_MODEL) is None for fold in tested):
        return ()
    rows = pl.concat([_answers(judged, fold, encoder) for fold in tested])
    return compared(rows, settings or EvaluationSettings())


def left_out(student: Student, frame: pl.DataFrame, encoder: QueryEncoder) -> pl.DataFrame:
    """A student_v1 frame's pairs, once for nothing left out and once for each input.

    query, pin_id, level, without (the input), had (whether the pair had it), probabilities.
    """
    whole, columns = student_inputs(frame, encoder), pin_columns(frame)
    absent = np.column_stack([absent_inputs(whole.pins), ~_has_rates(whole, frame.height)])
    found = [_rows(student, frame, whole, None, _NOTHING, np.ones(frame.height, np.bool_))]
    for i, name in enumerate(INPUTS):
        had = ~absent[:, i]
        if not had.any():
            continue
        bare, dropped = whole, None
        if name == _PAIR:
            dropped = np.zeros((frame.height, len(INPUTS)), np.bool_)
            dropped[:, i] = True
        else:
            bare = StudentInputs(unpack_pins(pack_pins(columns.drop(_COLUMNS[name], strict=False))), whole.groups)
        found.append(_rows(student, frame, bare, dropped, name, had))
    return pl.concat(found)


def compared(rows: pl.DataFrame, settings: EvaluationSettings) -> tuple[InputDrop, ...]:
    """Each input's differences from nothing left out; `rows` as `left_out` gives them, over all folds."""
    queries = sorted(rows["query"].unique())
    draws = intervals.draw_queries(len(queries), settings.bootstrap)
    by_input = {name: of_input for (name,), of_input in rows.group_by("without", maintain_order=True)}
    whole = _statistics(by_input.pop(_NOTHING), queries)
    found = []
    for name, of_input in by_input.items():
        bare = _statistics(of_input, queries)
        accuracy, ndcg = (
            intervals.difference(a, b, draws, settings.bootstrap.confidence)
            for a, b in zip(bare, whole, strict=True)
        )  # fmt: skip
        found.append(InputDrop(str(name), int(of_input["had"].sum()), of_input.height, accuracy, ndcg))
    return tuple(sorted(found, key=lambda drop: drop.accuracy.value))


def _answers(judged: Judged, fold: Fold, encoder: QueryEncoder) -> pl.DataFrame:
    model = fold.folder / STUDENT_MODEL
    frame = of_queries(judged.features, fold.split.test)

    def work(out: Path) -> None:
        left_out(Student.load(model), frame, encoder).write_parquet(out / _FILE)

    artefact = fold.folder / "predictions" / f"{STUDENT_MODEL}_without"
    stages.make(artefact, stages.fingerprint(stages.made_from_of(model), frame), work)
    return pl.read_parquet(artefact / _FILE)


def _rows(
    student: Student,
    frame: pl.DataFrame,
    inputs: StudentInputs,
    dropped: np.ndarray[tuple[int, int], np.dtype[np.bool_]] | None,
    name: str,
    had: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> pl.DataFrame:
    said = student.predict(inputs.features(student.statistics, dropped))
    return frame.select("query", "pin_id", pl.col("level").cast(pl.Int64)).with_columns(
        without=pl.lit(name), had=pl.Series(had), probabilities=pl.Series(said.tolist(), dtype=pl.List(pl.Float32))
    )


def _has_rates(inputs: StudentInputs, rows: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    has = np.zeros(rows, np.bool_)
    for group in inputs.groups:
        has[group.rows] = group.has_rates
    return has


def _statistics(rows: pl.DataFrame, queries: list[str]) -> tuple[Statistic, Statistic]:
    """Accuracy and nDCG, by query."""
    place = {query: i for i, query in enumerate(queries)}
    query: Ints = np.array([place[one] for one in rows["query"]], np.int64)
    probabilities = np.asarray(rows["probabilities"].to_list(), np.float64).reshape(-1, len(LEVELS))
    right = metrics.most_probable(probabilities) == rows["level"].to_numpy()
    scored = rows.with_columns(score=pl.Series(probabilities @ np.asarray(LEVELS, np.float64)))
    by_query = metrics.ndcg_by_query(by_query_and_pin(scored, "level"), by_query_and_pin(scored, "score"), CUTOFF)
    ndcg = np.array([by_query[one] for one in queries], np.float64)
    accuracy = intervals.mean(query, right.astype(np.float64), len(queries))
    return accuracy, intervals.mean(np.arange(len(queries)), ndcg, len(queries))
