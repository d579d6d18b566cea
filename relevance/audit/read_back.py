"""Labels of an audit back into the workspace: votes of `judgments` that say where they are from, then gold levels.

Reads a csv as `relevance audit` writes it, filled in by hand or by its page, or any with the columns query, pin_id and
level (annotator, judged_at and lang beside them); writes a part of sources/judgments that an import leaves alone, and
judgment. The annotator_id is "audit:" and a name; a file read twice adds nothing. All of a file is taken, or none: one
line says what is wrong with the first bad row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich import parts
from enrich.errors import BadInput
from enrich.importers import columns
from enrich.job import input_hash
from enrich.judgments import AUDIT, run_judgments
from enrich.normalise import collapse_space, normalise_query
from enrich.tables import JUDGMENTS, LEVELS, PINS
from enrich.workspace import Workspace
from relevance.audit.sheet import pair_id

_NEEDED = ("query", "pin_id", "level")
_LONGEST_NAME = 64
_CLOCK_SKEW = timedelta(days=1)


class Vote(NamedTuple):
    query: str
    pin_id: str
    level: float
    annotator_id: str
    judged_at: datetime | None
    lang: str | None


@dataclass(frozen=True, slots=True)
class Read:
    """What a file brought."""

    votes: int
    blank: int  # rows without a level, left out
    new: bool  # whether the file was not read before
    gold: int  # gold levels that were made or changed

    def lines(self) -> list[str]:
        if not self.new:
            return [f"{self.votes:,} votes, all read before: nothing was added"]
        skipped = f"; {self.blank:,} rows have no level yet" if self.blank else ""
        return [f"{self.votes:,} votes added{skipped}; {self.gold:,} gold levels made or changed by `enrich judgments`"]


def read_labels(workspace: Workspace, path: Path, annotator: str | None = None) -> Read:
    """Append the file's votes, named for `annotator` where a row names nobody, and make the gold levels.

    Raises BadInput, with nothing changed, for a file that is none, a row that is bad, and where no row has a level.
    """
    rows = list(_rows(path))
    filled = [(number, row) for number, row in rows if (row.get("level") or "").strip()]
    if not filled:
        raise BadInput(f"expected labelled rows in {path}, found {len(rows):,} without a level; label some first")
    votes = [_vote(row, number, path, annotator) for number, row in filled]
    _refuse_unknown(workspace, votes, path)
    _refuse_again(votes, path)
    name = f"{parts.ADDED}{input_hash(*map(str, sorted(votes, key=str)))}"
    new = not parts.has(workspace.folder(JUDGMENTS), name)
    if new:
        frame = pl.DataFrame([vote._asdict() for vote in votes], schema_overrides=_TYPES)
        dated = frame.with_columns(pl.col("judged_at").fill_null(datetime.now(UTC)))
        parts.append(workspace.folder(JUDGMENTS), JUDGMENTS, dated.select(JUDGMENTS.schema.names).to_arrow(), name)
    report = run_judgments(workspace)
    return Read(len(votes), len(rows) - len(filled), new, report.made)


_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "level": pl.Float64,
    "judged_at": pl.Datetime("us", "UTC"),
    "lang": pl.String,
}


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The lines with their numbers, by the header's names."""
    if not path.is_file():
        raise BadInput(f"expected a labelled csv at {path}, found nothing; check the path")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=start.count), strict=True)
            names = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            missing = [name for name in _NEEDED if name not in names]
            if missing:
                found = ", ".join(filter(None, names)) or "nothing"
                raise BadInput(
                    f"expected columns {', '.join(_NEEDED)} in {path}, found {found[:200]}; add {missing[0]}"
                )
            reader.fieldnames = names
            for row in reader:
                yield reader.line_num, {name: value for name, value in row.items() if isinstance(value, str)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"expected {path} to be a csv in UTF-8, found: {error}; save it as one") from error


def _vote(row: Mapping[str, str], number: int, path: Path, annotator: str | None) -> Vote:
    where = f"line {number} of {path}"
    query, pin = _pair(row, where)
    name = collapse_space(row.get("annotator") or annotator or "").removeprefix(AUDIT)
    if not name or len(name) > _LONGEST_NAME:
        raise BadInput(
            f"expected a name of at most {_LONGEST_NAME} characters in {where}, found {name[:40]!r}; give --annotator"
        )
    return Vote(
        query=query,
        pin_id=pin,
        level=_level(row["level"], where),
        annotator_id=AUDIT + name,
        judged_at=_time((row.get("judged_at") or "").strip(), where),
        lang=(row.get("lang") or "").strip() or None,
    )


def _pair(row: Mapping[str, str], where: str) -> tuple[str, str]:
    """As it was asked; where the row has an id, what a spreadsheet's apostrophes hide is found by it."""
    query, pin, one = row.get("query") or "", (row.get("pin_id") or "").strip(), (row.get("id") or "").strip()
    if one:
        options = [(q, p) for q in (query, query.removeprefix("'")) for p in (pin, pin.removeprefix("'"))]
        known = next((pair for pair in options if pair_id(*pair) == one), None)
        if known is None:
            raise BadInput(
                f"expected the pair of id {one[:20]!r} in {where}, found another query or pin_id; do not change them"
            )
        return known
    if not normalise_query(query) or not pin:
        raise BadInput(f"expected a query and a pin_id in {where}, found {query[:40]!r} and {pin[:40]!r}")
    return query, pin


def _level(text: str, where: str) -> float:
    try:
        level = float(text)
    except ValueError:
        level = float("nan")
    if level not in LEVELS:
        raise BadInput(f"expected a level of 1 to {LEVELS[-1]} in {where}, found {text[:40]!r}")
    return level


def _time(text: str, where: str) -> datetime | None:
    """UTC; None where there is none, which is now."""
    if not text:
        return None
    found = pl.DataFrame({"at": [text]}).select(columns.time(pl.col("at"), pl.String())).item()
    if (
        not isinstance(found, datetime)
        or not datetime(1970, 1, 1, tzinfo=UTC) <= found <= datetime.now(UTC) + _CLOCK_SKEW
    ):
        raise BadInput(
            f"expected judged_at as a time that has been, such as 2026-01-31T12:00:00Z, in {where}, found {text[:40]!r}"
        )
    return found


def _refuse_unknown(workspace: Workspace, votes: list[Vote], path: Path) -> None:
    pins = parts.scan(workspace.folder(PINS)).select("pin_id").collect()["pin_id"]
    unknown = sorted({vote.pin_id for vote in votes} - set(pins))
    if unknown:
        raise BadInput(
            f"expected pins of the catalogue in {path}, found {len(unknown):,} others, such as {unknown[0][:40]!r}; "
            "is it of this workspace?"
        )


def _refuse_again(votes: list[Vote], path: Path) -> None:
    """One person, two levels for one pair: which counts would be a guess."""
    seen: dict[tuple[str, str, str], float] = {}
    for vote in votes:
        key = (normalise_query(vote.query), vote.pin_id, vote.annotator_id)
        if seen.setdefault(key, vote.level) != vote.level:
            raise BadInput(
                f"expected one level a pair and annotator in {path}, found {seen[key]:g} and {vote.level:g} for "
                f"{vote.query[:40]!r}, {vote.pin_id[:40]!r}; keep one"
            )
