"""The page of a round in a real browser: keys label, texts stay texts, and what is saved is read back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from enrich import parts
from enrich.tables import JUDGMENTS
from relevance.audit import read_back, sheet
from tests.relevance.test_audit import CHOSEN, FORMULA, HOSTILE, catalogue

__all__ = ["catalogue"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tab:
    """A page, driven over the browser's own protocol."""

    def __init__(self, socket) -> None:
        self._socket, self._asked, self._session = socket, 0, None
        self._happened: list[dict] = []  # events that came before they were waited for
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method: str, **parameters):
        self._asked += 1
        call = {"id": self._asked, "method": method, "params": parameters}
        self._socket.send(json.dumps(call | ({"sessionId": self._session} if self._session else {})))
        return self._until(lambda said: said.get("id") == call["id"])["result"]

    def wait(self, method: str, **expected) -> None:
        def is_it(said):
            return said.get("method") == method and expected.items() <= said["params"].items()

        if not any(is_it(one) for one in self._happened):
            self._until(is_it)

    def _until(self, is_it):
        while True:
            said = json.loads(self._socket.recv(timeout=60))
            assert "error" not in said, said
            if is_it(said):
                return said
            self._happened.append(said)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def value(self, expression: str):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    process = subprocess.Popen(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"),
            "--remote-debugging-port=0",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = next(line.split()[-1] for line in process.stderr if line.startswith("DevTools listening"))
        with connect(address, max_size=None, open_timeout=60, ping_interval=None, proxy=None) as socket:
            yield Tab(socket)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to look at the page with (apt-get install chromium)")
def test_in_a_browser_keys_label_and_the_saved_sheet_is_read_back(catalogue, tmp_path):
    folder, saved = sheet.write_round(catalogue, CHOSEN, 40).folder, tmp_path / "saved"
    saved.mkdir()
    with browser(tmp_path / "profile") as tab:
        tab.ask("Page.enable")
        tab.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(saved), eventsEnabled=True)
        tab.ask("Page.navigate", url=(folder / sheet.PAGE).as_uri())
        while tab.value("document.readyState + location.protocol") != "completefile:":
            pass
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
        tab.ask("Input.insertText", text="Ann")
        tab.press("Enter")
        tab.press("s")
        tab.wait("Browser.downloadProgress", state="completed")
    (path,) = saved.iterdir()
    assert path.name == "round-001-Ann.csv"
    assert read_back.read_labels(catalogue, path).votes == 2
    votes = parts.scan(catalogue.folder(JUDGMENTS)).sort("level").collect()
    assert votes.select("query", "pin_id", "level", "annotator_id").rows() == [
        (FORMULA, "-p2", 2.0, "audit:Ann"),
        ("oak table", "p1", 4.0, "audit:Ann"),
    ]
