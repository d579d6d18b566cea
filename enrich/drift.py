"""Whether a table's newest values still look like the ones before them: its texts and its numbers.

Reads the enriched tables; writes nothing (`enrich status` shows it). What is compared: of a content table each key's
newest row, the latest quarter by event time with the rest (new pins with old ones); of a behaviour table all its keys,
as the last snapshot that changed anything left them with as they stood before it. Of texts: their length, coverage,
repetitions, languages and words never seen before; of numbers their mean, coverage and distribution. A shift is a
population stability index, Σ (p - q) ln(p / q) over languages or over the earlier values' deciles; by custom 0.1 is
worth a look and 0.25 an alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from enrich import parts, snapshot_manifest
from enrich.normalise import terms
from enrich.tables import FLOAT, INT, PIN_TEXT, STRING, STRINGS, Kind, Table
from enrich.workspace import Workspace

FEWEST = 100  # rows on each side; with fewer, chance alone shifts them past what is called an alarm
ALARM = 0.25
_LATEST_SHARE = 0.25
_MOST = 20_000  # rows looked at on each side, spread evenly
_FLOOR = 1e-4  # of a share, so that an absent class gives no infinite shift


@dataclass(frozen=True, slots=True)
class TextFigures:
    """Texts of one period; `length` is in characters, `repeated` the share that stands there more than once."""

    rows: int
    coverage: float
    length: float
    repeated: float


@dataclass(frozen=True, slots=True)
class TextDrift:
    view: str
    field: str
    before: TextFigures
    latest: TextFigures
    languages: float | None  # shift of the pins' languages; None where no pin's is known
    new_words: float  # share of the latest texts' words that no earlier text has

    @property
    def alarming(self) -> bool:
        lengths = abs(np.log((self.latest.length + 1) / (self.before.length + 1)))
        coverage = abs(self.latest.coverage - self.before.coverage)
        return bool(lengths > ALARM or coverage > ALARM or (self.languages or 0.0) > ALARM or self.new_words > ALARM)


@dataclass(frozen=True, slots=True)
class NumberDrift:
    view: str
    field: str
    before_mean: float
    latest_mean: float
    before_coverage: float
    latest_coverage: float
    shift: float

    @property
    def alarming(self) -> bool:
        return self.shift > ALARM or abs(self.latest_coverage - self.before_coverage) > ALARM


def drift(workspace: Workspace, table: Table) -> tuple[list[TextDrift], list[NumberDrift]]:
    """Of each text and number of the table; nothing where a side has fewer than FEWEST rows."""
    told = [column for column in table.features if not column.name.endswith("_rule")]  # a name of ours, no text
    fields = [column for column in told if column.type in (STRING, STRINGS, INT, FLOAT)]
    sides = _by_snapshot if table.kind is Kind.BEHAVIOUR else _by_age
    before, latest = sides(workspace, table, [column.name for column in fields])
    if min(before.height, latest.height) < FEWEST:
        return [], []
    languages = _languages(workspace, table, before, latest)
    texts = [
        _text_drift(table.name, c.name, before[c.name], latest[c.name], languages)
        for c in fields
        if c.type in (STRING, STRINGS)
    ]
    numbers = [
        _number_drift(table.name, c.name, before[c.name], latest[c.name]) for c in fields if c.type in (INT, FLOAT)
    ]
    return [found for found in texts if found.before.coverage or found.latest.coverage], numbers


def stability_index(before: Sequence[float], latest: Sequence[float]) -> float:
    """Σ (p - q) ln(p / q) over the classes' counts; 0 where both are shared out alike."""
    p, q = (np.maximum(np.asarray(c, np.float64) / max(1.0, float(np.sum(c))), _FLOOR) for c in (latest, before))
    return float(((p - q) * np.log(p / q)).sum())


