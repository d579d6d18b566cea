"""What other tools read: `relevance export trec|beir|hf DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from enrich import console
from enrich.errors import BadInput
from enrich.workspace import Writing
from relevance.commands import flags

if TYPE_CHECKING:
    import polars as pl

    from relevance.exporting.beir import BeirExport
    from relevance.exporting.hub import HubExport
    from relevance.exporting.trec import TrecExport
    from relevance.pipeline import Pipeline


@click.command()
@click.argument("format", type=click.Choice(["trec", "beir", "hf"]))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--models", metavar="NAMES", help="Comma-separated, of trec and hf.  [default: those that there are]")
@flags.planned
@console.common
def export(
    format: str, folder: Path, models: str | None, plan: flags.PlanFlags, workspace: Path | None, as_json: bool
) -> None:
    """Write the judged pairs and what models say of them so that other tools read it.

    trec: topics, qrels and a run a model, of held-out queries, for ir_measures and trec_eval. beir: corpus.jsonl,
    queries.jsonl, qrels/. hf: a data set and the models that serve, each with a card for the Hugging Face hub.
    """
    names = [name.strip() for name in models.split(",")] if models else None
    if names is not None and (format == "beir" or not all(names)):
        raise BadInput(f"expected --models as names with commas between, with trec or hf, found {models!r}")

    from enrich.records import to_mapping
    from relevance.pipeline import Pipeline

    pipeline = Pipeline(
        console.open_workspace(workspace, Writing.MODELS), flags.run_settings(flags.Flags(plan, accept_drift=True))
    )
    found: TrecExport | BeirExport | HubExport
    if format == "trec":
        found = _trec(pipeline, folder, names)
    elif format == "beir":
        from relevance.exporting.beir import write_beir

        found = write_beir(pipeline.workspace, folder, _splits(pipeline))
    else:
        found = _hub(pipeline, folder, names)
    console.finish("\n".join(found.lines()), to_mapping(found), as_json)


def _trec(pipeline: Pipeline, folder: Path, names: list[str] | None) -> TrecExport:
    from relevance.exporting.trec import write_trec
    from relevance.judging.judge import held_out_pairs, tested_folds, trained_models
    from relevance.judging.predictions import Predictor

    folds = tested_folds(pipeline)
    predictor = Predictor(pipeline.judged, pipeline.encoder)
    chosen = names if names is not None else trained_models(folds)
    return write_trec(folder, held_out_pairs(pipeline), [predictor.predictions(name, folds) for name in chosen])


def _hub(pipeline: Pipeline, folder: Path, names: list[str] | None) -> HubExport:
    from relevance.exporting.hub import write_hub
    from relevance.judging.judge import report_folder
    from relevance.model_names import STUDENT_MODEL, TEACHER_MODEL
    from relevance.stages import made_from_of

    fold = pipeline.folds[-1]
    there = {
        name: fold.folder / name
        for name in (names if names is not None else (TEACHER_MODEL, STUDENT_MODEL))
        if made_from_of(fold.folder / name) is not None
    }
    missing = [name for name in names or () if name not in there]
    if missing:
        raise BadInput(f"expected models in {fold.folder}, found no {', '.join(missing)}; train them first")
    soft = pipeline.soft_pairs(fold).scan().sort("query", "pin_id").collect() if TEACHER_MODEL in there else _nothing()
    return write_hub(pipeline.workspace, folder, _splits(pipeline), soft, there, report_folder(pipeline))


def _nothing() -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame()


def _splits(pipeline: Pipeline) -> dict[str, pl.DataFrame]:
    """The judged pairs by the side of their query: of one split three; of folds, which test every query, one."""
    from relevance.framing.judged import of_queries

    pairs, split = pipeline.judged.pairs, pipeline.folds[0].split
    if len([fold for fold in pipeline.folds if fold.tested]) != 1:
        return {"test": pairs}
    sides = {"train": split.train, "dev": split.dev, "test": split.test}
    return {name: rows for name, side in sides.items() if (rows := of_queries(pairs, side)).height}
