"""Pictures of a catalogue to captions and vectors: read, made small and described, each stage ahead of the next.

What `enrich captions` does with the pictures that it has to, in this process or by a worker of Ray. A thread fetches
what lies on the web and hands the rest to a thread a core, which read, decode and resize (Pillow lets
go of the interpreter meanwhile); whole batches go to the captioner as they fill, while the next are made.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from PIL import Image

from enrich.captioner import Captioner
from enrich.captioning.alike import Alike
from enrich.captioning.loops import LOOP_CUT, without_loop
from enrich.errors import BadInput
from enrich.fetch import Fetcher, FetchSession, FetchSettings, Outcome
from enrich.image_hashes import read_hashed
from enrich.image_uris import on_the_web
from enrich.images import BadImage, ImageReason, load_image
from enrich.picture_prints import picture_print
from enrich.side_by_side import side_by_side
from enrich.web.body_room import BodyRoom

if TYPE_CHECKING:
    import torch

    from enrich.captioning.describing import Description, Saying

_OTHERS_AT_ONCE = 1_000
ROOM_BYTES = 512_000_000  # bytes of pictures from the web that are large, or that wait to be decoded
SMALL_BYTES = 4_000_000  # bytes of a picture that comes in whatever waits, as most are
_OVERSIZED = (2_048, 2_048)  # what is left at least of a picture that has too many pixels to be decoded whole
SCHEMA = pl.Schema(
    [
        ("place", pl.Int64),
        ("caption", pl.String),
        ("caption_rule", pl.String),
        ("visual_embedding", pl.List(pl.Float32)),
        ("reason", pl.String),
    ]
)


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs to know; picklable. The dtype is settled, so that every worker computes in the same."""

    model: str
    device: str | None
    dtype: torch.dtype
    saying: Saying
    batch_size: int | None  # pictures a forward pass; None by the memory there is
    cut_loops: bool
    base: Path  # where relative paths of the catalogue start
    fetch: FetchSettings
    read_at_once: int = 128  # pictures that are read, or fetched, together
    producer: str | None = None  # what the captioner called itself as the run began

    def captioner(self) -> Captioner:
        """Raises BadInput as Captioner does, and of files that are not those the run began with."""
        saying = self.saying
        made = Captioner(
            self.model, self.device, self.dtype, saying.beams, saying.prompt, saying.max_tokens, self.batch_size
        )
        if self.producer not in (None, made.producer):
            raise BadInput(
                f"expected the captioner {self.producer} that the run began with, found {made.producer} in its place; "
                "run this again once its files are left alone, and the same for every worker"
            )
        return made

    def web(self) -> Web:
        room = BodyRoom(ROOM_BYTES, SMALL_BYTES)
        return Web(FetchSession(Fetcher(self.fetch, types=(), room=room)), room)


class Web(NamedTuple):
    """By what pictures are fetched; it remembers of each host when it was asked, and what it asked for."""

    session: FetchSession
    room: BodyRoom


def describe(
    work: Work,
    wanted: pl.DataFrame,
    captioner: Captioner | None = None,
    alike: Alike | None = None,
    web: Web | None = None,
) -> Iterator[pl.DataFrame]:
    """Rows as SCHEMA says, of pictures `wanted` (place, image_uri, input_hash), as they get done; of none, none.

    A picture that cannot be had or decoded has a reason and nothing else; one that `alike` calls a copy, no row. `web`
    is one that calls share, for whoever made it to close.
    """
    if wanted.is_empty():
        return
    captioner = captioner or work.captioner()
    with ExitStack() as ours, ThreadPoolExecutor(os.cpu_count()) as readers:
        if web is None:
            web = work.web()
            ours.enter_context(web.session)
        prepare = partial(_prepare, captioner, alike is not None)
        read = partial(_read, prepare, work.base, web, readers)
        ahead = side_by_side(read, wanted.iter_slices(work.read_at_once), 1)
        with closing(ahead) as found:  # whatever ends this, before the session that it fetches by
            yield from _described(captioner, found, work.cut_loops, alike)


