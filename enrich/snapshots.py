"""The cadence of the behaviour tables: what was known at each snapshot, as one atomic part a snapshot.

Reads how the sources changed over time (`Change`), writes `part-snapshot-TIME.parquet` beside a manifest,
`snapshots.json`, in the table's folder. `enrich boards|queries|engagement|graph` run on it.

A snapshot is a multiple of the cadence from the epoch; its rows use sources strictly before it, are true from it
(`event_timestamp`) and known `delay` later (`created_timestamp`). Only a key whose values differ from its latest
earlier row gets a row; a key that lost its values gets one row of nulls with the reason "none-left". Where a snapshot
is written again, each key of the part that goes has a row in the new one: an online store that was loaded from the old
one takes a correction of equal clocks, and none that is older.

A snapshot is computed once for one producer and one `input_hash`, a chained hash over all source rows before it. New
log rows leave earlier snapshots alone; a re-import or a deletion that reaches behind a snapshot makes it, and all after
it, stale: they are written again, so what was deleted is in none of them. The manifest is written after its part: a
kill in between repeats one snapshot, with the same rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

import enrich
from enrich import parts, snapshot_manifest, snapshot_state
from enrich.errors import BadInput
from enrich.job import BACKFILL_AFTER, JobReport
from enrich.progress import progress
from enrich.snapshot_manifest import SnapshotRecord
from enrich.stores import row_files
from enrich.tables import Table
from enrich.workspace import Workspace

NONE_LEFT = "none-left"  # the reason of a key that had values at an earlier snapshot and has none now
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = "snapshot-%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """When behaviour is computed, and when it can be used."""

    cadence_days: int = 30  # between two snapshots, days
    delay: timedelta = timedelta(hours=24)  # from a snapshot until a pipeline would have delivered its rows
    as_of: datetime | None = None  # compute nothing that was not known then; None for now

    def __post_init__(self) -> None:
        if self.cadence_days < 1:
            raise BadInput(f"expected --cadence-days of at least 1, found {self.cadence_days}; name whole days")
        if self.delay < timedelta(0):
            raise BadInput(f"expected a delay of at least 0, found {self.delay}; name a time to come")
        if self.as_of is not None and self.as_of.tzinfo is None:
            raise BadInput(f"expected --as-of with a time zone, found {self.as_of.isoformat()}; add one (+00:00)")

    @property
    def cadence(self) -> timedelta:
        return timedelta(days=self.cadence_days)

    @property
    def horizon(self) -> datetime:
        """The last moment at which a snapshot may be."""
        now = datetime.now(UTC)
        return min(self.as_of, now) if self.as_of else now


class Change(NamedTuple):
    """The source rows of one period: snapshot `period` * cadence is the first that does not see them."""

    period: int  # time since the epoch // cadence
    rows: int
    digest: int  # of the rows, whatever their order


class Snapshot(NamedTuple):
    at: datetime
    input_hash: str


class Computed(NamedTuple):
    """A snapshot's values: the table's key and features, one row a key; and what was left out, counted by reason."""

    values: pl.DataFrame
    dropped: Counter[str]


Compute = Callable[[datetime, pl.DataFrame], Computed]
"""From the snapshot and the latest earlier row of each key (key, features, reason) to the snapshot's values."""


def due_snapshots(first: datetime, last: datetime, settings: SnapshotSettings) -> list[datetime]:
    """The multiples of the cadence after `first`, up to the first that sees `last`, none beyond the horizon."""
    return [moment for moment in _moments(first, last, settings) if moment <= settings.horizon]


def first_due(first: datetime, settings: SnapshotSettings) -> datetime:
    """The first snapshot that sees a row of `first`."""
    return _moments(first, first, settings)[0]


def _moments(first: datetime, last: datetime, settings: SnapshotSettings) -> list[datetime]:
    start, end = period(first, settings) + 1, period(last, settings) + 1
    return [_EPOCH + number * settings.cadence for number in range(start, end + 1)]


def period(moment: datetime, settings: SnapshotSettings) -> int:
    """The number of the cadence's period that holds `moment`."""
    return (moment - _EPOCH) // settings.cadence


