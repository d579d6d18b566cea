"""The folders in which W/log_days keeps what each day says: which are there, how they go, what is erased from them.

    W/log_days/pairs/DAY-DIGEST/, askers/DAY-DIGEST/     a day's rows (`log_days.py`); ERASED: some were taken out
    W/log_days/sums/NAME/HASH/                           what `window_sums.py` goes on from

A folder goes by a rename aside, under a name that nobody reads, so that a kill leaves it whole or not there at all.

Erasure (`forget`) takes a deleted pin's rows out of each day, and of a deleted user what the user asked: a day does not
say whose its clicks are, so that of the queries that the user asked on it no clicks stay, whoever else asked them. Days
whose files are still there are counted anew from these.
"""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import ibis
import polars as pl

from enrich import parts
from enrich.backends import FILE, Backend

LEAST = "least.json"  # in a folder of W/log_days/sums: of which days its table is the least (`window_sums.py`)
ERASED = "erased"  # in a day's folders: something was taken out, so that they are not what the day's name says
ASIDE = ".aside-"


class Kind(StrEnum):
    """What is counted of a day."""

    PAIRS = "pairs"
    ASKERS = "askers"


class Day(NamedTuple):
    """One day's rows, as they are or were."""

    number: int  # days since 1970, UTC
    rows: int  # of the log
    digest: int  # of them, whatever their order and their files

    @property
    def name(self) -> str:
        return f"{self.number}-{self.rows:x}-{self.digest:x}"


class DayFolders:
    """Those of one workspace's W/log_days (`root`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, kind: Kind, day: Day) -> Path:
        return self.root / kind / day.name

    def has(self, day: Day) -> bool:
        """Whether the day, as it is or was, can be read."""
        return all(self.of(kind, day).is_dir() for kind in Kind)

    def whole(self, day: Day) -> bool:
        """Whether it can, and nothing was taken out of it."""
        return self.has(day) and not any((self.of(kind, day) / ERASED).exists() for kind in Kind)

    def keep(self, names: set[str]) -> None:
        """Remove the days of other names."""
        for folder in [found for kind in Kind for found in (self.root / kind).glob("*")]:
            if folder.name not in names:
                self.remove(folder)

    def remove(self, folder: Path) -> None:
        aside = self.root / f"{ASIDE}{uuid4().hex}"
        folder.replace(aside)
        shutil.rmtree(aside)

    def sweep(self) -> None:
        """Remove what a run that was killed had aside."""
        for aside in self.root.glob(f"{ASIDE}*"):
            shutil.rmtree(aside)

    def forget(self, backend: Backend, gone: pl.DataFrame) -> None:
        """Take `gone` (kind, id) out of all days, and remove the sums of days in which one of them stood.

        The sums go first and a user's name last: whatever a kill leaves is found by the next run.
        """
        pins, users = (_ids(gone, kind) for kind in ("pin", "user"))
        of_users = self._standing(backend, Kind.ASKERS, "user", users)
        touched = of_users | self._standing(backend, Kind.PAIRS, "pin_id", pins)
        self.sweep()
        for aside in (self.root / "sums").glob("*/.*"):
            shutil.rmtree(aside)  # nobody knows what stands there
        for folder in list((self.root / "sums").glob("*/*")):
            if (folder / LEAST).exists() and not of_users:  # of other pins it stays right; it may be of a user's click
                _rewrite(folder, pl.col("pin_id").is_in(pins.implode()))
            elif touched:
                self.remove(folder)
        for name in sorted(touched):
            self._erase(name, pins, users)

    def _standing(self, backend: Backend, kind: Kind, column: str, ids: pl.Series) -> set[str]:
        """The names of the days that have one of `ids`."""
        files = sorted(map(str, (self.root / kind).glob("*/*.parquet")))
        if not files or ids.is_empty():
            return set()
        rows, named = backend.read(files, named=True), ibis.memtable(pl.DataFrame({"id": ids}))
        found = rows.semi_join(named, rows[column] == named.id).select(FILE).distinct()
        return {Path(backend.path_of(file)).parent.name for file in found.to_polars()[FILE]}

    def _erase(self, name: str, pins: pl.Series, users: pl.Series) -> None:
        pairs, askers = self.root / Kind.PAIRS / name, self.root / Kind.ASKERS / name
        for folder in (found for found in (pairs, askers) if found.is_dir()):
            (folder / ERASED).touch()
        theirs, asked = pl.col("user").is_in(users.implode()), set[str | None]()
        for file in askers.glob("*.parquet"):
            asked |= set(pl.scan_parquet(file).filter(theirs).select("query").collect()["query"])
        words = pl.Series(sorted(query or "" for query in asked), dtype=pl.String)
        _rewrite(pairs, pl.col("pin_id").is_in(pins.implode()) | pl.col("query").is_in(words.implode()))
        _rewrite(askers, theirs)


def days_of(index: pl.DataFrame) -> list[Day]:
    """The days of an index of files (`log_index.py`: day, rows, digest), each once."""
    held = index.drop_nulls("day").group_by("day").agg(pl.col("rows", "digest").sum()).sort("day")
    return [Day(*row) for row in held.iter_rows()]


def _ids(gone: pl.DataFrame, kind: str) -> pl.Series:
    ids = gone.filter(pl.col("kind") == kind)["id"]
    return ids.str.to_lowercase() if kind == "user" else ids  # hashes are written in either case


def _rewrite(folder: Path, doomed: pl.Expr) -> None:
    """The folder's files without those rows, each in its place."""
    for file in folder.glob("*.parquet"):
        rows = pl.scan_parquet(file)
        if rows.select(doomed.any()).collect().item():
            file.with_name(f".{file.name}.crc").unlink(missing_ok=True)  # Spark's, of the bytes that were
            parts.write_frame(file, rows.filter(~doomed.fill_null(False)).collect())
