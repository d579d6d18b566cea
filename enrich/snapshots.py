"""The cadence of the behaviour tables: what was known at each snapshot, as one atomic part a snapshot.

Reads how the sources changed over time (`Change`), writes `part-snapshot-TIME.parquet` beside a manifest,
`snapshots.json`, in the table's folder. `enrich boards|queries|engagement|graph` run on it.

A snapshot is a multiple of the cadence from the epoch; its rows use sources strictly before it, are true from it
(`event_timestamp`) and known `delay` later (`created_timestamp`). Only a key whose values differ from its latest
earlier row gets a row; a key that lost its values gets one row of nulls with the reason "none-left". Where a snapshot
is written again, each key of the part that goes has a row in the new one: an online store that was loaded from the old
one takes a correction of equal clocks, and none that is older. Where a snapshot is due no more (a deletion, another
cadence), the next one has these rows; after the last one, it is written again itself, to say of its keys what stands
since then (`closes` in the manifest).

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
from itertools import takewhile
from typing import NamedTuple

import polars as pl

from enrich import snapshot_manifest, snapshot_rows, snapshot_state
from enrich.errors import BadInput
from enrich.job import JobReport, input_hash
from enrich.progress import progress
from enrich.snapshot_manifest import SnapshotRecord
from enrich.snapshot_rows import Stamp
from enrich.stores import row_files
from enrich.tables import Table
from enrich.workspace import Workspace

GAP = timedelta(days=15)  # by which what a training frame sees of behaviour is older than the label
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    until: datetime | None = None,
) -> list[Snapshot]:
    """The snapshots of `log`, those to come too and whatever `as_of` says; each has the hash of all that it depends on.

    That is: `log` and `also` before it, and `basis` and the settings throughout. `window`: how long a row of the log
    counts. `until`: a moment that the last of them sees, too. A snapshot for which no row came or left since the one
    before it would say the same, and is left out: one row that is dated decades before the others costs what its own
    window does.
    """
    if not log:
        return []
    numbers = [change.period for change in log]
    last = max(max(numbers), period(until, settings)) if until else max(numbers)
    ends = [_EPOCH + number * settings.cadence for number in (min(numbers), last)]
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

    Of those after the horizon, which are not computed, the first stay that are as they should be; the rest go. In the
    report `fresh` and `made` count rows, `failed` what the last snapshot left out, by reason; `due` is the first one to
    come where none is due yet.
    """
    horizon = settings.horizon
    job = _Job(workspace, table, producer, settings.delay)
    due = [snapshot for snapshot in planned if snapshot.at <= horizon]
    to_come = planned[len(due) :]
    later = list(takewhile(job.is_current, to_come))
    kept = [*due, *later]
    job.keep(kept)
    with progress(len(due), table.name, unit="snapshot") as bar:
        for snapshot in due:
            job.bring(snapshot, compute)
            bar.update(1)
    for snapshot in later:
        job.pay(snapshot)
    job.close(kept[-1] if kept else None)
    if not due:
        return JobReport(table.name, 0, job.made, due=min((one.at for one in to_come), default=None))
    return JobReport(table.name, job.fresh, job.made, job.dropped(due[-1]))


