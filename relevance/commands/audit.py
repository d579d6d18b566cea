"""Where a person's time is worth most: `relevance audit`, and `relevance audit --read FILE` for what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from enrich import console
from enrich.errors import BadInput
from enrich.workspace import Writing
from relevance.commands import flags

if TYPE_CHECKING:
    from relevance.audit.worth import AuditSettings


@click.command()
@click.option("--pairs", type=click.IntRange(min=1), default=100, show_default=True, help="To be judged.")
@click.option(
    "--per-query", type=click.IntRange(min=1), default=2, show_default=True, help="Pairs of one query, at most."
)
@click.option(
    "--reasons", metavar="NAMES", help="Of unsure, apart, split, rare and doubted, comma-separated.  [default: all]"
)
@click.option("--pool", type=click.IntRange(min=1), default=5_000, show_default=True, help="Unjudged pairs looked at.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.  [default: W/audit/round-N]")
@click.option("--read", "labels", type=click.Path(path_type=Path), help="A labelled csv, to add to the judgments.")
@click.option("--annotator", metavar="NAME", help="Who labelled rows that name nobody; with --read.")
@flags.planned
@console.common
def audit(
    pairs: int,
    per_query: int,
    reasons: str | None,
    pool: int,
    out: Path | None,
    labels: Path | None,
    annotator: str | None,
    plan: flags.PlanFlags,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Choose pairs where a person's time is worth most, and write a csv and an offline page to label them.

    unsure: the teacher's entropy; apart: teacher against student; split: the students of all folds, or one split's two;
    rare: strata of the log that few judgments reach; doubted: judged pairs whose level held-out predictions contradict.
    With --read FILE the labels become judgments of annotator audit:NAME, and gold levels.
    """
    if labels is not None:
        _read(labels, annotator, workspace, as_json)
        return
    if annotator is not None:
        raise BadInput("expected --annotator with --read FILE, found it alone; leave it out, or name the labelled csv")
    _choose(_settings(pairs, per_query, reasons, pool, plan.seed), out, plan, workspace, as_json)


def _read(labels: Path, annotator: str | None, workspace: Path | None, as_json: bool) -> None:
    from enrich.records import to_mapping
    from relevance.audit.read_back import read_labels

    found = read_labels(console.open_workspace(workspace, Writing.TABLES), labels, annotator)
    console.finish("\n".join(found.lines()), to_mapping(found), as_json)


def _choose(settings: AuditSettings, out: Path | None, plan: flags.PlanFlags, path: Path | None, as_json: bool) -> None:
    from enrich.records import to_mapping
    from relevance.audit.pool import pool
    from relevance.audit.sheet import write_round
    from relevance.audit.worth import choose
    from relevance.pipeline import Pipeline

    workspace = console.open_workspace(path, Writing.MODELS)
    pipeline = Pipeline(workspace, flags.run_settings(flags.Flags(plan, accept_drift=True)))
    rows = pool(pipeline, settings)
    chosen = choose(rows, settings)
    if chosen.is_empty():
        raise BadInput("expected pairs that a reason speaks for, found none; ask for other --reasons")
    found = write_round(workspace, chosen, rows.height, out)
    console.finish("\n".join(found.lines()), to_mapping(found), as_json)


def _settings(pairs: int, per_query: int, reasons: str | None, pool: int, seed: int) -> AuditSettings:
    from relevance.audit.worth import AuditSettings, Reason

    try:
        chosen = tuple(Reason(name.strip()) for name in reasons.split(",")) if reasons else tuple(Reason)
    except ValueError as error:
        raise BadInput(f"expected --reasons of {', '.join(Reason)}, found {reasons!r}") from error
    return AuditSettings(pairs=pairs, per_query=per_query, pool=pool, reasons=chosen, seed=seed)
