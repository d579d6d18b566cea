"""Which unlabelled pairs the teacher is asked about: a stratified sample of the log, with negatives mixed in.

Reads engagements, judgment and the candidate index; gives a frame of pairs. The design:

- Log pairs: every (query, pin) that was shown, engaged with or not. Strata are query frequency (head, torso and tail:
  thirds of all shown rows) x language x engaged or only shown. A stratum's share goes with the square root of its
  pairs, so that tail queries and small languages are heard without being all there is.
- Negatives, for the sampled queries and the judged training queries: hard ones among the query's candidates by BM25
  and embedding, and random pins. Where there is no log, these are all there is.
- Never a judged pair, a deleted pin, or a held-out query. At most `per_query` pairs a query and `per_pin` a pin
  (50 each, as in OmniSearchSage, arXiv 2404.16260).

Which pair is taken is decided by hashes of seed, query and pin: the same inputs give the same sample, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import polars as pl

from enrich import parts
from enrich.errors import BadInput
from enrich.history import History
from enrich.job import input_hash
from enrich.tables import JUDGMENT
from enrich.workspace import Workspace
from relevance.candidates import CandidateIndex

ENGAGED_EVENTS = ("click", "long_click", "save")
SCHEMA = pl.Schema(
    {
        "query": pl.String(),
        "pin_id": pl.String(),
        "event_timestamp": pl.Datetime("us", "UTC"),
        "lang": pl.String(),
        "stratum": pl.String(),
    }
)
_NO_LANGUAGE = "unknown"
_CANDIDATES = 100  # of which a query's hard negatives are drawn, half of them from the best
_NEGATIVES_A_QUERY = 5  # at least, on average: fewer queries are searched for rather than each for one
_PAIR = ["query", "pin_id"]

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class SampleSettings:
    pairs: int = 20_000  # to sample, at most
    hard: float = 0.25  # share of them that are hard negatives, where there is a log
    random: float = 0.05  # share of them that are random pins
    per_query: int = 50  # pairs of one query, at most
    per_pin: int = 50  # pairs of one pin, at most
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.per_query < 1 or self.per_pin < 1:
            raise BadInput(
                f"expected pairs and caps of 1 or more, found {self.pairs}, {self.per_query} and {self.per_pin}"
            )
        if min(self.hard, self.random) < 0 or self.hard + self.random >= 1:
            raise BadInput(
                f"expected shares of negatives that leave room for the log, found {self.hard}, {self.random}"
            )


class Queries(NamedTuple):
    """Whose pairs may be sampled."""

    training: frozenset[str]  # judged queries that the teacher learned from
    held_out: frozenset[str]  # dev and test queries: never sampled


class _Query(NamedTuple):
    query: str
    at: datetime
    stratum: str  # its part without the kind of pair
    lang: str | None


def sample_pairs(
    workspace: Workspace, queries: Queries, index: CandidateIndex, embed: Embed, settings: SampleSettings
) -> pl.DataFrame:
    """Unlabelled pairs by the design above: query, pin_id, event_timestamp, lang, stratum; a pair at most once.

    A log pair's time is its last event's; a negative's is its query's last event, or, of a query that the log lacks,
    the latest judgment's. `embed` gives queries' vectors [n, d] in the index's space. Raises BadInput when there is
    neither a log nor a judged training query to sample for.
    """
    judged = parts.latest(workspace.folder(JUDGMENT), JUDGMENT).filter(pl.col("level").is_not_null())
    log = _log_pairs(workspace, judged.select(_PAIR), queries.held_out, settings.seed)
    logged = _quota_sample(log, round(settings.pairs * (1 - settings.hard - settings.random)), settings)
    asked = [*_sampled_queries(logged), *_training_queries(judged, queries.training - set(logged["query"]))]
    if not asked:
        raise BadInput(
            "expected an engagement log or judged training queries to sample pairs for, found neither; import a "
            "catalogue with engagements or judgments"
        )
    room = settings.pairs - logged.height
    chosen = _some(asked, max(1, room // _NEGATIVES_A_QUERY), settings.seed)
    negatives = _negatives(chosen, _known(log, judged, chosen), index, embed, settings, room)
    return _capped(pl.concat([logged, negatives]), settings)


def _log_pairs(workspace: Workspace, judged: pl.DataFrame, held_out: frozenset[str], seed: int) -> ir.Table:
    """Every unjudged pair of the log: time, language, stratum and `order`, a hash that no library version changes."""
    log = usable_log(History(workspace), held_out)
    pairs = log.group_by("query", "pin_id").agg(
        event_timestamp=log.event_timestamp.max(),
        lang=log.lang.min(),
        rows=log.count(),
        engaged=log.event.isin(ENGAGED_EVENTS).any(),
    )
    unjudged = pairs.anti_join(_table(judged.to_dict(as_series=False)), _PAIR).join(_frequencies(pairs), "query")
    kind = unjudged.engaged.ifelse("engaged", "shown")
    language = unjudged.lang.fill_null(_NO_LANGUAGE)
    described = unjudged.select(
        "query",
        "pin_id",
        "event_timestamp",
        "lang",
        stratum=unjudged.frequency + "/" + language + "/" + kind,
        order=(unjudged.query + "\x1f" + unjudged.pin_id + f"\x1f{seed}").hexdigest("md5"),
    )
    return _temporary("log_pairs", described)


def usable_log(history: History, held_out: frozenset[str]) -> ir.Table:
    """The log's rows of pins that are there and of queries that may be used and are not held out."""
    log = history.engagements()
    log = log.filter(log.refused.isnull()).semi_join(history.pins().select("pin_id"), "pin_id")
    return log.anti_join(_table({"query": sorted(held_out)}), "query")


