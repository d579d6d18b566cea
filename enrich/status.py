"""What a workspace holds: rows, coverage, freshness, and what was dropped or could not be made, by reason.

Reads every table, the snapshots' manifests, W/import.json, W/erased.json and, once Feast's definitions were applied,
its registry and online store; writes nothing (`enrich status`). `agreement.py` compares online with offline,
`drift.py` new with old values. Coverage is the share of keys whose newest row has values: of the catalogue's pins for a
table keyed by pin, of the log's queries for one keyed by query; a table of pairs has none. DuckDB does the counting, so
a table need not fit in memory; drift holds each key's newest values.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import duckdb
import polars as pl

from enrich import log_days, log_in_place, parts, snapshot_manifest, tables
from enrich.agreement import Agreement, agreements
from enrich.drift import NumberDrift, TextDrift, alarming, drift
from enrich.erasure import last_erasure
from enrich.history import History
from enrich.importers.report import ImportReport
from enrich.left_out import left_out
from enrich.normalise import normalise_query
from enrich.snapshots import SnapshotSettings, first_due
from enrich.tables import BYTES, ENRICHED, FLOATS, SOURCES, STRINGS, Kind, Table
from enrich.workspace import Workspace

_WIDE = (FLOATS, BYTES)  # not read for their own coverage: where the row was made, they are there


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source table: its rows, and what the last import dropped and blanked, by reason."""

    table: str
    rows: int
    dropped: Counter[str]
    blanked: Counter[str]


@dataclass(frozen=True, slots=True)
class EnrichedStatus:
    """One enriched table. Of `keys`, `made` have values in their newest row, `failed` says why the others have none."""

    table: str
    writer: str
    rows: int
    keys: int
    made: int
    expected: int | None  # keys there could be; None for a table of pairs
    coverage: float | None  # made of what is in the catalogue ÷ expected
    features: Counter[str]  # keys whose newest row has the feature (a list: not an empty one)
    failed: Counter[str]
    left_out: Counter[str]  # what the newest snapshot did not count, by reason
    backfilled: int  # rows written later than they could be known
    latest_event: datetime | None
    latest_written: datetime | None
    producers: Counter[str]  # rows by producer


