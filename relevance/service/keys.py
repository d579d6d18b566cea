"""Who may ask: API keys from a file, sent as `X-API-Key: KEY` or `Authorization: Bearer KEY`.

The file has a line a caller, `NAME KEY`, empty lines and lines that begin with # left out. Keys are kept as hashes and
compared in constant time; only the caller's name is ever logged.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from enrich.errors import BadInput

_SHORTEST = 16  # characters
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ApiKeys:
    """The callers of a file."""

    def __init__(self, hashes: Mapping[str, bytes]) -> None:
        self._hashes = dict(hashes)

    @classmethod
    def read(cls, path: Path) -> ApiKeys:
        """Raises BadInput for a file that is not there, holds no key, or a line that is none; it never shows a key."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"expected a file of API keys at {path}, found none that can be read ({error})") from error
        hashes: dict[str, bytes] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            name, *key = line.split()
            if len(key) != 1 or not _NAME.fullmatch(name) or len(key[0]) < _SHORTEST or name in hashes:
                raise BadInput(
                    f"expected NAME KEY on line {number} of {path}, the key of {_SHORTEST} or more characters and each "
                    "name once, found another line; make a key with `openssl rand -hex 24`"
                )
            hashes[name] = _hash(key[0])
        if not hashes:
            raise BadInput(f"expected at least one line NAME KEY in {path}, found none")
        return cls(hashes)

    def caller(self, headers: Mapping[str, str]) -> str | None:
        """The name of who sent these headers (lower-case names); None where no key is known."""
        sent = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        offered = _hash(sent)
        found = None
        for name, known in self._hashes.items():  # all of them, however early one fits
            if hmac.compare_digest(known, offered):
                found = name
        return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
