"""The judged and soft-labelled pairs as a data set, and the models, each with a card as the Hugging Face hub reads it.

    relevance export hf DIR

Reads the judged pairs, the soft labels, the pins' texts as they are now, the models that serve and the last
evaluation.json; writes DIR/dataset/ (README.md; data/SPLIT.parquet, soft_labels.parquet, pins.parquet) and a folder a
model (its files and a README.md with the held-out figures as its results, where that evaluation was of this model).
Nothing is sent anywhere. Who judged, who searched and what is deleted stays behind; what a former export left goes. The
licence is left "unknown": it is its owner's to say.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import polars as pl
from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard

from enrich import parts
from enrich.errors import BadInput
from enrich.live_pins import deleted_pins
from enrich.tables import PINS
from enrich.workspace import Workspace
from relevance.catalogue import field_texts
from relevance.exporting.claim import claim
from relevance.exporting.ids import SIDES
from relevance.judging.figures import Measure
from relevance.metrics import GAINS_NAME
from relevance.report import JSON, LEVEL_NAMES
from relevance.stages import made_from_of

_RESULTS = (Measure.ACCURACY, Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5, Measure.KAPPA, Measure.NDCG)
_MADE_FROM = "made_from.json"  # of a model that serves; it lists people's queries
_NOT_TAKEN = shutil.ignore_patterns(_MADE_FROM, ".*", "events.out.*", "checkpoint*")
_SOFT, _PINS = "soft_labels", "pins"
_FIELDS = ("title", "description", "caption", "link", "link description")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_CARD = """\
---
{metadata}
---
# {name}: graded relevance of pins to queries

{pairs:,} (query, pin) pairs of {queries:,} queries, graded by people on five levels ({levels}), and {soft:,} pairs
graded by a teacher model. {origin}

| file | rows | columns |
|---|---|---|
{files}

`level` is the gold level, the mean of `votes`, half up. `probabilities` are a model's, of levels 1 to 5, and no
judgment of people. A pin's texts are as they were when this was written; what people did with it is not in here.
Splits are by query: no query is in two. Read `pins` beside them by pin_id.
"""


@dataclass(frozen=True, slots=True)
class HubExport:
    folder: Path
    pairs: dict[str, int]  # by split
    soft_labels: int
    models: tuple[str, ...]
    unmeasured: tuple[str, ...]  # models whose cards have no figures: the last evaluation is not of them

    def lines(self) -> list[str]:
        judged = ", ".join(f"{split} {count:,}" for split, count in self.pairs.items())
        models = f"; models: {', '.join(self.models)}" if self.models else ""
        told = [f"data set of judged pairs ({judged}) and {self.soft_labels:,} soft labels{models}: {self.folder}"]
        if self.unmeasured:
            told.append(f"no figures on the cards of {', '.join(self.unmeasured)}; run `relevance evaluate` for them")
        return told


def write_hub(
    workspace: Workspace,
    folder: Path,
    splits: Mapping[str, pl.DataFrame],
    soft: pl.DataFrame,
    models: Mapping[str, Path],
    report: Path,
) -> HubExport:
    """Write the data set of each split's pairs (query, pin_id, lang, level, votes) and of `soft`, and the models.

    Raises BadInput, with nothing written, where a place is taken by what is no export.
    """
    claim(folder, ("dataset", *models))
    data = folder / "dataset" / "data"
    data.mkdir(parents=True, exist_ok=True)
    tables = {split: rows.select("query", "pin_id", "lang", "level", "votes") for split, rows in splits.items()}
    if soft.height:
        tables[_SOFT] = soft.select("query", "pin_id", "probabilities")
    tables[_PINS] = _pins(workspace)
    for former in {*SIDES, _SOFT} - {*tables}:
        (data / f"{former}.parquet").unlink(missing_ok=True)
    for name, rows in tables.items():
        rows.write_parquet(data / f"{name}.parquet", compression="zstd")
    name = Path(workspace.catalogue.origin).name or workspace.catalogue.format
    DatasetCard(_dataset_card(name, workspace, tables, tuple(splits))).save(folder / "dataset" / "README.md")
    found = {model: _figures(report, model, source) for model, source in models.items()}
    for model, source in models.items():
        _write_model(folder / model, source, f"{name} {model}", name, found[model])
    counts = {split: tables[split].height for split in splits}
    unmeasured = tuple(model for model, figures in found.items() if not figures)
    return HubExport(folder, counts, soft.height, tuple(models), unmeasured)


def _pins(workspace: Workspace) -> pl.DataFrame:
    """pin_id and the pin's own texts, a column a field; null where there is none."""
    live = parts.scan(workspace.folder(PINS)).join(deleted_pins(workspace), on="pin_id", how="anti")
    ids = live.select(pl.col("pin_id").unique().sort()).collect()
    texts = field_texts(workspace, ids["pin_id"]).filter(pl.col("field").is_in(_FIELDS))
    found = ids
    for field in _FIELDS:
        said = texts.filter(pl.col("field") == field).select("pin_id", pl.col("text").alias(field.replace(" ", "_")))
        found = found.join(said, on="pin_id", how="left")
    return found