@dataclass(frozen=True, slots=True)
class Status:
    workspace: str
    format: str
    origin: str
    sources: tuple[SourceStatus, ...]
    enriched: tuple[EnrichedStatus, ...]
    online: tuple[Agreement, ...]  # of each view that is served; none where nothing was applied
    texts: tuple[TextDrift, ...]
    numbers: tuple[NumberDrift, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Catalogue:
    """What there is to enrich."""

    pins: int
    images: int
    links: int
    queries: int  # in the log
    first_logged: datetime | None
    first_saved: datetime | None

    def expected(self, table: Table) -> int | None:
        match table.key:
            case ("pin_id",):
                return self.pins
            case ("query",):
                return self.queries
            case _:
                return None


def status(workspace: Workspace) -> Status:
    """The workspace's state. Raises BadInput when it holds no catalogue."""
    catalogue = Workspace.open(workspace.root).catalogue
    report = ImportReport.load(workspace)
    counted = _catalogue(workspace)
    sources = tuple(_source(workspace, table, report) for table in SOURCES)
    enriched = tuple(_enriched(workspace, table, counted) for table in ENRICHED)
    online = tuple(agreements(workspace))
    drifts = [drift(workspace, table) for table in ENRICHED if table.kind in (Kind.CONTENT, Kind.BEHAVIOUR)]
    texts = tuple(found for some, _ in drifts for found in some)
    numbers = tuple(found for _, some in drifts for found in some)
    notes = [*(report.notes if report else ()), *_absences(sources, enriched, counted), *_erased(workspace)]
    notes += [f"{name} drifted: its latest values differ from those before" for name in alarming((*texts, *numbers))]
    origin = (catalogue.format, catalogue.origin)
    return Status(str(workspace.root), *origin, sources, enriched, online, texts, numbers, tuple(notes))


def _source(workspace: Workspace, table: Table, report: ImportReport | None) -> SourceStatus:
    imported = next((found for found in report.tables if found.table == table.name), None) if report else None
    dropped, blanked = (imported.dropped, imported.blanked) if imported else (Counter[str](), Counter[str]())
    if imported and table is tables.ENGAGEMENTS and log_in_place.load(workspace.root):
        kept, dropped = log_days.tally(workspace.root) or (imported.kept, dropped)  # as it is now, or was at the import
        return SourceStatus(table.name, kept, dropped, blanked)
    return SourceStatus(table.name, parts.count(workspace.folder(table)), dropped, blanked)


def _catalogue(workspace: Workspace) -> _Catalogue:
    pins, deletions = _rows(workspace, tables.PINS), _rows(workspace, tables.DELETIONS)
    kept = f"FROM {pins} WHERE pin_id NOT IN (SELECT id FROM {deletions} WHERE kind = 'pin')"
    connection = duckdb.connect()
    count, images, links = connection.sql(f"SELECT count(*), count(image_uri), count(link_url) {kept}").fetchall()[0]
    log = History(workspace).log()
    spellings = log.select("query").distinct().to_polars()["query"]
    keys = {normalise_query(query) for query in spellings} - {""}
    logged = log.aggregate(first=log.event_timestamp.min()).to_polars()["first"].item() if keys else None
    saved = parts.scan(workspace.folder(tables.BOARD_PINS)).select(pl.col("saved_at").min()).collect().item()
    return _Catalogue(count, images, links, len(keys), logged, saved)


def _enriched(workspace: Workspace, table: Table, catalogue: _Catalogue) -> EnrichedStatus:
    rows = _rows(workspace, table)
    key = ", ".join(table.key)
    there = parts.scan(workspace.folder(table)).collect_schema()  # a table older than a column lacks it
    columns = [column for column in table.features if column.type not in _WIDE and column.name in there]
    filled = {c.name: f"len({c.name}) > 0" if c.type == STRINGS else f"{c.name} IS NOT NULL" for c in columns}
    flags = "".join(f", '{name}': {condition}" for name, condition in filled.items())
    clocks = ", ".join(f"'{clock}': {clock}" for clock in table.recency)
    newest = f"SELECT {key}, arg_max({{'reason': reason{flags}}}, {{{clocks}}}) AS newest FROM {rows} GROUP BY {key}"
    sums = "".join(f", count(*) FILTER (newest.reason IS NULL AND newest.{name})" for name in filled)
    connection = duckdb.connect()
    counts = f"count(*), count(*) FILTER ({_in_catalogue(workspace, table)}){sums}"
    by_reason = connection.sql(f"SELECT newest.reason, {counts} FROM ({newest}) GROUP BY ALL").fetchall()
    by_producer = connection.sql(
        "SELECT producer, count(*), count(*) FILTER (backfilled), max(event_timestamp), max(written_at) "
        f"FROM {rows} GROUP BY producer ORDER BY count(*) DESC, producer"
    ).fetchall()
    failed = Counter({reason: count for reason, count, *_ in by_reason if reason is not None})
    made, covered, *features = next((found for reason, *found in by_reason if reason is None), [0] * (2 + len(filled)))
    expected = catalogue.expected(table)
    manifest = snapshot_manifest.read(workspace.folder(table))
    return EnrichedStatus(
        table=table.name,
        writer=table.writer,
        rows=sum(row[1] for row in by_producer),
        keys=made + failed.total(),
        made=made,
        expected=expected,
        coverage=covered / expected if expected else None,
        features=Counter(dict(zip(filled, features, strict=True))),
        failed=failed,
        left_out=Counter(manifest[max(manifest)].dropped if manifest else {}),
        backfilled=sum(row[2] for row in by_producer),
        latest_event=max((row[3] for row in by_producer), default=None),
        latest_written=max((row[4] for row in by_producer), default=None),
        producers=Counter({row[0]: row[1] for row in by_producer}),
    )


def _in_catalogue(workspace: Workspace, table: Table) -> str:
    """A condition on a key: of a pin that is there. The log tells of others too, which no coverage counts."""
    if table.key != ("pin_id",):
        return "true"
    pins, deletions = _rows(workspace, tables.PINS), _rows(workspace, tables.DELETIONS)
    return f"pin_id IN (SELECT pin_id FROM {pins} EXCEPT SELECT id FROM {deletions} WHERE kind = 'pin')"


def _rows(workspace: Workspace, table: Table) -> str:
    """The table's parts, for a FROM."""
    pattern = parts.glob(workspace.folder(table)).replace("'", "''")
    return f"read_parquet('{pattern}', hive_partitioning = false)"


def _absences(
    sources: tuple[SourceStatus, ...], enriched: tuple[EnrichedStatus, ...], catalogue: _Catalogue
) -> list[str]:
    """What the catalogue does not have, and what stays empty for it; the tables that could be filled and are not."""
    rows = {source.table: source.rows for source in sources}
    from_log = ("pin_queries", "pin_engagement", "query_pin_engagement", "query_features", "query_serving")
    needs = (
        (catalogue.images, "images", ("pin_caption", "pin_visual_embedding")),
        (catalogue.links, "links", ("pin_link",)),
        (rows["board_pins"], "boards", ("pin_boards", "pin_graph")),
        (rows["engagements"], "engagement log", from_log),
        (rows["judgments"], "judgments", ("judgment",)),
    )
    notes, hopeless = [], set[str]()
    for found, what, fills in needs:
        if not found:
            notes.append(f"no {what}, so nothing in {', '.join(fills)}")
            hopeless.update(fills)
    if not rows["interests"]:
        notes.append("no interests: queries get no interests and no shopping intent")
    todo = [table for table in enriched if not table.rows and table.table not in hopeless]
    first = dict.fromkeys(from_log[:4], catalogue.first_logged)
    first |= dict.fromkeys(("pin_boards", "pin_graph"), catalogue.first_saved)
    return notes + [f"{table.table} has no rows yet: {_filled(table, first.get(table.table))}" for table in todo]


def _filled(table: EnrichedStatus, first: datetime | None) -> str:
    """What fills a table whose sources begin at `first`, or when it can be filled."""
    usual = SnapshotSettings()
    due = first_due(first, usual) if first else None
    if due is None or due <= usual.horizon:
        return f"`{table.writer}` fills it"
    return (
        f"its first snapshot is due {due:%Y-%m-%d}, for they are {usual.cadence_days} days apart; --cadence-days "
        "makes them closer"
    )


def _erased(workspace: Workspace) -> list[str]:
    """What was deleted and taken out last, and which models had been made by then."""
    erased = last_erasure(workspace)
    if erased is None or not erased.rows:
        return []
    rows = ", ".join(f"{table} {count:,}" for table, count in erased.rows.items())
    models = f"; learned before it: {', '.join(erased.models)}" if erased.models else ""
    return [f"deleted rows taken out at {erased.at[:16]}: {rows}{models}"]


def render(found: Status) -> str:
    """The status as plain text, for a terminal or a file."""
    lines = [f"{found.format} from {found.origin}", f"in {found.workspace}", "", f"{'source':22}{'rows':>13}"]
    for source in found.sources:
        lines.append(f"{source.table:22}{source.rows:>13,}")
        lines += _reasons("dropped", source.dropped) + _reasons("blanked", source.blanked)
    heads = f"{'enriched':22}{'rows':>13}{'keys':>13}{'with values':>13}{'coverage':>10}{'backfilled':>13}"
    lines += ["", f"{heads}  newest event      written (UTC)"]
    for table in found.enriched:
        coverage = "" if table.coverage is None else f"{table.coverage:.1%}"
        counts = f"{table.rows:>13,}{table.keys:>13,}{table.made:>13,}{coverage:>10}{table.backfilled:>13,}"
        times = f"  {_minute(table.latest_event)}  {_minute(table.latest_written)}"
        lines.append(f"{table.table:22}{counts}{times}".rstrip())
        if len(table.features) > 1 and table.rows:
            lines.append("    has " + ", ".join(f"{name} {count:,}" for name, count in table.features.items()))
        lines += _reasons("without values", table.failed)
        lines += [f"    {said}" for said in left_out(table.table, table.left_out)]
        lines += [f"    by {producer} ({count:,} rows)" for producer, count in table.producers.most_common()]
    lines += _online_lines(found.online) + _drift_lines(found.texts, found.numbers)
    if found.notes:
        lines += ["", *(f"note: {note}" for note in found.notes)]
    return "\n".join(lines)


def _online_lines(online: tuple[Agreement, ...]) -> list[str]:
    if not any(view.loaded_until or view.fault for view in online):
        return ["", "online: nothing loaded yet; `relevance run`, or `feast materialize`, does it"] if online else []
    lines = ["", f"{'online':22}{'sampled':>13}{'as offline':>13}  loaded until (UTC)"]
    for view in online:
        counts = f"{view.sampled:>13,}{view.equal:>13,}" if view.loaded_until else f"{'':>26}"
        said = _minute(view.loaded_until) if view.loaded_until else "never materialized"
        lines.append(f"{view.view:22}{counts}  {said}")
        if view.differing:
            lines.append(
                f"    {view.differing} differs: run `relevance run`, or `feast materialize`, to load what is new"
            )
        if view.fault:
            lines.append(f"    could not be read: {view.fault}")
    return lines


def _drift_lines(texts: tuple[TextDrift, ...], numbers: tuple[NumberDrift, ...]) -> list[str]:
    """The latest quarter of each table's values beside the rest."""
    lines = []
    if texts:
        heads = f"{'characters':>16}{'coverage':>16}{'repeated':>16}{'languages':>11}{'new words':>11}"
        lines += ["", f"{'texts, before > latest':38}{heads}"]
    for text in texts:
        old, new = text.before, text.latest
        shift = "" if text.languages is None else f"{text.languages:.2f}"
        lines.append(
            f"{text.view + '.' + text.field:38}{f'{old.length:.0f} > {new.length:.0f}':>16}"
            f"{f'{old.coverage:.0%} > {new.coverage:.0%}':>16}{f'{old.repeated:.0%} > {new.repeated:.0%}':>16}"
            f"{shift:>11}{text.new_words:>11.1%}"
        )
    moved = [number for number in numbers if number.alarming]
    if numbers:
        lines += ["", f"numbers: {len(numbers)} compared, {len(moved)} drifted"]
    for number in moved:
        name = f"{number.view}.{number.field}"
        lines.append(f"    {name} {number.before_mean:.4g} > {number.latest_mean:.4g}, shift {number.shift:.2f}")
    return lines


def _reasons(what: str, counts: Counter[str]) -> list[str]:
    return [f"    {what} {reason}: {count:,}" for reason, count in counts.most_common()]


def _minute(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else f"{'-':16}"
