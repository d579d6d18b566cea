"""A log that stays where it is: hive-partitioned or plain parquet in a folder, local or s3:, read with each run.

W/log.json says where (`enrich import native DIR --log URI`); W/sources/engagements is then empty. The importers' rules
for log rows (`importers/clean.py`) are here as expressions that DuckDB and Spark run: an unknown event, a missing id or
query, an impossible time and an absurd length drop the row, a bad position or code is blanked, and of equal rows one
counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir

from enrich import parts
from enrich.backends import FILE, Backend
from enrich.errors import BadInput
from enrich.mapped_columns import NO_MAPPING, Mapping
from enrich.tables import ENGAGEMENTS, EVENTS, Column

_RECORD = "log.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FUTURE = timedelta(days=366)
_MAX_POSITION = 1_000_000
_MAX_QUERY, _MAX_ID = 4_096, 1_024  # characters
_SCALES = ((1e11, 1.0), (1e14, 1e-3), (1e17, 1e-6))  # epochs below the limit are in s, ms, µs; above in ns


@dataclass(frozen=True, slots=True)
class LogInPlace:
    uri: str  # a folder of parquet, or a pattern
    mapping: Mapping = NO_MAPPING

    @property
    def path(self) -> str:
        return self.uri.removeprefix("file://")

    @property
    def pattern(self) -> str:
        return self.path if self.path.endswith(".parquet") else f"{self.path.rstrip('/')}/**/*.parquet"

    @property
    def folder(self) -> str:
        """The folder under which those named `name=value` give columns."""
        return self.pattern.partition("*")[0].rpartition("/")[0]

    @property
    def is_remote(self) -> bool:
        return "://" in self.path


def load(root: Path) -> LogInPlace | None:
    """Where the workspace's log lies; None where it was copied in."""
    path = root / _RECORD
    if not path.is_file():
        return None
    stored = json.loads(path.read_text())
    return LogInPlace(stored["uri"], Mapping.of(stored["mapping"]["columns"], stored["mapping"]["events"]))


def save(root: Path, log: LogInPlace | None) -> None:
    """Remember it; None forgets."""
    if log is None:
        (root / _RECORD).unlink(missing_ok=True)
    else:
        parts.write_text(root / _RECORD, json.dumps(asdict(log), indent=1) + "\n")


def read(backend: Backend, log: LogInPlace) -> ir.Table:
    """The rows of the log that meet the rules, each once: the columns of ENGAGEMENTS."""
    return good(backend, log).distinct()


def good(backend: Backend, log: LogInPlace, files: Sequence[str] = ()) -> ir.Table:
    """The rows that meet the rules, of all of the log, or of some `files` of one layout and with `FILE`, their name.

    A column that is mapped and not needed is null where those files lack it: others may have it.
    """
    cleaned = _cleaned(backend, log, files)
    return cleaned.filter(cleaned.dropped.isnull()).drop("dropped")


def dropped(backend: Backend, log: LogInPlace) -> tuple[int, Counter[str]]:
    """How many rows are kept, and how many are not, by reason."""
    cleaned = _cleaned(backend, log)
    counted = cleaned.group_by("dropped").agg(rows=cleaned.count()).to_polars()
    counts = Counter({str(reason): int(rows) for reason, rows in counted.drop_nulls("dropped").iter_rows()})
    good = int(cleaned.filter(cleaned.dropped.isnull()).count().execute())
    kept = int(read(backend, log).count().execute())
    if kept < good:
        counts["duplicate"] = good - kept
    return kept, counts


