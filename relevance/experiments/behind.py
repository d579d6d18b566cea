"""What an experiment's labels rest on, in a line or two of its page: a log or none, and what the soft pairs are."""

from __future__ import annotations

import polars as pl

from relevance.experiments.budget import Plan
from relevance.experiments.site import Site
from relevance.labelling.strata import ENGAGED, HARD, RANDOM, SHOWN

_KINDS = {
    ENGAGED: "clicked or saved in the log",
    SHOWN: "only shown in the log",
    HARD: "near misses by words or embedding",
    RANDOM: "pins drawn blindly",
}


def of_labels(site: Site, plan: Plan, by_design: bool) -> list[str]:
    """`by_design`: whether the experiment's teachers learn from judgments alone whatever there is."""
    return [*([] if by_design or site.learns_from_log else [_without_log(plan)]), *_kinds(site.bench.drawn)]


def _without_log(plan: Plan) -> str:
    late, none = "There was no time to learn from the log first", "No log, or one with too few of the judged pairs"
    return f"{late if plan.full.weak_pairs else none}: every teacher, the plain one too, had judgments alone."


def _kinds(drawn: list[pl.DataFrame]) -> list[str]:
    """Of all soft pairs, the share of each kind; nothing where none were asked for."""
    strata = [frame["stratum"] for frame in drawn if frame.height and "stratum" in frame.columns]
    if not strata:
        return []
    kinds = pl.concat(strata).str.split("/").list.last()
    shares = {kind: float((kinds == kind).mean() or 0) for kind in _KINDS}  # type: ignore[arg-type]  # of booleans
    told = ", ".join(f"{share:.0%} {_KINDS[kind]}" for kind, share in shares.items() if share)
    seen = shares[ENGAGED] + shares[SHOWN]
    said = "" if seen else " None were seen by anyone: the labels are not of what users see."
    return [f"The pairs that a teacher labels are {told}.{said}"]
