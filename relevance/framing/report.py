"""What a training frame knows, and what a careless join would have leaked into it (`relevance frame`).

Reads a frame (from memory or its parquet file) and the tables of its service; writes the frame where asked.
Coverage is the share of rows where a feature says something, in all and by language. A leak is a row whose value a
careless join would have taken from a moment that had not passed: `newest`, each key's last row, as a plain join on the
key takes it; `one_clock`, the last row that had become true at the pair's own time, known or not, with no gap for
behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl

from enrich import parts
from enrich.errors import BadInput
from enrich.tables import ENRICHED, Kind, Table
from enrich.workspace import Workspace
from relevance.framing.judged import Judged
from relevance.training_frame import GAP, checked_pairs, training_frame, write_training_frame

_TABLES = {table.name: table for table in ENRICHED}
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Rows where a feature is known, of all rows of one language (None: of every language)."""

    feature: str
    lang: str | None
    known: int
    rows: int

    @property
    def share(self) -> float:
        return self.known / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Leak:
    """Of one view: rows that each careless join would have given a value of the future."""

    view: str
    rows: int
    newest: int
    one_clock: int


@dataclass(frozen=True, slots=True)
class FrameReport:
    rows: int
    coverage: tuple[Coverage, ...]
    leaks: tuple[Leak, ...]


def made_frame(
    workspace: Workspace, service: str, pairs: Path | None, out: Path | None, gap: timedelta = GAP
) -> FrameReport:
    """Join `service` to the pairs in a parquet file, by default the judged ones, write them to `out`, and report.

    Raises BadInput where `pairs` cannot be read or `out` is no .parquet file, and as `training_frame` does.
    """
    if out is not None and out.suffix != ".parquet":
        raise BadInput(f"expected --out to name a .parquet file, found {out.name}; a frame is written as parquet")
    asked = Judged.of(workspace).pairs if pairs is None else _read(pairs)
    if out is None:
        return frame_report(workspace, training_frame(workspace, asked, service, gap), gap)
    write_training_frame(workspace, asked, service, out, gap)
    return frame_report(workspace, pl.scan_parquet(out), gap)


def _read(pairs: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(pairs)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"expected pairs in a parquet file at {pairs}, found none that can be read ({error})") from error


def frame_report(workspace: Workspace, frame: pl.DataFrame | pl.LazyFrame, gap: timedelta = GAP) -> FrameReport:
    """Of a frame that `training_frame` gave with `gap`, or of `pl.scan_parquet` of one in a file."""
    lazy = frame.lazy()
    features = [name for name in lazy.collect_schema().names() if name.partition("__")[0] in _TABLES]
    pairs = checked_pairs(lazy.select("query", "pin_id", "event_timestamp").collect())
    views = dict.fromkeys(name.partition("__")[0] for name in features)
    leaks = [_leak(workspace, _TABLES[view], pairs, gap) for view in views]
    return FrameReport(pairs.height, tuple(_coverage(lazy, features)), tuple(leaks))


def _coverage(frame: pl.LazyFrame, features: list[str]) -> list[Coverage]:
    schema = frame.collect_schema()
    langs = [name for name in ("lang", "query_features__lang", "pin_text__lang") if name in schema]
    known = [_known(name, schema[name]).sum().alias(name) for name in features]
    lang = pl.coalesce(*(pl.col(name).cast(pl.String) for name in langs), pl.lit(_UNKNOWN))  # the first that is known
    grouped = frame.group_by(lang.alias("__lang")).agg(pl.len().alias("__rows"), *known).sort("__lang")
    counted = grouped.filter(pl.col("__rows") > 0).collect()  # a lone group stands there even without rows
    total = int(counted["__rows"].sum())
    found = []
    for name in features:
        found.append(Coverage(name, None, int(counted[name].sum()), total))
        rows = zip(counted["__lang"].to_list(), counted[name].to_list(), counted["__rows"].to_list(), strict=True)
        found += [Coverage(name, language, there, of) for language, there, of in rows]
    return found


def _known(name: str, dtype: pl.DataType) -> pl.Expr:
    """Whether the value says something: an empty text or list does not."""
    column = pl.col(name)
    if isinstance(dtype, pl.List):
        return column.list.len().fill_null(0) > 0
    return (column.str.len_bytes().fill_null(0) > 0) if dtype == pl.String else column.is_not_null()


def _leak(workspace: Workspace, table: Table, pairs: pl.DataFrame, gap: timedelta) -> Leak:
    lag = gap if table.kind is Kind.BEHAVIOUR else timedelta(0)
    asked = pairs.with_columns(moment=pl.col("event_timestamp") - lag).rename({"event_timestamp": "at"}).to_arrow()
    pattern = parts.glob(workspace.folder(table)).replace("'", "''")
    key, joined = ", ".join(table.key), " AND ".join(f"asked.{name} = rows.{name}" for name in table.key)
    future = "count(*) FILTER (event > moment OR known > moment)"
    connection = duckdb.connect()
    connection.register("asked", asked)
    connection.execute(
        f"CREATE TEMP VIEW rows AS SELECT {key}, event_timestamp AS event, max(created_timestamp) AS known "
        f"FROM read_parquet('{pattern}', hive_partitioning = false) GROUP BY ALL"
    )
    newest = connection.execute(
        f"SELECT {future} FROM asked JOIN (SELECT {key}, max(event) AS event, arg_max(known, event) AS known "
        f"FROM rows GROUP BY ALL) AS rows ON {joined}"
    ).fetchall()[0][0]
    one_clock = connection.execute(f"SELECT {future} FROM asked ASOF JOIN rows ON {joined} AND asked.at >= rows.event")
    return Leak(table.name, pairs.height, newest, one_clock.fetchall()[0][0])


def render(report: FrameReport) -> str:
    """The report as plain text."""
    lines = [f"{report.rows:,} rows", f"{'feature':44}{'known':>8}  by language"]
    overall = [cover for cover in report.coverage if cover.lang is None]
    for cover in overall:
        of = [one for one in report.coverage if one.feature == cover.feature and one.lang is not None]
        lines.append(f"{cover.feature:44}{cover.share:>8.1%}  " + ", ".join(f"{o.lang} {o.share:.0%}" for o in of[:8]))
    lines.append(f"{'rows a careless join would have leaked':44}{'newest row':>12}{'one clock':>12}")
    lines += [f"{leak.view:44}{leak.newest:>12,}{leak.one_clock:>12,}" for leak in report.leaks]
    return "\n".join(lines)
