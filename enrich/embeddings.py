"""Each pin's content texts as one vector: `pin_text_embedding`.

Reads the latest pin_text, pin_caption and pin_link rows, and deletions; writes pin_text_embedding (`enrich
embeddings`). Content fields only, in this order: title, description, caption, link title, link description. The vector
became true when the latest of them did. A pin with none of them gets a row with the reason "no-text".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from enrich import encoder_choice, job, parts, tables
from enrich.job import JobReport, JobSettings
from enrich.live_pins import live_pins
from enrich.tables import PIN_TEXT_EMBEDDING, Table
from enrich.workspace import Workspace

NO_TEXT = "no-text"
FIELDS: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (tables.PIN_TEXT, ("title", "description")),
    (tables.PIN_CAPTION, ("caption",)),
    (tables.PIN_LINK, ("link_title", "link_description")),
)
_NAMES = tuple(name for _, names in FIELDS for name in names)


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    model: str | None = None  # text encoder: a folder or hub id; None for the one last named to the workspace
    dtype: str | None = None  # float32 or bfloat16; None for bfloat16 where a CPU computes in it. Not of queries
    job: JobSettings = field(default_factory=lambda: JobSettings(batch_size=1024))


def run_embeddings(workspace: Workspace, settings: EmbeddingSettings) -> JobReport:
    """Embed the pins whose content texts have no vector of this encoder yet."""
    encoder = encoder_choice.chosen(workspace, settings.model)

    def embed(batch: pl.DataFrame) -> pl.DataFrame:
        said = batch.filter(pl.col("text") != "")
        vectors = pl.Series(
            list(encoder.encode_in_bulk(said["text"].to_list(), settings.dtype)), dtype=pl.List(pl.Float32)
        )
        made = said.select("pin_id", text_embedding=vectors)
        reason = pl.when(pl.col("text") == "").then(pl.lit(NO_TEXT))
        return batch.select("pin_id", reason=reason).join(made, on="pin_id", how="left")

    return job.run(workspace, [PIN_TEXT_EMBEDDING], content_texts(workspace), embed, encoder.producer, settings.job)


def content_texts(workspace: Workspace) -> pl.DataFrame:
    """pin_id, text, event_timestamp, input_hash: each pin's content texts as they are now, deleted pins left out."""
    joined: pl.DataFrame | None = None
    for table, names in FIELDS:
        rows = parts.latest(workspace.folder(table), table).select("pin_id", *names, _at(table))
        joined = rows if joined is None else joined.join(rows, on="pin_id", how="full", coalesce=True)
    assert joined is not None
    kept = joined.join(live_pins(workspace).select("pin_id").collect(), on="pin_id", how="semi").sort("pin_id")
    return kept.select(
        "pin_id",
        text=pl.Series([join_texts(texts) for texts in kept.select(_NAMES).iter_rows()], dtype=pl.String),
        event_timestamp=pl.max_horizontal(f"at_{table.name}" for table, _ in FIELDS),
        input_hash=pl.Series(
            [job.input_hash(*_NAMES, *texts) for texts in kept.select(_NAMES).iter_rows()], dtype=pl.String
        ),
    )


def join_texts(texts: Sequence[str | None]) -> str:
    """One text of several, a full stop between them, absent ones left out."""
    said = [text.strip().rstrip(".").rstrip() for text in texts if text]
    return ". ".join(filter(None, said))


def _at(table: Table) -> pl.Expr:
    return pl.col("event_timestamp").alias(f"at_{table.name}")
