"""`enrich import sample`: every table arrives whole, pictures by absolute path, and nothing of the truth."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from data.sample_maker.settings import SampleSettings
from data.sample_maker.writer import TRUTH, write_sample
from enrich import parts
from enrich.errors import BadInput
from enrich.importers import Format, import_catalogue, sample
from enrich.tables import PINS, SOURCES
from enrich.workspace import Catalogue, Workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "sample"
    write_sample(SampleSettings(seed=3, pins=40), folder)
    return folder


@pytest.fixture
def imported(made, tmp_path) -> Workspace:
    workspace = Workspace.at(tmp_path / "workspace")
    import_catalogue(Format.SAMPLE, made, workspace)
    return workspace


def test_every_table_arrives_whole(made, imported):
    for table in SOURCES:
        assert parts.count(imported.folder(table)) == pl.read_parquet(made / f"{table.name}.parquet").height, table.name
    assert imported.catalogue == Catalogue("sample", str(made))


def test_no_row_or_value_is_refused(made, tmp_path):
    report = import_catalogue("sample", made, Workspace.at(tmp_path / "w"))
    assert [
        (table.table, table.dropped, table.blanked) for table in report.tables if table.dropped or table.blanked
    ] == []


def test_pictures_are_found_by_absolute_path(imported):
    for uri in parts.scan(imported.folder(PINS)).collect()["image_uri"]:
        assert Path(uri).is_absolute()
        assert Path(uri).is_file()


def test_nothing_of_the_truth_is_imported(made, imported):
    hidden = {name for path in (made / TRUTH).glob("*.parquet") for name in pl.read_parquet_schema(path)}
    hidden -= {"pin_id", "query", "lang"}
    written = {name for path in imported.root.rglob("*.parquet") for name in pl.read_parquet_schema(path)}
    assert not written & hidden


def test_the_report_says_that_it_is_synthetic(made):
    assert sample.load(made).notes[0] == "synthetic: made by data/make_sample.py with seed 3"


def test_a_folder_that_is_no_sample_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"expected a sample made by data/make_sample.py at .*; make one with --out"):
        import_catalogue("sample", tmp_path, Workspace.at(tmp_path / "w"))


def test_the_default_is_the_checked_in_sample():
    assert {raw.table for raw in sample.load().tables} == set(SOURCES)
