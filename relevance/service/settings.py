"""What `relevance serve` can be told; one record, passed to every worker process through the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from enrich.errors import BadInput

MAX_PINS = 10_000  # of one request
MAX_QUERY_CHARACTERS = 2_000  # as sent; scoring reads the first 500 after normalisation
MAX_BODY_BYTES = 4 * 2**20  # MAX_PINS ids of 400 bytes
MAX_DEADLINE_MS = 60_000
VARIABLE = "CORKBOARD_SERVICE"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How the service answers; paths as texts, so that the record is plain JSON."""

    threads: int = 2  # requests that are worked on at once, in each process
    waiting: int = 64  # requests that may wait for a thread; the next one is answered 429
    deadline_ms: int = 5_000  # of a request that names none
    body_seconds: float = 10.0  # in which a request's body must have come
    api_keys: str | None = None  # file of keys (keys.py); None: everyone may ask
    shadow: str | None = None  # folder of a second student that is scored, logged and never answers
    shadow_share: float = 1.0  # of answers that the second student scores too
    record: float | None = None  # share of requests to log for `relevance replay`; None: as CORKBOARD_RECORD says
    pin_cache_seconds: float = 0.0  # for which a pin that was read is not read again; 0: every request reads the store
    reload_seconds: float = 2.0  # between looks at the model's and the features' files; 0: never
    image_folders: tuple[str, ...] = ()  # whose pictures may be shown, besides the catalogue's own folder
    teacher: bool = True  # whether the page may ask the teacher, where there is one

    def __post_init__(self) -> None:
        if self.threads < 1 or self.waiting < 0:
            raise BadInput(f"expected 1 or more threads and 0 or more waiting, found {self.threads}, {self.waiting}")
        if not 1 <= self.deadline_ms <= MAX_DEADLINE_MS:
            raise BadInput(f"expected a deadline of 1 to {MAX_DEADLINE_MS} ms, found {self.deadline_ms}")
        if not (0 <= self.shadow_share <= 1 and (self.record is None or 0 <= self.record <= 1)):
            raise BadInput(f"expected shares of 0 to 1, found {self.shadow_share} and {self.record}")
        if min(self.pin_cache_seconds, self.reload_seconds) < 0 or self.body_seconds <= 0:
            raise BadInput("expected times of 0 or more seconds, found less")


@dataclass(frozen=True, slots=True)
class Served:
    """What a worker process needs to begin."""

    workspace: Path
    settings: ServiceSettings

    def publish(self) -> None:
        """Leave it to the processes that this one starts. API keys are not in it, only the name of their file."""
        raw = {"workspace": str(self.workspace), "settings": asdict(self.settings)}
        os.environ[VARIABLE] = json.dumps(raw)

    @classmethod
    def published(cls) -> Served:
        """What the parent process left. Raises BadInput where there is none."""
        if VARIABLE not in os.environ:
            raise BadInput(
                f"expected the service's settings in {VARIABLE}, found none; start it with `relevance serve`"
            )
        raw: Mapping[str, Any] = json.loads(os.environ[VARIABLE])
        folders = tuple(raw["settings"]["image_folders"])
        return cls(Path(raw["workspace"]), ServiceSettings(**{**raw["settings"], "image_folders": folders}))
