"""The catalogue and its judgments as a BEIR data set: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv and scale.json.

    relevance export beir DIR

Reads the pins' texts as they are now and the judged pairs; `enrich import beir DIR` reads it back. A score is the level
less one, so that 0 is what nobody wants, as tools take it; scale.json says that the highest there can be is 4, or
levels would come back raised where no pair is at level 5. `text` is all that a pin says but its title: description,
caption and link; what people did with it (boards, engaged queries) is left out, for it may hold the queries themselves.
documents.tsv has the pins whose ids had to be changed (ids.py). A split that a former export wrote and this one does
not goes, for all of qrels/ is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from enrich import parts
from enrich.importers.beir import HIGHEST, SCALE_FILE
from enrich.live_pins import deleted_pins
from enrich.tables import LEVELS, PINS
from enrich.workspace import Workspace
from relevance.catalogue import field_texts
from relevance.exporting.claim import claim
from relevance.exporting.ids import DOCUMENTS, SIDES, changed_ids, document_id, query_id

_CONTENT = ("description", "caption", "link", "link description")
_AT_ONCE = 20_000  # pins whose texts are in memory


@dataclass(frozen=True, slots=True)
class BeirExport:
    folder: Path
    pins: int
    pairs: dict[str, int]  # by split

    def lines(self) -> list[str]:
        judged = ", ".join(f"{split} {count:,}" for split, count in self.pairs.items())
        return [f"{self.pins:,} pins; judged pairs: {judged}: {self.folder}"]


def write_beir(workspace: Workspace, folder: Path, splits: Mapping[str, pl.DataFrame]) -> BeirExport:
    """Write the catalogue and the judged pairs (query, pin_id, level) of each split.

    Raises BadInput, with nothing written, where others' files have these names.
    """
    claim(folder, ("corpus.jsonl", "queries.jsonl", "qrels", SCALE_FILE, DOCUMENTS))
    (folder / "qrels").mkdir(exist_ok=True)
    for former in {*SIDES} - {*splits}:
        (folder / "qrels" / f"{former}.tsv").unlink(missing_ok=True)
    pins = parts.scan(workspace.folder(PINS)).join(deleted_pins(workspace), on="pin_id", how="anti")
    ids = pins.select(pl.col("pin_id").unique().sort()).collect()["pin_id"]
    _write_lines(folder / "corpus.jsonl", _documents(workspace, ids))
    _write_lines(folder / DOCUMENTS, changed_ids(ids))
    asked = pl.concat([pairs["query"] for pairs in splits.values()]).unique().sort()
    _write_lines(folder / "queries.jsonl", (_json({"_id": query_id(query), "text": query}) for query in asked))
    for split, pairs in splits.items():
        _write_lines(folder / "qrels" / f"{split}.tsv", ["query-id\tcorpus-id\tscore", *_scores(pairs)])
    _write_lines(folder / SCALE_FILE, [json.dumps({HIGHEST: LEVELS[-1] - 1})])
    return BeirExport(folder, len(ids), {split: pairs.height for split, pairs in splits.items()})


def _documents(workspace: Workspace, ids: pl.Series) -> Iterator[str]:
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        said: dict[str, dict[str, str]] = {}
        for pin, field, text in field_texts(workspace, some).iter_rows():
            said.setdefault(pin, {})[field] = text
        for pin in some:
            texts = said.get(pin, {})
            text = ". ".join(texts[field] for field in _CONTENT if field in texts)
            yield _json({"_id": document_id(pin), "title": texts.get("title", ""), "text": text})


def _scores(pairs: pl.DataFrame) -> Iterator[str]:
    for query, pin, level in pairs.select("query", "pin_id", "level").iter_rows():
        yield f"{query_id(query)}\t{document_id(pin)}\t{level - 1}"


def _json(value: Mapping[str, str]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    """Aside, then renamed; a line at a time."""
    aside = path.with_name(f".{path.name}.new")
    with aside.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    aside.replace(path)
