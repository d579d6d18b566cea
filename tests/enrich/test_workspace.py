"""What a workspace says of itself."""

from __future__ import annotations

import pytest

from enrich.workspace import Catalogue


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
