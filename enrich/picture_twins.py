"""Pictures that look like one described before: the same picture recompressed or resized is described once.

Reads pin_caption and pin_visual_embedding; reads and writes W/picture_twins.db (`enrich captions`): of each picture
that a captioner described, its print; of each that took the description of another, whose. A picture is named as in the
tables, by its input_hash.

The first of a group, in the order asked, is described, and the others copy it. So that a job that was killed and run
again copies as an undisturbed one would, the tables decide: what is recorded here of pictures that have no rows is
forgotten when the file is opened (and by `enrich erase`, whoever described them), and `commit` comes before the rows of
the same pictures. Without the file nothing is known of the pictures described before, and they are described once more.
"""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np
import polars as pl

from enrich import parts
from enrich.errors import CorkboardError
from enrich.hamming_index import HammingIndex
from enrich.picture_prints import PicturePrint, one_picture
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING
from enrich.workspace import Workspace

FILE = "picture_twins.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    place INTEGER PRIMARY KEY,
    producer TEXT NOT NULL,
    picture TEXT NOT NULL,
    original TEXT NOT NULL,
    hash INTEGER NOT NULL,
    shape REAL NOT NULL,
    print BLOB,
    UNIQUE (producer, picture)
)
"""
_INSERT = "INSERT OR REPLACE INTO pictures (producer, picture, original, hash, shape, print) VALUES (?, ?, ?, ?, ?, ?)"
_COPIES = "SELECT producer, picture, original FROM pictures WHERE original <> picture"
_SIGNED = 2**63  # SQLite's integers are signed
_BRIGHTNESS_BYTES = 64 * 64


class PictureTwins:
    """The pictures of one producer, as a context; asked and committed by one thread at a time, whichever it is."""

    def __init__(self, path: Path, producer: str, described: pl.Series) -> None:
        """`described`: the input_hashes whose values can be copied (`described_pictures`).

        A file that is no database is replaced. Raises CorkboardError when it cannot be opened or written.
        """
        self._path, self._producer, self._lock = path, producer, Lock()
        self._database = _open(path)
        try:
            self._forget_others(described)
            rows = self._database.execute(
                "SELECT place, hash FROM pictures WHERE producer = ? AND original = picture ORDER BY place", (producer,)
            ).fetchall()
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        self._places = [place for place, _ in rows]
        self._index = HammingIndex(np.array([hash + _SIGNED for _, hash in rows], np.uint64))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was not committed is lost, as the rows are that it was of."""
        self._database.close()

    def original(self, picture: str, seen: PicturePrint) -> str:
        """The picture whose description this one takes: the first that looks the same, or itself where none does."""
        try:
            with self._lock:
                return self._recorded(picture) or self._record(picture, self._like(seen) or picture, seen)
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error

    def commit(self) -> None:
        """Keep what was asked until here. Raises CorkboardError when it cannot be written."""
        try:
            with self._lock:
                self._database.commit()
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error

    def _record(self, picture: str, original: str, seen: PicturePrint) -> str:
        packed = zlib.compress(seen.brightness + seen.colour, 1) if original == picture else None
        row = (self._producer, picture, original, seen.hash - _SIGNED, seen.shape, packed)
        done = self._database.execute(_INSERT, row)
        if original == picture:
            self._places.append(int(done.lastrowid or 0))
            self._index.add(seen.hash)
        return original

    def _recorded(self, picture: str) -> str | None:
        """What was answered before, where that original is still there."""
        row = self._database.execute(
            "SELECT one.original FROM pictures one JOIN pictures other ON other.producer = one.producer "
            "AND other.picture = one.original AND other.original = other.picture "
            "WHERE one.producer = ? AND one.picture = ?",
            (self._producer, picture),
        ).fetchone()
        return str(row[0]) if row else None

    def _like(self, seen: PicturePrint) -> str | None:
        for at in self._index.near(seen.hash):
            picture, hash, shape, packed = self._database.execute(
                "SELECT picture, hash, shape, print FROM pictures WHERE place = ?", (self._places[at],)
            ).fetchone()
            spots = zlib.decompress(packed)
            known = PicturePrint(hash + _SIGNED, shape, spots[:_BRIGHTNESS_BYTES], spots[_BRIGHTNESS_BYTES:])
            if one_picture(known, seen):
                return str(picture)
        return None

    def _forget_others(self, described: pl.Series) -> None:
        """What has no rows: made by a run that was killed before it wrote them, or of a pin that was deleted since."""
        known = _known(self._database).filter(pl.col("producer") == self._producer)
        _forget(self._database, known.filter(~pl.col("input_hash").is_in(described.cast(pl.String).implode())))


def forget_deleted(workspace: Workspace) -> None:
    """Forget, of whatever producer, the pictures that have no rows any more (`erasure.py`).

    Raises CorkboardError when the file cannot be written.
    """
    path = workspace.root / FILE
    if not path.is_file():
        return
    described = _described(workspace).collect()
    database = _open(path)
    try:
        _forget(database, _known(database).join(described, on=described.columns, how="anti"))
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    finally:
        database.close()


def _known(database: sqlite3.Connection) -> pl.DataFrame:
    rows = database.execute("SELECT place, producer, picture FROM pictures").fetchall()
    schema = {"place": pl.Int64, "producer": pl.String, "input_hash": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _forget(database: sqlite3.Connection, gone: pl.DataFrame) -> None:
    database.executemany("DELETE FROM pictures WHERE place = ?", gone.select("place").iter_rows())
    database.commit()


def described_pictures(workspace: Workspace, producer: str) -> pl.Series:
    """The input_hashes of which there are both a caption and a vector by this producer, in any row."""
    return _described(workspace, producer).collect()["input_hash"]


def _described(workspace: Workspace, producer: str | None = None) -> pl.LazyFrame:
    """producer, input_hash of what has both; of all producers where none is named."""
    made = pl.col("reason").is_null() & (pl.col("producer") == producer if producer else True)
    captioned, embedded = (
        parts.scan(workspace.folder(table)).filter(made).select("producer", "input_hash").unique()
        for table in (PIN_CAPTION, PIN_VISUAL_EMBEDDING)
    )
    return captioned.join(embedded, on=["producer", "input_hash"], how="semi")


def copied_pictures(workspace: Workspace) -> pl.DataFrame:
    """producer, input_hash, original of the pictures that took another's description over; none where none is known."""
    path, copies = workspace.root / FILE, list[tuple[str, str, str]]()
    if path.is_file():
        try:
            database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
            copies = database.execute(_COPIES).fetchall()
            database.close()
        except sqlite3.Error:
            copies = []  # damaged: the next run of captions replaces it
    schema = {"producer": pl.String, "input_hash": pl.String, "original": pl.String}
    return pl.DataFrame(copies, schema=schema, orient="row")


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.OperationalError as error:  # a folder that cannot be written, a full disk
        raise _unusable(path, error) from error
    except sqlite3.DatabaseError:  # no database, or a damaged one
        path.unlink()
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5, check_same_thread=False)
    try:
        database.execute("PRAGMA secure_delete = ON")  # of a deleted pin's picture nothing stays
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(_SCHEMA)
        database.commit()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


def _unusable(path: Path, error: sqlite3.Error) -> CorkboardError:
    return CorkboardError(
        f"expected to read and write {path}, found {error}; make room there, or remove it: what it knows is made again"
    )
