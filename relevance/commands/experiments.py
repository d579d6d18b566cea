"""What each part is worth: `relevance experiment NAME`."""

from __future__ import annotations

import json
from functools import wraps
from pathlib import Path
from typing import NamedTuple

import click

from enrich import console
from enrich.workspace import Writing
from relevance.commands import flags
from relevance.experiments.names import Name

_MINUTES = 10.0
_COMMON = console.options(
    click.option(
        "--budget",
        type=click.FloatRange(min=0, min_open=True),
        default=_MINUTES,
        show_default=True,
        metavar="MINUTES",
        help="What does not fit is shrunk, by a plan made of speeds measured here; report and JSON say what was.",
    ),
    click.option("--seed", type=flags.SEED, default=0, show_default=True, help="Of splits, samples, first training."),
    click.option(
        "--seeds",
        type=click.IntRange(min=1),
        help="Trainings of each arm; figures are their means.  [default: 1; stability 3]",
    ),
    click.option(
        "--folds",
        type=click.IntRange(min=1),
        help="1: one split by query; more: every query tested by a fold.  [default: by the number of judged queries]",
    ),
    click.option(
        "--backbone",
        "backbones",
        multiple=True,
        metavar="MODEL",
        help="Teacher's: a folder or hub id. encoders and latency compare it, given once or more, with the default.",
    ),
)


class Given(NamedTuple):
    """The flags that all experiments share."""

    budget: float
    seed: int
    seeds: int | None
    folds: int | None
    backbones: tuple[str, ...]
    workspace: Path | None
    as_json: bool


@click.group()
def experiment() -> None:
    """What each part is worth, in a fixed time: W/reports/experiment-NAME/ (index.html, experiment.json).

    Every model and answer is kept in W/experiments: a killed experiment goes on, one that ran is not trained again.
    """


def _asked(command: console.Command) -> console.Command:
    """Give a command the flags that all experiments share, as one argument `given: Given`."""

    @wraps(command)
    def collected(
        budget: float,
        seed: int,
        seeds: int | None,
        folds: int | None,
        backbones: tuple[str, ...],
        workspace: Path | None,
        as_json: bool,
        **own: object,
    ) -> None:
        command(given=Given(budget, seed, seeds, folds, backbones, workspace, as_json), **own)

    return _COMMON(console.common(collected))


@experiment.command()
@_asked
def encoders(given: Given) -> None:
    """A cross-encoder against bi-encoders (frozen, tuned), logistic regression on embeddings, and BM25."""
    _run(Name.ENCODERS, given)


@experiment.command()
@click.option(
    "--fields",
    metavar="NAMES",
    help=f"Only these of {flags.FIELD_NAMES}, comma-separated; then nothing is added one by one.  [default: all]",
)
@_asked
def ablation(given: Given, fields: str | None) -> None:
    """Text fields left out (retrained, and at inference) and added one by one; teacher and student; gain by cost."""
    _run(Name.ABLATION, given, fields=fields)


@experiment.command("label-budget")
@_asked
def label_budget(given: Given) -> None:
    """The student's accuracy by how many labels of people, and of the teacher, it learned from."""
    _run(Name.LABEL_BUDGET, given)


@experiment.command()
@_asked
def latency(given: Given) -> None:
    """Accuracy against the time of a request, over students' sizes and teachers' backbones; the front drawn."""
    _run(Name.LATENCY, given)


@experiment.command()
@click.option(
    "--train-lang", metavar="LANG", default="en", show_default=True, help="The language that is learned from."
)
@_asked
def transfer(given: Given, train_lang: str) -> None:
    """Trained on one language, tested on each other: against judgments and teacher labels of all."""
    _run(Name.TRANSFER, given, train_lang=train_lang)


@experiment.command()
@_asked
def noise(given: Given) -> None:
    """Labels made wrong and annotators dropped: what that costs, and what wins it back."""
    _run(Name.NOISE, given)


@experiment.command()
@_asked
def robustness(given: Given) -> None:
    """Long, noisy, repeated, misspelled and missing texts, field by field: where teacher and student break."""
    _run(Name.ROBUSTNESS, given)


@experiment.command()
@_asked
def stability(given: Given) -> None:
    """Whom the teacher favours, how it differs between seeds and spellings, and what of that reaches the student."""
    _run(Name.STABILITY, given)


@experiment.command()
@_asked
def options(given: Given) -> None:
    """Losses, targets, heads and regularisers of the teacher, each alone against the teacher as it is."""
    _run(Name.OPTIONS, given)


def _run(name: Name, given: Given, fields: str | None = None, train_lang: str = "en") -> None:
    workspace = console.open_workspace(given.workspace, Writing.MODELS)

    from relevance import text_fields
    from relevance.experiments import page
    from relevance.experiments.run import run_experiment
    from relevance.experiments.site import Wanted

    chosen = text_fields.named(fields) if fields is not None else ()
    wanted = Wanted(given.budget, given.seeds, given.seed, given.folds, given.backbones, chosen, train_lang)
    result, written = run_experiment(workspace, name, wanted, say=lambda text: click.echo(text, err=True))
    told = json.loads(result.to_json()) | {"report": str(written)} if given.as_json else {}
    console.finish("\n".join(page.lines(result, written)), told, given.as_json)
