"""What a workspace says of itself."""

from __future__ import annotations

import re

import pytest

from enrich.workspace import Catalogue, Workspace


@pytest.mark.parametrize(
    ("catalogue", "title"),
    [
        (Catalogue("native", "/data/shop"), "native: shop"),
        (Catalogue("native", "/data/native"), "native"),
        (Catalogue("sample", "data/sample"), "sample (synthetic)"),
        (Catalogue("sample", "/elsewhere/drawn"), "sample: drawn (synthetic)"),
    ],
)
def test_reports_call_a_catalogue_by_its_name_and_say_whether_it_is_synthetic(catalogue: Catalogue, title: str) -> None:
    assert catalogue.title == title


def test_a_second_import_leaves_an_edited_configuration_alone_and_renews_its_own(workspace: Workspace):
    configuration = workspace.feature_store_yaml
    written = configuration.read_text()
    edited = written.replace("overlap_minutes: 60", "overlap_minutes: 90")
    configuration.write_text(edited)
    workspace.create(workspace.catalogue)
    assert configuration.read_text() == edited
    without_engine = re.sub(r"batch_engine:\n(?:  .*\n)+", "", written).replace('"', "")
    earlier = re.sub(r"  registry_store_type: .*\n", "", without_engine)
    for unedited in (written, earlier):
        configuration.write_text(unedited.replace(str(workspace.root), "/where it was"))
        workspace.create(workspace.catalogue)
        assert configuration.read_text() == written