class _Job:
    """A table's snapshots while they are brought up to date, one after the other.

    Those that are due no more (another cadence, a shorter log) go: each as soon as the next one says what they said,
    the last ones with `close`. Until then their parts are there, so that a kill in between forgets nobody.
    """

    def __init__(self, workspace: Workspace, table: Table, producer: str, delay: timedelta) -> None:
        self._workspace, self._table, self._producer, self._delay = workspace, table, producer, delay
        self._folder = workspace.folder(table)
        self._manifest = snapshot_manifest.read(self._folder)
        self._going: list[datetime] = []
        self._state: pl.DataFrame | None = None  # the newest row of each key after the last snapshot that was made
        self.fresh, self.made = 0, 0

    def is_current(self, snapshot: Snapshot) -> bool:
        """Whether it is written, by this producer and of these sources."""
        record = self._manifest.get(snapshot.at)
        made_of = (record.producer, record.input_hash) if record else None
        there = snapshot_rows.path(self._folder, snapshot.at).is_file()
        return there and made_of == (self._producer, snapshot.input_hash)

    def dropped(self, snapshot: Snapshot) -> Counter[str]:
        """What it left out, by reason."""
        return Counter(self._manifest[snapshot.at].dropped)

    def keep(self, kept: Sequence[Snapshot]) -> None:
        """Let all others go, and what is remembered of the newest rows where that is of another history."""
        there = snapshot_rows.moments(self._folder) | set(self._manifest)
        self._going = sorted(there.difference(one.at for one in kept))
        last = kept[-1] if kept else None
        alone = self._going[0] if len(self._going) == 1 else None
        if alone and (last is None or last.at < alone) and self.is_current(_closing(alone, last)):
            self._going = []
        newest = next((one for one in reversed(kept) if self.is_current(one)), None)
        if newest:
            snapshot_state.keep_only(self._folder, newest.at, self._producer, newest.input_hash)
        else:
            snapshot_state.forget(self._folder)

    def bring(self, snapshot: Snapshot, compute: Compute) -> None:
        """Make it where it is not current, with what those that go before it owe."""
        if self.is_current(snapshot):
            self.fresh += self._manifest[snapshot.at].rows
            self.pay(snapshot)
            return
        state = self._state_before(snapshot.at)
        computed = compute(snapshot.at, state)
        going = self._going_before(snapshot.at)
        said = snapshot_rows.keys(self._folder, self._table, [*going, snapshot.at])
        rows = write_snapshot(self._workspace, self._table, self._stamp(snapshot), computed.values, state, said)
        self._record(snapshot, rows.height, dict(computed.dropped))
        self._state = _advance(self._table, state, rows)
        self.made += rows.height
        self._drop(going)

    def pay(self, snapshot: Snapshot) -> None:
        """Have a snapshot that is current say what those that go before it said, as that stood then."""
        if going := self._going_before(snapshot.at):
            key = list(self._table.key)
            unsaid = snapshot_rows.keys(self._folder, self._table, going).join(
                snapshot_rows.keys(self._folder, self._table, [snapshot.at]), on=key, how="anti"
            )
            rows = snapshot_rows.as_before(self._table, unsaid, self._state_before(snapshot.at))
            if rows.height:
                record = self._manifest[snapshot.at]
                snapshot_rows.add(self._folder, self._table, rows, self._stamp(snapshot))
                self._record(snapshot, record.rows + rows.height, record.dropped)
                self.made += rows.height
            self._drop(going)
        self._state = None

    def close(self, last: Snapshot | None) -> None:
        """Have the last of those that go after the `last` one say what stands since then, of all that they said."""
        if self._going:
            at, going = self._going[-1], list(self._going)
            closing = _closing(at, last)
            self._state = self._state_before(at)
            said = snapshot_rows.keys(self._folder, self._table, going)
            rows = snapshot_rows.as_before(self._table, said, self._state)
            if rows.height:
                snapshot_rows.write(self._folder, self._table, rows, self._stamp(closing))
                self._record(closing, rows.height, dict(self.dropped(last)) if last else {}, closes=True)
                going.remove(at)
                self.made += rows.height
            self._drop(going)
        if last and self._state is not None:
            snapshot_state.save(self._folder, last.at, self._producer, last.input_hash, self._state)

    def _going_before(self, at: datetime) -> list[datetime]:
        return [one for one in self._going if one < at]

    def _stamp(self, snapshot: Snapshot) -> Stamp:
        return Stamp(snapshot.at, snapshot.at + self._delay, self._producer, snapshot.input_hash)

    def _record(self, snapshot: Snapshot, rows: int, dropped: dict[str, int], closes: bool = False) -> None:
        self._manifest[snapshot.at] = SnapshotRecord(self._producer, snapshot.input_hash, rows, dropped, closes)
        snapshot_manifest.write(self._folder, self._manifest)

    def _drop(self, going: Sequence[datetime]) -> None:
        """Remove the parts of snapshots of which all is said elsewhere."""
        if not going:
            return
        for at in going:
            snapshot_rows.path(self._folder, at).unlink(missing_ok=True)
        row_files.forget(self._folder)
        self._manifest = {at: record for at, record in self._manifest.items() if at not in going}
        snapshot_manifest.write(self._folder, self._manifest)
        self._going = [at for at in self._going if at not in going]

    def _state_before(self, at: datetime) -> pl.DataFrame:
        """The latest row of each key before `at`: as the last run left it where only that was made, else read."""
        if self._state is not None:
            return self._state
        earlier = [moment for moment in self._manifest if moment < at and moment not in self._going]
        if earlier:
            last = self._manifest[max(earlier)]
            kept = snapshot_state.load(self._folder, max(earlier), last.producer, last.input_hash)
            if kept is not None:
                return kept
        return snapshot_state.latest_before(self._workspace, self._table, at, without=self._going)


def _closing(at: datetime, last: Snapshot | None) -> Snapshot:
    """The snapshot at `at` that says again what stands since the `last` one: nothing where there is none."""
    return Snapshot(at, input_hash("closing", last.input_hash if last else None))


def write_snapshot(
    workspace: Workspace, table: Table, stamp: Stamp, values: pl.DataFrame, earlier: pl.DataFrame, said: pl.DataFrame
) -> pl.DataFrame:
    """Write the rows that a snapshot's `values` add to the latest `earlier` ones, and those of all keys that were
    `said`, as its one part; the key, features and reason of the rows written.
    """
    rows = snapshot_rows.changed(table, snapshot_rows.typed(table, values), earlier, said)
    snapshot_rows.write(workspace.folder(table), table, rows, stamp)
    return rows


def _advance(table: Table, state: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`state` with the rows of one more snapshot."""
    key = list(table.key)
    return pl.concat([state.join(rows.select(key), on=key, how="anti"), rows.select(state.columns)])
