"""Reads a folder of files named for the source tables: pins.csv, judgments.jsonl, engagements/*.parquet, ...

    enrich import native DIR

Parquet, csv, tsv or JSON lines, gzipped or not; a table is one file or a folder of parts, engagements/ or
engagements.parquet/ (of hive partitions too, whose names give columns: engagements/day=2025-01-01/part.parquet); all
but pins may be absent. Column names may have capitals, spaces or hyphens (Pin ID) or be given (mapped_columns.py),
types are lenient (clean.py), and a relative image_uri is a path in the folder. Files and columns of other names are not
read, and named in the report.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from enrich.errors import BadInput
from enrich.importers import columns, files
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.log_in_place import LogInPlace
from enrich.mapped_columns import NO_MAPPING, Mapping, called, spelling
from enrich.tables import ENGAGEMENTS, PINS, SOURCES, Table

_ABSOLUTE = r"^(?:/|[A-Za-z][A-Za-z0-9+.-]*:)"  # a path from the root, or a URI


def load_folder(path: Path, mapping: Mapping = NO_MAPPING, log: str | None = None) -> RawCatalogue:
    """The source tables found in the folder; `log` is where engagements lie that are to be left there.

    Raises BadInput when `path` is no folder, has no pins, has a table twice, or a file that cannot be read.
    """
    if not path.is_dir():
        found = "a file; name the folder that holds it" if path.exists() else "nothing; check the path"
        raise BadInput(f"expected a folder of files named for the source tables at {path}, found {found}")
    located = {
        table: source for table in SOURCES if not (table is ENGAGEMENTS and log) and (source := locate(path, table))
    }
    if PINS not in located:
        entries = ", ".join(sorted(entry.name for entry in path.iterdir())[:20]) or "nothing"
        raise BadInput(
            f"expected pins.parquet, .csv, .tsv or .jsonl (or a folder pins/) in {path}, found {entries}; "
            f"name the files for the tables: {', '.join(table.name for table in SOURCES)}"
        )
    tables = tuple(read_table(table, source, path, mapping) for table, source in located.items())
    unread = [note for table in tables if (note := _unread_columns(table, mapping))]
    notes = (*mapping.notes(), *unread, *_unread_files(path, list(located.values())))
    return RawCatalogue(tables, notes, LogInPlace(_absolute(log), mapping) if log else None)


def _absolute(uri: str) -> str:
    """With an end that says of a folder of parts that it is one where its name does not: log.parquet/."""
    if "://" in uri:
        return uri
    path = Path(uri).expanduser().resolve()
    return f"{path}/" if path.suffix == ".parquet" and path.is_dir() else str(path)


def _unread_columns(raw: RawTable, mapping: Mapping) -> str | None:
    """What the file has and the table has not: a typing error in a heading would else lose its column in silence."""
    known = {column.name for column in raw.table.columns} | set(map(spelling, mapping.fields(raw.table)))
    names = [name for name in raw.columns if spelling(name) not in known]
    return f"{raw.table.name}: columns that are not read: {', '.join(names[:20])}" if names else None


def _unread_files(folder: Path, read: list[Path]) -> list[str]:
    others = [e.name for e in sorted(folder.iterdir()) if files.kind(e) and e not in read]
    return [f"files that are not read, for no table has their name: {', '.join(others[:20])}"] if others else []


def locate(folder: Path, table: Table) -> Path | None:
    """The table's file or folder of parts. Raises BadInput where there are two."""
    found = [
        entry
        for entry in sorted(folder.iterdir())
        if (entry.is_dir() and entry.name.lower() == table.name)
        or (files.kind(entry) and files.stem(entry) == table.name)  # a folder of parts too: engagements.parquet/
    ]
    if len(found) > 1:
        names = ", ".join(entry.name for entry in found)
        raise BadInput(f"expected one file or folder for table {table.name!r} in {folder}, found {names}; keep one")
    return found[0] if found else None


def read_table(table: Table, source: Path, folder: Path, mapping: Mapping = NO_MAPPING) -> RawTable:
    """One source table; a pin's relative image_uri is a path in `folder`."""
    scanned = files.scan(source, [*(column.name for column in table.columns), *mapping.fields(table)])
    if not scanned.columns and not scanned.unreadable:  # JSON lines without a line have no header that could be missing
        return RawTable(table, pl.DataFrame(pl.from_arrow(table.schema.empty_table())).lazy(), str(source))
    frame = mapping.apply(table, scanned.frame, str(source))
    if table is PINS:
        schema = frame.collect_schema()
        name = called("image_uri", schema.names())
        if name and columns.convertible(schema[name]):
            frame = frame.with_columns(_under(folder.resolve(), columns.text(pl.col(name), schema[name])).alias(name))
    return RawTable(table, frame, str(source), scanned.unreadable, scanned.columns)


def _under(folder: Path, uri: pl.Expr) -> pl.Expr:
    uri = uri.str.strip_chars()
    relative = (uri.str.len_bytes() > 0) & ~uri.str.contains(_ABSOLUTE)
    return pl.when(relative).then(pl.lit(f"{folder}/") + uri).otherwise(uri)
