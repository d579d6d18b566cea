"""Importers: one module a format, each a `load` that finds source tables; cleaning and writing are the same for all.

    enrich import FORMAT PATH

reads PATH, writes W/sources/TABLE/, W/import.json (rows dropped, by reason) and, last, W/workspace.json.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import assert_never

from enrich.errors import BadInput
from enrich.importers import beir, chorus, esci, lists, native, quepid, sample, staging, trec, ubi, wands
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.importers.report import ImportReport, TableReport
from enrich.mapped_columns import NO_MAPPING, Mapping
from enrich.workspace import Catalogue, Workspace

__all__ = ["Format", "ImportReport", "Mapping", "RawCatalogue", "RawTable", "TableReport", "import_catalogue", "load"]


class Format(StrEnum):
    """What `enrich import` reads."""

    SAMPLE = "sample"
    NATIVE = "native"
    CHORUS = "chorus"
    ESCI = "esci"
    WANDS = "wands"
    UBI = "ubi"
    LISTS = "lists"
    TREC = "trec"
    BEIR = "beir"
    QUEPID = "quepid"


def import_catalogue(
    format: Format | str,
    path: str | Path,
    workspace: Workspace,
    mapping: Mapping = NO_MAPPING,
    log: str | None = None,
    corrected: bool = False,
) -> ImportReport:
    """Bring the catalogue at `path` into the workspace, replacing what an earlier import of it brought.

    `mapping` says what a native folder's columns and events are called there, `log` where engagements lie that are to
    be left there: a folder of parquet, of hive partitions too, or s3:. `corrected`: words of pins that changed without
    a later updated_at were wrong before, and keep the date that those had (else the import's).

    Raises BadInput, leaving the workspace as it was, when the format or path is wrong, a column is missing, a file
    cannot be read, a table is mostly bad, there is no pin, or the workspace holds another catalogue.
    """
    try:
        known = Format(format)
    except ValueError as error:
        raise BadInput(f"expected a format of {', '.join(Format)}, found {format!r}; name one of these") from error
    origin = Path(path).expanduser().resolve()
    if not origin.exists():
        raise BadInput(f"expected a {known} catalogue at {origin}, found nothing there; check the path")
    if (mapping != NO_MAPPING or log) and known is not Format.NATIVE:
        raise BadInput(f"expected --map, --event and --log with the format native alone, found {known}; leave them out")
    catalogue = Catalogue(known.value, str(origin))
    workspace.admit(catalogue)
    return staging.write(load(known, origin, mapping, log), catalogue, workspace, corrected)


def load(format: Format, path: Path, mapping: Mapping = NO_MAPPING, log: str | None = None) -> RawCatalogue:
    """The source tables of the catalogue at `path`, not yet cleaned."""
    match format:
        case Format.SAMPLE:
            return sample.load(path)
        case Format.NATIVE:
            return native.load_folder(path, mapping, log)
        case Format.CHORUS:
            return chorus.load(path)
        case Format.ESCI:
            return esci.load(path)
        case Format.WANDS:
            return wands.load(path)
        case Format.UBI:
            return ubi.load(path)
        case Format.LISTS:
            return lists.load(path)
        case Format.TREC:
            return trec.load(path)
        case Format.BEIR:
            return beir.load(path)
        case Format.QUEPID:
            return quepid.load(path)
        case _:
            assert_never(format)
