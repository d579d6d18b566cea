"""The same aggregations on Spark, in local mode: the same rows as DuckDB's. Skips without pyspark or Java."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from table_rows import day, write_rows

from enrich import log_rows, parts
from enrich.backends import BackendLimits, open_backend
from enrich.boards import BoardSettings, run_boards
from enrich.engagement import EngagementSettings, run_engagement
from enrich.engine import LogEngine
from enrich.history import History
from enrich.log_in_place import LogInPlace
from enrich.mapped_columns import Mapping
from enrich.queries import QuerySettings, Refresh, run_pin_queries
from enrich.snapshots import SnapshotSettings
from enrich.tables import (
    BOARD_PINS,
    BOARDS,
    DELETIONS,
    ENGAGEMENTS,
    EVENTS,
    PIN_BOARDS,
    PIN_ENGAGEMENT,
    PIN_QUERIES,
    QUERY_PIN_ENGAGEMENT,
    Table,
)
from enrich.workspace import Catalogue, Workspace

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs a Java runtime", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("default")  # Spark's and pandas', of each other
DAILY = SnapshotSettings(cadence_days=2)
TABLES = (PIN_BOARDS, PIN_QUERIES, PIN_ENGAGEMENT, QUERY_PIN_ENGAGEMENT)


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "1").config("spark.driver.memory", "1g").getOrCreate()
    yield
    session.stop()


def fill_log(workspace: Workspace, days: range) -> None:
    """Five users, four queries, three pins; ties, nulls and a private query."""
    rows = []
    for n in (n for n in range(120) if 1 + n % 6 in days):
        query = ("Vase", "oak  table", "lamp", "jane@example.com")[n % 4]
        user = None if n % 11 == 0 else f"u{n % 5}"
        rows.append(
            {"query": query, "pin_id": "abc"[n * 7 % 3], "event": EVENTS[n // 3 % 5], "position": n % 4 or None,
             "user_hash": user, "lang": None, "event_timestamp": day(1 + n % 6, n)}
        )  # fmt: skip
    write_rows(workspace, ENGAGEMENTS, *rows)


def fill(workspace: Workspace) -> None:
    """Four days of the log, and boards; a deleted user."""
    fill_log(workspace, range(1, 5))
    titles = {"1": "oak tables", "2": "Tables, OAK", "3": "my pins", "4": "vases", "5": "red vases"}
    write_rows(workspace, BOARDS, *({"board_id": b, "title": t, "created_at": day(1)} for b, t in titles.items()))
    saves = [(b, p, 1 + int(b)) for b in titles for p in "abc"[: 1 + int(b) % 3]]
    write_rows(workspace, BOARD_PINS, *({"board_id": b, "pin_id": p, "saved_at": day(d)} for b, p, d in saves))
    write_rows(workspace, DELETIONS, {"kind": "user", "id": "u4", "deleted_at": day(9)})


def rows_of(root: Path, engine: LogEngine) -> dict[Table, pl.DataFrame]:
    workspace = Workspace.at(root / engine)
    workspace.create(Catalogue("native", "inline"))
    fill(workspace)
    limits = BackendLimits(engine=engine)
    run_boards(workspace, BoardSettings(snapshots=DAILY, backend=limits))
    for refresh, days in ((Refresh.FULL, range(0)), (Refresh.MERGE, range(5, 6)), (Refresh.FULL, range(6, 7))):
        fill_log(workspace, days)
        chosen = QuerySettings(min_users=3, snapshots=DAILY, refresh=refresh, backend=limits)
        run_pin_queries(workspace, History(workspace, limits).days(), chosen)
    run_engagement(workspace, EngagementSettings(snapshots=DAILY, backend=limits))
    found = {}
    for table in TABLES:
        rows = parts.scan(workspace.folder(table)).collect().sort("event_timestamp", *table.key)
        found[table] = rows.drop("written_at", "input_hash")  # a hash of the rows' digests, which are the backend's own
    return found


def test_a_log_in_place_is_read_alike(spark: None, tmp_path: Path) -> None:
    at = datetime(2024, 1, 1, 12, tzinfo=UTC)
    good = {"term": "Shoe", "pin_id": "1", "event": "View", "position": "3", "lang": "en-US", "event_timestamp": at}
    wrong: list[dict[str, object]] = [{"term": " "}, {"pin_id": None}, {"event": "stare"}, {"event_timestamp": None}]
    for number, rows in enumerate(
        ([good, good, good | {"position": "0", "lang": "english"}], [good | w for w in wrong]), 1
    ):
        folder = tmp_path / "log" / f"day=2024-01-{number:02}"
        folder.mkdir(parents=True)
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "part.parquet")
    log = LogInPlace(str(tmp_path / "log"), Mapping.parse(["query=term"], ["view=impression"]))
    backends = [open_backend(tmp_path, BackendLimits(engine=name)) for name in LogEngine]
    here, there = (log_rows.read(backend, log).to_polars() for backend in backends)
    assert here.height == 2 and here.sort("position").equals(there.select(here.columns).sort("position"))
    assert log_rows.dropped(backends[0], log) == log_rows.dropped(backends[1], log)


def test_folders_give_what_files_lack_and_those_above_the_log_nothing(spark: None, tmp_path: Path) -> None:
    """On either engine; values are unescaped, and text."""
    at = datetime(2024, 1, 1, 12, tzinfo=UTC)
    folder = tmp_path / "country=US" / "a log"
    for name, columns in (
        ("event=hide/pin_id=007", {"event": "click"}),
        ("event=hide/pin_id=a%20b+c", {"event": "click"}),
        ("event=hide/user_hash=v", {"pin_id": "1"}),
        ("event=hide/user_hash=__HIVE_DEFAULT_PARTITION__", {"pin_id": "2"}),
    ):
        (folder / name).mkdir(parents=True)
        row = {"query": name.partition("/")[2], "lang": "de", "event_timestamp": at}
        pl.DataFrame([row | columns]).write_parquet(folder / name / "part.parquet")
    log = LogInPlace(str(folder))
    for name in LogEngine:
        rows = log_rows.read(open_backend(tmp_path, BackendLimits(engine=name)), log).to_polars().sort("pin_id")
        assert rows.select("pin_id", "event", "user_hash", "lang", "country").rows() == [
            ("007", "click", None, "de", None),
            ("1", "hide", "v", "de", None),
            ("2", "hide", None, "de", None),
            ("a b+c", "click", None, "de", None),
        ]


def test_spark_makes_the_rows_that_duckdb_makes(spark: None, tmp_path: Path) -> None:
    here, there = (rows_of(tmp_path, engine) for engine in (LogEngine.LOCAL, LogEngine.SPARK))
    for table in TABLES:
        assert here[table].height > 0
        assert here[table].equals(there[table]), table.name
