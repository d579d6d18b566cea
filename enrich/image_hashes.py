"""What tells one picture from another: a hash of a local file's bytes, else of its URI; remembered between runs.

Reads the pictures that lie on this machine, and W/image_hashes.parquet, which it writes: of each file its number,
size and two times, and its hash, so that a run reads only files that were written since. What is remembered is believed
where all four are what they were (no program can set the change time back), and nothing is remembered of a file that
changed just now, for it may change again within one tick of its clock. Losing the memory costs one reading.

While a run reads, what it read lies in pieces in W/image_hashes/, so that a kill costs a minute's reading at most; its
end writes all in one file, and removes them.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import polars as pl

from enrich import parts
from enrich.image_uris import local_path, read_image
from enrich.images import BadImage, ImageReason
from enrich.progress import progress

JUST_NOW = 2_000_000_000  # nanoseconds; the coarsest clock of a file system that is in use (FAT) ticks so
PIECE_SECONDS = 60.0  # of reading make a piece
_READERS = 4  # files read at once; hashing and reading leave Python to the others
_AT_ONCE = 1_000  # files handed to them
_SCHEMA = pl.Schema(
    {
        "uri": pl.String,
        "inode": pl.UInt64,
        "size": pl.Int64,
        "modified": pl.Int64,
        "changed": pl.Int64,
        "hash": pl.String,
    }
)


class _Seen(NamedTuple):
    """A file as it lay there: its number on its disk, bytes, and nanoseconds since the epoch."""

    inode: int
    size: int
    modified: int
    changed: int


_Known = dict[str, tuple[_Seen, str]]  # by URI


class _Pieces:
    """What a run has read so far, in a folder beside the memory."""

    def __init__(self, memory: Path) -> None:
        self._folder = memory.with_suffix("")
        self._waiting: _Known = {}
        self._written = time.monotonic()

    def read(self) -> _Known:
        """What a run that was killed had read; it may be of files that changed since."""
        known: _Known = {}
        for piece in self._folder.glob("*.parquet"):
            known |= _read(piece)
        return known

    def add(self, uri: str, seen: _Seen, hashed: str) -> None:
        self._waiting[uri] = (seen, hashed)
        if time.monotonic() - self._written >= PIECE_SECONDS:
            self._folder.mkdir(exist_ok=True)
            _write(self._folder / f"{uuid4().hex}.parquet", self._waiting)
            self._waiting, self._written = {}, time.monotonic()

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def content_hashes(uris: Sequence[str], base: Path, memory: Path, now: int | None = None) -> list[str]:
    """The `content_hash` of each URI, a file read once, and anew only where `memory` does not know it as it is.

    `now` is the present in nanoseconds since the epoch; None for the clock's.
    """
    pieces, present = _Pieces(memory), time.time_ns() if now is None else now
    whole = _read(memory)
    known, remembered = whole | pieces.read(), _Known()
    found: dict[str, str] = {}

    def look(uri: str) -> tuple[_Seen | None, str]:
        seen, before = _look(uri, base), known.get(uri)
        return seen, before[1] if before and before[0] == seen else content_hash(uri, base)

    different = list(dict.fromkeys(uris))
    with ThreadPoolExecutor(_READERS) as readers, progress(len(different), "pictures", unit="picture") as bar:
        for start in range(0, len(different), _AT_ONCE):
            some = different[start : start + _AT_ONCE]
            for uri, (seen, hashed) in zip(some, readers.map(look, some), strict=True):
                found[uri] = hashed
                if seen and max(seen.modified, seen.changed) < present - JUST_NOW:
                    remembered[uri] = (seen, hashed)
                    if known.get(uri) != remembered[uri]:
                        pieces.add(uri, seen, hashed)
                bar.update(1)
    if remembered != whole:
        _write(memory, remembered)
    pieces.remove()
    return [found[uri] for uri in uris]


def content_hash(uri: str, base: Path) -> str:
    """A hash of a local file's bytes; of the URI itself when it lies elsewhere.

    A local file that cannot be read hashes to its fault, so that the pin is tried again once the file is there.
    """
    return _digest(uri.encode(errors="replace")) if _elsewhere(uri, base) else _content(uri, base)[0]


def read_hashed(uri: str, base: Path, hashed: str) -> bytes:
    """The bytes of which `hashed` is the `content_hash`. Raises BadImage as `read_image`; CHANGED of another file."""
    if _elsewhere(uri, base):
        return read_image(uri, base)
    found, content = _content(uri, base)
    if found != hashed:
        raise BadImage(ImageReason.CHANGED, f"another file at {uri[:200]!r} than was hashed")
    if isinstance(content, BadImage):
        raise content
    return content


def _elsewhere(uri: str, base: Path) -> bool:
    try:
        return local_path(uri, base) is None
    except BadImage:
        return False


def _content(uri: str, base: Path) -> tuple[str, bytes | BadImage]:
    """A local file's hash, and its bytes or its fault."""
    try:
        content = read_image(uri, base)
    except BadImage as fault:
        return _digest(f"{fault.reason} {uri}".encode(errors="replace")), fault
    return _digest(content), content


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _look(uri: str, base: Path) -> _Seen | None:
    """The local file as it lies there; None where there is none to look at: then there is nothing to remember."""
    try:
        path = local_path(uri, base)
        status = path.stat() if path else None
    except (BadImage, OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return _Seen(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status else None


def _read(memory: Path) -> _Known:
    try:
        rows = pl.read_parquet(memory, schema=_SCHEMA).iter_rows()
        return {uri: (_Seen(*numbers), found) for uri, *numbers, found in rows}
    except (OSError, pl.exceptions.PolarsError):
        return {}  # none yet, or not one of ours: then every file is read


def _write(memory: Path, remembered: _Known) -> None:
    rows = [(uri, *seen, found) for uri, (seen, found) in remembered.items()]
    parts.write_frame(memory, pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