def _dataset_card(name: str, workspace: Workspace, tables: Mapping[str, pl.DataFrame], splits: tuple[str, ...]) -> str:
    judged = pl.concat([tables[split] for split in splits])
    langs = sorted({lang.split("-")[0].lower() for lang in judged["lang"].drop_nulls() if lang})
    configs = [
        {
            "config_name": "judgments",
            "default": True,
            "data_files": [{"split": split, "path": f"data/{split}.parquet"} for split in splits],
        },
        *({"config_name": table, "data_files": f"data/{table}.parquet"} for table in tables if table not in splits),
    ]
    metadata = DatasetCardData(
        language=langs or None,
        license="unknown",
        pretty_name=f"{name}: graded relevance",
        size_categories=next((said for most, said in _SIZES if judged.height < most), "n>1M"),
        task_categories=["text-ranking", "text-classification"],
        tags=["search-relevance", "learning-to-rank"],
        configs=configs,
    )
    return _CARD.format(
        metadata=metadata.to_yaml(),
        name=name,
        pairs=judged.height,
        queries=judged["query"].n_unique(),
        levels=", ".join(f"{level} {said}" for level, said in enumerate(LEVEL_NAMES, 1)),
        soft=tables[_SOFT].height if _SOFT in tables else 0,
        origin=f"Imported as {workspace.catalogue.title} by corkboard.",
        files="\n".join(
            f"| data/{one}.parquet | {rows.height:,} | {', '.join(rows.columns)} |" for one, rows in tables.items()
        ),
    )


def _write_model(folder: Path, source: Path, name: str, catalogue: str, figures: Mapping[str, float]) -> None:
    """The model's files, and its card with what was measured on held-out pairs; aside, then renamed."""
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(source, aside, ignore=_NOT_TAKEN)
    card = ModelCard.load(aside / "README.md")
    if figures:
        card.data.model_name = name
        card.data.eval_results = [_result(measure, value, catalogue) for measure, value in figures.items()]
        lines = "\n".join(f"| {measure} | {value:.4f} |" for measure, value in figures.items())
        said = f"\n\n## Held-out pairs\n\n| measure | value |\n|---|---|\n{lines}\n\nnDCG takes gains {GAINS_NAME}.\n"
        card.text = card.text.rstrip() + said
    card.save(aside / "README.md")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def _result(measure: str, value: float, catalogue: str) -> EvalResult:
    return EvalResult(
        task_type="text-ranking",
        dataset_type=catalogue,
        dataset_name=f"{catalogue}, judged pairs of held-out queries",
        metric_type=measure,
        metric_name=measure,
        metric_value=round(value, 4),
    )


def _figures(report: Path, model: str, source: Path) -> dict[str, float]:
    """Of the last evaluation; nothing where there is none, or it was of a model that was made from other inputs."""
    path = report / JSON
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text())
        figures: list[Any] = next((one["figures"] for one in found["models"] if one["model"] == model), [])
        values = {one["measure"]: one["estimate"]["value"] for one in figures}
        made_from = found.get("made_from", {}).get(model)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"expected an evaluation in {path}, found another file; run `relevance evaluate`") from error
    if made_from is None or made_from != made_from_of(source):
        return {}
    known = {str(one): values.get(str(one)) for one in _RESULTS}
    return {name: float(value) for name, value in known.items() if value is not None and not isnan(value)}
