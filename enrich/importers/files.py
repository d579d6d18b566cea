"""Reads the files people have: parquet, csv, tsv and JSON lines, gzipped or not, one file or a folder of parts.

Everything comes as a lazy frame. Text formats are read by DuckDB with every column a string, so that "007" stays "007",
and a line that cannot be read is left out and counted, not an end to the reading.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from enrich.errors import BadInput
from enrich.importers.scanned import Scanned, together
from enrich.mapped_columns import nested, spelling
from enrich.partitions import holds_rows, named

PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson")
SEPARATED = (".csv", ".tsv")
SUFFIXES = (*PARQUET, *JSON_LINES, *SEPARATED)
COMPRESSION = ".gz"

_MAX_LINE_BYTES = 64 << 20  # a line longer than this is unreadable
_HEADER_BYTES = 1 << 20
_NO_HIVE = "hive_partitioning=false"  # DuckDB would take columns from every folder above the file
_LENIENT = ", strict_mode=false"
_REJECTED_LINES = """
    SELECT sum(1 + len(line) - len(replace(line, chr(10), '')))  -- an open quote takes the lines after it along
    FROM (SELECT rtrim(any_value(csv_line), chr(10)) AS line FROM reject_errors GROUP BY line_byte_position)
"""


def kind(path: Path) -> str | None:
    """The suffix that says how to read the file, without `.gz`; None for a file we cannot read."""
    name = path.name.lower().removesuffix(COMPRESSION)
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def stem(path: Path) -> str:
    """The file's name without its suffixes, lower case: `Pins.jsonl.gz` → `pins`."""
    name = path.name.lower().removesuffix(COMPRESSION)
    return name.removesuffix(kind(path) or "")


def within(path: Path) -> list[Path]:
    """The file at `path`, or all files of the folder that we can read and that do not hide."""
    return [file for file in shown(path) if kind(file)] if path.is_dir() else [path]


def shown(path: Path) -> list[Path]:
    """The file at `path`, or all files of the folder but those that hide or lie in what hides (.crc, _temporary/)."""
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and all(map(holds_rows, p.relative_to(path).parts)))


def scan(path: Path, wanted: Sequence[str] = ()) -> Scanned:
    """The rows of a file, or of all files of a folder. `wanted` names the columns that are of use.

    Raises BadInput when there is no such file, or it is not what its name says.
    """
    if not path.exists():
        raise BadInput(f"expected a file or folder at {path}, found none; check the path")
    files = within(path)
    if not files:
        raise BadInput(f"expected {', '.join(SUFFIXES)} files in {path}, found none; check the path")
    scans = [_in_partition(_scan_file(file, wanted), file.relative_to(path).parts[:-1]) for file in files]
    return together(scans, path, wanted)


def _in_partition(scanned: Scanned, folders: Sequence[str]) -> Scanned:
    """With the columns that the names of hive partitions give: `day=2025-01-01/`; the file's own go before them."""
    own = {name.lower() for name in scanned.columns}
    given = {name: value for name, value in named(folders).items() if name.lower() not in own}
    values = [pl.lit(value, pl.String).alias(name) for name, value in given.items()]
    return Scanned(scanned.frame.with_columns(values), scanned.unreadable, (*scanned.columns, *given))


def scan_separated(path: Path, separator: str, columns: Sequence[str] | None = None, quoted: bool = True) -> Scanned:
    """A separated text file; `columns` names those of a file without a header. All columns are strings."""
    header = columns is None
    names = list(columns) if columns is not None else _header(path, separator)
    quote = '"' if quoted else ""
    options = (
        f"auto_detect=false, header={header}, columns={_strings(names)}, "
        f"delim={_quote(separator)}, quote={_quote(quote)}, escape={_quote(quote)}, ignore_errors=true, "
        f"store_rejects=true, max_line_size={_MAX_LINE_BYTES}, buffer_size={4 * _MAX_LINE_BYTES}, {_NO_HIVE}"
    )
    frame, rejected = _read_separated(path, options)
    return Scanned(frame, rejected, tuple(names))