def plan(
    log: Sequence[Change],
    settings: SnapshotSettings,
    also: Sequence[Change] = (),
    basis: str = "",
    window: timedelta = timedelta(0),
) -> list[Snapshot]:
    """The snapshots of `log`, those to come too and whatever `as_of` says; each has the hash of all that it depends on.

    That is: `log` and `also` before it, and `basis` and the settings throughout. `window`: how long a row of the log
    counts. A snapshot for which no row came or left since the one before it would say the same, and is left out: one
    row that is dated decades before the others costs what its own window does.
    """
    if not log:
        return []
    numbers = [change.period for change in log]
    ends = [_EPOCH + number * settings.cadence for number in (min(numbers), max(numbers))]
    pending = sorted([(c.period, 0, c) for c in log] + [(c.period, 1, c) for c in also], reverse=True)
    digest = hashlib.blake2b(repr((settings.cadence, settings.delay, basis)).encode(), digest_size=16)
    matters = 1 + -(-window // settings.cadence)  # periods from a row's own to the last at which it leaves
    planned: list[Snapshot] = []
    newest = min(numbers)
    for at in _moments(ends[0], ends[1], settings):
        while pending and pending[-1][0] < period(at, settings):
            newest = max(newest, pending[-1][0])
            digest.update(repr(pending.pop()).encode())
        if period(at, settings) - newest <= matters:
            planned.append(Snapshot(at, digest.copy().hexdigest()))
    return planned


def as_made(
    workspace: Workspace, table: Table, planned: Sequence[Snapshot], lost: Collection[datetime]
) -> list[Snapshot]:
    """`planned`, of which those at `lost` moments, whose sources are gone, are due as they were made, if they were."""
    manifest = snapshot_manifest.read(workspace.folder(table))
    made = {at: Snapshot(at, manifest[at].input_hash) for at in lost if at in manifest}
    return [made.get(one.at, one) for one in planned]


def run(
    workspace: Workspace,
    table: Table,
    planned: Sequence[Snapshot],
    compute: Compute,
    producer: str,
    settings: SnapshotSettings,
) -> JobReport:
    """Bring `table` up to date with `planned`, up to the horizon of `settings`.

    In the report `fresh` and `made` count rows, `failed` what the last snapshot left out, by reason; `due` is the first
    one to come where none is due yet.
    """
    folder = workspace.folder(table)
    manifest = _without_undue(folder, snapshot_manifest.read(folder), planned, producer, settings)
    to_come = [snapshot.at for snapshot in planned if snapshot.at > settings.horizon]
    planned = planned[: len(planned) - len(to_come)]
    state: pl.DataFrame | None = None
    fresh, made = 0, 0
    with progress(len(planned), table.name, unit="snapshot") as bar:
        for snapshot in planned:
            record = manifest.get(snapshot.at)
            if _is_current(folder, record, snapshot, producer):
                fresh += record.rows if record else 0
                state = None
            else:
                state = state if state is not None else _state_before(workspace, table, manifest, snapshot.at)
                computed = compute(snapshot.at, state)
                rows = write_snapshot(workspace, table, snapshot, computed.values, producer, settings, state)
                dropped = dict(computed.dropped)
                manifest[snapshot.at] = SnapshotRecord(producer, snapshot.input_hash, rows.height, dropped)
                snapshot_manifest.write(folder, manifest)
                state = _advance(table, state, rows)
                made += rows.height
            bar.update(1)
    if state is not None:
        last = manifest[planned[-1].at]
        snapshot_state.save(folder, planned[-1].at, last.producer, last.input_hash, state)
    if not planned:
        return JobReport(table.name, 0, 0, due=min(to_come, default=None))
    return JobReport(table.name, fresh, made, Counter(manifest[planned[-1].at].dropped))


def write_snapshot(
    workspace: Workspace,
    table: Table,
    snapshot: Snapshot,
    values: pl.DataFrame,
    producer: str,
    settings: SnapshotSettings,
    earlier: pl.DataFrame,
) -> pl.DataFrame:
    """Write the rows that `snapshot` adds to the latest `earlier` ones as its one part.

    Returns the rows written. A part of zero rows says that nothing changed.
    """
    folder, key = workspace.folder(table), list(table.key)
    features = [column.name for column in table.features]
    typed = _typed(table, values)
    same = earlier.filter(pl.col("reason").is_null()).select(*key, *features)
    said = _said_before(folder, table, snapshot)
    unsaid = same.join(said, on=key, how="anti")
    changed = typed.join(unsaid, on=[*key, *features], how="anti", nulls_equal=True)
    gone = _gone(table, said, typed, earlier)
    now = datetime.now(UTC)
    known = snapshot.at + settings.delay
    rows = pl.concat([changed.with_columns(reason=pl.lit(None, pl.String)), gone], how="diagonal").sort(key)
    rows = rows.with_columns(
        event_timestamp=pl.lit(snapshot.at).cast(pl.Datetime("us", "UTC")),
        created_timestamp=pl.lit(known).cast(pl.Datetime("us", "UTC")),
        written_at=pl.lit(now).cast(pl.Datetime("us", "UTC")),
        backfilled=pl.lit(now > known + BACKFILL_AFTER),
        producer=pl.lit(producer),
        code_version=pl.lit(enrich.__version__),
        input_hash=pl.lit(snapshot.input_hash),
    ).select(table.schema.names)
    parts.append(folder, table, rows.to_arrow(), name=snapshot.at.strftime(_NAME))
    return rows


def _state_before(
    workspace: Workspace, table: Table, manifest: dict[datetime, SnapshotRecord], at: datetime
) -> pl.DataFrame:
    """The latest row of each key before `at`: as the last run left it where nothing but that was made, else read."""
    folder = workspace.folder(table)
    earlier = [moment for moment in manifest if moment < at]
    if earlier:
        last = manifest[max(earlier)]
        kept = snapshot_state.load(folder, max(earlier), last.producer, last.input_hash)
        if kept is not None:
            return kept
    return snapshot_state.latest_before(workspace, table, at)


def _part(folder: Path, at: datetime) -> Path:
    return folder / f"part-{at.strftime(_NAME)}.parquet"


def _is_current(folder: Path, record: SnapshotRecord | None, snapshot: Snapshot, producer: str) -> bool:
    made_of = (record.producer, record.input_hash) if record else None
    return made_of == (producer, snapshot.input_hash) and _part(folder, snapshot.at).is_file()


def _without_undue(
    folder: Path,
    manifest: dict[datetime, SnapshotRecord],
    planned: Sequence[Snapshot],
    producer: str,
    settings: SnapshotSettings,
) -> dict[datetime, SnapshotRecord]:
    """The manifest without the snapshots due no more (another cadence, a shorter log); their parts are removed.

    Of those after `as_of`, which are not computed, the ones made of another history go too: they may say what was
    deleted, and what changed since snapshots that are written again. The others stay as they are.
    """
    due = {snapshot.at for snapshot in planned if snapshot.at <= settings.horizon}
    due |= {s.at for s in planned if s.at > settings.horizon and _is_current(folder, manifest.get(s.at), s, producer)}
    names = [part.stem for part in folder.glob("part-snapshot-*.parquet")]
    found = {datetime.strptime(name, f"part-{_NAME}").replace(tzinfo=UTC) for name in names}
    undue = (found | set(manifest)) - due
    if undue:
        for at in undue:
            _part(folder, at).unlink(missing_ok=True)
        row_files.forget(folder)
        manifest = {at: record for at, record in manifest.items() if at not in undue}
        snapshot_manifest.write(folder, manifest)
    return manifest


def _typed(table: Table, values: pl.DataFrame) -> pl.DataFrame:
    """`values` with the types their parquet columns come back with, so that equal values compare equal."""
    columns = [*table.key, *(column.name for column in table.features)]
    empty = pl.DataFrame(pl.from_arrow(table.schema.empty_table()))
    return values.select(pl.col(name).cast(empty.schema[name]) for name in columns)


def _said_before(folder: Path, table: Table, snapshot: Snapshot) -> pl.DataFrame:
    """The keys of the part that is being replaced."""
    replaced = _part(folder, snapshot.at)
    source = replaced if replaced.is_file() else parts.schema_part(folder)
    return pl.read_parquet(source, columns=list(table.key))


def _gone(table: Table, said: pl.DataFrame, values: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """A row of nulls for each key that had values, before or in the part that is being replaced, and has none now.

    The latter not for queries: one that is in no snapshot any more was erased, and its key would keep its words.
    """
    key = list(table.key)
    had = earlier.filter(pl.col("reason").is_null()).select(key)
    if "query" not in key:
        had = pl.concat([had, said]).unique()
    return had.join(values.select(key), on=key, how="anti").with_columns(reason=pl.lit(NONE_LEFT))


def _advance(table: Table, state: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`state` with the rows of one more snapshot."""
    key = list(table.key)
    return pl.concat([state.join(rows.select(key), on=key, how="anti"), rows.select(state.columns)])
