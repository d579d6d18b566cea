"""What `enrich captions` is told: which captioner, how it speaks, where it runs, and how pictures are fetched.

Reads and writes nothing; `captions.py` runs by it, `captioner_choice.py` keeps what was named.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from enrich.engine import Engine
from enrich.errors import BadInput
from enrich.fetch import FetchSettings
from enrich.images import MAX_BYTES
from enrich.job import JobSettings
from enrich.workspace import REPOSITORY

DEFAULT_MODEL = REPOSITORY / "data" / "models" / "captioner"
_OF_ONES_OWN = 16  # connections to a host that need not be spared


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """Model, dtype, beams, prompt and cut_loops decide what is said: other ones, and every caption is made anew."""

    model: str = str(DEFAULT_MODEL)  # a BLIP or another image-text-to-text checkpoint: a folder or hub id
    device: str | None = None  # torch's name; None for a GPU where there is one
    dtype: str | None = None  # float32, bfloat16 or float16; None for bfloat16 where the device has units for it
    beams: int = 1  # of beam search; 1 is greedy
    prompt: str | None = None  # what a caption goes on from, or what a model that chats is asked
    cut_loops: bool | None = None  # captions that go round in circles; None: unless float32 is asked for, to compare
    batch_size: int | None = None  # pictures a forward pass; None by the memory there is
    twins: bool | None = None  # pictures that look alike are described once; None: unless float32 is asked for
    engine: Engine = Engine.LOCAL
    workers: int | None = None  # on Ray; None for one a GPU, or one a core where there is none
    gpus: float | None = None  # of each worker on Ray; None for one where there is any
    connect_to: str | None = None  # a loopback server, ADDRESS:PORT, that stands for every host (one's own: no delays)
    host_delay: float | None = None  # seconds between two pictures asked of one host; None: as `fetch` says
    fetch: FetchSettings = field(
        default_factory=lambda: FetchSettings(max_wire_bytes=MAX_BYTES, max_bytes=MAX_BYTES, total_timeout=60.0)
    )
    job: JobSettings = field(default_factory=lambda: JobSettings(batch_size=128))  # pictures read or fetched at once

    def __post_init__(self) -> None:
        if self.engine is Engine.LOCAL and (self.workers is not None or self.gpus is not None):
            raise BadInput("expected --workers and --gpus with --engine ray only; leave them out, or name that engine")
        if self.engine is Engine.RAY and self.device is not None:
            raise BadInput("expected no --device with --engine ray, whose workers take the GPUs that --gpus gives them")
        if any(count is not None and count < 1 for count in (self.beams, self.batch_size, self.workers)):
            raise BadInput("expected --beams, --batch-size and --workers of at least 1; raise the one that is less")
        self.fetching()  # refuses a connect_to that is not a loopback address and port

    @property
    def cutting(self) -> bool:
        """Whether a caption that goes round in circles is cut after the first time round."""
        return self.dtype != "float32" if self.cut_loops is None else self.cut_loops

    @property
    def once_alike(self) -> bool:
        """Whether what looks like a picture described before takes that over; on Ray, whose workers are in no order,
        only the same bytes do.
        """
        wanted = self.dtype != "float32" if self.twins is None else self.twins
        return wanted and self.engine is Engine.LOCAL

    def fetching(self) -> FetchSettings:
        """The fetcher's settings. A host that pictures may be asked of without waiting is asked for many at once."""
        delay = 0.0 if self.connect_to is not None else self.host_delay
        if delay is None:
            return self.fetch
        connections = self.fetch.host_connections if delay else _OF_ONES_OWN
        return replace(self.fetch, connect_to=self.connect_to, host_delay=delay, host_connections=connections)