def _cleaned(backend: Backend, log: LogInPlace, files: Sequence[str] = ()) -> ir.Table:
    """The columns of ENGAGEMENTS and `dropped`, why a row may not be used; of some `files` also `FILE`."""
    raw = _source(backend, log, files)
    names = {name.lower(): name for name in reversed(raw.columns) if name != FILE}
    columns = {one.name: _column(raw, names, one, log, some=bool(files)) for one in ENGAGEMENTS.columns}
    query, pin = _text(columns["query"]), _text(columns["pin_id"])
    event = _event(_text(columns["event"]), log.mapping)
    at = _time(columns["event_timestamp"])
    now = datetime.now(UTC) + _FUTURE
    reason = ibis.cases(
        (query.isnull(), "missing-query"),
        (query.length() > _MAX_QUERY, "too-long-query"),
        (pin.isnull(), "missing-pin_id"),
        (pin.length() > _MAX_ID, "too-long-pin_id"),
        (event.isnull(), "missing-event"),
        (event.notin(EVENTS), "unknown-event"),
        (columns["event_timestamp"].isnull(), "missing-event_timestamp"),
        (at.isnull() | (at < ibis.literal(_EPOCH)) | (at > ibis.literal(now)), "impossible-event_timestamp"),
    )
    position = columns["position"].cast("string").try_cast("float64")
    whole = position.between(1, _MAX_POSITION) & (position == position.floor())
    return raw.select(
        query=query,
        pin_id=pin,
        event=event,
        position=whole.ifelse(position, ibis.null("float64")).cast("int64"),
        user_hash=_short(_text(columns["user_hash"])),
        country=_code(_text(columns["country"]).upper(), r"^[A-Z]{2}$"),
        lang=_code(_text(columns["lang"]).lower().re_extract(r"^([a-z]{2,3})([_-][a-z0-9_-]*)?$", 1), r"^[a-z]{2,3}$"),
        event_timestamp=at,
        dropped=reason,
        **({FILE: raw[FILE]} if files else {}),
    )


def _source(backend: Backend, log: LogInPlace, files: Sequence[str]) -> ir.Table:
    try:
        return backend.read(files or [log.pattern], hive=log.folder, named=bool(files))
    except BadInput:
        raise
    except Exception as error:  # each engine and file system has errors of its own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(f"expected parquet files at {log.pattern}, found: {first[:200]}; check --log") from error


def _column(raw: ir.Table, names: dict[str, str], column: Column, log: LogInPlace, some: bool) -> ir.Value:
    field = log.mapping.field(ENGAGEMENTS, column.name)
    if field is not None and field.lower() not in names:
        first, *steps = field.split(".")
        if first.lower() in names and steps and raw[names[first.lower()]].type().is_struct():
            value: ir.Value = raw[names[first.lower()]]
            for step in steps:
                value = value[step]
            return value
        if some and not column.required:
            return ibis.null("string")
        raise BadInput(f"expected a column {field!r} in {log.uri}, found {', '.join(raw.columns[:40])}; correct --map")
    written = names.get((field or column.name).lower())
    if written is not None:
        return raw[written]
    if column.required:
        raise BadInput(
            f"expected a column {column.name!r} in {log.uri}, found {', '.join(raw.columns[:40])}; name it by --map"
        )
    return ibis.null("string")


def _text(value: ir.Value) -> ir.StringValue:
    return value.cast("string").strip().nullif("")


def _short(value: ir.StringValue) -> ir.StringValue:
    return (value.length() <= _MAX_ID).ifelse(value, ibis.null("string"))


def _code(value: ir.StringValue, pattern: str) -> ir.StringValue:
    return value.re_search(pattern).ifelse(value, ibis.null("string"))


def _event(word: ir.StringValue, mapping: Mapping) -> ir.StringValue:
    plain = word.lower().re_replace(r"[\s-]+", "_")
    cases = [(word.lower() == one.written.lower(), one.event) for one in mapping.events]
    return ibis.cases(*cases, else_=plain) if cases else plain


def _time(value: ir.Value) -> ir.TimestampValue:
    """A UTC time; numbers are epochs in s, ms, µs or ns by their size, to the second."""
    if not value.type().is_numeric():
        return value.try_cast("timestamp('UTC')")
    number = value.cast("float64")
    scaled = number * 1e-9
    for limit, scale in reversed(_SCALES):
        scaled = (number.abs() < limit).ifelse(number * scale, scaled)
    return scaled.floor().cast("int64").as_timestamp("s").cast("timestamp('UTC')")
