"""Labels of an audit back into the workspace: votes of `judgments` that say where they are from, then gold levels.

Reads a csv as `relevance audit` writes it, filled in by hand or by its page, or any with the columns query, pin_id and
level (annotator, judged_at and lang beside them); writes a part of sources/judgments that an import leaves alone, and
judgment. The annotator_id is "audit:" and a name; a file read twice adds nothing. A label that was changed and kept its
judged_at corrects the one read before. All of a file is taken, or none: one line says what is wrong with the first bad
row.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich import parts
from enrich.errors import BadInput
from enrich.importers import columns
from enrich.job import input_hash
from enrich.judgments import AUDIT, counted_votes, run_judgments
from enrich.normalise import collapse_space, normalise_query
from enrich.tables import JUDGMENTS, LEVELS, PINS
from enrich.workspace import Workspace
from relevance.audit.sheet import ROUNDS, WHY, pair_id

_NEEDED = ("query", "pin_id", "level")
_LONGEST_NAME = 64
_CLOCK_SKEW = timedelta(days=1)
_ONE_TIME = "1ms"  # what the page writes times to: votes within it were given at one time
_TICK = timedelta(microseconds=1)

Pair = tuple[str, str]  # query as asked, pin_id
Rounds = Callable[[], Mapping[str, Pair]]  # the pairs that were asked about, by id


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
    rounds = cache(partial(_rounds, workspace, path))
    votes = [_vote(row, f"line {number} of {path}", annotator, rounds) for number, row in filled]
    _refuse_unknown(workspace, votes, path)
    _refuse_again(votes, path)
    name = f"{parts.ADDED}{input_hash(*map(str, sorted(votes, key=str)))}"
    new = not parts.has(workspace.folder(JUDGMENTS), name)
    if new:
        frame = pl.DataFrame([vote._asdict() for vote in votes], schema_overrides=_TYPES)
        dated = _corrections(workspace, frame.with_columns(pl.col("judged_at").fill_null(datetime.now(UTC))))
        parts.append(workspace.folder(JUDGMENTS), JUDGMENTS, dated.select(JUDGMENTS.schema.names).to_arrow(), name)
    report = run_judgments(workspace)
    return Read(len(votes), len(rows) - len(filled), new, report.made)


_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "level": pl.Float64,
    "judged_at": pl.Datetime("us", "UTC"),
    "lang": pl.String,
}


def _corrections(workspace: Workspace, votes: pl.DataFrame) -> pl.DataFrame:
    """With a vote that says another level than the one there, at the same time, dated a microsecond after that."""
    there = counted_votes(workspace).select("pin_id", "annotator_id", key="query", was="level", was_at="judged_at")
    keyed = votes.with_columns(key=pl.Series([normalise_query(query) for query in votes["query"]]))
    at, was_at = pl.col("judged_at"), pl.col("was_at")
    same = (at.dt.truncate(_ONE_TIME) == was_at.dt.truncate(_ONE_TIME)) & (pl.col("level") != pl.col("was"))
    moved = pl.when(same).then(pl.max_horizontal(at, was_at + _TICK)).otherwise(at)
    joined = keyed.join(there.collect(), on=["key", "pin_id", "annotator_id"], how="left")
    return joined.with_columns(judged_at=moved)


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


def _vote(row: Mapping[str, str], where: str, annotator: str | None, rounds: Rounds) -> Vote:
    query, pin = _pair(row, where, rounds)
    own = (row.get("annotator") or "").strip().removeprefix("'")  # where the page's sheet put one
    name = collapse_space(own or annotator or "").removeprefix(AUDIT)
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


def _pair(row: Mapping[str, str], where: str, rounds: Rounds) -> Pair:
    """As it was asked; where the row has an id, whatever a spreadsheet made of its texts."""
    query, pin, one = row.get("query") or "", (row.get("pin_id") or "").strip(), (row.get("id") or "").strip()
    if one:
        asked = _asked(one, _before_sheets(query, pin), rounds)
        if asked is None:
            raise BadInput(
                f"expected the pair of id {one[:20]!r} in {where}, found another query or pin_id, and no round that "
                "asked for it; do not change them"
            )
        return asked
    if not normalise_query(query) or not pin:
        raise BadInput(f"expected a query and a pin_id in {where}, found {query[:40]!r} and {pin[:40]!r}")
    return query, pin


def _asked(one: str, texts: list[Pair], rounds: Rounds) -> Pair | None:
    """The pair of an id: the texts where they make it, else what the rounds say of it; an id may be changed as well."""
    own = next((pair for pair in texts if pair_id(*pair) == one), None)
    return own or rounds().get(one) or next((pair for pair in texts if pair in rounds().values()), None)


def _before_sheets(query: str, pin: str) -> list[Pair]:
    """What the two can have been before a sheet put an apostrophe in front."""
    return [(q, p) for q in (query, query.removeprefix("'")) for p in (pin, pin.removeprefix("'"))]


def _rounds(workspace: Workspace, path: Path) -> dict[str, Pair]:
    """The pairs that rounds asked about, by id: of why.csv, which nobody fills in, here and beside the file."""
    told = [folder / WHY for folder in (*(workspace.root / ROUNDS).glob("*/"), path.parent)]
    rows = [row for file in told if file.is_file() for _, row in _rows(file)]
    pairs = [pair for row in rows for pair in _before_sheets(row.get("query", ""), row.get("pin_id", ""))]
    ids = {row.get("id") for row in rows}
    return {one: pair for pair in pairs if (one := pair_id(*pair)) in ids}


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
