"""What the folders of a log say: some give columns (hive partitions, `day=2025-01-01/`), some hide what lies in them.

An import and a log left in place read the same folders alike: a value is text, unescaped, and of two folders of one
name the inner one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def holds_rows(name: str) -> bool:
    """Whether a file or folder of this name holds rows; a column's name may begin with an underscore: _day=1/."""
    return not name.startswith(".") and (not name.startswith("_") or "=" in name)


def below(path: str, folder: str) -> str:
    """What a file is called from the folder on, which may be spelt with more slashes."""
    bare, above = (uri.partition("://")[2].lstrip("/") if "://" in uri else uri for uri in (path, folder))
    return bare.removeprefix(above.rstrip("/")).lstrip("/")


def named(folders: Sequence[str]) -> dict[str, str | None]:
    """The columns that these folders, from the outermost on, give, with their value."""
    written = dict(folder.split("=", 1) for folder in folders if "=" in folder)
    return {name: None if value == NO_VALUE else unquote(value) for name, value in written.items()}