def _temporary(name: str, pairs: ir.Table) -> ir.Table:
    """Computed once and kept by the engine, which spills past its memory."""
    made: ir.Table = pairs.get_backend().create_table(name, pairs, temp=True)
    return made


def _table(columns: dict[str, list[str]]) -> ir.Table:
    return ibis.memtable(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)))


def _frequencies(pairs: ir.Table) -> ir.Table:
    """query, frequency: head, torso or tail, each about a third of all rows of the log."""
    volumes = pairs.group_by("query").agg(rows=pairs.rows.sum())
    upto = volumes.rows.sum().over(ibis.cumulative_window(order_by=[ibis.desc("rows"), "query"]))
    third = 3 * (upto - volumes.rows) // volumes.rows.sum().over(ibis.window())
    return volumes.select("query", frequency=third.cases((0, "head"), (1, "torso"), else_="tail"))


def _quota_sample(log: ir.Table, wanted: int, settings: SampleSettings) -> pl.DataFrame:
    """About `wanted` of the log's pairs within the caps, shared out over the strata by the roots of their sizes."""
    capped = _first_of_each(log, "query", settings.per_query)
    capped = _temporary("capped_pairs", _first_of_each(capped, "pin_id", settings.per_pin))
    sizes = dict(capped.group_by("stratum").agg(pairs=capped.count()).to_polars().iter_rows())
    quotas = root_quotas(sizes, wanted)
    quota = _quota_table(quotas)
    ranked = capped.mutate(place=ibis.row_number().over(group_by="stratum", order_by="order")).join(quota, "stratum")
    sample: pl.DataFrame = ranked.filter(ranked.place < ranked.quota).order_by("order").to_polars()
    return sample.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())


def _first_of_each(pairs: ir.Table, column: str, most: int) -> ir.Table:
    placed = pairs.mutate(place=ibis.row_number().over(group_by=column, order_by="order"))
    return placed.filter(placed.place < most).drop("place")


def _quota_table(quotas: dict[str, int]) -> ir.Table:
    rows = pl.DataFrame(list(quotas.items()), schema={"stratum": pl.String, "quota": pl.Int64}, orient="row")
    return ibis.memtable(rows)


