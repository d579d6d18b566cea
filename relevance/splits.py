"""Who is taught and who is asked: splits of the queries, so that no query stands on both sides.

Reads pairs (a frame with `query`, where known `lang`, and for a split by time `event_timestamp`, when the pair was
judged), gives each query a side. Deterministic: a query's place follows from its hash and the seed, not from the order
of the rows. Stratified by language and by how many pairs the query has, so that every side that is drawn holds large
and small queries of each language. Three kinds (`relevance … --split`):

query      test queries are drawn: how good are the models on queries like those they learned from?
time       train on what was judged before a moment, test the queries judged later: how good on what comes next?
language   train on one language, test the others: how good where nobody judged?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import polars as pl

from enrich.errors import BadInput
from enrich.job import input_hash

_SIZE_CLASSES = 4  # strata of a query's number of pairs, by quartile within its language


class SplitKind(StrEnum):
    """By what the tested queries differ from the others."""

    QUERY = "query"
    TIME = "time"
    LANGUAGE = "language"


class LogScope(NamedTuple):
    """Which of the log's events a split's training may read; None: all."""

    before: datetime | None = None
    lang: str | None = None  # primary language, as `primary_language` gives it


WHOLE_LOG = LogScope()


@dataclass(frozen=True, slots=True)
class Split:
    """The queries of each side; disjoint."""

    train: frozenset[str]
    dev: frozenset[str]
    test: frozenset[str]
    left_out: frozenset[str] = frozenset()  # of no side: a split by language knows none for them
    log: LogScope = WHOLE_LOG

    @property
    def held_out(self) -> frozenset[str]:
        """The queries that no training, of teacher or student, may see."""
        return self.dev | self.test | self.left_out


def split_queries(
    pairs: pl.DataFrame,
    seed: int = 0,
    dev: float = 0.1,
    test: float = 0.2,
    most_dev: int | None = None,
    most_test: int | None = None,
) -> Split:
    """One split: about `test` of the queries to test, `dev` of the others to dev, the rest to train.

    No more queries than `most_dev` and `most_test` are on a side, whatever its share. Raises BadInput when there are
    fewer than three queries, so that a side would be empty.
    """
    queries = _spread(pairs, seed, least=3)
    return _split(queries, set(_every(len(queries), _count(test, len(queries), most_test))), dev, most_dev)


def folds(pairs: pl.DataFrame, n: int = 5, seed: int = 0, dev: float = 0.1, most_dev: int | None = None) -> list[Split]:
    """`n` splits whose test sides together hold every query once; dev sides are that share of the others.

    Raises BadInput when there are fewer than n queries, or fewer than three.
    """
    if n < 2:
        raise BadInput(f"expected two folds or more, found {n}")
    queries = _spread(pairs, seed, least=max(3, n))
    return [_split(queries, set(range(fold, len(queries), n)), dev, most_dev) for fold in range(n)]


def split_by_time(pairs: pl.DataFrame, seed: int = 0, dev: float = 0.1, test: float = 0.2) -> Split:
    """Train on the queries judged before a moment alone, test those judged at it or later; `dev` of the former to dev.

    The moment is the one that tests nearest to `test` of the queries. A query judged on both sides of it is tested, all
    of it: so nothing is learned from a judgment, or a log row, of that moment or later. Raises BadInput where all
    queries were last judged at one time, or only one before the others.
    """
    last = pairs.group_by("query").agg(pl.col("event_timestamp").max().alias("last"))
    moment = _moment(last["last"], test)
    tested = last["last"] >= moment
    train, held = _with_dev(pairs, last["query"].filter(~tested), seed, dev)
    return Split(train, held, frozenset(last["query"].filter(tested)), log=LogScope(before=moment))


def split_by_language(pairs: pl.DataFrame, train_lang: str = "en", seed: int = 0, dev: float = 0.1) -> Split:
    """Train on the queries in `train_lang`, `dev` of them to dev, and test all in other languages.

    A query's language is the primary one (en of en-GB) that most of its pairs carry, the first by name on a tie; a
    query none of whose pairs carries one is left out of all sides. Raises BadInput where a side would be empty.
    """
    lang = pairs["lang"] if "lang" in pairs.columns else pl.Series("lang", [None] * pairs.height, dtype=pl.String)
    primary = pl.Series("lang", [primary_language(one) for one in lang], dtype=pl.String)
    queries = pairs.select("query").with_columns(primary).group_by("query").agg(_most_common("lang")).sort("query")
    taught = queries.filter(lang=primary_language(train_lang))["query"]
    unknown = queries.filter(pl.col("lang").is_null())["query"]
    tested = queries.filter(pl.col("lang") != primary_language(train_lang))["query"]
    if len(taught) < 2 or tested.is_empty():
        raise BadInput(
            f"expected judgments of two queries or more in {train_lang} and of some in other languages, found "
            f"{_counted(queries)}; name another --train-lang, or use --split query"
        )
    train, held = _with_dev(pairs, taught, seed, dev)
    scope = LogScope(lang=primary_language(train_lang))
    return Split(train, held, frozenset(tested), frozenset(unknown), scope)


def primary_language(tag: str | None) -> str | None:
    """The language of a BCP 47 tag, in lower case: en of en-GB and EN_us; None of none."""
    return (tag or "").replace("_", "-").partition("-")[0].strip().lower() or None


def _moment(last: pl.Series, test: float) -> datetime:
    """Of the times at which queries were last judged, the one from which on nearest to `test` of them were."""
    times = last.sort()
    wanted, options = (1 - test) * len(times), [i for i in range(2, len(times)) if times[i] > times[i - 1]]
    if not options:
        found = f"all {len(times)} last judged at {times[0]}" if times[0] == times[-1] else "one before all others"
        raise BadInput(
            f"expected two queries or more judged before others, to split by time, found {found}; give judgments their "
            "judged_at, or use --split query"
        )
    moment: datetime = times[min(options, key=lambda i: (abs(i - wanted), -i))]
    return moment


def _most_common(column: str) -> pl.Expr:
    return pl.col(column).drop_nulls().mode().min()


def _counted(queries: pl.DataFrame) -> str:
    """How many queries there are in each language."""
    counts = queries.group_by("lang").len().sort("len", "lang", descending=[True, False]).iter_rows()
    return ", ".join(f"{count} in {lang}" if lang else f"{count} without a language" for lang, count in counts)


def _with_dev(pairs: pl.DataFrame, queries: pl.Series, seed: int, dev: float) -> tuple[frozenset[str], frozenset[str]]:
    """These queries, two or more, as train and dev sides."""
    return _train_and_dev(_spread(pairs.filter(pl.col("query").is_in(queries.to_list())), seed, least=2), dev)


def _split(queries: Sequence[str], test: set[int], dev: float, most_dev: int | None) -> Split:
    train, held = _train_and_dev([query for place, query in enumerate(queries) if place not in test], dev, most_dev)
    return Split(train, held, frozenset(queries[place] for place in test))


def _train_and_dev(rest: Sequence[str], dev: float, most: int | None = None) -> tuple[frozenset[str], frozenset[str]]:
    """Train and dev, the latter spread evenly over them."""
    places = set(_every(len(rest), _count(dev, len(rest), most)))
    train = frozenset(query for place, query in enumerate(rest) if place not in places)
    return train, frozenset(rest) - train


def _count(share: float, total: int, most: int | None) -> int:
    """How many queries that share is: one at least, and no more than `most`."""
    wanted = max(1, round(share * total))
    return wanted if most is None else min(wanted, most)


def _every(total: int, wanted: int) -> list[int]:
    """`wanted` places spread evenly over `total`."""
    return [(2 * i + 1) * total // (2 * wanted) for i in range(wanted)]


def _spread(pairs: pl.DataFrame, seed: int, least: int) -> list[str]:
    """The queries, neighbours alike in language and size, in an order that the seed decides within a stratum."""
    language = pl.col("lang").drop_nulls().first() if "lang" in pairs.columns else pl.lit(None, dtype=pl.String)
    queries = pairs.group_by("query").agg(size=pl.len(), lang=language).with_columns(pl.col("lang").fill_null(""))
    if queries.height < least:
        raise BadInput(f"expected judgments of at least {least} queries, found {queries.height}; judge more queries")
    quartile = (
        (pl.col("size").rank("ordinal").over("lang", order_by=["size", "query"]) - 1)
        * _SIZE_CLASSES
        // (pl.len().over("lang"))
    )
    order = pl.Series([input_hash(str(seed), query) for query in queries["query"]])
    return queries.with_columns(size_class=quartile, order=order).sort("lang", "size_class", "order")["query"].to_list()
