"""What an importer's `load` returns: the source tables it found, as lazy frames of whatever types the files had.

Cleaning (`clean.py`), staging and writing (`staging.py`) are the same for every format.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from enrich.log_in_place import LogInPlace
from enrich.tables import Table


@dataclass(frozen=True, slots=True)
class RawTable:
    """One source table before cleaning: columns may be missing, too many, or of another type."""

    table: Table
    frame: pl.LazyFrame
    origin: str  # the file or folder it came from, for messages
    unreadable: int = 0  # lines of the file that could not be read
    columns: tuple[str, ...] = ()  # all columns that the file had, where `frame` has fewer


@dataclass(frozen=True, slots=True)
class RawCatalogue:
    tables: tuple[RawTable, ...]
    notes: tuple[str, ...] = field(default=())  # what the importer decided that its user should know
    log: LogInPlace | None = None  # where the log lies, if it is to be left there
