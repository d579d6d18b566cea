"""Takes raw tables into a workspace: clean and judge them all aside first, then replace the sources, manifest last.

Nothing of an existing workspace changes until every table has been read, cleaned and found fit. Rows stream from the
file to parquet, so a log need not fit in memory.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from enrich import log_in_place, log_rows, mostly_bad, parts
from enrich.backends import BOUNDED, open_backend
from enrich.errors import BadInput
from enrich.importers import files, unseen
from enrich.importers.clean import BLANKED, DROPPED, Default, clean, default, refuse_other_scale
from enrich.importers.future import future_note, has_been
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.importers.report import ZERO_POSITION, ImportReport, TableReport
from enrich.importers.revisions import Earlier, date_revisions
from enrich.log_in_place import LogInPlace
from enrich.row_limits import EPOCH
from enrich.tables import (
    BOARD_PINS,
    BOARDS,
    DELETIONS,
    ENGAGEMENTS,
    EXPERIMENT_LOG,
    JUDGMENTS,
    PINS,
    SOURCES,
    TIMESTAMP,
    Table,
)
from enrich.workspace import Catalogue, Workspace, Writing

START = datetime(2000, 1, 1, tzinfo=UTC)  # Default.START, unless the catalogue holds something earlier
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
PART_ROWS = 250_000
_MICROSECOND = timedelta(microseconds=1)
_ASIDE = ".import-"


@dataclass(frozen=True, slots=True)
class Staged:
    """A table cleaned into a parquet file aside, and what was found there."""

    raw: RawTable
    path: Path
    good: int
    dropped: Counter[str]
    blanked: Counter[str]
    earliest: datetime | None
    latest: datetime | None


@dataclass(frozen=True, slots=True)
class Span:
    """The times that stand in where the catalogue has none."""

    start: datetime
    end: datetime

    def reaching(self, latest: datetime | None) -> Span:
        """Ending after the last content that an import dated, so that who judged at an unknown time has seen it."""
        return replace(self, end=max(self.end, latest + SECOND)) if latest else self


def write(raw: RawCatalogue, catalogue: Catalogue, workspace: Workspace, corrected: bool = False) -> ImportReport:
    """Replace the workspace's sources by `raw`, cleaned. Tables that `raw` does not carry end empty. `corrected`: the
    words that changed were wrong before (`revisions.py`).

    Raises BadInput, with the workspace as it was, when a table is missing a column, cannot be read or is mostly bad,
    when no pin is left, or when the workspace holds another catalogue; CorkboardError while another command writes it.
    """
    workspace.admit(catalogue)
    new = not workspace.root.exists()
    workspace.root.mkdir(parents=True, exist_ok=True)
    with workspace.alone(Writing.TABLES):
        _sweep(workspace)
        try:
            with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=workspace.root) as aside:
                return _write(raw, catalogue, workspace, Path(aside), corrected)
        except BaseException:
            if new:
                workspace.lock(Writing.TABLES).unlink()
                with suppress(OSError):  # not empty: the failure came late, and what is there may be of use
                    workspace.root.rmdir()
            raise


def _write(raw: RawCatalogue, catalogue: Catalogue, workspace: Workspace, aside: Path, corrected: bool) -> ImportReport:
    staged = [_stage(source, aside) for source in raw.tables]
    for found in staged:
        refuse_other_scale(found.raw, found.path, found.dropped)
        _refuse_mostly_bad(found)
    pins = next((found for found in staged if found.raw.table is PINS), None)
    if not (pins and pins.good):
        raise BadInput(
            f"expected at least one pin in {catalogue.origin}, found none; a catalogue needs a row a pin with its id"
        )
    span, earlier = _span(staged), Earlier.of(workspace)
    unsaid, pin_report = _finish(pins, span, aside)
    revised = date_revisions(unsaid, earlier, aside, corrected)
    span = span.reaching(revised.latest)
    finished = [(revised.path, pin_report) if found is pins else _finish(found, span, aside) for found in staged]
    in_place = _log_report(raw.log, workspace) if raw.log else None
    reports = (*(report for _, report in finished), *((in_place,) if in_place else ()))
    notes = (
        *raw.notes,
        *(note for report in reports for note in report.notes()),
        *((f"engagements: left at {raw.log.pattern} and read there with each run",) if raw.log else ()),
        *(note for found in staged for note in _default_notes(found, span)),
        *unseen.notes(revised, earlier, aside / f"{JUDGMENTS.name}.parquet", corrected),
        *unseen.behaviour_notes(aside),
        *_reference_notes(aside),
        *_boardless_note(aside),
        *future_note(aside / f"{PINS.name}.parquet"),
    )
    report = ImportReport(catalogue.format, catalogue.origin, reports, notes)
    workspace.begin_import()
    log_in_place.save(workspace.root, raw.log)
    for table in SOURCES:
        parts.create(workspace.folder(table), table)
        ready = next((path for path, done in finished if done.table == table.name), None)
        parts.replace_all(workspace.folder(table), table, _batches(ready) if ready else ())
    report.save(workspace)
    workspace.create(catalogue)
    return report


def _sweep(workspace: Workspace) -> None:
    """Remove what imports that were killed had written aside."""
    for folder in workspace.root.glob(f"{_ASIDE}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for file in workspace.root.glob(".import.json.*"):
        file.unlink(missing_ok=True)
    for table in SOURCES:
        parts.sweep(workspace.folder(table))


def _log_report(log: LogInPlace, workspace: Workspace) -> TableReport:
    """What a log that stays where it is has to offer. Raises BadInput where it is mostly bad."""
    backend = open_backend(workspace.root / ".spill", BOUNDED)
    kept, dropped = log_rows.dropped(backend, log)
    blanked = +Counter({ZERO_POSITION: log_rows.zero_positions(backend, log)})
    mostly_bad.refuse(log.uri, ENGAGEMENTS.name, kept, Counter({r: n for r, n in dropped.items() if r != "duplicate"}))
    return TableReport(ENGAGEMENTS.name, kept, dropped, blanked)


def _stage(raw: RawTable, aside: Path) -> Staged:
    path = aside / f"{raw.table.name}.staged.parquet"
    try:
        clean(raw).sink_parquet(path, compression="zstd")
    except (pl.exceptions.PolarsError, duckdb.Error, OSError) as error:
        raise files.unreadable(raw.origin, f"rows of {raw.table.name}", error) from error
    rows = pl.scan_parquet(path)
    good = rows.filter(pl.col(DROPPED).is_null())
    flags = [name for name in rows.collect_schema().names() if name.startswith(BLANKED)]
    times = [column.name for column in raw.table.columns if column.type == TIMESTAMP]
    summary = good.select(
        pl.len(),
        *(pl.col(flag).sum() for flag in flags),
        pl.min_horizontal(pl.col(name).min() for name in times).alias("earliest")
        if times
        else pl.lit(None).alias("earliest"),
        pl.max_horizontal(has_been(pl.col(name)).max() for name in times).alias("latest")
        if times
        else pl.lit(None).alias("latest"),
    ).collect()
    found = summary.row(0, named=True)
    reasons = rows.group_by(DROPPED).len().drop_nulls(DROPPED).collect()
    dropped = Counter(dict(reasons.rows()))
    if raw.unreadable:
        dropped["unreadable-line"] += raw.unreadable
    blanked = Counter({flag.removeprefix(BLANKED): found[flag] for flag in flags if found[flag]})
    return Staged(raw, path, found["len"], dropped, blanked, found["earliest"], found["latest"])


def _refuse_mostly_bad(staged: Staged) -> None:
    mostly_bad.refuse(staged.raw.origin, staged.raw.table.name, staged.good, staged.dropped)


def _span(staged: list[Staged]) -> Span:
    earliest = min((table.earliest for table in staged if table.earliest), default=START)
    start = START if earliest >= START else max(EPOCH, earliest - DAY)
    latest = max((table.latest for table in staged if table.latest), default=start)
    return Span(start, latest + DAY)


def _finish(staged: Staged, span: Span, aside: Path) -> tuple[Path, TableReport]:
    """The good rows with their defaults filled and without duplicates, in a second file."""
    table = staged.raw.table
    values = {Default.START: span.start, Default.END: span.end, Default.FALSE: False}
    rows = pl.scan_parquet(staged.path).filter(pl.col(DROPPED).is_null()).select(c.name for c in table.columns)
    for column in table.columns:
        stand_in = default(table, column) if column.required else None
        if stand_in:
            rows = rows.with_columns(pl.col(column.name).fill_null(pl.lit(values[stand_in])))
    path = aside / f"{table.name}.parquet"
    _distinct(table, rows).sink_parquet(path, compression="zstd")
    kept = pq.ParquetFile(path).metadata.num_rows
    dropped = staged.dropped.copy()
    if kept < staged.good:
        dropped["duplicate"] = staged.good - kept
    return path, TableReport(table.name, kept, dropped, staged.blanked)


def _distinct(table: Table, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Without duplicates: the newest row of a key; in a log, where a key may come again, the first of equal rows.

    A log's rows that name no user and no time of day all stay: as many people may have done that.
    """
    key = list(table.key)
    if table is ENGAGEMENTS:
        untold = pl.col("user_hash").is_null() & (pl.col("event_timestamp").dt.epoch("us") % (DAY // _MICROSECOND) == 0)
        apart = rows.with_row_index("row").with_columns(row=pl.when(untold).then(pl.col("row")))
        return apart.unique(keep="first", maintain_order=True).drop("row")
    if table is EXPERIMENT_LOG:
        return rows.unique(keep="first", maintain_order=True)
    if table is PINS:
        return _newest(rows, key, pl.coalesce("updated_at", "created_at"))
    if table is JUDGMENTS:  # a vote without a name is a vote of its own
        vote = pl.when(pl.col("annotator_id").is_null()).then(pl.col("row"))
        votes = rows.with_row_index("row").with_columns(vote=vote)
        return _newest(votes, [*key, "vote"], pl.col("judged_at")).drop("row", "vote")
    newest = {BOARDS: "created_at", BOARD_PINS: "saved_at", DELETIONS: "deleted_at"}.get(table)
    return _newest(rows, key, pl.col(newest)) if newest else rows.unique(key, keep="last", maintain_order=True)


def _newest(rows: pl.LazyFrame, key: list[str], time: pl.Expr) -> pl.LazyFrame:
    return rows.sort(time, maintain_order=True).unique(key, keep="last", maintain_order=True)


def _default_notes(staged: Staged, span: Span) -> Iterator[str]:
    values = {Default.START: f"{span.start:%Y-%m-%d}", Default.END: f"{span.end:%Y-%m-%d}", Default.FALSE: "false"}
    for column in staged.raw.table.columns:
        stand_in = default(staged.raw.table, column) if column.required else None
        if stand_in is None:
            continue
        rows = pl.scan_parquet(staged.path).filter(pl.col(DROPPED).is_null() & pl.col(column.name).is_null())
        absent = rows.select(pl.len()).collect().item()
        if absent:
            name = f"{staged.raw.table.name}.{column.name}"
            yield f"{name}: absent in {absent:,} rows, taken as {stand_in}, {values[stand_in]}"


def _reference_notes(aside: Path) -> Iterator[str]:
    """Rows that find no pin."""
    pins = pl.scan_parquet(aside / f"{PINS.name}.parquet").select("pin_id")
    for table in (BOARD_PINS, ENGAGEMENTS, JUDGMENTS):
        path = aside / f"{table.name}.parquet"
        if not path.is_file():
            continue
        unknown = pl.scan_parquet(path).join(pins, on="pin_id", how="anti").select(pl.len())
        if count := unknown.collect(engine="streaming").item():
            yield f"{table.name}: {count:,} name a pin that the catalogue does not have"


def _boardless_note(aside: Path) -> Iterator[str]:
    """Saves to a board that is not there, for the boards were not given or dropped: nothing is made of them."""
    saves, boards = (aside / f"{table.name}.parquet" for table in (BOARD_PINS, BOARDS))
    if not saves.is_file():
        return
    lost = pl.scan_parquet(saves)
    if boards.is_file():
        lost = lost.join(pl.scan_parquet(boards), on="board_id", how="anti")
    count = lost.select(pl.len()).collect(engine="streaming").item()
    if count:
        yield f"{BOARD_PINS.name}: {count:,} name a board that the catalogue does not have, and are not counted"


def _batches(path: Path) -> Iterator[pa.Table]:
    for batch in pq.ParquetFile(path).iter_batches(PART_ROWS):
        yield pa.Table.from_batches([batch])
