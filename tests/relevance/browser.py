"""A real Chromium, driven over its own protocol."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium to look at the page with (apt-get install chromium)"
)
_TYPED = {"Enter": "\r"}


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
            text = {"text": _TYPED.get(key, key)} if kind == "keyDown" and len(_TYPED.get(key, key)) == 1 else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def value(self, expression: str):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url: str) -> None:
        self.ask("Page.enable")
        self.ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.protocol !== 'about:'")

    def until(self, expression: str):
        """What the page says, once it is something; a minute at most."""
        for _ in range(600):
            if found := self.value(expression):
                return found
            time.sleep(0.1)
        raise AssertionError(f"never true: {expression}")


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
