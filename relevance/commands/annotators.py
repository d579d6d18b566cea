"""The people who judged: `relevance agreement`."""

from __future__ import annotations

from pathlib import Path

import click

from enrich import console


@click.command()
@click.option(
    "--common-pairs",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Pairs that two annotators share at least, to be compared with each other.",
)
@console.common
def agreement(common_pairs: int, workspace: Path | None, as_json: bool) -> None:
    """How far the annotators agree: α, κ, level by level, and each one's bias and drift."""
    from enrich.records import to_mapping
    from relevance.annotators import agreement as module
    from relevance.annotators.agreement_page import render

    settings = module.AgreementSettings(common_pairs=common_pairs)
    found = module.agreement(console.open_workspace(workspace), settings)
    console.finish(render(found), to_mapping(found), as_json)
