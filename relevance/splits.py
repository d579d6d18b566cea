"""Who is taught and who is asked: splits by query, so that no query stands on both sides.

Reads pairs (a frame with `query` and, where known, `lang`), gives each query a side. Deterministic: a query's place
follows from its hash and the seed, not from the order of the rows. Stratified by language and by how many pairs the
query has, so that every side holds large and small queries of each language.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from enrich.errors import BadInput
from enrich.job import input_hash

_SIZE_CLASSES = 4  # strata of a query's number of pairs, by quartile within its language


@dataclass(frozen=True, slots=True)
class Split:
    """The queries of each side; disjoint."""

    train: frozenset[str]
    dev: frozenset[str]
    test: frozenset[str]

    @property
    def held_out(self) -> frozenset[str]:
        """The queries that no training, of teacher or student, may see."""
        return self.dev | self.test


def split_queries(pairs: pl.DataFrame, seed: int = 0, dev: float = 0.1, test: float = 0.2) -> Split:
    """One split: about `test` of the queries to test, `dev` to dev, the rest to train.

    Raises BadInput when there are fewer than three queries, so that a side would be empty.
    """
    queries = _spread(pairs, seed, least=3)
    test_count = max(1, round(test * len(queries)))
    return _split(queries, set(_every(len(queries), test_count)), dev)


def folds(pairs: pl.DataFrame, n: int = 5, seed: int = 0, dev: float = 0.1) -> list[Split]:
    """`n` splits whose test sides together hold every query once; `dev` is that share of each training side.

    Raises BadInput when there are fewer than n queries, or fewer than three.
    """
    if n < 2:
        raise BadInput(f"expected two folds or more, found {n}")
    queries = _spread(pairs, seed, least=max(3, n))
    return [_split(queries, set(range(fold, len(queries), n)), dev) for fold in range(n)]


def _split(queries: Sequence[str], test: set[int], dev: float) -> Split:
    rest = [query for place, query in enumerate(queries) if place not in test]
    dev_places = set(_every(len(rest), max(1, round(dev * len(rest)))))
    return Split(
        train=frozenset(query for place, query in enumerate(rest) if place not in dev_places),
        dev=frozenset(rest[place] for place in dev_places),
        test=frozenset(queries[place] for place in test),
    )


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
