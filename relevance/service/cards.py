"""What the catalogue says of pins, to be looked at: texts by field, picture, link, and where each value came from.

Reads the latest rows of the enriched tables and the pins' own; a deleted pin is not there. Cards are kept for a minute,
so that a page that is ordered anew reads nothing twice. Tables that are damaged or gone cost the cards their texts, and
say so in the log: nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import polars as pl

from enrich import parts, tables
from enrich.errors import CorkboardError, first_line
from enrich.live_pins import deleted_pins
from enrich.normalise import signs, terms
from enrich.tables import Table
from enrich.workspace import Workspace
from relevance.catalogue import latest_of
from relevance.service.logs import LOG
from relevance.service.records import Fact, FieldText, PinCard
from relevance.serving.kept import Generations
from relevance.text import PinText
from relevance.text_fields import COLUMNS, TABLES, Field

Result = TypeVar("Result")
_KEPT_SECONDS = 60.0
_KEPT_CARDS = 5_000
_LONGEST_TEXT = 2_000  # characters of one text that are shown
_FACTS = (
    *TABLES,
    tables.PIN_TEXT_EMBEDDING,
    tables.PIN_VISUAL_EMBEDDING,
    tables.PIN_GRAPH,
    tables.PIN_ENGAGEMENT,
)


class Cards:
    """Of one workspace; for any number of threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._kept: Generations[PinCard] = Generations(_KEPT_CARDS, _KEPT_SECONDS)

    def of(self, pin_ids: Sequence[str]) -> list[PinCard | None]:
        """A card a pin, in the order asked; None for one that the catalogue does not have; an `unread` one for each
        that had to be read and could not be.
        """
        self._kept.of_age()
        known = {pin: card for pin in dict.fromkeys(pin_ids) if (card := self._kept.get(pin)) is not None}
        wanted = [pin for pin in dict.fromkeys(pin_ids) if pin not in known]
        cards = _whatever(lambda: self._read(wanted)) if wanted else []
        if cards is None:
            known |= {pin: _unread(pin) for pin in wanted}
        else:
            read = {card.pin_id: card for card in cards}
            self._kept.keep(list(read), list(read.values()))
            known |= read  # what was kept may be gone by now
        return [known.get(pin) for pin in pin_ids]

    def facts(self, pin_id: str) -> list[Fact]:
        """Where the pin's values came from, a row a table that has any and can be read."""
        return [fact for table in _FACTS for fact in _whatever(partial(self._facts, table, pin_id)) or ()]

    def _facts(self, table: Table, pin_id: str) -> list[Fact]:
        rows = latest_of(self._workspace, table, pl.Series([pin_id]))
        return [
            Fact(table=table.name, event_timestamp=at.isoformat(), producer=producer, reason=reason)
            for at, producer, reason in rows.select("event_timestamp", "producer", "reason").iter_rows()
        ]

    def image_uri(self, pin_id: str) -> str | None:
        """Where the pin's picture lies, by the catalogue; None for a pin that has none, or is not there, or for a
        catalogue that cannot be read.
        """
        rows = _whatever(lambda: self._pins([pin_id]))
        return rows["image_uri"][0] if rows is not None and rows.height else None

    def _pins(self, pin_ids: Sequence[str]) -> pl.DataFrame:
        rows = parts.scan(self._workspace.folder(tables.PINS)).filter(pl.col("pin_id").is_in(list(pin_ids)))
        live = rows.join(deleted_pins(self._workspace), on="pin_id", how="anti")
        return live.select("pin_id", "image_uri", "link_url", "lang").collect()

    def _read(self, pin_ids: Sequence[str]) -> list[PinCard]:
        pins = self._pins(pin_ids)
        texts = _texts(self._workspace, pins["pin_id"])
        langs = dict(latest_of(self._workspace, tables.PIN_TEXT, pins["pin_id"]).select("pin_id", "lang").iter_rows())
        return [
            PinCard(
                pin_id=pin,
                lang=langs.get(pin) or lang,
                link_url=link if link and link.lower().startswith(("http://", "https://")) else None,
                image=f"pins/{quote(pin, safe='')}/image" if uri else None,
                texts=texts.get(pin, []),
            )
            for pin, uri, link, lang in pins.iter_rows()
        ]


def _unread(pin_id: str) -> PinCard:
    return PinCard(pin_id=pin_id, lang=None, link_url=None, image=None, texts=[], unread=True)


def _whatever(read: Callable[[], Result]) -> Result | None:
    """What `read` gives; None, and a line in the log, where the tables are damaged or gone."""
    try:
        return read()
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException, CorkboardError) as error:
        LOG.warning("the catalogue cannot be read, cards stay empty: %s", first_line(error))
        return None


def pin_text(card: PinCard) -> PinText:
    """The card's texts as the teacher reads them. (A link's title and description stand in one field there, too.)"""
    by_field = {text.field: tuple(text.texts) for text in card.texts}

    def one(field: Field) -> str | None:
        return " ".join(by_field.get(field, ())) or None

    return PinText(
        title=one(Field.TITLE),
        description=one(Field.DESCRIPTION),
        caption=one(Field.CAPTION),
        link_title=". ".join(by_field.get(Field.LINK, ())) or None,
        board_titles=by_field.get(Field.BOARDS, ()),
        engaged_queries=by_field.get(Field.QUERIES, ()),
    )


def with_matches(texts: Sequence[FieldText], query: str) -> list[FieldText]:
    """The texts, each with those of the query's terms (words, character bigrams, single signs) that stand in it."""
    wanted = list(dict.fromkeys(terms(query)))
    said = [" \n ".join(text.texts) for text in texts]
    there = [{*terms(text), *signs(text)} for text in said]
    return [
        text.model_copy(update={"matched": [term for term in wanted if term in found]})
        for text, found in zip(texts, there, strict=True)
    ]


def _texts(workspace: Workspace, pins: pl.Series) -> dict[str, list[FieldText]]:
    found: dict[str, dict[str, list[str]]] = {}
    rows_of = {table.name: latest_of(workspace, table, pins) for table in TABLES}
    for field in Field:
        for table, column in COLUMNS[field]:
            for pin, said in rows_of[table.name].select("pin_id", column).iter_rows():
                texts = said if isinstance(said, list) else [said]
                kept = [text[:_LONGEST_TEXT] for text in texts if text]
                if kept:
                    found.setdefault(pin, {}).setdefault(field, []).extend(kept)
    return {
        pin: [FieldText(field=str(field), texts=texts) for field, texts in fields.items()]
        for pin, fields in found.items()
    }
