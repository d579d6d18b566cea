"""What is written for other tools says what we say: ir_measures' own command, an import, the hub's card readers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from huggingface_hub import DatasetCard, ModelCard
from hypothesis import given
from hypothesis import strategies as st
from table_rows import day, write_rows

from enrich import console, parts
from enrich.errors import BadInput
from enrich.importers import import_catalogue
from enrich.judgments import run_judgments
from enrich.tables import JUDGMENT, JUDGMENTS, PIN_TEXT, PINS
from enrich.workspace import Workspace
from relevance.cli import relevance
from relevance.evaluation import evaluate
from relevance.exporting.beir import write_beir
from relevance.exporting.hub import write_hub
from relevance.exporting.ids import document_id, query_id
from relevance.exporting.trec import falling, write_trec
from relevance.intervals import BootstrapSettings
from relevance.judging.figures import EvaluationSettings, Measure
from relevance.judging.gold import Predictions
from relevance.judging.runs import RunFile, read_run

GAINS = "nDCG(gains={1:0,2:1,3:3,4:7,5:15})@20"


def rows(queries: int = 12, pins: int = 9, seed: int = 0) -> pl.DataFrame:
    """Judged pairs with scores on a coarse grid, so that many tie, and pins with blanks in their ids."""
    rng, n = np.random.default_rng(seed), queries * pins
    return pl.DataFrame(
        {
            "query": [f"blue chair {i // pins}" for i in range(n)],
            "pin_id": [f"pin {i % pins}" if i % 2 else f"p{i % pins}" for i in range(n)],
            "level": rng.integers(1, 6, n),
            "score": rng.integers(0, 3, n) / 3,
        }
    )


def measured(folder: Path, qrels: str, model: str, *measures: str) -> list[float]:
    """As a person would: the command that comes with ir_measures."""
    command = [sys.executable, "-m", "ir_measures", folder / qrels, folder / "runs" / f"{model}.txt", *measures]
    done = subprocess.run([*command, "--places", "8"], capture_output=True, text=True, check=True)
    return [float(line.split("\t")[1]) for line in done.stdout.splitlines()]


def test_ir_measures_command_confirms_the_report(tmp_path):
    """Ties among them, queries that one run leaves out, ids with blanks: the same numbers as the evaluation's."""
    whole = Predictions("whole", rows())
    gaps = Predictions("gaps", rows().filter(~pl.col("query").str.ends_with("1")))
    found = evaluate([whole, gaps], settings=EvaluationSettings(BootstrapSettings(draws=100)))
    export = write_trec(tmp_path, rows().select("query", "pin_id", "level"), [whole, gaps])
    for model, said in zip(("whole", "gaps"), export.runs, strict=True):
        ours = [found.model(model).estimate(one).value for one in (Measure.NDCG, Measure.PRECISION)]
        assert [said.ndcg, said.precision] == pytest.approx(ours)
        assert measured(tmp_path, "qrels.txt", model, GAINS, "P(rel=4)@8") == pytest.approx(ours, abs=1e-7)
        assert measured(tmp_path, "qrels.gains.txt", model, "nDCG@20") == pytest.approx(ours[:1], abs=1e-7)
    readme = (tmp_path / "README.md").read_text()
    assert GAINS in readme and f"| whole | {export.runs[0].ndcg:.4f} |" in readme


def test_a_run_of_ours_is_read_back_as_it_was(tmp_path):
    write_trec(tmp_path, rows().select("query", "pin_id", "level"), [Predictions("whole", rows())])
    pins = rows()["pin_id"].unique()
    run = read_run(RunFile.parse(str(tmp_path / "runs" / "whole.txt")), rows()["query"].unique().to_list(), pins)
    assert (run.unknown_pins, run.unknown_queries, run.rows.height) == (0, 0, rows().height)
    settings = EvaluationSettings(BootstrapSettings(draws=100))
    ours = evaluate([Predictions("whole", rows())], settings=settings).models[0]
    back = evaluate(run.predictions(rows()), settings=settings).models[0]
    assert back.estimate(Measure.NDCG) == ours.estimate(Measure.NDCG)
    documents = dict(line.split("\t") for line in (tmp_path / "documents.tsv").read_text().splitlines())
    assert documents[document_id("pin 1")] == "pin 1" and "p0" not in documents.values()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_scores_fall_strictly_and_hardly_move(scores):
    ordered = np.sort(np.asarray(scores, np.float64))[::-1]
    found = falling(ordered)
    assert (np.diff(found) < 0).all()
    assert np.float32(found).tolist() == found.tolist()
    assert np.abs(found - ordered).max() <= 1e-5 * max(1.0, np.abs(ordered).max())


