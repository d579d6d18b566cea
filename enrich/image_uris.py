"""The bytes behind a pin's `image_uri`: a path, file:, s3:, gs:, az: (what lies on the web, `enrich.fetch` gets).

A relative path is relative to where the catalogue was imported from (`Workspace.catalogue.origin`). What cannot be had
is a BadImage whose reason is one of `ImageReason`'s last five, or too-many-bytes.
"""

from __future__ import annotations

import re
import stat
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec.asyn
import fsspec.core

from enrich.images import MAX_BYTES, BadImage, ImageReason
from enrich.workspace import Workspace

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # two letters or more: "C:" is a drive
STORE_SECONDS = 60.0  # for one picture; a store that is slower is tried again by the next run
DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}  # what fsspec reads a store by


def base_folder(workspace: Workspace) -> Path:
    """The folder that relative paths of the workspace's catalogue start from."""
    origin = Path(workspace.catalogue.origin)
    return origin if origin.is_dir() else origin.parent


def read_image(uri: str, base: Path, seconds: float = STORE_SECONDS) -> bytes:
    """The bytes at `uri`, at most one more than MAX_BYTES; an object store is waited for so long. Raises BadImage."""
    path = local_path(uri, base)
    if path is not None:
        return _read_file(path)
    scheme = urlsplit(uri).scheme.lower()
    if scheme in DRIVERS:
        return _read_store(uri, seconds)
    raise BadImage(ImageReason.UNSUPPORTED_URI, f"the URI {uri[:200]!r}")


def on_the_web(uri: str) -> bool:
    """Whether `enrich.fetch` has to get it."""
    return uri.lower().startswith(("http://", "https://"))


def local_path(uri: str, base: Path) -> Path | None:
    """The file that `uri` names on this machine; None when it names something elsewhere. Raises BadImage."""
    if not _SCHEME.match(uri):
        return base / uri
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise BadImage(ImageReason.UNSUPPORTED_URI, f"the URI {uri[:200]!r}") from error
    if parts.scheme.lower() != "file":
        return None
    if parts.netloc not in ("", "localhost"):
        raise BadImage(ImageReason.UNSUPPORTED_URI, f"a file on another machine, {uri[:200]!r}")
    return base / unquote(parts.path)


def _read_file(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadImage(ImageReason.UNREADABLE, f"no regular file at {path}")
        if status.st_size > MAX_BYTES:
            raise BadImage(ImageReason.TOO_MANY_BYTES, f"{status.st_size} bytes where {MAX_BYTES} are allowed")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadImage(ImageReason.NOT_FOUND, f"no file at {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise BadImage(ImageReason.UNREADABLE, str(error)) from error


def _read_store(uri: str, seconds: float) -> bytes:
    """Read from an object store through fsspec, whose drivers (s3fs, gcsfs ...) are installed by whoever uses them.

    One ranged request, so that no more is sent than is read, and none that asks for the size first.
    """
    scheme, _, rest = uri.partition(":")
    try:
        store, path = fsspec.core.url_to_fs(f"{scheme.lower()}:{rest}")  # fsspec knows them in small letters alone
        if store.async_impl:
            asked = partial(store._cat_file, path, start=0, end=MAX_BYTES + 1)
            return bytes(fsspec.asyn.sync(store.loop, asked, timeout=seconds))
        return bytes(store.cat_file(path, start=0, end=MAX_BYTES + 1))
    except ImportError as error:
        raise BadImage(ImageReason.NO_DRIVER, f"{uri[:200]!r} and no driver for it: {error}") from error
    except FileNotFoundError as error:
        raise BadImage(ImageReason.NOT_FOUND, f"nothing at {uri[:200]!r}") from error
    except (PermissionError, IsADirectoryError) as error:
        raise BadImage(ImageReason.UNREADABLE, f"{uri[:200]!r}, which may not be read: {error}") from error
    except Exception as error:  # each store's driver has exceptions of its own (botocore, google.api ...)
        raise BadImage(ImageReason.FETCH_FAILED, f"{type(error).__name__}: {error}") from error
