"""The page of a round in a real browser: keys label, texts stay texts, and what is saved is read back."""

from __future__ import annotations

from enrich import parts
from enrich.tables import JUDGMENTS
from relevance.audit import read_back, sheet
from tests.relevance.browser import browser, needs_chromium
from tests.relevance.test_audit import CHOSEN, FORMULA, HOSTILE, catalogue

__all__ = ["catalogue"]


@needs_chromium
def test_in_a_browser_keys_label_and_the_saved_sheet_is_read_back(catalogue, tmp_path):
    folder, saved = sheet.write_round(catalogue, CHOSEN, 40).folder, tmp_path / "saved"
    saved.mkdir()
    with browser(tmp_path / "profile") as tab:
        tab.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(saved), eventsEnabled=True)
        tab.open((folder / sheet.PAGE).as_uri())
        assert tab.value("document.getElementById('query').textContent") == "oak table"
        assert tab.value("document.querySelector('dd').textContent") == HOSTILE
        assert tab.value("document.querySelectorAll('#texts img').length") == 0
        tab.press("4")
        assert tab.value("document.getElementById('query').textContent") == FORMULA
        tab.press("5")
        tab.press("0")  # taken back
        tab.press("2")
        tab.press("s")
        assert "your name" in tab.value("document.getElementById('said').textContent")  # and the field is in focus
        tab.ask("Input.insertText", text="=Ann")
        tab.press("Enter")
        tab.press("s")
        tab.wait("Browser.downloadProgress", state="completed")
    (path,) = saved.iterdir()
    assert path.name == "round-001--Ann.csv"
    assert path.read_text().count(",'=Ann,") == 2  # no spreadsheet computes a name
    assert read_back.read_labels(catalogue, path).votes == 2
    votes = parts.scan(catalogue.folder(JUDGMENTS)).sort("level").collect()
    assert votes.select("query", "pin_id", "level", "annotator_id").rows() == [
        (FORMULA, "-p2", 2.0, "audit:=Ann"),
        ("oak table", "p1", 4.0, "audit:=Ann"),
    ]
