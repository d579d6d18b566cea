"""What was deleted is taken out of every table and of the online store, before anything else of a run.

Reads `deletions`; rewrites the parts of source and enriched tables that still hold a row of something deleted, takes
what has no rows any more out of W/picture_twins.db, and writes W/erased.json, what was last taken out (`enrich erase`;
every other step begins with it).

A deleted pin loses its rows everywhere, and its page in W/visits where no other pin links to that; where it had values
of its own (tables keyed by pin) one row of nulls stays, dated now, with the reason "deleted", so that Feast's
incremental load takes the values back from any online store: no load of the table ends meanwhile. A
deleted user loses boards, saves and log rows; a deleted board its saves. A query that nobody's log or judgment holds
any more loses its rows in the tables keyed by query, whose key is the words themselves; what boards and queries say of
other pins is computed anew by `enrich boards` and `enrich queries`, since their sources changed. Sources are rewritten
last: a kill before that repeats the whole, with the same result.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

import enrich
from enrich import job, parts, picture_twins, query_merge, snapshot_state, tables
from enrich.history import History
from enrich.job import JobReport
from enrich.links import linked_pins
from enrich.normalise import normalise_query
from enrich.stores import online_erasure, row_files, view_loads
from enrich.tables import ENRICHED, SOURCES, Table
from enrich.web import visits
from enrich.workspace import Workspace

DELETED = "deleted"  # the reason of the one row that a deleted pin keeps in a table
PRODUCER = "erasure/1"
_RULE = "erasure/3"  # of which rows go: with another one all is looked at again
_RECORD = "erased.json"
_LOAD_SECONDS = 600.0  # to wait for a load of the same table
_QUERY_TABLES = tuple(table for table in ENRICHED if table.key[0] == "query" and table is not tables.JUDGMENT)
_SOURCE_RULES = {  # which rows of a source go; `gone_*` are the deleted ids
    tables.BOARD_PINS: "pin_id IN (FROM gone_pin) OR board_id IN (FROM gone_board)",
    tables.BOARDS: "board_id IN (FROM gone_board)",
    tables.ENGAGEMENTS: "pin_id IN (FROM gone_pin) OR lower(user_hash) IN (FROM gone_user)",
    tables.EXPERIMENT_LOG: "pin_id IN (FROM gone_pin) OR lower(user_hash) IN (FROM gone_user)",
    tables.JUDGMENTS: "pin_id IN (FROM gone_pin)",
    tables.PINS: "pin_id IN (FROM gone_pin)",
}


class Erased(NamedTuple):
    """The last erasure: when, of which state, rows by table, and the models that had been made by then."""

    at: str
    of: str
    rows: dict[str, int]
    models: list[str]


def run_erasure(workspace: Workspace) -> JobReport:
    """Take out what was deleted; nothing is read where neither deletions nor sources changed since.

    In the report `made` counts rows taken out, `failed` is what could not be done, by reason; what an online store that
    did not answer, or was being loaded all the while, still holds is tried again by every run until it does.
    """
    failed = Counter[str]()
    _settle(workspace, failed)
    state = _state(workspace)
    before = last_erasure(workspace)
    if state is None or (before and before.of == state):
        return JobReport("deletions", 0, 0, failed)
    History(workspace).forget_deleted()  # first: what it leaves says which queries others asked
    engine = _engine(workspace)
    _sweep(workspace)
    _forget_pages(workspace)
    rows = Counter[str]()
    for table in ENRICHED:
        doomed = _doomed(table)
        if doomed:
            rows[table.name] += _erase_enriched(workspace, engine, table, doomed, failed)
    picture_twins.forget_deleted(workspace)
    for table, rule in _SOURCE_RULES.items():
        rows[table.name] += _rewrite(workspace, engine, table, rule)
    rows = +rows
    if rows:
        shutil.rmtree(workspace.root / query_merge.FOLDER, ignore_errors=True)  # as private as the log was
    models = sorted(_models(workspace)) if rows else []
    if not rows and before:  # nothing new: what is remembered is still the last erasure, of another state
        rows, models = Counter(before.rows), before.models
    record = Erased(datetime.now(UTC).isoformat(), _state(workspace) or state, dict(rows), models)
    parts.write_text(workspace.root / _RECORD, json.dumps(record._asdict(), indent=1) + "\n")
    return JobReport("deletions", 0, rows.total(), failed)


def _sweep(workspace: Workspace) -> None:
    """Remove what runs that were killed had written aside: no table has it, and it may say what was deleted.

    Not of the soft labels, which `relevance label` may be writing meanwhile: they hold no text but a query.
    """
    for table in (*SOURCES, *ENRICHED):
        if table is not tables.SOFT_LABEL:
            parts.sweep(workspace.folder(table))
            snapshot_state.sweep(workspace.folder(table))


def _forget_pages(workspace: Workspace) -> None:
    """Of the visited pages those stay that a pin still links to, as `enrich links` would leave them."""
    if visits.exist(workspace):
        visits.tidy(workspace, linked_pins(workspace).select("page"))


def last_erasure(workspace: Workspace) -> Erased | None:
    """What was taken out last; None where nothing was, or the record cannot be read (then all is looked at again)."""
    try:
        return Erased(**json.loads((workspace.root / _RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _state(workspace: Workspace) -> str | None:
    """A hash of the deletions and of the names of all parts that may hold what they name; None where there never were
    any. Those that were taken back count: the rows of nulls that they left have to go.

    Enriched parts are not in it: what the steps write after an erasure is made without what was deleted.
    """
    named = parts.scan(workspace.folder(tables.DELETIONS)).select("kind", "id").unique()
    deletions = named.sort("kind", "id").collect()
    if deletions.is_empty() and not (workspace.root / _RECORD).is_file():
        return None
    files = [part for table in SOURCES for part in sorted(workspace.folder(table).glob("*.parquet"))]
    described = [f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return job.input_hash(_RULE, repr(deletions.rows()), *described)


def _engine(workspace: Workspace) -> duckdb.DuckDBPyConnection:
    """A connection that knows what is gone: gone_pin, gone_board (its owners' too), gone_user, gone_query."""
    engine = duckdb.connect()
    engine.execute(f"CREATE TABLE gone AS SELECT DISTINCT kind, id FROM {_parts(workspace, tables.DELETIONS)}")
    for kind, id in (("pin", "id"), ("user", "lower(id) AS id")):  # hashes are written in either case
        engine.execute(f"CREATE TABLE gone_{kind} AS SELECT DISTINCT {id} FROM gone WHERE kind = '{kind}'")
    engine.execute(
        "CREATE TABLE gone_board AS SELECT id FROM gone WHERE kind = 'board' UNION "
        f"SELECT board_id FROM {_parts(workspace, tables.BOARDS)} WHERE lower(owner_hash) IN (FROM gone_user)"
    )
    engine.execute("CREATE TABLE gone_query (query VARCHAR)")
    if engine.sql("SELECT count(*) FROM gone_user").fetchall()[0][0]:
        orphans = pl.DataFrame({"query": sorted(_orphans(workspace, engine))}, schema={"query": pl.String})
        engine.register("orphans", orphans.to_arrow())
        engine.execute("INSERT INTO gone_query SELECT query FROM orphans")
    return engine


def _orphans(workspace: Workspace, engine: duckdb.DuckDBPyConnection) -> set[str]:
    """Keys in the tables keyed by query that nothing in the log, without the deleted users', or the judgments has.

    What W/log_days knows of files that a log in place let go counts as the log: without it their queries were nobody's.
    """
    keys = " UNION ".join(f"SELECT query FROM {_parts(workspace, table)}" for table in _QUERY_TABLES)
    known = {query for (query,) in engine.sql(keys).fetchall()}
    if not known:
        return known
    judged = " UNION ".join(f"SELECT query FROM {_parts(workspace, t)}" for t in (tables.JUDGMENTS, tables.JUDGMENT))
    history = History(workspace)
    log = history.without_deleted(history.log(), "user", "user_hash").select("query").distinct()
    for left in (engine.sql(judged).pl(), log.to_polars()):
        known.difference_update(normalise_query(text) for text in left["query"])
    return known.difference(history.asked_before())


def _doomed(table: Table) -> str:
    """The condition on an enriched table's rows that go; what a pin that is back keeps of its deletion goes too."""
    conditions = []
    if "pin_id" in table.key:
        stays = f"reason IS NOT DISTINCT FROM '{DELETED}'" if _has_tombstones(table) else "false"
        conditions.append(f"(pin_id IN (FROM gone_pin)) <> ({stays})")
    if table in _QUERY_TABLES:
        conditions.append("query IN (FROM gone_query)")
    return " OR ".join(conditions)


def _has_tombstones(table: Table) -> bool:
    """Whether a row of nulls stays, to take values back online. A query's key would be the words themselves."""
    return table.key == ("pin_id",)


def _erase_enriched(
    workspace: Workspace, engine: duckdb.DuckDBPyConnection, table: Table, doomed: str, failed: Counter[str]
) -> int:
    keys = engine.sql(f"SELECT DISTINCT {', '.join(table.key)} FROM {_parts(workspace, table)} WHERE {doomed}").pl()
    if keys.is_empty():
        return 0
    with view_loads.erasing(workspace.folder(table), _LOAD_SECONDS) as alone:
        _remove_online(workspace, table, keys, failed, alone)
        if _has_tombstones(table):
            gone = engine.sql("SELECT id AS pin_id FROM gone_pin").pl()
            _append_tombstones(workspace, table, keys.join(gone, on="pin_id", how="semi"))
        return _rewrite(workspace, engine, table, doomed)


def _remove_online(workspace: Workspace, table: Table, keys: pl.DataFrame, failed: Counter[str], alone: bool) -> bool:
    """Whether the store, where there is one, has lost the keys; if it did not answer, or a load is under way (not
    `alone`), they are owed.
    """
    if not alone:
        fault: str | None = online_erasure.LOADING
    elif online_erasure.UNREACHED in failed:  # one wait for its timeouts is enough
        fault = online_erasure.UNREACHED
    else:
        fault = online_erasure.forget(workspace, table, keys)
    owed = fault in (online_erasure.LOADING, online_erasure.UNREACHED)
    if owed:
        online_erasure.owe(workspace, table, keys)
    if fault:
        failed[fault] += keys.height
    return not owed


def _settle(workspace: Workspace, failed: Counter[str]) -> None:
    """Remove what an earlier run could not, but what has come back meanwhile."""
    for table in ENRICHED:
        keys = online_erasure.owed(workspace, table)
        if keys.is_empty():
            continue
        rows = parts.scan(workspace.folder(table))
        if _has_tombstones(table):
            rows = rows.filter(pl.col("reason").ne_missing(pl.lit(DELETED)))
        gone = keys.join(rows.select(table.key).unique().collect(), on=table.key, how="anti")
        with view_loads.erasing(workspace.folder(table), _LOAD_SECONDS) as alone:
            if gone.is_empty() or _remove_online(workspace, table, gone, failed, alone):
                online_erasure.settled(workspace, table)


def _append_tombstones(workspace: Workspace, table: Table, keys: pl.DataFrame) -> None:
    now = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    had = parts.scan(workspace.folder(table)).filter(pl.col("reason").eq_missing(pl.lit(DELETED))).select("pin_id")
    new = keys.join(had.collect(), on="pin_id", how="anti")
    if new.is_empty():
        return
    rows = new.with_columns(
        event_timestamp=now,
        created_timestamp=now,
        written_at=now,
        backfilled=pl.lit(False),
        producer=pl.lit(PRODUCER),
        code_version=pl.lit(enrich.__version__),
        input_hash=pl.lit(job.input_hash(None)),
        reason=pl.lit(DELETED),
    )
    parts.append(workspace.folder(table), table, rows.to_arrow())


def _rewrite(workspace: Workspace, engine: duckdb.DuckDBPyConnection, table: Table, doomed: str) -> int:
    """Each part that holds such rows, without them, in its place; how many went."""
    folder, gone = workspace.folder(table), 0
    for part in sorted(folder.glob("*.parquet")):
        rows = _file(part)
        found = engine.sql(f"SELECT count(*) FROM {rows} WHERE {doomed}").fetchall()[0][0]
        if found:
            snapshot_state.forget(folder)
            kept = engine.sql(f"SELECT * FROM {rows} WHERE ({doomed}) IS NOT TRUE").pl()
            parts.append(folder, table, kept.to_arrow(), name=part.stem.removeprefix("part-"))
            gone += found
    if gone:
        row_files.forget(folder)
    return gone


def _models(workspace: Workspace) -> set[str]:
    """Finished artefacts that were made before now, by their path in the workspace: they may have seen what is gone."""
    return {str(path.parent.relative_to(workspace.root)) for path in workspace.models.rglob("made_from.json")}


def _parts(workspace: Workspace, table: Table) -> str:
    return f"read_parquet('{_quoted(parts.glob(workspace.folder(table)))}', hive_partitioning = false)"


def _file(part: Path) -> str:
    return f"read_parquet('{_quoted(str(part))}', hive_partitioning = false)"


def _quoted(text: str) -> str:
    return text.replace("'", "''")
