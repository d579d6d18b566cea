"""A second opinion on the point-in-time join: a sample of what the offline store answered, joined again without it.

An offline store that ignores the clock of knowledge, or a time to live, or that rounds times, would leak the future
into training without any error; Feast's stores differ in this. So 64 moments spread over the answer (of a frame that
is written to a file, over its first slice) are looked up in the table's parts, and an answer that differs is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import polars as pl

from enrich import parts
from enrich.errors import CorkboardError
from enrich.tables import BYTES, FLOATS, Table
from enrich.workspace import Workspace

_SAMPLE = 64  # moments of each answer
_WIDE = (FLOATS, BYTES)  # not read again: only that no value stands where no row is known


def feature_name(table: Table, feature: str) -> str:
    """As Feast names it where names are full."""
    return f"{table.name}__{feature}"


@dataclass(frozen=True)
class Group:
    """Views of one key and one moment: joined together, once for each distinct key and time."""

    key: tuple[str, ...]
    lag: timedelta
    features: tuple[tuple[Table, str], ...]  # in the service's order

    @cached_property
    def schema(self) -> pl.Schema:
        """The features' names and types, as their tables declare them."""
        tables = {table.name: table for table, _ in self.features}
        types = {name: pl.DataFrame(pl.from_arrow(table.schema.empty_table())).schema for name, table in tables.items()}
        return pl.Schema({feature_name(table, f): types[table.name][f] for table, f in self.features})


def check(workspace: Workspace, moments: pl.DataFrame, group: Group, answer: pl.DataFrame) -> None:
    """Raises CorkboardError when a sampled row of `answer` (as many rows as `moments`) is not what the table says."""
    step = max(1, moments.height // _SAMPLE)
    sample = moments.hstack(answer).gather_every(step).head(_SAMPLE)
    for table in dict.fromkeys(table for table, _ in group.features):
        features = [feature for of, feature in group.features if of is table]
        narrow = [feature for feature in features if table.schema.field(feature).type not in _WIDE]
        expected = _right_rows(workspace, table, sample.select(*group.key, "event_timestamp"), narrow)
        for feature in features:
            found = sample[feature_name(table, feature)]
            if feature in narrow:
                wrong = _differ(found, expected[feature].cast(found.dtype))
            else:
                wrong = found.is_not_null() & expected["there"].is_null()
            if wrong.any():
                row = sample.filter(wrong).select(*group.key, "event_timestamp").row(0)
                raise CorkboardError(
                    f"expected {table.name}.{feature} as it was known at the moment {row}, found another value in the "
                    "offline store's answer; check that offline_store in feature_store.yaml honours "
                    "created_timestamp_column and ttl, and that no two rows share a key and both clocks"
                )


def _differ(found: pl.Series, right: pl.Series) -> pl.Series:
    if isinstance(found.dtype, pl.List):
        return pl.Series([a != b for a, b in zip(found.to_list(), right.to_list(), strict=True)], dtype=pl.Boolean)
    return found.ne_missing(right)


def _right_rows(workspace: Workspace, table: Table, moments: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """`columns` of the newest row of the key whose clocks have passed at each moment, in the moments' order."""
    asked = moments.with_row_index("place").rename({"event_timestamp": "moment"})
    event, created, moment = pl.col("event_timestamp"), pl.col("created_timestamp"), pl.col("moment")
    rows = parts.scan(workspace.folder(table)).filter(pl.col(table.key[0]).is_in(asked[table.key[0]].to_list()))
    alive = (event <= moment) & (created <= moment)
    if table.ttl:
        alive &= event >= moment - table.ttl
    newest = (
        asked.lazy()
        .join(
            rows.select(*table.key, "event_timestamp", "created_timestamp", *columns),
            on=list(table.key),
            maintain_order="right",  # of rows alike in both clocks the one that stands last counts
        )
        .filter(alive)
        .sort("event_timestamp", "created_timestamp", maintain_order=True)
        .unique(subset="place", keep="last")
        .select("place", *columns, there=pl.lit(True))
        .collect()
    )
    return asked.select("place").join(newest, on="place", how="left", maintain_order="left")