Found = list[tuple[int, Any]]  # of each place, the reason (a str) why there is no picture, or the future of either


class _Handed(NamedTuple):
    """What goes with a batch: where its pictures stand, and those before its last one that could not be had."""

    places: list[int]
    failed: Found


def _described(
    captioner: Captioner, found: Iterable[Found], cut_loops: bool, alike: Alike | None
) -> Iterator[pl.DataFrame]:
    """A batch is handed on when it is full, or when so many pictures failed or were copies meanwhile that their rows
    should be written.
    """
    handed: deque[_Handed] = deque()

    def small() -> Iterator[list[Any]]:
        batch, failed, others = Found(), Found(), 0
        for place, coming in (one for some in found for one in sorted(some, key=itemgetter(0))):
            picture = coming if isinstance(coming, str) else coming.result()
            if isinstance(picture, str):
                failed.append((place, picture))
                others += 1
            elif alike is not None and alike.is_copy(place, picture[1]):
                others += 1
            else:
                batch.append((place, picture[0]))
            if len(batch) == captioner.batch_size or others == _OTHERS_AT_ONCE:
                handed.append(_Handed([place for place, _ in batch], failed))
                yield [picture for _, picture in batch]
                batch, failed, others = Found(), Found(), 0
        if batch or failed:
            handed.append(_Handed([place for place, _ in batch], failed))
            yield [picture for _, picture in batch]

    for description in captioner.described(small()):
        places, failed = handed.popleft()
        yield pl.concat([_made(places, description, cut_loops), _failed(failed)])


def _made(places: list[int], description: Description, cut_loops: bool) -> pl.DataFrame:
    captions, vectors = description
    cut = [without_loop(caption) if cut_loops else (caption, False) for caption in captions]
    embeddings = pl.Series(vectors if vectors is not None else [None] * len(places))
    return pl.DataFrame(
        {
            "place": places,
            "caption": [caption for caption, _ in cut],
            "caption_rule": [LOOP_CUT if looped else None for _, looped in cut],
            "visual_embedding": embeddings.cast(SCHEMA["visual_embedding"]),
            "reason": [None] * len(places),
        },
        schema=SCHEMA,
    )


def _failed(failed: Found) -> pl.DataFrame:
    rows = [(place, None, None, None, reason) for place, reason in failed]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _read(
    prepare: Callable[[Callable[[], bytes]], Any],
    base: Path,
    web: Web,
    readers: ThreadPoolExecutor,
    wanted: pl.DataFrame,
) -> Found:
    """Of each place, the future of what `prepare` makes of its bytes; what lies on the web is fetched together."""
    away: dict[int, str] = {}
    here: Found = []
    for place, uri, hashed in wanted.select("place", "image_uri", "input_hash").iter_rows():
        if on_the_web(uri):
            away[place] = uri
        else:
            here.append((place, readers.submit(prepare, partial(read_hashed, uri, base, hashed))))

    def fetched(outcome: Outcome) -> Any:
        """A future: decoding in the loop that fetches would hold up what else comes in."""
        if outcome.reason is not None:
            return outcome.reason
        coming = readers.submit(prepare, lambda: outcome.body)
        web.room.hold(len(outcome.body), until=coming)
        return coming

    return [*here, *zip(away, web.session.fetch_all(list(away.values()), fetched) if away else (), strict=True)]


def _prepare(captioner: Captioner, printed: bool, read: Callable[[], bytes]) -> Any:
    """The model's input, and where it is `printed` the picture's print; or the reason why there is neither."""
    try:
        picture = _loaded(captioner, read())
        return captioner.prepare(picture), picture_print(picture) if printed else None
    except BadImage as fault:
        return str(fault.reason)


def _loaded(captioner: Captioner, data: bytes) -> Image.Image:
    """As the captioner wants it; where that is whole, and it has too many pixels for that, a smaller copy."""
    try:
        return load_image(data, at_least=captioner.at_least)
    except BadImage as fault:
        if captioner.at_least is not None or fault.reason is not ImageReason.TOO_MANY_PIXELS:
            raise
    return load_image(data, at_least=_OVERSIZED)