def _by_age(workspace: Workspace, table: Table, fields: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    newest = _newest(workspace, table, fields)
    split = newest.height - round(newest.height * _LATEST_SHARE)
    return _some(newest[:split]), _some(newest[split:])


def _by_snapshot(workspace: Workspace, table: Table, fields: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A key that lost its values is in neither side: what is there now is compared, not what has been."""
    made, folder = pl.col("reason").is_null(), workspace.folder(table)
    closing = [at for at, record in snapshot_manifest.read(folder).items() if record.closes]  # they say nothing new
    new = made & ~pl.col("event_timestamp").is_in(closing)
    times = parts.scan(folder).filter(new).select(pl.col("event_timestamp").unique())
    earlier = times.collect()["event_timestamp"].sort()[:-1]
    if earlier.is_empty():
        return pl.DataFrame(), pl.DataFrame()
    states = (_newest(workspace, table, [*fields, "reason"], end) for end in (earlier[-1], None))
    before, latest = (_some(state.filter(made).drop("reason")) for state in states)
    return before, latest


def _newest(workspace: Workspace, table: Table, fields: list[str], until: datetime | None = None) -> pl.DataFrame:
    """Key and fields of each key's newest row `until` then, oldest first."""
    clocks = ["event_timestamp", "created_timestamp"]
    rows = parts.scan(workspace.folder(table)).select(*table.key, *fields, *clocks)
    if until is not None:
        rows = rows.filter(pl.col("event_timestamp") <= until)
    rows = rows.sort(clocks, maintain_order=True)
    return rows.unique(subset=list(table.key), keep="last", maintain_order=True).collect()


def _some(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.gather_every(-(-rows.height // _MOST)) if rows.height > _MOST else rows


def _text_drift(view: str, field: str, before: pl.Series, latest: pl.Series, languages: float | None) -> TextDrift:
    old, new = _texts(before), _texts(latest)
    known = {word for text in old if text for word in terms(text)}
    words = [word for text in new if text for word in terms(text)]
    unseen = sum(word not in known for word in words) / len(words) if words and known else 0.0
    return TextDrift(view, field, _figures(old), _figures(new), languages, unseen)


def _texts(values: pl.Series) -> list[str | None]:
    """A text a row; of a list its items."""
    if isinstance(values.dtype, pl.List):
        return values.list.join("\n", ignore_nulls=True).to_list()
    return values.to_list()


def _figures(texts: Sequence[str | None]) -> TextFigures:
    there = [text for text in texts if text]
    times = Counter(there)
    return TextFigures(
        rows=len(texts),
        coverage=len(there) / max(1, len(texts)),
        length=sum(map(len, there)) / max(1, len(there)),
        repeated=sum(times[text] > 1 for text in there) / max(1, len(there)),
    )


def _languages(workspace: Workspace, table: Table, before: pl.DataFrame, latest: pl.DataFrame) -> float | None:
    """How the languages shifted: the table's own column's, else those of its pins' texts."""
    if "lang" in before.columns:
        sides = [before["lang"], latest["lang"]]
    elif table.key == PIN_TEXT.key:
        known = _newest(workspace, PIN_TEXT, ["lang"]).select("pin_id", "lang")
        sides = [rows.select("pin_id").join(known, on="pin_id", how="left")["lang"] for rows in (before, latest)]
    else:
        return None
    counts = [Counter(side.drop_nulls().to_list()) for side in sides]
    names = sorted({*counts[0], *counts[1]})
    return stability_index(*([count[name] for name in names] for count in counts)) if all(counts) else None


def _number_drift(view: str, field: str, before: pl.Series, latest: pl.Series) -> NumberDrift:
    old, new = (side.drop_nulls().cast(pl.Float64).to_numpy() for side in (before, latest))
    return NumberDrift(
        view,
        field,
        before_mean=float(old.mean()) if len(old) else 0.0,
        latest_mean=float(new.mean()) if len(new) else 0.0,
        before_coverage=len(old) / len(before),
        latest_coverage=len(new) / len(latest),
        shift=_shift(old, new) if len(old) and len(new) else 0.0,
    )


def _shift(old: np.ndarray, new: np.ndarray) -> float:
    """Over the earlier values' deciles; values that many rows share fall into one class."""
    edges = np.unique(np.quantile(old, np.linspace(0.1, 0.9, 9)))
    counts = [np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1).tolist() for side in (old, new)]
    return stability_index(*counts)


def alarming(found: Iterable[TextDrift | NumberDrift]) -> list[str]:
    """view.field of what drifted."""
    return [f"{one.view}.{one.field}" for one in found if one.alarming]
