"""Scores out: `relevance score` and `rank`, and `replay` of what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enrich import console
from enrich.errors import BadInput
from relevance.model_names import STUDENT_MODEL

if TYPE_CHECKING:
    from enrich.workspace import Workspace
    from relevance.online import ScoredPin, Scorer

_query = click.option("--query", required=True, help="The search query.")


@click.command()
@_query
@click.option("--pins", "first", required=True, metavar="ID...", help="Pin ids, as many as wanted.")
@click.argument("rest", nargs=-1, metavar="")
@console.common
def score(query: str, first: str, rest: Sequence[str], workspace: Path | None, as_json: bool) -> None:
    """Five probabilities and an expected level for each pin, in the order asked."""
    _, scorer = _scorer(workspace)
    scored = scorer.score(query, [first, *rest])
    lines = [_scored_line(pin) for pin in scored]
    header = "pin  level  p(1) p(2) p(3) p(4) p(5)"
    console.finish("\n".join([header, *lines]), {"query": query, "pins": [pin._asdict() for pin in scored]}, as_json)


@click.command()
@_query
@click.option("--pins", "first", metavar="ID...", help="Pin ids to rank.  [default: the top 200 by BM25 and embedding]")
@click.argument("rest", nargs=-1, metavar="")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Pins to print.")
@console.common
def rank(query: str, first: str | None, rest: Sequence[str], top: int, workspace: Path | None, as_json: bool) -> None:
    """The best pins for a query: relevance with engagement, above a floor."""
    served, scorer = _scorer(workspace)

    from relevance.candidates import workspace_index
    from relevance.ranking import rank
    from relevance.tuning.chosen import chosen_settings

    pins = [first, *rest] if first else workspace_index(served).search(query, scorer.query_vector(query))
    ranking = rank(scorer, query, pins, chosen_settings(served), keep_unknown=first is not None)
    lines = [
        f"{pin.rank:3d}  {pin.scored.pin_id}  level {pin.scored.relevance:.2f}  utility {pin.utility:.3f}"
        for pin in ranking.pins[:top]
    ]
    shown = f"{len(ranking.pins):,} of {len(pins):,} candidates ranked, {len(ranking.below_floor):,} below the floor"
    result = [{"rank": pin.rank, "utility": pin.utility, **pin.scored._asdict()} for pin in ranking.pins[:top]]
    console.finish("\n".join([*lines, shown]), {"query": query, "pins": result}, as_json)


@click.command()
@click.option("--log", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One file of W/requests.")
@click.option("--limit", type=click.IntRange(min=1), help="The newest requests only.")
@console.common
def replay(log: Path | None, limit: int | None, workspace: Path | None, as_json: bool) -> int:
    """Compute logged online requests again offline; exit 1 where a feature or score is not the same to the last bit."""
    from enrich.records import to_mapping
    from relevance.serving import replay as module

    found = module.replay(console.open_workspace(workspace), [log] if log else [], limit)
    console.finish(module.render(found), to_mapping(found), as_json)
    return 0 if found.exact else 1


def served_workspace(path: Path | None) -> Workspace:
    """The workspace, its online store up to date. What is missing is refused before anything heavy is loaded."""
    workspace = console.open_workspace(path)
    if not (workspace.models / STUDENT_MODEL).is_dir():
        raise BadInput(f"expected a student in {workspace.models}, found none; run `relevance run` first")

    from relevance import feature_store, query_encoder
    from relevance.student import Student

    # Before vectors of another encoder are loaded, which a service that runs could not compare.
    query_encoder.of_student(Student.load(workspace.models / STUDENT_MODEL), workspace)
    feature_store.materialize(workspace)
    return workspace


def _scorer(path: Path | None) -> tuple[Workspace, Scorer]:
    """The workspace and what scores its pins."""
    served = served_workspace(path)

    from relevance.online import Scorer

    scorer = Scorer.open(served)
    _note_other_features(served, scorer)
    return served, scorer


def _scored_line(pin: ScoredPin) -> str:
    absent = f"  without {', '.join(pin.missing)}" if pin.missing else ""
    if "pin" in pin.missing:
        return f"{pin.pin_id}  not known: the student's prior, level {pin.relevance:.2f}{absent}"
    return f"{pin.pin_id}  {pin.relevance:.2f}  {' '.join(f'{p:.3f}' for p in pin.probabilities)}{absent}"


def _note_other_features(workspace: Workspace, scorer: Scorer) -> None:
    """Say so where another encoder, captioner or rule made what is stored now than what the student learned from."""
    from relevance.service.fitting import of_features

    if said := of_features(workspace, scorer.student.record):
        click.echo(f"note: {said}", err=True)