def _read_separated(path: Path, options: str) -> tuple[pl.LazyFrame, int]:
    """The rows, and how many lines were rejected; reads all once, so that what cannot be read is found here.

    DuckDB's strict mode refuses a file in which some lines end in CR LF and others in LF; that one is read without it.
    """
    relation = f"read_csv({_quote(str(path))}, {options})"
    connection = duckdb.connect()
    try:
        connection.sql(f"SELECT count(COLUMNS(*)) FROM {relation}").fetchall()
        rejected = connection.sql(_REJECTED_LINES).fetchall()[0][0]
        frame = duckdb.connect().sql(f"SELECT * FROM {relation}").pl(lazy=True)
    except duckdb.Error as error:
        strict = _LENIENT not in options
        if strict and isinstance(error, duckdb.InvalidInputException) and _has_mixed_ends(path):
            return _read_separated(path, options + _LENIENT)
        raise unreadable(path, "separated text", error) from error
    return frame, int(rejected or 0)


def _has_mixed_ends(path: Path) -> bool:
    """Whether some lines end in CR LF and others in LF alone, as where lines were appended on another system.

    Raises BadInput when a quote is open besides: what it would take along could not be counted.
    """
    long, all_ends, quotes = 0, 0, 0
    last = b""
    with _open(path) as file:
        while piece := file.read(_HEADER_BYTES):
            long += (last + piece).count(b"\r\n")
            all_ends += piece.count(b"\n")
            quotes += piece.count(b'"')
            last = piece[-1:] if piece.endswith(b"\r") else b""
    mixed = 0 < long < all_ends
    if mixed and quotes % 2:
        raise BadInput(
            f"expected all lines of {path} to end alike or all its quotes to be closed, found lines that end in CR LF, "
            "others in LF, and a quote left open; repair the file or export it again"
        )
    return mixed


def scan_json_lines(path: Path, wanted: Sequence[str] = ()) -> Scanned:
    """A file of one JSON object a line. All columns are strings: a nested value comes as its JSON text.

    With `wanted` only these keys are read, however they are spelt, unless the file has none of them. A key that lines
    spell in several ways (query, Query) is one column, called as most of them call it. Beside each column is a flag,
    `nested` of its name: whether the value is an object or a list.
    """
    source = f"{_quote(str(path))}, ignore_errors=true, maximum_object_size={_MAX_LINE_BYTES}"
    try:
        counted = duckdb.connect().sql(
            "SELECT unnest(CASE WHEN json_type(json) = 'OBJECT' THEN json_keys(json) ELSE [NULL] END) AS key, count(*) "
            f"FROM read_ndjson_objects({source}) GROUP BY key ORDER BY count(*) DESC, key"
        )
        counts = dict(counted.fetchall())
        bad = int(counts.pop(None, 0))
        asked = set(map(spelling, wanted))
        names = [key for key in counts if spelling(key) in asked] or list(counts)
        if not names:
            return Scanned(pl.LazyFrame(), bad, ())
        relation = f"SELECT json, json_extract_string(json, [{', '.join(map(_pointer, names))}]) AS value"
        relation += f" FROM read_ndjson_objects({source}) WHERE json_type(json) = 'OBJECT'"
        columns = _spelt_alike(names)
        nothing = " AND ".join(f"{_name(name)} IS NULL" for name in columns)
        chosen = [f"coalesce({places}) AS {_name(name)}" for name, places in columns.items()]
        chosen += [_whether_nested(name, [key for key in names if spelling(key) == spelling(name)]) for name in columns]
        query = f"SELECT {', '.join(chosen)} FROM ({relation}) WHERE NOT ({nothing})"
        frame = duckdb.connect().sql(query).pl(lazy=True)
    except duckdb.Error as error:
        raise unreadable(path, "JSON lines", error) from error
    return Scanned(frame, bad, tuple(counts))


def _spelt_alike(names: Sequence[str]) -> dict[str, str]:
    """Of each spelling its first name, with the places of all its names in a list `value`."""
    places: dict[str, list[str]] = {}
    for place, name in enumerate(names, 1):
        places.setdefault(spelling(name), []).append(f"value[{place}]")
    first = {spelling(name): name for name in reversed(names)}
    return {name: ", ".join(places[spelt]) for spelt, name in first.items()}


