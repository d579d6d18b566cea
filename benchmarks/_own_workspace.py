"""The workspace of the benchmarks of one's own models, and how these tell what was evaluated.

The one named, else $CORKBOARD_WORKSPACE, else data/workspace, which `make demo` fills; `make bench` has one of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from relevance.judging.figures import Comparison, Evaluation, Measure


def workspace_argument(parser: argparse.ArgumentParser) -> None:
    """W, as `workspace: Path | None`, for `Workspace.open`."""
    parser.add_argument(
        "workspace",
        metavar="W",
        nargs="?",
        type=Path,
        help="a workspace with judgments [default: data/workspace, or $CORKBOARD_WORKSPACE]",
    )


def figures_told(found: Evaluation, model: str, measures: Sequence[Measure]) -> str:
    """A model's estimates of those `measures` that it has."""
    estimates = {figure.measure: figure.estimate.value for figure in found.model(model).figures}
    return ", ".join(f"{measure.value} {estimates[measure]:.3f}" for measure in measures if measure in estimates)


def accuracy_of(found: Evaluation, model: str) -> float:
    return next(one.estimate.value for one in found.model(model).figures if one.measure is Measure.ACCURACY)


def difference_told(one: Comparison) -> tuple[str, str]:
    """What was compared, and the difference with its interval."""
    name = f"{one.model} - {one.rival}, {one.measure.value}"
    return name, f"{one.difference.value:+.4f} [{one.difference.low:+.4f}, {one.difference.high:+.4f}]"
