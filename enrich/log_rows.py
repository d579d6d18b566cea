"""The rows of a log that stays where it is (`log_in_place.py`), read with each run.

The importers' rules for log rows (`importers/clean.py`) are here as expressions that DuckDB and Spark run: an unknown
event, a missing id or query, an impossible time and an absurd length drop the row, a bad position or code is blanked,
and of equal rows one counts (`once`). A column that holds no single values (lists, objects, bytes) is refused, as an
import refuses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import ibis
import ibis.expr.types as ir

from enrich import log_files
from enrich.backends import FILE, Backend
from enrich.errors import BadInput, first_line
from enrich.log_in_place import LogInPlace
from enrich.mapped_columns import Mapping, called
from enrich.row_limits import DAYS, EPOCH, EPOCHS, FUTURE, MAX_POSITION, most_characters
from enrich.tables import ENGAGEMENTS, EVENTS, Column

_MAX_QUERY, _MAX_ID = most_characters("query"), most_characters("pin_id")
_DAY = 86_400  # seconds
_MICROSECONDS = 9.2e18  # no time is farther from 1970 than 64 bits can say
_ISO = (  # of importers/columns.py, in the signs that every engine knows
    r"^([0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2})(?:[Tt ]\s*([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"\s*(?:[Zz]|UTC|GMT|([+-][0-9]{2}:?(?:[0-9]{2})?))?)?$"
)


def read(backend: Backend, log: LogInPlace) -> ir.Table:
    """The rows of the log that meet the rules, each once: the columns of ENGAGEMENTS."""
    rows = _judged_all(backend, log)
    return once(rows.filter(rows.dropped.isnull()).drop("dropped"))


def once(rows: ir.Table) -> ir.Table:
    """Of equal rows one, but all of those that name no user and no time of day: as many people may have done that."""
    each = rows.group_by(*rows.columns).agg(times=rows.count())
    untold = each.user_hash.isnull() & (each.event_timestamp.epoch_seconds() % _DAY == 0)
    return each.mutate(times=ibis.range(0, untold.ifelse(each.times, 1)).unnest()).drop("times")


def judged(backend: Backend, log: LogInPlace, files: Sequence[str], some: bool = True) -> ir.Table:
    """The rows of files of one layout: the columns of ENGAGEMENTS, `FILE`, their name, and `dropped`, why one may not
    be used, else null.

    Of `some` files of the log a column that is mapped and not needed may be missing, and is null: others may have it.
    """
    raw = _source(backend, log, files)
    names = [name for name in raw.columns if name != FILE]
    columns = {one.name: _column(raw, names, one, log, some) for one in ENGAGEMENTS.columns}
    texts = {name: _text(value) for name, value in columns.items() if name not in ("position", "event_timestamp")}
    query, pin, user = texts["query"], texts["pin_id"], texts["user_hash"]
    event = _event(texts["event"], log.mapping)
    written = columns["event_timestamp"]
    at = _time(backend, written)
    written = _text(written) if written.type().is_string() else written.cast("string")  # to Spark's ibis NaN is null
    now = datetime.now(UTC) + FUTURE
    reason = ibis.cases(
        (query.isnull(), "missing-query"),
        (query.length() > _MAX_QUERY, "too-long-query"),
        (pin.isnull(), "missing-pin_id"),
        (pin.length() > _MAX_ID, "too-long-pin_id"),
        (pin.re_search(r"\p{Cc}"), "malformed-pin_id"),
        (event.isnull(), "missing-event"),
        (event.notin(EVENTS), "unknown-event"),
        (written.isnull(), "missing-event_timestamp"),
        (at.isnull() | (at <= ibis.literal(EPOCH)) | (at > ibis.literal(now)), "impossible-event_timestamp"),
    )
    position = _number(columns["position"])
    whole = position.between(1, MAX_POSITION) & (position == position.floor())
    return raw.select(
        query=query,
        pin_id=pin,
        event=event,
        position=whole.ifelse(position, ibis.null("float64")).cast("int64"),
        user_hash=(user.length() <= _MAX_ID).ifelse(_without(user, r"\p{Cc}"), ibis.null("string")),
        country=_code(texts["country"].upper(), r"^[A-Z]{2}$"),
        lang=_code(texts["lang"].lower().re_extract(r"^([a-z]{2,3})([_-][a-z0-9_-]*)?$", 1), r"^[a-z]{2,3}$"),
        event_timestamp=at,
        dropped=reason,
        **{FILE: raw[FILE]},
    )


def dropped(backend: Backend, log: LogInPlace) -> tuple[int, Counter[str]]:
    """How many rows are kept, and how many are not, by reason. Raises BadInput where a file cannot be read."""
    rows = _judged_all(backend, log)
    try:
        counted = rows.group_by("dropped").agg(rows=rows.count()).to_polars()
        kept = int(read(backend, log).count().execute())
    except backend.misread as error:
        raise misread(log.pattern, error) from error
    counts = Counter({str(reason): int(n) for reason, n in counted.drop_nulls("dropped").iter_rows()})
    good = int(counted.filter(counted["dropped"].is_null())["rows"].sum())
    if kept < good:
        counts["duplicate"] = good - kept
    return kept, counts


def zero_positions(backend: Backend, log: LogInPlace) -> int:
    """How many rows have the position 0, which is taken as unknown. Raises BadInput where a file cannot be read."""
    column = next(one for one in ENGAGEMENTS.columns if one.name == "position")
    layouts = log_files.by_layout([file.uri for file in log_files.in_place(log)])
    zeros = 0
    try:
        for files in layouts.values():
            raw = _source(backend, log, files)
            names = [name for name in raw.columns if name != FILE]
            position = _number(_column(raw, names, column, log, len(layouts) > 1))
            zeros += int(raw.filter(position == 0).count().execute())
    except backend.misread as error:
        raise misread(log.pattern, error) from error
    return zeros


def misread(where: str, error: Exception) -> BadInput:
    """The one line for files of which a row cannot be read."""
    return BadInput(
        f"expected parquet files whose rows can be read at {where}, found: {first_line(error)}; write that file "
        "again, or take it out of the log"
    )


def _judged_all(backend: Backend, log: LogInPlace) -> ir.Table:
    layouts = log_files.by_layout([file.uri for file in log_files.in_place(log)])
    some = len(layouts) > 1  # a column that one of them lacks is none that is missing
    first, *others = (judged(backend, log, files, some).drop(FILE) for files in layouts.values())
    return first.union(*others) if others else first


def _source(backend: Backend, log: LogInPlace, files: Sequence[str]) -> ir.Table:
    try:
        return backend.read(files, hive=log.folder, named=True)
    except BadInput:
        raise
    except Exception as error:  # each engine and file system has errors of its own
        raise BadInput(
            f"expected parquet files at {log.pattern}, found: {first_line(error, 200)}; check --log"
        ) from error


def _column(raw: ir.Table, names: Sequence[str], column: Column, log: LogInPlace, some: bool) -> ir.Value:
    value = _found(raw, names, column, log, some)
    kind = value.type()
    if kind.is_nested() or kind.is_binary() or kind.is_json():
        raise BadInput(
            f"expected column {column.name!r} of {log.uri} to hold single values, found {kind}; flatten it, or name "
            "another one by --map"
        )
    return value


def _found(raw: ir.Table, names: Sequence[str], column: Column, log: LogInPlace, some: bool) -> ir.Value:
    field = log.mapping.field(ENGAGEMENTS, column.name)
    written = called(field or column.name, names)
    if field is not None and written is None:
        first, *steps = field.split(".")
        above = called(first, names)
        if above is not None and steps and raw[above].type().is_struct():
            value: ir.Value = raw[above]
            for step in steps:
                found = value.type().names if value.type().is_struct() else (str(value.type()),)
                if step not in found:
                    raise BadInput(
                        f"expected a column {field!r} in {log.uri}, found {', '.join(found[:40])}; correct --map"
                    )
                value = value[step]
            return value
        if some and not column.required:
            return ibis.null("string")
        raise BadInput(f"expected a column {field!r} in {log.uri}, found {', '.join(raw.columns[:40])}; correct --map")
    if written is not None:
        return raw[written]
    if column.required:
        raise BadInput(
            f"expected a column {column.name!r} in {log.uri}, found {', '.join(raw.columns[:40])}; name it by --map"
        )
    return ibis.null("string")


def _text(value: ir.Value) -> ir.StringValue:
    """As a string; a whole float as its integer (an id column that once held nulls)."""
    if not value.type().is_floating():
        return value.cast("string").strip().nullif("")
    finite = (value.isnan() | value.isinf()).ifelse(ibis.null("float64"), value.cast("float64"))
    whole = (finite == finite.floor()) & (finite.abs() < 2.0**53)
    integer = whole.ifelse(finite, ibis.null("float64")).cast("int64").cast("string")
    return integer.coalesce(finite.cast("string"))


def _number(value: ir.Value) -> ir.FloatingValue:
    number: ir.FloatingValue = value.cast("string").try_cast("float64")
    return number


def _without(value: ir.StringValue, pattern: str) -> ir.StringValue:
    return value.re_search(pattern).ifelse(ibis.null("string"), value)


def _code(value: ir.StringValue, pattern: str) -> ir.StringValue:
    return value.re_search(pattern).ifelse(value, ibis.null("string"))


def _event(word: ir.StringValue, mapping: Mapping) -> ir.StringValue:
    plain = word.lower().re_replace(r"[\s-]+", "_")
    cases = [(word.lower() == one.written.lower(), one.event) for one in mapping.events]
    return ibis.cases(*cases, else_=plain) if cases else plain


def _time(backend: Backend, value: ir.Value) -> ir.TimestampValue:
    """A UTC time: a number is an epoch in s, ms, µs or ns by its size, or a date as YYYYMMDD; a text either, or ISO."""
    kind = value.type()
    if kind.is_string():
        text = value.strip()
        return backend.instant(_iso(text).coalesce(_epoch(text.try_cast("float64"))))
    if kind.is_boolean() or kind.is_time() or kind.is_interval():
        return ibis.null("timestamp('UTC')")
    return backend.instant(_epoch(value.cast("float64"))) if kind.is_numeric() else value.try_cast("timestamp('UTC')")


def _epoch(number: ir.FloatingValue) -> ir.IntegerValue:
    """Microseconds since 1970."""
    number = (number.isnan() | number.isinf()).ifelse(ibis.null("float64"), number)
    scaled = number * 1e-3
    for limit, scale in reversed(EPOCHS):
        scaled = (number.abs() < limit).ifelse(number * scale, scaled)
    micros = _integer((scaled.abs() < _MICROSECONDS).ifelse(scaled, ibis.null("float64")).round())
    is_day = number.between(*DAYS) & (number == number.floor())
    digits = is_day.ifelse(number, ibis.null("float64")).cast("int64").cast("string")
    day = digits.substr(0, 4) + "-" + digits.substr(4, 2) + "-" + digits.substr(6, 2)
    return is_day.ifelse(_seconds(day + " 00:00:00") * 1_000_000, micros)


def _iso(text: ir.StringValue) -> ir.IntegerValue:
    """Microseconds since 1970 of 2024-3-1, 2024/03/01 10:00, 2024-03-01T10:00:00.123456Z, ... +02:00; else null."""
    date, hour, minute, second, fraction, zone = (text.re_extract(_ISO, place).nullif("") for place in range(1, 7))
    clock = [part.fill_null("00").lpad(2, "0") for part in (hour, minute)]
    whole = second.fill_null("00").cast("int64")
    whole = (whole <= 60).ifelse(whole, ibis.null("int64"))  # a leap second is the next minute's first
    local = _seconds(date.replace("/", "-") + " " + clock[0] + ":" + clock[1] + ":00") + whole
    micros = (fraction.fill_null("0") + "00000").substr(0, 6).cast("int64")
    signs = (zone.fill_null("+0000").replace(":", "") + "00").substr(0, 5)
    minutes = signs.substr(1, 2).cast("int64") * 60 + signs.substr(3, 2).cast("int64")
    east = (signs.substr(0, 1) == "-").ifelse(-minutes, minutes)
    return (local - east * 60) * 1_000_000 + micros


def _seconds(written: ir.StringValue) -> ir.IntegerValue:
    """Seconds since 1970 of "2024-03-01 10:00:00"; null where there is no such time."""
    return _integer(written.try_cast("timestamp('UTC')").epoch_seconds())


def _integer(whole: ir.NumericValue) -> ir.IntegerValue:
    """As one, where ibis takes it to be one already and the engine does not."""
    return whole.cast("float64").cast("int64")