@pytest.fixture
def catalogue(workspace: Workspace) -> Workspace:
    """Three pins and a judgment of each of levels 1, 2 and 5."""
    for place, (pin, level) in enumerate([("p1", 5), ("p 2", 2), ("p3", 1)]):
        write_rows(workspace, PINS, {"pin_id": pin, "created_at": day(1)})
        text = {"title": f"Chair {place}", "description": "=oak\n«»", "event_timestamp": day(1)}
        write_rows(workspace, PIN_TEXT, {"pin_id": pin, **text})
        vote = {"query": "Blue Chair", "pin_id": pin, "annotator_id": "a", "judged_at": day(2), "lang": "en-GB"}
        write_rows(workspace, JUDGMENTS, {**vote, "level": float(level)})
    run_judgments(workspace)
    return workspace


def gold(workspace: Workspace) -> pl.DataFrame:
    return parts.latest(workspace.folder(JUDGMENT), JUDGMENT).sort("pin_id")


def test_beir_is_read_back_by_its_importer(catalogue, tmp_path):
    export = write_beir(catalogue, tmp_path / "out", {"test": gold(catalogue)})
    assert (export.pins, export.pairs) == (3, {"test": 3})
    (query,) = [json.loads(line) for line in (tmp_path / "out" / "queries.jsonl").read_text().splitlines()]
    assert query == {"_id": query_id("blue chair"), "text": "blue chair"}
    back = Workspace.at(tmp_path / "back")
    import_catalogue("beir", tmp_path / "out", back)
    run_judgments(back)
    levels = dict(gold(back).select("pin_id", "level").iter_rows())
    assert levels == {"p1": 5, document_id("p 2"): 2, "p3": 1}


def test_a_second_export_leaves_nothing_of_the_first(catalogue, tmp_path):
    """Of BEIR no split, of TREC no run; what others put there stays, and pins with blanks are listed."""
    judged, out = gold(catalogue), tmp_path / "out"
    write_beir(catalogue, out, {"train": judged, "dev": judged, "test": judged})
    (out / "qrels" / "other.tsv").write_text("query-id\tcorpus-id\tscore\n")
    write_beir(catalogue, out, {"test": judged})
    assert sorted(path.name for path in (out / "qrels").iterdir()) == ["other.tsv", "test.tsv"]
    assert (out / "documents.tsv").read_text() == f"{document_id('p 2')}\tp 2\n"
    both = [Predictions(name, rows()) for name in ("old", "new")]
    write_trec(out, rows(), both)
    (out / "runs" / "elastic.txt").write_text("q Q0 p1 1 2 elastic\n")
    write_trec(out, rows(), both[1:])
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["elastic.txt", "new.txt"]


@pytest.mark.parametrize("most", [4, 2, 1])
def test_beir_levels_come_back_where_no_pair_is_at_level_5(catalogue, tmp_path, most):
    """Scores are not stretched to the highest found, which is no level 5; with level 1 alone none is above 0."""
    told = gold(catalogue).with_columns(pl.col("level").clip(upper_bound=most))
    write_beir(catalogue, tmp_path / "out", {"test": told})
    back = Workspace.at(tmp_path / "back")
    import_catalogue("beir", tmp_path / "out", back)
    run_judgments(back)
    levels = dict(gold(back).select("pin_id", "level").iter_rows())
    assert levels == {"p1": min(most, 5), document_id("p 2"): min(most, 2), "p3": 1}


def test_a_scale_that_is_none_is_one_line(catalogue, tmp_path):
    write_beir(catalogue, tmp_path / "out", {"test": gold(catalogue)})
    for written in ('{"highest_grade": "4"}', '{"highest_grade": 0}', "{"):
        (tmp_path / "out" / "scale.json").write_text(written)
        with pytest.raises(BadInput, match=r"scale\.json") as caught:
            import_catalogue("beir", tmp_path / "out", Workspace.at(tmp_path / "back"))
        assert "\n" not in str(caught.value)


def test_trec_levels_are_read_back_as_levels(catalogue, tmp_path):
    """Grades 2 of 5 would be level 3 on a scale from 0; "level" in the iteration says that they are none."""
    folder = tmp_path / "out"
    write_trec(folder, gold(catalogue), [])
    corpus = [{"_id": document_id(pin), "title": "chair"} for pin in ("p1", "p 2", "p3")]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    back = Workspace.at(tmp_path / "back")
    import_catalogue("trec", folder, back)
    run_judgments(back)
    assert dict(gold(back).select("pin_id", "level").iter_rows())[document_id("p 2")] == 2


