"""The owner's own words, tidied: `pin_text`.

Reads pins and deletions; writes pin_text (`enrich texts`). HTML entities are decoded, tags dropped, white space
collapsed, control and format characters dropped; what is then empty is null. The language is the pin's own, else
identified from title and description. Everything is an expression over a column but the language of texts that do not
say theirs.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from html.entities import html5

import polars as pl

from enrich import job, language
from enrich.job import JobReport, JobSettings
from enrich.live_pins import live_pins
from enrich.normalise import SHOWN
from enrich.tables import PIN_TEXT
from enrich.workspace import Workspace

RULES = "texts 2"  # the version of the rules below
_FIELDS = ("title", "description", "lang", "category")
_ENTITY = r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});"
_ENTITIES = re.compile(_ENTITY)
_UNSEEN = r"(?is)<!--.*?-->|<(?:script|style)\b[^<>]*>.*?</(?:script|style)\s*>"
_TAG = (
    r"(?i)</?(?:a|abbr|article|b|big|blockquote|body|br|center|code|dd|div|dl|dt|em|figure|font|footer|h[1-6]|head|"
    r"header|hr|html|i|iframe|img|li|main|meta|ol|p|pre|script|section|small|span|strike|strong|style|sub|sup|table|tbody|"
    r"td|tfoot|th|thead|title|tr|u|ul|video)(?:\s[^<>]*)?/?>"
)
_CONTROL = rf"[[\p{{Cc}}\p{{Cf}}]--[\s\x{{200C}}\x{{200D}}{SHOWN}]]"  # as `normalise.collapse_space` drops


@dataclass(frozen=True, slots=True)
class TextSettings:
    identify: bool = True  # identify the language of pins that do not say theirs
    job: JobSettings = field(default_factory=lambda: JobSettings(batch_size=50_000))


def run_texts(workspace: Workspace, settings: TextSettings | None = None) -> JobReport:
    """Tidy the texts of the pins that are new or changed."""
    chosen = settings or TextSettings()

    def tidy(batch: pl.DataFrame) -> pl.DataFrame:
        rows = batch.select(
            "pin_id",
            title=clean_text(pl.col("title")),
            description=clean_text(pl.col("description")),
            lang=pl.col("lang"),
            category=clean_text(pl.col("category")),
            reason=pl.lit(None, pl.String),
        )
        return _with_language(rows) if chosen.identify else rows

    producer = f"{RULES}; {language.PRODUCER}" if chosen.identify else RULES
    return job.run(workspace, [PIN_TEXT], _inputs(workspace), tidy, producer, chosen.job)


def clean_text(column: pl.Expr) -> pl.Expr:
    """The text a reader would see: entities decoded, tags dropped, white space collapsed; null where nothing is."""
    decoded = (
        pl.when(column.str.contains(_ENTITY))
        .then(column.map_batches(_decode_entities, return_dtype=pl.String))
        .otherwise(column)
    )
    seen = decoded.str.replace_all(_UNSEEN, " ").str.replace_all(_TAG, " ")
    collapsed = seen.str.replace_all(_CONTROL, "").str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(collapsed.str.len_bytes() > 0).then(collapsed)


def _decode_entities(texts: pl.Series) -> pl.Series:
    decoded = [_ENTITIES.sub(_entity, text) if text and "&" in text else text for text in texts]
    return pl.Series(texts.name, decoded, dtype=pl.String)


def _entity(found: re.Match[str]) -> str:
    name = found[0][1:]
    return html.unescape(found[0]) if name.startswith("#") or name in html5 else found[0]


def _with_language(rows: pl.DataFrame) -> pl.DataFrame:
    text = pl.concat_str("title", "description", separator=" ", ignore_nulls=True)
    silent = rows.filter(pl.col("lang").is_null()).select("pin_id", text=text)
    found = pl.Series("found", language.identify(silent["text"].to_list()), dtype=pl.String)
    identified = silent.select("pin_id", found=found)
    joined = rows.join(identified, on="pin_id", how="left", maintain_order="left")
    return joined.with_columns(lang=pl.coalesce("lang", "found")).drop("found")


def _inputs(workspace: Workspace) -> pl.DataFrame:
    """pin_id, the fields, event_timestamp (the content's time) and input_hash of every pin that was not deleted."""
    pins = live_pins(workspace).select("pin_id", *_FIELDS, "event_timestamp").collect()
    # the time is part of the input: a text changed and changed back is a third version, not the first again
    hashes = [job.input_hash(str(at), *texts) for at, *texts in pins.select("event_timestamp", *_FIELDS).iter_rows()]
    return pins.with_columns(input_hash=pl.Series(hashes, dtype=pl.String))
