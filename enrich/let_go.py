"""Which files of a log in place were let go, as logs are kept for a time, and which were replaced or taken out.

Reads what the index knew of files that are gone, and what it knows of those that are there (`log_index.py`); writes
nothing. A file's main day is that in the middle of its rows, so that a late row says nothing of the file's age.

- **Let go** is the beginning of the log: what is older than the file has gone too, but for fewer rows than went of its
  own main day, and for late files, which are as old as what was let go before. What such a file said stays.
- **Taken out** is what lay amid others: it is unsaid, as a bad day that is removed.
- **Replaced** is what other names hold now, in the same run: files most of whose rows are of main days that have gone,
  with at least half as many of the file's own. Folders that are named `name=value` say more: the partition of a
  replacement is the file's, or one within or around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from enrich.day_folders import Day, days_of

_STEPS = "partition"  # the steps `name=value` of a file's path, one a line


class Grown(NamedTuple):
    """A day with rows of files that are gone, which is another one now."""

    now: Day
    was: Day
    seen: tuple[str, ...]  # files there whose rows, or those that they replace, are in what it was


def let_go(gone: pl.DataFrame, stayed: pl.DataFrame, came: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    """The rows (uri, day, rows, ...) of `gone` whose files were let go.

    `stayed` are the files that were there before, `came` those that were not, `past` those let go by earlier runs.
    """
    mains = main_days(gone)
    began = main_days(past)["main"].max()
    there = main_days(stayed)
    if isinstance(began, int):
        there = there.filter(pl.col("main") > began)
    went = mains.group_by("main").agg(pl.col("rows").sum()).sort("main")
    first = [day for day, rows in went.iter_rows() if there.filter(pl.col("main") < day)["rows"].sum() < rows]
    let = mains.filter(pl.col("main").is_in(first))
    replaced = _replaced(let, mains, came)
    return gone.filter(pl.col("uri").is_in(let["uri"].implode()) & ~pl.col("uri").is_in(replaced.implode()))


def main_days(files: pl.DataFrame) -> pl.DataFrame:
    """uri, main (the day in the middle of the file's rows) and rows, of each file that has any."""
    dated = files.drop_nulls("day").sort("uri", "day").with_columns(pl.col("rows").cum_sum().over("uri").alias("until"))
    whole = pl.col("rows").sum().over("uri")
    beyond = dated.with_columns(whole.alias("whole")).filter(2 * pl.col("until") > pl.col("whole"))
    return beyond.group_by("uri").agg(main=pl.col("day").min(), rows=pl.col("whole").first()).sort("uri")


def marked(past: pl.DataFrame, erased: Sequence[int]) -> pl.DataFrame:
    """`past` whose days out of which something was taken have another digest: their snapshots are made again."""
    first = pl.col("day").is_in(erased) & pl.int_range(pl.len()).over("day").eq(0)
    return past.with_columns(digest=pl.col("digest") + first.cast(pl.Int64))


def grown_days(past: pl.DataFrame, files: pl.DataFrame, stored: pl.DataFrame, was: dict[int, Day]) -> list[Grown]:
    """The days with rows of files that are gone that are not what they were, and in which of the others they stood.

    Files that came in the place of some that were replaced count as seen.
    """
    if past.is_empty():
        return []
    kept, names = set(past["day"]), set(stored["uri"])
    stood, there, left = (_places(frame) for frame in (stored, files, past))
    of_files = {uri for uri, _ in there}
    changed = {number for uri, number in stood - left if uri not in of_files}
    grown = []
    for now in days_of(pl.concat([past, files])):
        if now.number in kept and was.get(now.number, now) != now:
            new = now.number in changed
            seen = {
                uri for uri, day in there if day == now.number and ((uri, day) in stood or (new and uri not in names))
            }
            grown.append(Grown(now, was[now.number], tuple(sorted(seen))))
    return grown


def _places(index: pl.DataFrame) -> set[tuple[str, int | None]]:
    return set(zip(index["uri"].to_list(), index["day"].to_list(), strict=True))


def _replaced(let: pl.DataFrame, gone: pl.DataFrame, came: pl.DataFrame) -> pl.Series:
    """The files of `let` (uri, main, rows) whose main day other names hold now."""
    of_gone = pl.col("day").is_in(gone["main"].unique().implode())
    most = (2 * pl.col("rows").filter(of_gone).sum() > pl.col("rows").sum()).over("uri")
    anew = came.drop_nulls("day").filter(most & of_gone).pipe(_with_steps)
    anew = anew.group_by(_STEPS, main="day").agg(anew=pl.col("rows").sum())
    had = gone.group_by("main").agg(had=pl.col("rows").sum())
    pairs = _with_steps(let).select("uri", "main", _STEPS).join(anew, on="main", suffix="_anew")
    pairs = pairs.filter(pl.struct(_STEPS, f"{_STEPS}_anew").map_elements(_within_each_other, pl.Boolean))
    covered = pairs.group_by("uri", "main").agg(pl.col("anew").sum()).join(had, on="main")
    return covered.filter(2 * pl.col("anew") >= pl.col("had"))["uri"]


def _with_steps(files: pl.DataFrame) -> pl.DataFrame:
    steps = ["\n".join(step for step in uri.split("/")[:-1] if "=" in step) for uri in files["uri"].to_list()]
    return files.with_columns(pl.Series(_STEPS, steps, pl.String))


def _within_each_other(names: dict[str, str]) -> bool:
    one, other = (set(filter(None, steps.split("\n"))) for steps in names.values())
    return one <= other or other <= one
