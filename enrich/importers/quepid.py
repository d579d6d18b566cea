"""Reads ratings that were exported from Quepid, with the documents they are of.

    enrich import quepid PATH

PATH is a csv or a folder of them, told apart by their headings:

- basic: query, docid (or doc_id), rating. A row without a rating is a document that nobody rated.
- detail: Query Text, Doc ID, Title, Rating and the fields that the case shows; also documents.
- book: query, docid and a column a rater.
- snapshot: Query Text, Doc ID, Doc Position: a ranking, which is not read.

Documents are those of a file pins.csv (or .jsonl, .parquet: as of `enrich import native`) in the folder, else those of
the detail file, whose other fields become the description. Levels: a rating r of 0..top is the vote 1 + 4r/top, so
that 0, 1, 2, 3 are 1, 2⅓, 3⅔, 5 and their mean, half up, is the gold level; top is 1 where nothing above 1 was given
(Quepid's binary scorers), else 3 (its graded ones), or the highest rating found where that is more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from enrich.errors import BadInput
from enrich.importers import columns, files, native, prose_and_levels
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.importers.scanned import Scanned
from enrich.tables import JUDGMENTS, PINS

_QUERIES, _DOCUMENTS = ("query", "query text"), ("docid", "doc_id", "doc id")
_RATING, _TITLE, _POSITION = "rating", "title", "doc position"
_OF_THE_CASE = ("team name", "case name", "case id", "snapshot name", "snapshot time")
_SINGLE = "quepid"  # who gave a rating of which only the verdict was exported
_GRADED = 3  # the highest rating of Quepid's graded scorers


class _File(NamedTuple):
    """A csv whose headings are those of an export; names as the file writes them."""

    path: Path
    scanned: Scanned
    query: str
    document: str
    others: dict[str, str]  # lower case -> as written

    @property
    def is_ranking(self) -> bool:
        return _POSITION in self.others and _RATING not in self.others

    @property
    def raters(self) -> list[str]:
        """Columns of raters; none where there is a verdict."""
        if _RATING in self.others or _TITLE in self.others:
            return []
        return [name for key, name in self.others.items() if key not in _OF_THE_CASE]

    def ratings(self) -> pl.LazyFrame:
        """query, pin_id, annotator_id and rating, as texts."""
        query = pl.col(self.query).str.replace(r"^'([=+\-@])", "$1")  # as Quepid guards them from spreadsheets
        named = {"query": query, "pin_id": pl.col(self.document)}
        if self.raters:
            rows = self.scanned.frame.select(*(pl.col(name) for name in self.raters), **named)
            return rows.unpivot(self.raters, index=list(named), variable_name="annotator_id", value_name="rating")
        rating = pl.col(self.others[_RATING]) if _RATING in self.others else pl.lit(None, pl.String)
        return self.scanned.frame.select(**named, annotator_id=pl.lit(_SINGLE), rating=rating)

    def documents(self) -> pl.LazyFrame:
        """pin_id, title and, of the case's other fields, description."""
        known = {_TITLE, _RATING, _POSITION, *_OF_THE_CASE}
        fields = [pl.col(name) for key, name in self.others.items() if key not in known]
        described = prose_and_levels.prose(*fields) if fields else pl.lit(None, pl.String)
        title = pl.col(self.others[_TITLE])
        return self.scanned.frame.select(pin_id=pl.col(self.document), title=title, description=described)


def load(path: Path) -> RawCatalogue:
    """Pins and judgments. Raises BadInput when there is no document, no export, or a file cannot be read."""
    own = native.locate(path, PINS) if path.is_dir() else None
    exports = list(_exports(path, own))
    rated = [one for one in exports if not one.is_ranking]
    if not rated:
        raise BadInput(f"expected a csv with query, docid and rating in {path}, found none; check the path")
    pins, note = _pins(path, own, rated)
    votes = pl.concat([one.ratings() for one in rated]).unique(
        ["query", "pin_id", "annotator_id"], keep="first", maintain_order=True
    )
    graded = votes.with_columns(rating=columns.number(pl.col("rating"), pl.String()))
    top, blank = _scale(graded, path)
    judged = graded.filter(pl.col("rating").is_not_null()).select(
        "query", "pin_id", "annotator_id", level=1 + 4 * pl.col("rating").clip(0, top) / top
    )
    notes = (
        f"levels: a rating r of 0..{top:g} is the vote 1 + 4r/{top:g}",
        note,
        *((f"judgments: {blank:,} documents have no rating",) if blank else ()),
        *(f"{one.path.name}: a ranking, which is not read" for one in exports if one.is_ranking),
    )
    unreadable = sum(one.scanned.unreadable for one in rated)
    return RawCatalogue((pins, RawTable(JUDGMENTS, judged, str(path), unreadable)), notes)


def _exports(path: Path, own: Path | None) -> Iterator[_File]:
    for file in files.within(path):
        if file == own or (own is not None and own in file.parents) or files.kind(file) not in files.SEPARATED:
            continue
        scanned = files.scan(file)
        names = {name.strip().lower(): name for name in reversed(scanned.columns)}
        query = next((names.pop(name) for name in _QUERIES if name in names), None)
        document = next((names.pop(name) for name in _DOCUMENTS if name in names), None)
        if query is not None and document is not None:
            yield _File(file, scanned, query, document, dict(reversed(names.items())))


def _pins(path: Path, own: Path | None, rated: list[_File]) -> tuple[RawTable, str]:
    if own is not None:
        return native.read_table(PINS, own, path), f"pins: of {own.name}"
    detailed = [one for one in rated if _TITLE in one.others]
    if not detailed:
        raise BadInput(
            f"expected the documents in {path}, found ratings alone; export the case in detail, or add pins.csv "
            "(pin_id, title, description)"
        )
    documents = pl.concat([one.documents() for one in detailed]).unique("pin_id", keep="first", maintain_order=True)
    return RawTable(PINS, documents, str(path)), "pins: the documents of the detailed export, and no others"


def _scale(graded: pl.LazyFrame, path: Path) -> tuple[float, int]:
    """The highest rating of the scale, and how many rows have none. Raises BadInput where none has one."""
    try:
        highest, blank = graded.select(pl.col("rating").max(), blank=pl.col("rating").is_null().sum()).collect().row(0)
    except (pl.exceptions.PolarsError, duckdb.Error) as error:
        raise files.unreadable(path, "ratings of Quepid", error) from error
    if highest is None:
        raise BadInput(f"expected ratings in {path}, found none that is a number; rate some documents first")
    return (1.0 if highest <= 1 else max(float(_GRADED), highest)), blank
