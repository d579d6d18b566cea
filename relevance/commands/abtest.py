"""Online experiments: `relevance abtest`."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import click

from enrich import console


@click.command()
@click.argument("log", required=False, type=click.Path(path_type=Path))
@click.option("--control", default="control", show_default=True, help="The arm that the others are compared with.")
@click.option(
    "--shares", metavar="S,S,...", help="Users planned for each arm, control first, then by name.  [default: equal]"
)
@click.option(
    "--plausible-lift",
    type=click.FloatRange(min=0, min_open=True, max=10),
    default=0.05,
    show_default=True,
    help="Effects, as a share of the control's value, for which the always-valid test is made.",
)
@click.option(
    "--plan", "searches", type=click.IntRange(min=1), help="Also: how to spread so many searches to be judged."
)
@console.common
def abtest(
    log: Path | None,
    control: str,
    shares: str | None,
    plausible_lift: float,
    searches: int | None,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """What an experiment's arms changed: fulfilment, nDCG and precision of judged impressions, hides.

    LOG is a file or folder with the columns of experiment_log; without it, the workspace's own.
    """
    from enrich.records import to_mapping
    from relevance.abtest import analysis, page
    from relevance.abtest.judging_plan import judging_plan

    settings = analysis.AbtestSettings(control=control, shares=_shares(shares), plausible_lift=plausible_lift)
    inputs = analysis.read_inputs(console.open_workspace(workspace), log)
    found = analysis.analyse_log(inputs.log, inputs.judged, inputs.before, settings)
    said, result = page.render(found), to_mapping(found)
    if searches is not None:
        plan = judging_plan(inputs.log.events, inputs.judged, searches)
        said, result["plan"] = f"{said}\n\n{page.render_plan(plan)}", to_mapping(plan)
    console.finish(said, result, as_json)


def _shares(given: str | None) -> tuple[float, ...]:
    if given is None:
        return ()
    try:
        shares = tuple(float(share) for share in given.split(","))
    except ValueError:
        shares = ()
    if not shares or not all(isfinite(share) and share > 0 for share in shares):
        raise click.BadParameter(f"expected numbers above 0 such as 50,50, found {given!r}", param_hint="--shares")
    return shares