def _whether_nested(column: str, keys: Sequence[str]) -> str:
    types = " OR ".join(f"json_type(json, {_pointer(key)}) IN ('OBJECT', 'ARRAY')" for key in keys)
    return f"CASE WHEN {_name(column)}[1] IN ('{{', '[') THEN {types} ELSE false END AS {_name(nested(column))}"


def need(scanned: Scanned, path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> pl.LazyFrame:
    """The columns `names` and `optional` (null where the file lacks one), spelt as given whatever their case there.

    Raises BadInput when the file lacks one of `names`.
    """
    written = {name.lower(): name for name in reversed(scanned.columns)}
    missing = [name for name in names if name.lower() not in written]
    if missing:
        found = ", ".join(scanned.columns[:40]) or "no columns"
        raise BadInput(f"expected columns {', '.join(names)} in {path}, found {found}; add {', '.join(missing)}")
    chosen = [
        pl.col(written[name.lower()]).alias(name) if name.lower() in written else pl.lit(None, pl.String).alias(name)
        for name in (*names, *optional)
    ]
    return scanned.frame.select(chosen)


def file_in(folder: Path, names: Sequence[str], what: str) -> Path:
    """The first of `names` that the folder holds. Raises BadInput, saying `what` was expected, when it holds none."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    entries = ", ".join(sorted(entry.name for entry in folder.iterdir())[:20]) if folder.is_dir() else "no folder"
    raise BadInput(f"expected {what} ({' or '.join(names)}) in {folder}, found {entries or 'nothing'}; check the path")


def unreadable(path: Path | str, what: str, error: Exception) -> BadInput:
    """The one line for a file that is not what it should be."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BadInput(f"expected {path} to be readable {what}, found: {first[:200]}; repair the file or export it again")


def _scan_file(path: Path, wanted: Sequence[str]) -> Scanned:
    suffix = kind(path)
    if suffix in PARQUET:
        return _scan_parquet(path)
    if suffix in JSON_LINES:
        return scan_json_lines(path, wanted)
    if suffix in SEPARATED:
        return scan_separated(path, _separator(path))
    raise BadInput(f"expected a file that ends in {', '.join(SUFFIXES)} (or with .gz), found {path}; convert it")


def _scan_parquet(path: Path) -> Scanned:
    frame = pl.scan_parquet(path, glob=False)
    try:
        return Scanned(frame, 0, tuple(frame.collect_schema().names()))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise unreadable(path, "parquet", error) from error


def _separator(path: Path) -> str:
    """A tab for .tsv; for .csv the likeliest of comma, semicolon, tab and bar, by the header."""
    if kind(path) == ".tsv":
        return "\t"
    line = _first_line(path)
    return max(",;\t|", key=line.count)


def _header(path: Path, separator: str) -> list[str]:
    try:
        names = next(csv.reader([_first_line(path)], delimiter=separator), [])
    except csv.Error as error:  # lines that end in a carriage return alone, a name without end
        raise unreadable(path, "lines of text, the first with the columns' names", error) from error
    if not any(name.strip() for name in names):
        raise BadInput(f"expected {path} to start with a line of column names, found an empty line; add the header")
    counted = [name.strip() or f"column {i}" for i, name in enumerate(names)]
    first: dict[str, int] = {}
    return [name if first.setdefault(name.lower(), i) == i else f"{name} {i}" for i, name in enumerate(counted)]


def _first_line(path: Path) -> str:
    try:
        with _open(path) as file:
            raw = file.readline(_HEADER_BYTES)
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise unreadable(path, "UTF-8 text", error) from error


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path, "rb") if path.name.lower().endswith(COMPRESSION) else path.open("rb")


def _strings(names: Sequence[str]) -> str:
    return "{" + ", ".join(f"{_quote(name)}: 'VARCHAR'" for name in names) + "}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _pointer(key: str) -> str:
    return _quote("/" + key.replace("~", "~0").replace("/", "~1"))


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
