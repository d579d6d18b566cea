"""The ARCS judgments (dataset search, socrata/arcs) as a catalogue that `enrich import native` reads.

    python -m data.arcs_catalogue ARCS_FOLDER OUT

Reads ARCS_FOLDER/judgements.jsonl; writes OUT/pins.parquet (a dataset a link) and OUT/judgments.parquet (a vote a
worker). A rating r of 0..3 is the vote 1 + 4r/3, as Chorus's; -1 (unusable) and tainted workers' are left out, counted.
"""

from __future__ import annotations

from pathlib import Path

import click
import polars as pl

from enrich.errors import BadInput

_NEEDED = ("query", "link", "title", "description", "worker", "relevance", "tainted")
_UNDATED = pl.lit("2016-01-01T00:00:00Z")  # the file has no times


def read(folder: Path) -> pl.DataFrame:
    """The votes, texts as they are. Raises BadInput when the file is absent or lacks a column."""
    path = folder / "judgements.jsonl"
    if not path.is_file():
        raise BadInput(f"expected judgements.jsonl in {folder}, found none; name the folder of the ARCS data")
    votes = pl.read_ndjson(path, infer_schema_length=None)
    missing = [name for name in _NEEDED if name not in votes.columns]
    if missing:
        raise BadInput(f"expected {', '.join(_NEEDED)} in {path}, found no {', '.join(missing)}")
    return votes.with_columns(rating=pl.col("relevance").cast(pl.Int64, strict=False))


def usable(votes: pl.DataFrame) -> pl.DataFrame:
    return votes.filter(pl.col("rating").is_between(0, 3) & (pl.col("tainted") != "true"))


def pins(votes: pl.DataFrame) -> pl.DataFrame:
    """A dataset has the longest of the titles and descriptions that were shown of it."""
    longest = [pl.col(name).sort_by(pl.col(name).str.len_chars(), name).last() for name in ("title", "description")]
    made = votes.group_by(pin_id=pl.col("link")).agg(*longest, link_url=pl.col("link").first())
    return made.with_columns(lang=pl.lit("en"), created_at=_UNDATED).sort("pin_id")


def judgments(votes: pl.DataFrame) -> pl.DataFrame:
    return votes.select(
        "query",
        pin_id="link",
        level=1 + 4 * pl.col("rating") / 3,
        annotator_id="worker",
        judged_at=_UNDATED,
        lang=pl.lit("en"),
    )


@click.command()
@click.argument("arcs_folder", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def main(arcs_folder: Path, out: Path) -> None:
    """Write OUT, a folder for `enrich import native OUT`."""
    try:
        votes = read(arcs_folder)
    except BadInput as error:
        raise click.UsageError(str(error)) from error
    kept = usable(votes)
    out.mkdir(parents=True, exist_ok=True)
    pins(kept).write_parquet(out / "pins.parquet")
    judgments(kept).write_parquet(out / "judgments.parquet")
    click.echo(
        f"{kept.height:,} votes on {kept.n_unique(['query', 'link']):,} pairs; {len(votes) - len(kept)} left out"
    )


if __name__ == "__main__":
    main()
