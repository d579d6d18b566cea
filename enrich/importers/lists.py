"""Reads titled lists of links, such as curated collections on the web, as boards: JSON lines, one entry a line.

    enrich import lists PATH

PATH is a file or a folder of .jsonl. An entry's keys, the first of each row that it has:

    the list      board, list, collection, boards, lists, tags     a title, or an array of titles: an entry in several
    the pin       url, link, website_url                           its id is a hash of it, so lists share their pins
    its texts     title, name; description, note                   of an entry given twice the first
    its language  lang

Titles and words are plain text, or Markdown's, whose backslash before a sign (C\\#) is taken out.

A list is one board for each file, `file` (a source file that the entry names), language and title. Entries without a
list are pins on no board. Neither lists nor entries have times: the defaults of the other formats hold.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import polars as pl

from enrich.errors import BadInput
from enrich.importers import files
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.importers.scanned import Scanned
from enrich.job import input_hash
from enrich.tables import BOARD_PINS, BOARDS, PINS

_TITLES = ("board", "list", "collection", "boards", "lists", "tags")
_LINKS = ("url", "link", "website_url")
_NAMES = ("title", "name")
_WORDS = ("description", "note")
_OTHERS = ("lang", "file")
_ESCAPED = r"\\([!-/:-@\[-`{-~])"  # CommonMark 0.31, section 2.4: a backslash before a sign of ASCII
_READ = (*_TITLES, *_LINKS, *_NAMES, *_WORDS, *_OTHERS)


def load(path: Path) -> RawCatalogue:
    """Pins, boards and board_pins. Raises BadInput when there are no JSON lines, or none has a link and a list."""
    sources = [file for file in files.within(path) if files.kind(file) in files.JSON_LINES]
    if not sources:
        raise BadInput(f"expected lists as JSON lines (.jsonl) in {path}, found none; check the path")
    scans = [files.scan_json_lines(source, _READ) for source in sources]
    entries = pl.concat([_entries(scanned, source) for scanned, source in zip(scans, sources, strict=True)])
    frame = entries.collect()
    if not frame["board"].list.len().sum():
        raise BadInput(
            f"expected entries with a link ({', '.join(_LINKS)}) and a list ({', '.join(_TITLES)}) in {path}, found "
            f"{', '.join(dict.fromkeys(name for scanned in scans for name in scanned.columns))[:200] or 'no keys'}; "
            "rename the keys"
        )
    placed = frame.explode("board").drop_nulls("board").with_columns(board_id=_board_ids())
    boards = placed.select("board_id", title="board").unique("board_id", keep="first", maintain_order=True)
    saves = placed.select("board_id", "pin_id")
    pins = frame.select("pin_id", "title", "description", "link_url", "lang")
    first = pins.filter(pl.col("pin_id").is_null() | pl.col("pin_id").is_first_distinct())
    alone = frame.filter(pl.col("board").list.len() == 0).height
    notes = [f"{alone:,} entries are on no list"] if alone else []
    without = saves["pin_id"].null_count()
    notes += [f"{without:,} entries of lists have no link, by which pins are told apart"] if without else []
    origin, unreadable = str(path), sum(scanned.unreadable for scanned in scans)
    return RawCatalogue(
        (
            RawTable(PINS, first.lazy(), origin, unreadable),
            RawTable(BOARDS, boards.lazy(), origin),
            RawTable(BOARD_PINS, saves.lazy(), origin),
        ),
        tuple(notes),
    )


def _entries(scanned: Scanned, source: Path) -> pl.LazyFrame:
    """source, file, lang, link_url, pin_id (null without a link), title, description, board (a list of titles)."""
    written = {name.lower(): name for name in reversed(scanned.columns)}

    def first(names: tuple[str, ...]) -> pl.Expr:
        there = [pl.col(written[name]).str.strip_chars() for name in names if name in written]
        filled = [pl.when(column.str.len_bytes() > 0).then(column) for column in there]
        return pl.coalesce(*filled) if filled else pl.lit(None, pl.String)

    link = first(_LINKS)
    return scanned.frame.select(
        source=pl.lit(source.name),
        file=first(("file",)),
        lang=first(("lang",)),
        link_url=link,
        pin_id=link.map_elements(lambda url: input_hash(url)[:16], return_dtype=pl.String),
        title=first(_NAMES).str.replace_all(_ESCAPED, "${1}"),
        description=first(_WORDS).str.replace_all(_ESCAPED, "${1}"),
        board=first(_TITLES).map_elements(_titles, return_dtype=pl.List(pl.String)).fill_null([]),
    )


def _titles(text: str) -> list[str]:
    """An array of titles, as its JSON text, or one title."""
    found: object = text
    if text.startswith("["):
        with contextlib.suppress(ValueError):  # a title that begins with a bracket
            found = json.loads(text)
    titles = [title for title in found if isinstance(title, str)] if isinstance(found, list) else [text]
    plain = (re.sub(_ESCAPED, r"\1", title).strip() for title in titles)
    return list(dict.fromkeys(title for title in plain if title))


def _board_ids() -> pl.Expr:
    where = pl.concat_str("source", pl.col("file").fill_null(""), pl.col("lang").fill_null(""), "board", separator="\0")
    return where.map_elements(lambda text: input_hash(text)[:16], return_dtype=pl.String)
