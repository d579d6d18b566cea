"""Which pairs of the log the teacher is asked about: a stratified sample that the engine draws, however long the log.

Reads engagements, deletions, judgment and query_features; gives tables of the engine (DuckDB), which spills past its
memory; nothing here grows with the pairs. The design:

- Log pairs: every (query, pin) that was shown, engaged with or not. Strata are query frequency x interest x language x
  engaged or only shown (strata.py). A stratum's share goes with the square root of its pairs, so that tail queries and
  small languages are heard without being all there is.
- Negatives (negatives.py), for the sampled queries and the judged training queries: hard ones among the query's
  candidates by BM25 and embedding, and random pins. Where there is no log, these are all there is.
- Never a judged pair, a deleted pin, or a held-out query. At most `per_query` pairs a query and `per_pin` a pin
  (50 each, as in OmniSearchSage, arXiv 2404.16260).

Pairs are taken in an order of hashes of seed, query and pin, so long as caps and quotas have room: the same inputs give
the same sample, in any order of rows and on any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich.errors import BadInput
from enrich.history import History, before
from enrich.tables import QUERY_FEATURES
from relevance.labelling import strata
from relevance.labelling.strata import ENGAGED, SHOWN, UNKNOWN

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
PAIR = ["query", "pin_id"]
MOST_A_QUERY_OR_PIN = 50
_ORDER_DIGITS = 12  # of the hash, hexadecimal: short enough to be kept in place by the engine, long enough to be fair
_BUCKET_DIGITS = 2  # of those: how finely the engine counts a stratum to find where its quota ends
_BEYOND = "~"  # after every hexadecimal digit


@dataclass(frozen=True, slots=True)
class SampleSettings:
    pairs: int = 20_000  # to sample, at most
    hard: float = 0.25  # share of them that are hard negatives, where there is a log
    random: float = 0.05  # share of them that are random pins
    per_query: int = MOST_A_QUERY_OR_PIN  # pairs of one query, at most
    per_pin: int = MOST_A_QUERY_OR_PIN  # pairs of one pin, at most
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise BadInput(f"expected 1 pair or more to sample, found {self.pairs}")
        if not (1 <= self.per_query <= MOST_A_QUERY_OR_PIN and 1 <= self.per_pin <= MOST_A_QUERY_OR_PIN):
            raise BadInput(
                f"expected caps of 1 to {MOST_A_QUERY_OR_PIN} pairs a query and a pin, found {self.per_query} and "
                f"{self.per_pin}"
            )
        if min(self.hard, self.random) < 0 or self.hard + self.random >= 1:
            raise BadInput(
                f"expected shares of negatives that leave room for the log, found {self.hard}, {self.random}"
            )

    @property
    def of_log(self) -> int:
        """Pairs of the log, at most."""
        return round(self.pairs * (1 - self.hard - self.random))


class Queries(NamedTuple):
    """Whose pairs may be sampled."""

    training: frozenset[str]  # judged queries that the teacher learned from
    held_out: frozenset[str]  # dev and test queries: never sampled
    before: datetime | None = None  # nothing of that moment or later is sampled, or known; None: no such moment


class LogSample(NamedTuple):
    """What was drawn of the log; tables of the engine."""

    pairs: ir.Table  # every pair of the log, judged ones too: query, pin_id, event_timestamp, lang, stratum, order
    drawn: ir.Table  # those sampled, of the same columns, each in the stratum that it is counted with


def usable_log(history: History, held_out: frozenset[str]) -> ir.Table:
    """The log's rows of pins that are there and of queries that may be used and are not held out."""
    log = history.engagements()
    log = log.filter(log.refused.isnull()).semi_join(history.pins().select("pin_id"), "pin_id")
    return log.anti_join(memtable({"query": sorted(held_out)}), "query")


def sample_log(history: History, judged: pl.DataFrame, queries: Queries, settings: SampleSettings) -> LogSample:
    """Draw about `settings.of_log` unjudged pairs within the caps, shared out over the strata by their sizes' roots."""
    log = usable_log(history, queries.held_out)
    log = log if queries.before is None else before(log, "event_timestamp", queries.before)
    pairs = kept("pairs", _described(history, log, settings.seed))
    history.drop("log", "pair_counts", "volumes")
    unjudged = pairs.anti_join(memtable(judged.select(PAIR).to_dict(as_series=False)), PAIR)
    of_query = first_of_each(unjudged, "query", ["order", "pin_id"], settings.per_query)
    capped = kept("capped", first_of_each(of_query, "pin_id", ["order", "query"], settings.per_pin))
    sizes = dict(capped.group_by("stratum").agg(pairs=capped.count()).to_polars().iter_rows())
    counted_with = strata.merged(sizes, settings.of_log)
    quotas = strata.root_quotas(strata.counted(sizes, counted_with), settings.of_log)
    names = memtable({"stratum": list(counted_with), "counted_with": list(counted_with.values())})
    renamed = capped.join(names, "stratum").drop("stratum").rename(stratum="counted_with")
    return LogSample(pairs, kept("drawn", first_by_order(renamed.select(capped.columns), quotas)))


