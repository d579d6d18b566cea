"""The titles under which people saved a pin: `pin_boards`, one snapshot at a time.

Reads board_pins, boards and deletions; writes pin_boards (`enrich boards`).

After OmniSearchSage (arXiv 2404.16260, section 3.2): at most 10 unique titles a pin, scored by how often they occur and
how prevalent their words are, ordered by score, then word count, then length, longer first. Its formula is not
published; ours is, for a title t of pin p with the words W,

    score(p, t) = mean over w in W of  boards(p, w) * ln(1 + B / boards(w))

where boards(p, w) counts the boards that hold p and have w in their title, boards(w) all boards that have it and B all
boards with a pin and a telling title, each as saved before the snapshot: a word on which the pin's savers agree counts
for more, a word that is on every board for less. The score is rounded to one decimal, so that word count and length
decide near ties.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import snapshots
from enrich.backends import BOUNDED, BackendLimits, lists
from enrich.board_titles import read_title
from enrich.errors import BadInput
from enrich.history import History, before, changes
from enrich.job import JobReport
from enrich.snapshots import Computed, SnapshotSettings
from enrich.tables import PIN_BOARDS
from enrich.workspace import Workspace


@dataclass(frozen=True, slots=True)
class BoardSettings:
    titles: int = 10  # kept a pin, at most
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    backend: BackendLimits = BOUNDED

    def __post_init__(self) -> None:
        if self.titles < 1:
            raise BadInput(f"expected to keep at least 1 title a pin, found {self.titles}; raise `titles`")

    @property
    def producer(self) -> str:
        return f"boards/3 titles={self.titles} cadence={self.snapshots.cadence_days}d"


def run_boards(workspace: Workspace, settings: BoardSettings) -> JobReport:
    """Bring pin_boards up to date with what was saved before each due snapshot."""
    history = History(workspace, settings.backend)
    saves = history.saves()
    log = changes(saves, "saved_at", ("board_id", "pin_id", "title"), settings.snapshots)
    planned = snapshots.plan(log, settings.snapshots)
    prepared = _prepare(saves)

    def compute(at: datetime, _: pl.DataFrame) -> Computed:
        return Computed(board_titles(prepared, at, settings.titles), _dropped(prepared, at))

    return snapshots.run(workspace, PIN_BOARDS, planned, compute, settings.producer, settings.snapshots)


class _Prepared(NamedTuple):
    saves: ir.Table  # board_id, pin_id, title, saved_at
    titles: ir.Table  # title (raw), text, key, words (how many)
    words: ir.Table  # key, word
    dropped: ir.Table  # title (raw), reason


def _prepare(saves: ir.Table) -> _Prepared:
    """The saves with what each distinct title says, read once."""
    raws = saves.select("title").distinct().order_by("title").to_polars()["title"]
    titles = [(raw, read_title(raw)) for raw in raws]
    kept = pl.DataFrame(
        [(raw, title.text, title.key, len(title.words)) for raw, title in titles if title.words],
        schema={"title": pl.String, "text": pl.String, "key": pl.String, "words": pl.Int64},
        orient="row",
    )
    words = pl.DataFrame(
        sorted({(title.key, word) for _, title in titles for word in title.words}),
        schema={"key": pl.String, "word": pl.String},
        orient="row",
    )
    dropped = pl.DataFrame(
        [(raw, reason) for raw, title in titles for reason in title.dropped],
        schema={"title": pl.String, "reason": pl.String},
        orient="row",
    )
    return _Prepared(
        saves,
        ibis.memtable(kept),
        ibis.memtable(words),
        ibis.memtable(dropped),
    )


def board_titles(prepared: _Prepared, at: datetime, limit: int) -> pl.DataFrame:
    """pin_id, board_titles (best first, at most `limit`), board_count, of all pins saved before `at`."""
    saves = before(prepared.saves, "saved_at", at)
    counts = saves.group_by("pin_id").agg(board_count=saves.count())
    titled = saves.join(prepared.titles, "title")
    best = _best(_scored(titled, prepared.words), limit).select("pin_id", "rank", board_titles="text").to_polars()
    joined: pl.DataFrame = counts.to_polars().join(lists(best, "pin_id", "rank"), on="pin_id", how="left")
    return joined.with_columns(pl.col("board_titles").fill_null([]))


def _scored(titled: ir.Table, words: ir.Table) -> ir.Table:
    """pin_id, key, text, words, score: one row a pin and key."""
    worded = titled.select("pin_id", "board_id", "key").join(words, "key")
    pin_words = worded.group_by("pin_id", "word").agg(held=worded.board_id.nunique())
    word_boards = worded.group_by("word").agg(prevalence=worded.board_id.nunique())
    boards = titled.aggregate(boards=titled.board_id.nunique())
    weighted = pin_words.join(word_boards, "word").cross_join(boards)
    weighted = weighted.mutate(weight=weighted.held * (1 + weighted.boards / weighted.prevalence).ln())
    spelled = titled.group_by("pin_id", "key", "text", "words").agg(uses=titled.count())
    order = [ibis.desc("uses"), "text"]
    surface = spelled.mutate(nth=ibis.row_number().over(group_by=["pin_id", "key"], order_by=order))
    surface = surface.filter(surface.nth == 0)
    spread = surface.join(words, "key").join(weighted, ["pin_id", "word"])
    return spread.group_by("pin_id", "key", "text", "words").agg(score=spread.weight.mean().round(1))


def _best(scored: ir.Table, limit: int) -> ir.Table:
    order = [ibis.desc("score"), ibis.desc("words"), scored.text.length().desc(), "text"]
    ranked = scored.mutate(rank=ibis.row_number().over(group_by="pin_id", order_by=order))
    return ranked.filter(ranked.rank < limit)


def _dropped(prepared: _Prepared, at: datetime) -> Counter[str]:
    """Boards whose title was dropped or scrubbed, by reason."""
    boards = before(prepared.saves, "saved_at", at).select("board_id", "title").distinct()
    joined = boards.join(prepared.dropped, "title")
    counted = joined.group_by("reason").agg(boards=joined.count()).to_polars()
    return Counter(dict(counted.iter_rows()))
