"""Negatives among the pairs that the teacher is asked about: hard ones that a search nearly finds, and random pins.

Reads the sampled pairs of the log, the judgments and the candidate index; writes parquet files into the unfinished
sample's folder, one for each batch of queries, as they are found. A batch that a killed run has written is not searched
for again: the same batch holds the same queries, by a hash, so long as the sample's inputs are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.errors import BadInput
from enrich.history import History
from enrich.job import input_hash
from enrich.progress import progress
from relevance.candidates import CandidateIndex
from relevance.labelling.files import frames, write_parquet
from relevance.labelling.log_pairs import (
    PAIR,
    SCHEMA,
    LogSample,
    Queries,
    SampleSettings,
    kept,
    memtable,
    order_of,
    plain,
    top_interests,
)
from relevance.labelling.strata import HARD, JUDGED, RANDOM

_CANDIDATES = 100  # of which a query's hard negatives are drawn, half of them from the best
_NEGATIVES_A_QUERY = 5  # at least, on average: fewer queries are searched for rather than each for one
_QUERIES_A_BATCH = 1_000

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Search:
    """What finds negatives."""

    index: CandidateIndex
    embed: Embed  # queries' vectors [n, d] in the index's space


class _Share(NamedTuple):
    """How many negatives each query is given, at most."""

    hard: int
    random: int


def write_negatives(
    history: History,
    log: LogSample,
    judged: pl.DataFrame,
    queries: Queries,
    search: Search,
    settings: SampleSettings,
    folder: Path,
) -> list[Path]:
    """Hard and random pairs of some of the sampled and judged training queries; the files that hold them.

    None of them was judged or is in the log. Raises BadInput when there is no query to find any for.
    """
    room = settings.pairs - int(log.drawn.count().execute())
    asked = kept("asked", _asked(history, log, judged, queries, settings.seed))
    count = min(int(asked.count().execute()), max(1, room // _NEGATIVES_A_QUERY))
    if not count:
        raise BadInput(
            "expected an engagement log or judged training queries to sample pairs for, found neither; import a "
            "catalogue with engagements or judgments"
        )
    chosen = kept("chosen", asked.order_by("order", "query").limit(count))
    share, files = _share(math.ceil(room / count), settings), list[Path]()
    through = folder / "asked.tmp"
    with progress(count, "negatives", unit="query") as bar:
        for number, batch in enumerate(frames(_with_known(log, judged, chosen), _QUERIES_A_BATCH, through)):
            files.append(folder / f"negatives-{number:05d}.parquet")
            if not files[-1].is_file():
                write_parquet(files[-1], _negatives(batch, search, share, settings.seed))
            bar.update(batch.height)
    return files


def _share(a_query: int, settings: SampleSettings) -> _Share:
    most, negatives = min(settings.per_query, a_query), settings.hard + settings.random
    hard = round(most * settings.hard / negatives) if negatives else 0
    return _Share(hard, most - hard if negatives else 0)


def _asked(history: History, log: LogSample, judged: pl.DataFrame, queries: Queries, seed: int) -> ir.Table:
    """query, at, lang, base (its stratum without the kind) and order of every query that may be given negatives.

    A query of the log is dated by its last sampled event; one that the sample lacks by the latest judgment, before
    `queries.before` where that is given.
    """
    logged = log.drawn.group_by("query").agg(
        at=log.drawn.event_timestamp.max(),
        lang=log.drawn.lang.min(),
        base=log.drawn.stratum.re_replace("/[^/]*$", "").min(),
    )
    training = judged.filter(pl.col("query").is_in(sorted(queries.training - queries.held_out)))
    known = judged if queries.before is None else judged.filter(pl.col("event_timestamp") < queries.before)
    at = known["event_timestamp"].max() if known.height else None
    named = training.group_by("query").agg(pl.col("lang").min()).with_columns(at=pl.lit(at, SCHEMA["event_timestamp"]))
    others = ibis.memtable(named.select("query", "at", pl.col("lang").cast(pl.String)))
    others = others.anti_join(log.drawn, "query").left_join(top_interests(history), "query")
    base = ibis.literal("/").join([ibis.literal(JUDGED), plain(others.interest), plain(others.lang)])
    asked = logged.union(others.select("query", "at", "lang", base=base))
    return asked.mutate(order=order_of(seed, asked["query"]))


def _with_known(log: LogSample, judged: pl.DataFrame, chosen: ir.Table) -> ir.Table:
    """The chosen queries in their order, and `known`: the pins that each was judged or logged with."""
    pairs = log.pairs.select(PAIR).union(memtable(judged.select(PAIR).to_dict(as_series=False)))
    known = pairs.semi_join(chosen, "query").group_by("query").agg(known=pairs.pin_id.collect())
    joined = chosen.left_join(known, "query").order_by("order", "query")
    return joined.select("query", "at", "lang", "base", "known")


def _negatives(batch: pl.DataFrame, search: Search, share: _Share, seed: int) -> pl.DataFrame:
    """The pairs of one batch of queries."""
    rows: list[tuple[str, str, datetime, str | None, str]] = []
    vectors = search.embed(batch["query"].to_list())
    for (query, at, lang, base, known), vector in zip(batch.iter_rows(), vectors, strict=True):
        random = np.random.default_rng(int(input_hash(str(seed), query)[:16], 16))
        used = set(known or ())
        difficult = _hard(search.index.search(query, vector, _CANDIDATES), used, share.hard, random)
        arbitrary = _random(search.index.pin_ids, used | set(difficult), share.random, random)
        for pins, kind in ((difficult, HARD), (arbitrary, RANDOM)):
            rows += [(query, pin, at, lang, f"{base}/{kind}") for pin in pins]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _hard(candidates: Sequence[str], used: set[str], wanted: int, random: np.random.Generator) -> list[str]:
    """Half of `wanted` from the best candidates, the others from anywhere among them."""
    free = [pin for pin in candidates if pin not in used]
    best, others = free[: (wanted + 1) // 2], free[(wanted + 1) // 2 :]
    drawn = random.permutation(len(others))[: max(0, wanted - len(best))]
    return [*best, *(others[i] for i in sorted(drawn))]


def _random(pins: Sequence[str], used: set[str], wanted: int, random: np.random.Generator) -> list[str]:
    """`wanted` pins of the catalogue that are not used, or a few less where most of it is."""
    drawn = random.integers(0, max(1, len(pins)), 4 * wanted if pins else 0)
    return list(dict.fromkeys(pins[i] for i in drawn if pins[i] not in used))[:wanted]
