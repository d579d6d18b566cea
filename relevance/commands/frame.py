"""`relevance frame`: a training frame, its coverage, and what a careless join would leak."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from enrich import console


@click.command()
@click.option("--service", default="student_v1", show_default=True, help="The feature service to join.")
@click.option(
    "--pairs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Parquet of query, pin_id, event_timestamp.  [default: the judged pairs]",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Parquet file to write the frame to.")
@click.option(
    "--gap-days",
    type=click.IntRange(min=0),
    default=15,
    show_default=True,
    help="Between what people did and the pair that it may be joined to.",
)
@console.common
def frame(
    service: str, pairs: Path | None, out: Path | None, gap_days: int, workspace: Path | None, as_json: bool
) -> None:
    """Pairs with what was known of them at their time; how much that is, and what a careless join would have leaked."""
    from enrich.records import to_mapping
    from relevance.framing import report as frame_report

    report = frame_report.made_frame(console.open_workspace(workspace), service, pairs, out, timedelta(days=gap_days))
    console.finish(frame_report.render(report), to_mapping(report), as_json)