def root_quotas(sizes: dict[str, int], wanted: int) -> dict[str, int]:
    """How many of each stratum, about in proportion to √size; what a small stratum lacks goes to the others."""
    quotas: dict[str, int] = {}
    left, weight = wanted, sum(math.sqrt(size) for size in sizes.values())
    for stratum, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
        quotas[stratum] = min(size, round(left * math.sqrt(size) / weight))
        left, weight = left - quotas[stratum], weight - math.sqrt(size)
    return quotas


def _capped(pairs: pl.DataFrame, settings: SampleSettings) -> pl.DataFrame:
    """The first pairs of each query and then of each pin, within the caps, in the order given."""
    within_query = pairs.filter(pl.int_range(pl.len()).over("query") < settings.per_query)
    return within_query.filter(pl.int_range(pl.len()).over("pin_id") < settings.per_pin)


def _sampled_queries(logged: pl.DataFrame) -> Iterator[_Query]:
    rows = logged.group_by("query").agg(
        pl.col("event_timestamp").max(), pl.col("stratum").min(), pl.col("lang").drop_nulls().mode().min()
    )
    for query, at, stratum, lang in rows.sort("query").iter_rows():
        yield _Query(query, at, stratum.rpartition("/")[0], lang)


def _training_queries(judged: pl.DataFrame, training: frozenset[str]) -> Iterator[_Query]:
    """Judged queries that the log sample lacks."""
    if judged.is_empty():
        return
    at = max(judged["event_timestamp"])
    rows = judged.filter(pl.col("query").is_in(sorted(training))).group_by("query").agg(pl.col("lang").min())
    for query, lang in rows.sort("query").iter_rows():
        yield _Query(query, at, f"judged/{lang or _NO_LANGUAGE}", lang)


def _some(asked: Sequence[_Query], most: int, seed: int) -> list[_Query]:
    """At most `most` of the queries, by a hash."""
    return sorted(asked, key=lambda item: input_hash(str(seed), item.query))[:most]


def _known(log: ir.Table, judged: pl.DataFrame, chosen: Sequence[_Query]) -> dict[str, list[str]]:
    """The pins that each chosen query was judged or logged with."""
    queries = [item.query for item in chosen]
    logged: pl.DataFrame = log.semi_join(_table({"query": queries}), "query").select(_PAIR).to_polars()
    pairs = pl.concat([logged, judged.filter(pl.col("query").is_in(queries)).select(_PAIR)])
    return dict(pairs.group_by("query").agg("pin_id").iter_rows())


def _negatives(
    asked: Sequence[_Query],
    known: dict[str, list[str]],
    index: CandidateIndex,
    embed: Embed,
    settings: SampleSettings,
    room: int,
) -> pl.DataFrame:
    """Hard and random pairs of the `asked` queries, none of them `known`; at most `room` in all."""
    a_query = min(settings.per_query, math.ceil(room / len(asked)))
    negatives = settings.hard + settings.random
    hard = round(a_query * settings.hard / negatives) if negatives else 0
    rows: list[tuple[str, str, datetime, str | None, str]] = []
    for item, vector in zip(asked, embed([item.query for item in asked]), strict=True):
        random = np.random.default_rng(int(input_hash(str(settings.seed), item.query)[:16], 16))
        used = set(known.get(item.query, ()))
        difficult = _hard(index.search(item.query, vector, _CANDIDATES), used, hard, random)
        arbitrary = _random(index.pin_ids, used | set(difficult), a_query - hard, random)
        rows += [(item.query, pin, item.at, item.lang, f"{item.stratum}/hard") for pin in difficult]
        rows += [(item.query, pin, item.at, item.lang, f"{item.stratum}/random") for pin in arbitrary]
    mixed = np.random.default_rng(settings.seed).permutation(len(rows))[:room]
    return pl.DataFrame([rows[i] for i in mixed], schema=SCHEMA, orient="row")


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
