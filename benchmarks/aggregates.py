"""The four aggregations of the log over 100 million rows, on two cores within 4 GB, beside a bare scan of them.

    python -m benchmarks.aggregates [--json] [--rows 100000000] [--small]

A log of 20 million (query, pin) pairs with long tails on both sides, written by DuckDB straight to parquet, a folder a
day (hive partitions), is aggregated by the expressions of the jobs: a pin's counts, a pair's counts, the engaged
queries with their distinct users and position bias, and how often each query was searched for. Beside each: DuckDB
scanning and hashing the columns that it reads; and the obvious Polars and pandas version of the pairs' counts and the
engaged queries, each in a process of its own with the same 4 GB, at the largest of the sizes that it survives.

`ratio` is scan time over engaged-queries time (higher is better); marks: counts within 6 times their scan, engaged
queries within 20, peak memory within 4 GB. A hundredth and a tenth of the rows say how time grows, and with that what a
billion would cost. Data are made again when absent (build/aggregates). With fewer --rows it is the same on less.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from benchmarks._report import Mark, Report, finish, peak_mb
from benchmarks.rivals import plain_aggregates
from enrich import propensity
from enrich.backends import BackendLimits, DuckDBBackend
from enrich.tables import ENGAGEMENT_WINDOWS_DAYS
from enrich.workspace import REPOSITORY

MEMORY, THREADS = "2800MB", 2  # of DuckDB: Python, Arrow and what DuckDB does not count come on top, within 4 GB
LIMIT_GB = 4.0
DAYS = 365  # all of which every aggregation counts
START = datetime(2023, 1, 1, tzinfo=UTC)
COUNTS_MARK, QUERIES_MARK = 6.0, 20.0
FOLDER = REPOSITORY / "build" / "aggregates"
NAMES = ("pin counts", "pair counts", "engaged queries", "query features")
PACKAGES = ("duckdb", "ibis-framework", "polars", "pandas", "pyarrow")


class Measured(NamedTuple):
    seconds: float
    scan: float  # seconds of the bare scan and hash of the same columns
    groups: int
    peak_gb: float


def generate(rows: int, folder: Path) -> None:
    """`rows` engagements of rows / 5 possible pairs: queries and pins by rank, P(rank) falling about as 1 / rank."""
    if (folder / "whole").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    limits = {"memory_limit": MEMORY, "threads": str(THREADS), "temp_directory": str(folder / "spill")}
    engine = duckdb.connect(config={**limits, "preserve_insertion_order": "false"})
    queries, pins, users = max(50, rows // 100), max(50, rows // 25), max(50, rows // 20)
    step = 10  # so many writes, each of its own days, hold few partitions open at once
    for first in range(0, DAYS, DAYS // step):
        days = min(DAYS // step, DAYS - first)
        engine.execute(_ROWS.format(
            rows=rows * days // DAYS, seed=first, first=first, days=days, queries=queries, pins=pins, users=users,
            start=f"{START:%Y-%m-%d}", folder=folder,
        ))  # fmt: skip
    shutil.rmtree(folder / "spill", ignore_errors=True)
    (folder / "whole").touch()


_ROWS = """
COPY (
  WITH drawn AS (
    SELECT
      hash(n) / 18446744073709551616.0 AS a, hash(n + 1) / 18446744073709551616.0 AS b,
      hash(n + 2) / 18446744073709551616.0 AS c, hash(n + 3) AS d, hash(n + 4) AS e
    FROM (SELECT (i + {seed} * 1099511627776) * 5 AS n FROM range({rows}) t(i))
  ), placed AS (
    SELECT floor({queries} ** a)::BIGINT AS q, floor(40 ** b)::BIGINT AS nth, c, d, e FROM drawn
  )
  SELECT
    'query ' || q AS query,
    'pin' || (hash(q, nth) % {pins}) AS pin_id,
    CASE WHEN c < 0.85 THEN 'impression' WHEN c < 0.94 THEN 'click' WHEN c < 0.97 THEN 'long_click'
         WHEN c < 0.99 THEN 'save' ELSE 'hide' END AS event,
    least(nth + d % 3, 60)::BIGINT AS position,
    'u' || (e % {users}) AS user_hash,
    CASE WHEN q % 10 < 7 THEN 'en' WHEN q % 10 < 9 THEN 'de' ELSE 'ja' END AS lang,
    make_timestamptz((epoch_us(TIMESTAMPTZ '{start} 00:00:00+00')
      + ({first} + (d // 3) % {days}) * 86400000000 + (e // 7) % 86400000000)::BIGINT) AS event_timestamp,
    ({first} + (d // 3) % {days})::BIGINT AS day
  FROM placed
) TO '{folder}'
(FORMAT parquet, PARTITION_BY (day), COMPRESSION zstd, FILENAME_PATTERN 'part-{seed}-{{i}}', OVERWRITE_OR_IGNORE)
"""


def aggregations(log: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Each aggregation as the jobs' own expression, and the columns that it reads."""
    from enrich import engagement, queries, query_features

    shorter, longer = ENGAGEMENT_WINDOWS_DAYS
    pins = engagement.counts(_last(log, longer), ["pin_id"], longer)
    recent = engagement.counts(_last(log, shorter), ["pin_id"], shorter)
    pins = pins.left_join(recent, "pin_id").drop("pin_id_right")
    pairs = engagement.counts(_last(log, engagement.PAIR_WINDOW_DAYS), ["query", "pin_id"], engagement.PAIR_WINDOW_DAYS)
    settings = queries.QuerySettings()
    eta = 0.7  # fitting is timed apart: it is one more aggregation, of the pairs that moved
    engaged = queries.best_queries(queries.scores(log, eta, settings.weights), log, settings)
    return {
        "pin counts": (pins, ("pin_id", "event", "day")),
        "pair counts": (pairs, ("query", "pin_id", "event", "day")),
        "engaged queries": (engaged, ("query", "pin_id", "event", "position", "user_hash")),
        "query features": (query_features.searches(log), ("query", "user_hash", "day")),
    }


def _last(log: Any, days: int) -> Any:
    return log.filter(log.day >= DAYS - days)


def measure(folder: Path, name: str) -> Measured:
    """One aggregation, written to parquet as its rows come, in a process of its own; and the bare scan."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(_measure, (folder, name))


def _measure(folder: Path, name: str) -> Measured:
    import ibis

    engine = DuckDBBackend(folder.parent / ".spill", BackendLimits(MEMORY, THREADS))
    log = engine.read(sorted(map(str, folder.glob("*/*.parquet"))), hive=str(folder))
    log = log.mutate(refused=ibis.null("string"), user=log.user_hash, day=log.day.cast("int64"))  # partitions are text
    expression, columns = aggregations(log)[name]
    scan = _timed(lambda: engine.connection.raw_sql(_scan(folder, columns)).fetchall())
    out = folder.parent / f".{name.replace(' ', '_')}.parquet"
    sql = ibis.to_sql(expression, dialect="duckdb")
    seconds = _timed(lambda: engine.connection.raw_sql(f"COPY ({sql}) TO '{out}' (FORMAT parquet)").fetchall())
    groups = engine.connection.raw_sql(f"SELECT count(*) FROM read_parquet('{out}')").fetchall()[0][0]
    out.unlink()
    return Measured(seconds, scan, int(groups), peak_mb() / 1000)


def _scan(folder: Path, columns: tuple[str, ...]) -> str:
    rows = f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true)"
    return f"SELECT bit_xor(hash({', '.join(columns)})) FROM {rows}"


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fit_seconds(folder: Path) -> float:
    """How long the position bias takes to be found in the log."""
    engine = DuckDBBackend(folder.parent / ".spill", BackendLimits(MEMORY, THREADS))
    log = engine.read(sorted(map(str, folder.glob("*/*.parquet"))), hive=str(folder))
    return _timed(lambda: propensity.fit_eta(log))


def sizes(rows: int) -> list[int]:
    """`rows`, a tenth and a hundredth of it, ascending."""
    return [size for size in (rows // 100, rows // 10, rows) if size >= 1_000]


def main() -> int:
    """Make the logs, measure every size in turn, and finish with the largest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--small", action="store_true", help="200,000 rows: to see that it runs")
    parser.add_argument("--keep", action="store_true", help="keep the generated logs in build/aggregates")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = 200_000 if options.small else options.rows
    report = Report("aggregates", "rows/s, engaged queries against DuckDB's bare scan and hash", PACKAGES)
    total: dict[int, float] = {}
    for size in sizes(rows):
        folder = FOLDER / str(size)
        generate(size, folder)
        found = {name: measure(folder, name) for name in NAMES}
        total[size] = sum(one.seconds for one in found.values())
        report.figures[f"{size:,} rows, all four, s"] = total[size]
    describe(report, rows, found, total)
    report.figures["position bias, s"] = fit_seconds(FOLDER / str(rows))
    for library in ("polars", "pandas"):
        survived = plain_aggregates.largest(library, [FOLDER / str(size) for size in sizes(rows)], LIMIT_GB)
        report.figures[f"{library}, pair counts and engaged queries"] = survived
    if not options.keep:
        shutil.rmtree(FOLDER, ignore_errors=True)
    return finish(report, options.json)


def describe(report: Report, rows: int, found: dict[str, Measured], total: dict[int, float]) -> None:
    """Marks and figures of the largest size."""
    for name, one in found.items():
        report.figures[f"{name}, rows/s"] = rows / one.seconds
        report.figures[f"{name}, times its scan"] = one.seconds / one.scan
        report.figures[f"{name}, groups"] = one.groups
    engaged = found["engaged queries"]
    report.compare(rows / engaged.seconds, rows / engaged.scan)
    counts = max(found[name].seconds / found[name].scan for name in ("pin counts", "pair counts"))
    report.marks.append(Mark("counts, times their scan", counts, f"<= {COUNTS_MARK}"))
    report.marks.append(Mark("engaged queries, times their scan", engaged.seconds / engaged.scan, f"<= {QUERIES_MARK}"))
    report.marks.append(Mark("peak memory, GB", max(one.peak_gb for one in found.values()), f"<= {LIMIT_GB}"))
    if len(total) > 1:
        (fewer, before), (more, after) = sorted(total.items())[-2:]
        slope = math.log(after / before) / math.log(more / fewer)
        report.figures["time grows as rows to the power of"] = slope
        report.figures["a billion rows by that slope, hours"] = after * (1e9 / more) ** slope / 3600


if __name__ == "__main__":
    sys.exit(main())
