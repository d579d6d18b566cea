"""Labels made wrong, annotators dropped, and what may win the loss back: pure functions on judged rows.

What is changed follows from (seed, query, pin) alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from enrich.job import input_hash
from enrich.judgments import gold_level
from enrich.tables import LEVELS
from relevance.audit.confident import suspects
from relevance.experiments.perturbations import QUERY, Damage, Perturbation, damaged
from relevance.metrics import Floats

_PAIR = ["query", "pin_id"]
_SLIPS = 0.5  # share of the longer words of an augmented query that are misspelled


def with_noise(rows: pl.DataFrame, rate: float, seed: int) -> pl.DataFrame:
    """About `rate` of the rows with another level, any of the other four alike, and that level for their only vote."""
    draws = [_draws(seed, query, pin) for query, pin in rows.select(_PAIR).iter_rows()]
    hit = pl.Series([one < rate for one, _ in draws], dtype=pl.Boolean)
    step = pl.Series([1 + int(other * (len(LEVELS) - 1)) for _, other in draws], dtype=pl.Int64)
    wrong = (rows["level"].cast(pl.Int64) - 1 + step) % len(LEVELS) + 1
    return _relevelled(rows, hit, wrong)


def without_annotators(rows: pl.DataFrame, votes: pl.DataFrame, dropped: int, seed: int) -> pl.DataFrame:
    """The rows by the votes of the annotators left once `dropped` of them went; rows left without are gone.

    `votes`: query, pin_id, annotator_id, level. Rows come back as they were where no vote has a name.
    """
    names = votes["annotator_id"].drop_nulls().unique().sort().to_list() if votes.width else []
    if not names:
        return rows
    order = sorted(names, key=lambda name: input_hash(str(seed), name))
    gone = order[: min(len(order) - 1, dropped)]
    kept = votes.filter(pl.col("annotator_id").is_null() | ~pl.col("annotator_id").is_in(gone))
    by_pair = kept.group_by(_PAIR).agg(left=pl.col("level").cast(pl.Float64).sort())
    joined = rows.join(by_pair, on=_PAIR, how="inner", maintain_order="left")
    return _by_votes(joined, joined["left"]).drop("left")


def with_one_vote(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The rows, each with one of its votes alone."""
    found = []
    for query, pin, level, votes in rows.select(*_PAIR, "level", "votes").iter_rows():
        cast = votes or [level]
        found.append([float(cast[int(_draws(seed, query, pin)[0] * len(cast))])])
    return _by_votes(rows, pl.Series(found, dtype=pl.List(pl.Float64)))


def pruned(rows: pl.DataFrame, probabilities: Floats) -> pl.DataFrame:
    """The rows without those whose labels are suspect by out-of-sample `probabilities` [n, 5]."""
    suspect, _ = suspects(rows["level"].to_numpy().astype(np.int64), probabilities)
    return rows.filter(pl.Series(~suspect))


def relabelled(rows: pl.DataFrame, probabilities: Floats) -> pl.DataFrame:
    """The rows, those with suspect labels given the level that they more likely have."""
    suspect, better = suspects(rows["level"].to_numpy().astype(np.int64), probabilities)
    return _relevelled(rows, pl.Series(suspect), pl.Series(better))


def augmented(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The rows and each once more, asked with slips; those whose query has no word long enough stand there once."""
    again = damaged(rows, (QUERY,), Perturbation(Damage.MISSPELLED, _SLIPS, seed))
    return pl.concat([rows, again.filter(again["query"] != rows["query"])])


def crossed(rows: pl.DataFrame, parts: int, seed: int, ask: Callable[[pl.DataFrame, pl.DataFrame], Floats]) -> Floats:
    """Out-of-sample probabilities [n, 5]: each part's rows, of whole queries, asked of a model of the others."""
    part = pl.Series([int(input_hash(str(seed), "part", query)[:8], 16) % parts for query in rows["query"]])
    found = np.zeros((rows.height, len(LEVELS)))
    for one in range(parts):
        asked = (part == one).to_numpy()
        if asked.any() and not asked.all():
            found[asked] = ask(rows.filter(pl.Series(~asked)), rows.filter(pl.Series(asked)))
    return found


def _draws(seed: int, query: str, pin: str) -> tuple[float, float]:
    """Two numbers of 0 to below 1."""
    digits = input_hash(str(seed), query, pin)
    return int(digits[:8], 16) / 16**8, int(digits[8:16], 16) / 16**8


def _relevelled(rows: pl.DataFrame, hit: pl.Series, levels: pl.Series) -> pl.DataFrame:
    level = pl.when(hit).then(levels).otherwise(rows["level"].cast(pl.Int64)).cast(rows.schema["level"])
    found = rows.with_columns(level=level)
    if "votes" not in rows.columns:
        return found
    votes = [
        [new] if wrong else old for wrong, new, old in zip(hit, found["level"], rows["votes"].to_list(), strict=True)
    ]
    return found.with_columns(pl.Series("votes", votes, rows.schema["votes"]))


def _by_votes(rows: pl.DataFrame, votes: pl.Series) -> pl.DataFrame:
    told = rows.with_columns(pl.Series("votes", votes.to_list(), pl.List(pl.Float64)))
    return told.with_columns(gold_level(pl.col("votes")).cast(rows.schema["level"]).alias("level")).with_columns(
        pl.col("votes").cast(rows.schema["votes"])
    )