def test_the_hubs_own_readers_take_the_cards(catalogue, tmp_path):
    model, report, out = tmp_path / "model", tmp_path / "report", tmp_path / "out"
    for folder in (model, report):
        folder.mkdir()
    (model / "README.md").write_text("---\nlibrary_name: corkboard\n---\n# A student\n")
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "made_from.json").write_text('{"inputs": "abc", "taught": ["a private query"]}')
    write_evaluation(report, "abc")
    soft = pl.DataFrame({"query": ["lamp"], "pin_id": ["p1"], "probabilities": [[0.2] * 5], "stratum": ["x"]})
    export = write_hub(catalogue, out, {"test": gold(catalogue)}, soft, {"student": model}, report)
    assert (export.pairs, export.soft_labels, export.models) == ({"test": 3}, 1, ("student",))
    assert not export.unmeasured
    card = DatasetCard.load(out / "dataset" / "README.md")
    assert card.data.language == ["en"] and card.data.license == "unknown"
    for one in card.data.configs:
        files = one["data_files"]
        for path in [files] if isinstance(files, str) else [part["path"] for part in files]:
            assert pl.read_parquet(out / "dataset" / path).height
    student = ModelCard.load(out / "student" / "README.md")
    (ndcg,) = [one for one in student.data.eval_results if one.metric_type == "nDCG@20"]
    assert ndcg.metric_value == pytest.approx(_ndcg(report), abs=1e-4)
    assert (out / "student" / "model.safetensors").read_bytes() == b"weights"
    assert "a private query" not in "".join(path.name for path in (out / "student").iterdir())
    assert not (out / "student" / "made_from.json").exists()  # it lists people's queries
    columns = pl.read_parquet(out / "dataset" / "data" / "test.parquet").columns
    assert columns == ["query", "pin_id", "lang", "level", "votes"]  # nobody is named


def write_evaluation(report: Path, made_from: str) -> None:
    """Of a student that was made from `made_from`."""
    settings = EvaluationSettings(BootstrapSettings(draws=100))
    found = evaluate([Predictions("student", rows(pins=9))], settings=settings)
    (report / "evaluation.json").write_text(replace(found, made_from={"student": made_from}).to_json())


def test_a_model_gets_no_figures_of_another(catalogue, tmp_path):
    """It was trained again since the evaluation; the second export takes the place of the first, figures and all."""
    model, pairs = tmp_path / "model", {"train": gold(catalogue), "test": gold(catalogue)}
    model.mkdir()
    (model / "README.md").write_text("---\nlibrary_name: corkboard\n---\n# A student\n")
    write_evaluation(tmp_path, "abc")
    for made_from, sides in (("abc", pairs), ("def", {"test": pairs["test"]})):
        (model / "made_from.json").write_text(json.dumps({"inputs": made_from}))
        export = write_hub(catalogue, tmp_path / "out", sides, pl.DataFrame(), {"student": model}, tmp_path)
        card = ModelCard.load(tmp_path / "out" / "student" / "README.md")
        assert bool(card.data.eval_results) == ("nDCG@20" in card.text) == (made_from == "abc")
    assert "no figures on the cards of student; run `relevance evaluate`" in export.lines()[1]
    assert sorted(path.name for path in (tmp_path / "out").glob("dataset/data/*")) == ["pins.parquet", "test.parquet"]


@pytest.mark.parametrize(
    ("format", "names"),
    [
        ("trec", ["README.md", "topics.tsv", "runs/teacher.txt"]),
        ("beir", ["corpus.jsonl", "qrels/train.tsv"]),
        ("hf", ["student/README.md", "dataset/README.md"]),
    ],
)
def test_what_no_export_wrote_is_not_replaced(catalogue, tmp_path, format, names):
    """Nor is anything else written there: a checkout's README, the set that was imported, a model of that name."""
    judged, (model, there) = gold(catalogue), (tmp_path / name for name in ("model", "there"))
    model.mkdir()
    (model / "README.md").write_text("---\nlibrary_name: corkboard\n---\n# A student\n")

    def export(out):
        if format == "trec":
            write_trec(out, judged, [])
        elif format == "beir":
            write_beir(catalogue, out, {"test": judged})
        else:
            write_hub(catalogue, out, {"test": judged}, pl.DataFrame(), {"student": model}, tmp_path)

    for name in names:
        theirs = there / name
        theirs.parent.mkdir(parents=True)
        theirs.write_text("theirs")
        with pytest.raises(BadInput, match=r"found others'.*another DIR"):
            export(there)
        assert [path for path in there.rglob("*") if path.is_file()] == [theirs] and theirs.read_text() == "theirs"
        shutil.rmtree(there)
    there.mkdir()
    (there / "LICENSE").write_text("theirs")
    for _ in range(2):
        export(there)
    assert (there / "LICENSE").read_text() == "theirs"


def _ndcg(report: Path) -> float:
    models = json.loads((report / "evaluation.json").read_text())["models"]
    return next(f["estimate"]["value"] for f in models[0]["figures"] if f["measure"] == "nDCG@20")


def test_models_are_not_written_over_themselves(catalogue, tmp_path):
    models = tmp_path / "models"
    (models / "student").mkdir(parents=True)
    (models / "student" / "weights").write_text("kept")
    rows = {"test": gold(catalogue)}
    with pytest.raises(BadInput, match=r"no student in .*another DIR"):
        write_hub(catalogue, models, rows, rows["test"].head(0), {"student": models / "student"}, tmp_path / "report")
    assert (models / "student" / "weights").read_text() == "kept"


def test_wrong_commands_are_one_line(workspace, tmp_path, capsys):
    root = str(workspace.root)
    for arguments, said in (
        (["beir", str(tmp_path), "--models", "bm25"], "--models"),
        (["zip", str(tmp_path)], "zip"),
        (["trec", str(tmp_path)], "expected judged pairs"),
    ):
        assert console.run(relevance, ["export", *arguments, "--workspace", root]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
