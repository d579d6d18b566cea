"""The files in which the log lies, and what tells a file that is as it was from one that was written since.

Reads the folder of W/sources/engagements, or the names and footers of a log that stays where it is (`log_in_place.py`),
on this machine or wherever fsspec reaches; writes nothing. No row is read here.

Of a log that is left in place each file counts once, whatever links lead to it, and none that hides: names that begin
with a dot or an underscore are of files that a writer has not finished, or are no rows.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pyarrow.parquet as pq

from enrich import parts
from enrich.backends import file_system
from enrich.errors import BadInput
from enrich.log_in_place import LogInPlace
from enrich.partitions import holds_rows
from enrich.tables import ENGAGEMENTS
from enrich.workspace import Workspace

_TOLD_BY = ("ETag", "etag", "generation", "md5Hash", "LastModified", "last_modified", "mtime", "updated", "created")


class LogFile(NamedTuple):
    """One parquet file, as it lies there."""

    uri: str  # a path, or what a file system other than this machine's calls it
    identity: str  # another one where its bytes may be others


def listed(workspace: Workspace, log: LogInPlace | None) -> list[LogFile]:
    """The log's files in the order of their names. Raises BadInput where a log in place has none."""
    if log is None:
        folder = workspace.folder(ENGAGEMENTS)
        return [_here(path) for path in sorted(folder.glob("*.parquet")) if path != parts.schema_part(folder)]
    return in_place(log)


def in_place(log: LogInPlace) -> list[LogFile]:
    """The files of a log that was left where it lies. Raises BadInput where it has none."""
    found = sorted(_elsewhere(log)) if log.is_remote else [_here(path) for path in _each_once(log)]
    if not found:
        raise BadInput(f"expected parquet files at {log.pattern}, found none; check --log, or put them back")
    return found


def by_layout(uris: Sequence[str]) -> dict[str, list[str]]:
    """The files by `layout`: what one engine can read together."""
    layouts: dict[str, list[str]] = {}
    for uri in uris:
        layouts.setdefault(layout(uri), []).append(uri)
    return layouts


def layout(uri: str) -> str:
    """A hash of the file's columns and of those that its folders give: files of one layout are read together."""
    try:
        with fsspec.open(uri) as file:
            schema = pq.read_schema(file)
    except Exception as error:  # each file system has errors of its own
        raise BadInput(f"expected a parquet file at {uri}, found: {error}; remove it or put it back") from error
    folders = [step.partition("=")[0] for step in uri.split("/")[:-1] if "=" in step]
    described = [f"{field.name} {field.type}" for field in schema]
    return hashlib.blake2b(repr((described, folders)).encode(), digest_size=8).hexdigest()


def _each_once(log: LogInPlace) -> list[Path]:
    """The files of a log on this machine, of several names for one its own."""
    if log.is_folder:
        found: Iterator[str] = _within(log.path.rstrip("/"))
    else:
        found = (name for name in glob.iglob(log.pattern, recursive=True) if _shows(name, log.folder))  # noqa: PTH207
    names: dict[str, str] = {}
    for _, name, real in sorted((name != os.path.realpath(name), name, os.path.realpath(name)) for name in found):
        names.setdefault(real, name)
    return sorted(map(Path, names.values()))


def _within(root: str) -> Iterator[str]:
    """Parquet files below a folder. Links are followed, into each folder once: they may lead back up."""
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(filter(holds_rows, folders), key=lambda name: _linked(folder, name))
        yield from (f"{folder}/{name}" for name in files if name.endswith(".parquet") and holds_rows(name))


def _linked(folder: str, name: str) -> tuple[bool, str]:
    """Folders before links to them, so that a partition keeps the name that it has."""
    return Path(folder, name).is_symlink(), name


def _shows(path: str, root: str) -> bool:
    return all(map(holds_rows, path.removeprefix(root).strip("/").split("/")))


def _here(path: Path) -> LogFile:
    """By its number on the disk, size and two times, of which no program can set the latter back."""
    try:
        status = path.stat()
    except OSError as error:
        raise BadInput(f"expected a file at {path}, found: {error.strerror}; remove it or put it back") from error
    return LogFile(str(path), f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")


def _elsewhere(log: LogInPlace) -> Iterator[LogFile]:
    """By its size and whatever its file system says of its version or time."""
    scheme, _, path = log.pattern.partition("://")
    system = file_system(scheme)
    system.invalidate_cache()
    entries: Mapping[str, Mapping[str, Any]] = system.glob(path, detail=True)
    root = log.folder.partition("://")[2].lstrip("/")
    for name, said in entries.items():
        if _shows(name.lstrip("/"), root):
            told = [str(said[key]) for key in _TOLD_BY if said.get(key)]
            yield LogFile(f"{scheme}://{name.lstrip('/')}", " ".join([str(said.get("size")), *told]))
