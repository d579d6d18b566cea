"""Pictures of the catalogue's own pins as small JPEGs, for the inspector page.

Reads the file or object behind a pin's `image_uri`; writes nothing. A URI is never taken from a request, files are read
only below the catalogue's own folder and those that `--images` names, what lies on the web is not fetched, and nothing
leaves that is not a picture drawn anew: whatever stands in the catalogue, no other file can be read out through here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from enrich.image_uris import base_folder, local_path, on_the_web, read_image
from enrich.images import BadImage, ImageReason, jpeg_thumbnail
from enrich.workspace import Workspace
from relevance.serving.kept import Generations

_PIXELS, _QUALITY = 400, 80  # the longer side; of JPEG
_KEPT = 2_000  # thumbnails of about 20 KB: 40 MB
_KEPT_SECONDS = 600.0


class Thumbnail(NamedTuple):
    jpeg: bytes
    etag: str


class Pictures:
    """Of one workspace; for any number of threads."""

    def __init__(self, workspace: Workspace, folders: Sequence[str] = ()) -> None:
        self._base = base_folder(workspace)
        self._allowed = [folder.resolve() for folder in (self._base, *map(Path, folders))]
        self._kept: Generations[Thumbnail] = Generations(_KEPT, _KEPT_SECONDS)

    def thumbnail(self, uri: str) -> Thumbnail:
        """The picture at a URI of the catalogue's. Raises BadImage."""
        self._kept.of_age()
        if (kept := self._kept.get(uri)) is not None:
            return kept
        jpeg = jpeg_thumbnail(self._read(uri), _PIXELS, _QUALITY)
        made = Thumbnail(jpeg, hashlib.blake2b(jpeg, digest_size=12).hexdigest())
        self._kept.keep([uri], [made])
        return made

    def _read(self, uri: str) -> bytes:
        if on_the_web(uri):
            raise BadImage(ImageReason.UNSUPPORTED_URI, "one on the web, which this service does not fetch")
        path = local_path(uri, self._base)
        if path is not None:
            try:
                real = path.resolve()
            except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
                raise BadImage(ImageReason.UNREADABLE, str(error)) from error
            if not any(real.is_relative_to(folder) for folder in self._allowed):
                raise BadImage(ImageReason.UNREADABLE, "one outside the catalogue's folder; name it with --images")
        return read_image(uri, self._base)
