"""The README's own-catalogue commands, run as they stand there on a small catalogue; and its links and tree."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from enrich import console
from enrich.cli import enrich
from enrich.workspace import Catalogue, Workspace
from relevance.cli import relevance
from relevance.service.meters import Meters

ROOT = Path(__file__).resolve().parents[1]
README, OPERATIONS = (ROOT / "README.md").read_text(), (ROOT / "docs" / "operations.md").read_text()
OBJECTS = ("table", "chair", "lamp", "vase")
MADE_OF = ("oak", "glass", "steel", "rattan", "marble")


def block_after(heading: str) -> list[str]:
    """The lines of the first shell block below a heading, comments off."""
    body = README.partition(f"## {heading}\n")[2]
    found = re.search(r"```bash\n(.*?)```", body, re.DOTALL)
    assert found, heading
    return [line.partition("  #")[0].strip() for line in found[1].splitlines() if line.strip()]


def write_catalogue(folder: Path) -> None:
    """Twenty pins; each query names one, and its judgments grade what shares the object or the material."""
    folder.mkdir()
    pins = [(f"p{i}", f"{made} {thing}") for i, (made, thing) in enumerate((m, o) for m in MADE_OF for o in OBJECTS)]
    lines = ["pin_id,title,created_at", *(f"{pin},{title},2025-01-01" for pin, title in pins)]
    (folder / "pins.csv").write_text("\n".join(lines) + "\n")
    rows = ["query,pin_id,level,judged_at"]
    for _, asked in pins:
        for pin, title in pins[::3]:
            same = len(set(asked.split()) & set(title.split()))
            rows.append(f"{asked},{pin},{(1, 3, 5)[same]},2025-06-01")
    (folder / "judgments.csv").write_text("\n".join(rows) + "\n")


def test_the_own_catalogue_commands_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_catalogue(tmp_path / "my_catalogue")
    lines = block_after("Your own catalogue")
    commands = [line for line in lines if " serve " not in line and not line.startswith("make ")]
    for line in commands:
        program, *arguments = shlex.split(line)
        group = {"enrich": enrich, "relevance": relevance}[program]
        extra = ["--folds", "1", "--pairs", "100"] if arguments[0] == "run" and program == "relevance" else []
        assert console.run(group, [*arguments, *extra, "--json"]) == 0, (line, capsys.readouterr().err)
        result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        if arguments[0] == "score":
            assert [pin["pin_id"] for pin in result["pins"]] == ["p1", "p2"]
        if arguments[0] == "rank":
            assert result["pins"][0]["pin_id"]
    assert (tmp_path / "my_workspace" / "reports" / "evaluation" / "index.html").is_file()
    assert console.run(relevance, ["evaluate", "--workspace", "my_workspace", "--folds", "1", "--seed", "1"]) == 2
    assert "never saw" in capsys.readouterr().err  # another split would ask the models what they were taught
    assert console.run(relevance, ["export", "hf", "hub", "--workspace", "my_workspace", "--folds", "1", "--json"]) == 0
    exported = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (exported["models"], exported["unmeasured"]) == (["teacher", "student"], [])  # the evaluation was of these
    frame = ["frame", "--workspace", "my_workspace", "--out", "frame.parquet", "--json"]
    assert console.run(relevance, frame) == 0
    said = capsys.readouterr().out
    found = json.loads(said.splitlines()[-1])
    assert found["rows"] == pq.ParquetFile("frame.parquet").metadata.num_rows > 0
    assert "pin_text__title" in said and "careless join" in said


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_operations_contents_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert not {*re.findall(r"\]\(#([^)]+)\)", OPERATIONS)} - {*anchors} and len(anchors) == len({*anchors})


def test_the_operations_name_every_metric() -> None:
    for metric in Meters().registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        assert re.search(rf"\b{name}\b", OPERATIONS), name


@pytest.mark.parametrize(("format", "stays"), [("sample", False), ("native", True)])
def test_make_clean_leaves_a_catalogue_that_is_not_the_sample(tmp_path: Path, format: str, stays: bool) -> None:
    workspace = Workspace(tmp_path / "data" / "workspace")
    workspace.create(Catalogue(format, "inline"))
    (tmp_path / "build").mkdir()
    subprocess.run(["make", "-f", ROOT / "Makefile", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert workspace.root.exists() == stays and not (tmp_path / "build").exists()


def test_its_tree_names_every_module() -> None:
    tree = README.partition("## The tree\n")[2].partition("## Developing")[0]
    modules = [path.name for package in ("enrich", "relevance") for path in (ROOT / package).rglob("*.py")]
    missing = [name for name in modules if not name.startswith("__") and name not in tree]
    assert not missing
