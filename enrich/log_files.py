"""The files in which the log lies, and what tells a file that is as it was from one that was written since.

Reads the folder of W/sources/engagements, or the names and footers of a log that stays where it is (`log_in_place.py`),
on this machine or wherever fsspec reaches; writes nothing. No row is read here.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pyarrow.parquet as pq

from enrich import parts
from enrich.backends import file_system
from enrich.errors import BadInput
from enrich.log_in_place import LogInPlace
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
    found = sorted(_elsewhere(log.pattern) if log.is_remote else map(_here, _matching(log.pattern)))
    if not found:
        raise BadInput(f"expected parquet files at {log.pattern}, found none; check --log, or put them back")
    return found


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


def _matching(pattern: str) -> Iterator[Path]:
    return map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207  Path.glob follows no links


def _here(path: Path) -> LogFile:
    """By its number on the disk, size and two times, of which no program can set the latter back."""
    status = path.stat()
    return LogFile(str(path), f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")


def _elsewhere(pattern: str) -> Iterator[LogFile]:
    """By its size and whatever its file system says of its version or time."""
    scheme, _, path = pattern.partition("://")
    system = file_system(scheme)
    system.invalidate_cache()
    entries: Mapping[str, Mapping[str, Any]] = system.glob(path, detail=True)
    for name, said in entries.items():
        told = [str(said[key]) for key in _TOLD_BY if said.get(key)]
        yield LogFile(f"{scheme}://{name.lstrip('/')}", " ".join([str(said.get("size")), *told]))
