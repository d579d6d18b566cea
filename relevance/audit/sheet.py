"""A round's files for the person who labels: pairs.csv to fill in, index.html to label on, why.csv to look at later.

Reads the chosen pairs and the catalogue as it is now; writes W/audit/round-N/ (or --out). The sheet and the page hold
no opinion of a model, no gold level and nothing that others did, which would sway; why.csv has the first two. Texts
from outside are hostile: the page takes them as data and sets them as text only, under a content policy that runs its
own script and nothing else; in the sheets a text that a spreadsheet would take for a formula has an apostrophe before
it, and a pair is known by `id`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from enrich import parts
from enrich.job import input_hash
from enrich.tables import LEVELS
from enrich.workspace import Workspace
from relevance.audit.worth import SAID, Reason
from relevance.judging.showcase import FieldText, pictures_of, texts_of
from relevance.report import LEVEL_NAMES

ROUNDS = "audit"  # of the workspace
SHEET, PAGE, WHY = "pairs.csv", "index.html", "why.csv"
COLUMNS = ("id", "query", "pin_id", "lang", "title", "level", "annotator", "judged_at", "note")
_WHY_COLUMNS = ("id", "query", "pin_id", "reason", "worth", "level", "teacher", "student")
_TEMPLATES = Path(__file__).parent.parent / "templates"
_PICTURE_PIXELS = 384
_BEHAVIOUR = ("boards", "queries")  # what others did with the pin would sway as much as what a model says
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Card(NamedTuple):
    """A pair as the page shows it."""

    id: str
    query: str
    pin_id: str
    lang: str
    title: str
    texts: tuple[FieldText, ...]
    picture: str | None  # base64 of a JPEG
    reason: str


@dataclass(frozen=True, slots=True)
class Round:
    """What an audit wrote."""

    folder: Path
    pairs: int
    queries: int
    reasons: dict[str, int]
    pool: int  # pairs among which they were chosen

    def lines(self) -> list[str]:
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        return [
            f"{self.pairs:,} pairs of {self.queries:,} queries to judge, of {self.pool:,} looked at: {why}",
            f"label on {self.folder / PAGE} or fill in {self.folder / SHEET}; why each: {self.folder / WHY}",
            "then: relevance audit --read FILE",
        ]


def pair_id(query: str, pin_id: str) -> str:
    """By which a row is known again, whatever a spreadsheet did to its texts: why.csv has them too."""
    return input_hash("audit", query, pin_id)[:16]


def safe_cell(text: str) -> str:
    """With an apostrophe where a spreadsheet would compute."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_round(workspace: Workspace, chosen: pl.DataFrame, pool: int, folder: Path | None = None) -> Round:
    """Write the files of the chosen pairs (query, pin_id, lang, level, teacher, student, reason, worth)."""
    folder = folder or _next_round(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    cards = _cards(workspace, chosen)
    parts.write_text(folder / WHY, _csv(_WHY_COLUMNS, _why(chosen)))
    parts.write_text(folder / SHEET, _csv(COLUMNS, _rows(cards)))
    parts.write_text(folder / PAGE, render(cards, folder.name))
    reasons = dict(chosen["reason"].value_counts(sort=True).iter_rows())
    return Round(folder, chosen.height, chosen["query"].n_unique(), reasons, pool)


def render(cards: Sequence[Card], name: str) -> str:
    """The page; `name` is the round's, under which a browser keeps what was labelled."""
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    script = (_TEMPLATES / "audit.js").read_text()
    key = input_hash(name, *(card.id for card in cards))
    levels = [{"level": level, "name": text} for level, text in zip(LEVELS, LEVEL_NAMES, strict=True)]
    data = {"key": key, "levels": levels, "columns": COLUMNS, "pairs": [_plain(card) for card in cards]}
    return environment.get_template("audit.html.j2").render(
        name=name,
        pairs=len(cards),
        names=LEVEL_NAMES,
        data=_in_script(json.dumps(data, ensure_ascii=False)),
        script=Markup(script),  # our own file, read from beside the template
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _in_script(text: str) -> Markup:
    """JSON that no end of an element, and no comment, can be read into."""
    return Markup("".join(_UNSAFE_IN_SCRIPT.get(one, one) for one in text))


def _plain(card: Card) -> dict[str, object]:
    return card._asdict() | {"texts": [one._asdict() for one in card.texts], "cell": _cells(card)}


def _cells(card: Card) -> list[str]:
    """The row's first columns as the sheets write them, so that the page's own sheet is as safe."""
    return [card.id, *map(safe_cell, (card.query, card.pin_id, card.lang, card.title))]


def _cards(workspace: Workspace, chosen: pl.DataFrame) -> list[Card]:
    pins = chosen["pin_id"].unique()
    texts, pictures = texts_of(workspace, pins), pictures_of(workspace, pins, _PICTURE_PIXELS)
    found = []
    for query, pin, lang, reason in chosen.select("query", "pin_id", "lang", "reason").iter_rows():
        said = tuple(one for one in texts.get(pin, ()) if one.field not in _BEHAVIOUR)
        title = next((one.text for one in said if one.field == "title"), "")
        picture = b64encode(pictures[pin]).decode() if pin in pictures else None
        found.append(Card(pair_id(query, pin), query, pin, lang or "", title, said, picture, SAID[Reason(reason)]))
    return found


def _rows(cards: Sequence[Card]) -> Iterator[list[str]]:
    for card in cards:
        yield [*_cells(card), "", "", "", ""]


def _why(chosen: pl.DataFrame) -> Iterator[list[str]]:
    for row in chosen.iter_rows(named=True):
        opinions = [_said(row[name]) for name in ("teacher", "student")]
        gold = "" if row["level"] is None else str(row["level"])
        told = [pair_id(row["query"], row["pin_id"]), safe_cell(row["query"]), safe_cell(row["pin_id"])]
        yield [*told, row["reason"], f"{row['worth']:.4f}", gold, *opinions]


def _said(probabilities: Sequence[float] | None) -> str:
    return "" if probabilities is None else " ".join(f"{one:.3f}" for one in probabilities)


def _csv(columns: Sequence[str], rows: Iterator[list[str]]) -> str:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _next_round(workspace: Workspace) -> Path:
    names = [re.fullmatch(r"round-(\d+)", path.name) for path in (workspace.root / ROUNDS).glob("round-*")]
    there = [int(name[1]) for name in names if name]
    return workspace.root / ROUNDS / f"round-{max(there, default=0) + 1:03}"