def _described(history: History, log: ir.Table, seed: int) -> ir.Table:
    """Every pair of the log with the time of its last event, its language, stratum and order."""
    counts = kept(
        "pair_counts",
        log.group_by("query", "pin_id").agg(
            event_timestamp=log.event_timestamp.max(),
            lang=log.lang.min(),
            rows=log.count(),
            engaged=log.event.isin(ENGAGED_EVENTS).any(),
        ),
    )
    known = counts.join(_frequencies(counts), "query").left_join(top_interests(history), "query")
    kind = known.engaged.ifelse(ENGAGED, SHOWN)
    named = [known.frequency, plain(known.interest), plain(known.lang), kind]
    stratum, order = ibis.literal("/").join(named), order_of(seed, known.query, known.pin_id)
    return known.select(*PAIR, "event_timestamp", "lang", stratum=stratum, order=order)


def _frequencies(counts: ir.Table) -> ir.Table:
    """query, frequency."""
    volumes = kept("volumes", counts.group_by("query").agg(volume=counts.rows.sum()))
    histogram = volumes.group_by("volume").agg(queries=volumes.count()).to_polars()
    classes = strata.frequency_classes(dict(histogram.iter_rows()))
    named = pl.DataFrame({"volume": list(classes), "frequency": list(classes.values())}, schema=_FREQUENCY)
    return volumes.join(ibis.memtable(named), "volume").select("query", "frequency")


_FREQUENCY = pl.Schema({"volume": pl.Int64(), "frequency": pl.String()})


def top_interests(history: History) -> ir.Table:
    """query, interest: the best one of the query's newest features; no row where it has none."""
    rows = history.source(QUERY_FEATURES)
    newest = ibis.row_number().over(
        group_by="query", order_by=[ibis.desc("event_timestamp"), ibis.desc("created_timestamp")]
    )
    latest = rows.select("query", interest=rows.interests[0], place=newest)
    return latest.filter((latest.place == 0) & latest.interest.notnull()).drop("place")


def plain(text: ir.Value) -> ir.StringValue:
    """A text as part of a stratum's name."""
    named: ir.StringValue = text.fill_null(UNKNOWN).replace("/", "_")
    return named


def order_of(seed: int, *texts: ir.Value) -> ir.StringValue:
    """A hash of seed and texts that no library version changes, as hexadecimal digits."""
    joined = ibis.literal("\x1f").join([ibis.literal(str(seed)), *texts])
    order: ir.StringValue = joined.hexdigest("md5").substr(0, _ORDER_DIGITS)
    return order


def first_of_each(pairs: ir.Table, column: str, order: Sequence[str], most: int) -> ir.Table:
    """The first `most` rows of each value of `column`."""
    placed = pairs.mutate(place=ibis.row_number().over(group_by=column, order_by=list(order)))
    return placed.filter(placed.place < most).drop("place")


def first_by_order(pairs: ir.Table, quotas: Mapping[str, int]) -> ir.Table:
    """Of each stratum the first so many by `order`; none of a stratum without a quota.

    A stratum may be larger than memory, so it is not sorted: its hashes' first digits are counted, which tells the
    digits that are within the quota whole, and only the rows of the one that is cut are ranked.
    """
    bucket = pairs.order.substr(0, _BUCKET_DIGITS)
    found = pairs.group_by("stratum", bucket=bucket).agg(rows=pairs.count()).to_polars()
    cuts = pl.DataFrame(list(_cuts(found, quotas)), schema=_CUT, orient="row")
    placed = pairs.mutate(bucket=bucket).join(ibis.memtable(cuts), "stratum")
    whole = placed.filter(placed.bucket < placed.cut)
    edge = placed.filter(placed.bucket == placed.cut)
    edge = edge.mutate(place=ibis.row_number().over(group_by="stratum", order_by=["order", *PAIR]))
    chosen: ir.Table = whole.union(edge.filter(edge.place < edge.left_over).drop("place")).select(pairs.columns)
    return chosen


_CUT = pl.Schema({"stratum": pl.String(), "cut": pl.String(), "left_over": pl.Int64()})


def _cuts(found: pl.DataFrame, quotas: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """stratum, the digits at which its quota ends, how many of their rows are within it."""
    for (stratum,), buckets in found.sort("bucket").group_by("stratum", maintain_order=True):
        left = quotas.get(str(stratum), 0)
        cut = (str(stratum), _BEYOND, 0)
        for _, bucket, rows in buckets.iter_rows():
            if rows > left:
                cut = (str(stratum), bucket, left)
                break
            left -= rows
        yield cut


def kept(name: str, table: ir.Table) -> ir.Table:
    """Computed once and kept by the engine, which spills past its memory."""
    made: ir.Table = table.get_backend().create_table(name, table, temp=True)
    return made


def memtable(columns: Mapping[str, Sequence[str]]) -> ir.Table:
    """A small table of texts."""
    return ibis.memtable(pl.DataFrame(dict(columns), schema=dict.fromkeys(columns, pl.String)))
