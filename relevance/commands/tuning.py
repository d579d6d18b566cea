"""The ranking's weights, chosen on what was logged: `relevance tune-ranking`."""

from __future__ import annotations

from pathlib import Path

import click

from enrich import console
from enrich.workspace import Writing


@click.command("tune-ranking")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of nDCG@20 that may be given for engagement.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Logged pairs of a query and a pin to rank again, at most.",
)
@click.option("--dry-run", is_flag=True, help="Print the curve, choose nothing.")
@console.common
def tune_ranking(tolerance: float, pairs: int, dry_run: bool, workspace: Path | None, as_json: bool) -> None:
    """Weights of the ranking on logged data: the most engagement for the least relevance, as a curve and a choice.

    Writes W/models/ranking.json, by which `relevance rank` and `serve` rank from then on.
    """
    from enrich.records import to_mapping
    from relevance.tuning import curve
    from relevance.tuning.chosen import choose

    opened = console.open_workspace(workspace, None if dry_run else Writing.MODELS)
    found = curve.tune(opened, curve.TuningSettings(tolerance=tolerance, pairs=pairs))
    if not dry_run:
        choose(opened, found.chosen, to_mapping(found))
    console.finish(curve.render(found), to_mapping(found), as_json)
