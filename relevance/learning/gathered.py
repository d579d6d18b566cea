"""Labelled pairs as serving would hold them: each pin's payload once, what was known of each query, rates and labels.

Reads pieces of a student_v1 frame; writes a folder that packed.py turns into the network's inputs:

payloads.bin .idx         every distinct pin payload, end to end; where each ends, and a hash of what it was packed from
pins.idx                  of each pin id, the payload it had first: the documents that term frequencies are counted over
part-00000.npz .parquet   a piece's rows: payload, group, rates, targets, weights, levels; its groups: query and payload
part-00000.json           written last: what the piece added. A killed run goes on after the last of these.

Held in memory are one piece and some 50 bytes a distinct pin, however many rows there are.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from enrich import parts
from enrich.errors import BadInput
from enrich.pin_packing import pack_pins
from enrich.pin_payload import PinBatch, Wanted, unpack_pins
from enrich.progress import progress
from enrich.query_payload import QueryInputs, QueryValues, pack_query, unpack_query
from relevance import stages
from relevance.ahead import made_ahead
from relevance.features import Bools, Floats, Ints, Statistics, StatisticsCounter
from relevance.labelling.files import write_parquet
from relevance.learning.inputs import QueryEncoder, QueryGroup, StudentInputs, pin_columns, query_groups
from relevance.learning.mapped import refuse_short
from relevance.learning.pieces import ROWS_A_PIECE, Pieces
from relevance.learning.places import Places
from relevance.losses import Targets, targets_of
from relevance.student import StudentSettings
from relevance.training_frame import HUMAN

_PAYLOAD = np.dtype([("hash", "<u8"), ("end", "<i8")])
_PIN = np.dtype([("pin", "<u8"), ("payload", "<i8")])
_SEED = 7  # of the hashes


class PartRecord(NamedTuple):
    """What one piece added."""

    rows: int
    human: int
    groups: int
    payloads: int  # there are after it
    pins: int  # there are after it
    interests: list[str]
    dimensions: list[int]  # of its query vectors
    digest: str  # of the piece


class Part(NamedTuple):
    """A piece's rows, read back."""

    payloads: Ints  # [n] places
    groups: tuple[QueryGroup, ...]
    group_of: Ints  # [n]
    human: Bools  # [n]
    levels: Ints  # [n] gold, 0 where a teacher labelled
    targets: Targets


class Gathered:
    """A finished folder."""

    def __init__(self, folder: Path, encoder: QueryEncoder) -> None:
        self.folder = folder
        self.parts = list(_records(folder))
        self._encoder = encoder
        self._payloads = np.fromfile(folder / "payloads.idx", _PAYLOAD)
        self._bytes = _mapped(folder / "payloads.bin")

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def human(self) -> int:
        return sum(part.human for part in self.parts)

    @property
    def distinct(self) -> int:
        """Payloads."""
        return len(self._payloads)

    @property
    def fingerprint(self) -> str:
        """Of every piece."""
        return stages.fingerprint([part.digest for part in self.parts])

    def payloads(self, places: Ints) -> list[bytes]:
        ends = self._payloads["end"]
        starts = np.where(places > 0, ends[places - 1], 0).tolist()
        found = [self._bytes[a:b] for a, b in zip(starts, ends[places].tolist(), strict=True)]
        if isinstance(self._bytes, mmap.mmap):
            self._bytes.madvise(mmap.MADV_DONTNEED)  # what was touched would count as this process' memory
        return found

    @cached_property
    def statistics(self) -> Statistics:
        """Over the pins of all rows, each once. Raises BadInput where query vectors are not the encoder's."""
        found = {dimension for part in self.parts for dimension in part.dimensions}
        if found != {self._encoder.dimension}:
            raise BadInput(
                f"expected query vectors of {self._encoder.dimension} entries, as {self._encoder.producer} makes, "
                f"found {sorted(found)}; run `enrich run`, with --encoder MODEL where another one is meant"
            )
        counter = StatisticsCounter()
        firsts = np.fromfile(self.folder / "pins.idx", _PIN)["payload"]
        for start in range(0, len(firsts), ROWS_A_PIECE):
            counter.add(unpack_pins(self.payloads(firsts[start : start + ROWS_A_PIECE])))
        interests = {interest for part in self.parts for interest in part.interests}
        return counter.statistics(sorted(interests), self._encoder.dimension)

    def pins(self, places: Ints, wanted: Wanted) -> PinBatch:
        return unpack_pins(self.payloads(places), wanted=wanted)

    def part(self, number: int) -> Part:
        with np.load(_part(self.folder, number, "npz")) as arrays:
            rates, has = arrays["rates"], arrays["has_rates"]
            group_of, payloads = arrays["group"], arrays["payload"]
            targets = Targets(arrays["targets"], arrays["weights"])
            human, levels = arrays["human"], arrays["levels"]
        known = pl.read_parquet(_part(self.folder, number, "parquet"))
        order, ends = np.argsort(group_of, kind="stable"), np.cumsum(np.bincount(group_of, minlength=known.height))
        rows = np.split(order, ends[:-1])
        groups = tuple(
            QueryGroup(replace(unpack_query(payload, query), known=was_known), at, rates[at], has[at])
            for (query, was_known, payload), at in zip(known.iter_rows(), rows, strict=True)
        )
        return Part(payloads, groups, group_of, human, levels, targets)

    def inputs(self, part: Part, wanted: Wanted) -> StudentInputs:
        """The part's pins and queries, of which `StudentInputs.features` makes the network's numbers."""
        return StudentInputs(self.pins(part.payloads, wanted), part.groups)


def gather(pieces: Pieces, encoder: QueryEncoder, settings: StudentSettings, folder: Path, label: str) -> Gathered:
    """Gather what is not yet; `label` names the bar. Raises BadInput for rows without features or without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    store = _Store(folder)
    todo = range(store.done, pieces.count)
    with progress(len(todo), label, unit="piece") as bar:
        for number, frame in zip(todo, made_ahead(map(pieces.frame, todo)), strict=True):
            _gather_piece(store, number, frame, encoder, settings)
            bar.update(1)
    return Gathered(folder, encoder)


class _Store:
    """The growing files, cut back to what whole pieces added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        records = list(_records(folder))
        self.done = len(records)
        last = records[-1] if records else None
        self._index = _resumed(folder / "payloads.idx", _PAYLOAD, last.payloads if last else 0)
        self._pin_index = _resumed(folder / "pins.idx", _PIN, last.pins if last else 0)
        self._end = int(self._index["end"][-1]) if len(self._index) else 0
        _cut(folder / "payloads.bin", self._end)
        self.payloads, self.pins = Places(self._index["hash"].copy()), Places(self._pin_index["pin"].copy())
        del self._index, self._pin_index

    def add(self, columns: pl.DataFrame, pin_ids: pl.Series) -> Ints:
        """The place of each row's payload; what is new is packed and appended."""
        hashes = columns.select(sorted(columns.columns)).hash_rows(seed=_SEED).to_numpy()
        given = self.payloads.give(hashes)
        packed = pack_pins(columns[given.firsts]) if len(given.firsts) else []
        entries = np.zeros(len(packed), _PAYLOAD)
        entries["hash"] = hashes[given.firsts]
        entries["end"] = self._end + np.cumsum([len(payload) for payload in packed])
        self._end += sum(map(len, packed))
        _append(self.folder / "payloads.bin", b"".join(packed))
        _append(self.folder / "payloads.idx", entries.tobytes())
        keys = pin_ids.hash(seed=_SEED).to_numpy()
        firsts = self.pins.give(keys).firsts
        pins = np.zeros(len(firsts), _PIN)
        pins["pin"], pins["payload"] = keys[firsts], given.places[firsts]
        _append(self.folder / "pins.idx", pins.tobytes())
        return given.places


def _gather_piece(
    store: _Store, number: int, frame: pl.DataFrame, encoder: QueryEncoder, settings: StudentSettings
) -> None:
    columns = pin_columns(frame)
    targets = targets_of(frame, settings.gold_share, settings.human_weight)
    places, groups = store.add(columns, frame["pin_id"]), query_groups(frame, encoder)
    group_of, rates, has_rates = _by_row(groups, frame.height)
    human = (frame["label_source"] == HUMAN).to_numpy()
    levels = frame["level"].fill_null(0).to_numpy() if "level" in frame.columns else np.zeros(frame.height)
    aside = _part(store.folder, number, "tmp.npz")
    np.savez(
        aside,
        payload=places,
        group=group_of,
        rates=rates,
        has_rates=has_rates,
        targets=targets.probabilities,
        weights=targets.weights,
        human=human,
        levels=np.where(human, levels, 0).astype(np.int64),
    )
    aside.replace(_part(store.folder, number, "npz"))
    write_parquet(_part(store.folder, number, "parquet"), _groups_frame([group.query for group in groups]))
    record = PartRecord(
        rows=frame.height,
        human=int(human.sum()),
        groups=len(groups),
        payloads=len(store.payloads),
        pins=len(store.pins),
        interests=sorted({interest for group in groups for interest in group.query.interests}),
        dimensions=sorted({len(group.query.embedding) for group in groups if group.query.embedding is not None}),
        digest=stages.fingerprint(frame),
    )
    parts.write_text(_part(store.folder, number, "json"), json.dumps(record._asdict()) + "\n")


def _by_row(groups: list[QueryGroup], rows: int) -> tuple[NDArray[np.int64], Floats, Bools]:
    """Each row's group, its rates and whether it has them."""
    group_of = np.zeros(rows, np.int64)
    rates, has = np.zeros((rows, groups[0].rates.shape[1]), np.float32), np.zeros(rows, np.bool_)
    for number, group in enumerate(groups):
        group_of[group.rows], rates[group.rows], has[group.rows] = number, group.rates, group.has_rates
    return group_of, rates, has


def _groups_frame(queries: list[QueryInputs]) -> pl.DataFrame:
    """What was known of the queries, packed; a vector that was encoded here with it."""
    payloads = [
        pack_query(QueryValues(q.embedding, q.interests, q.shopping_intent, q.lang, q.frequency))  # type: ignore[arg-type]
        for q in queries
    ]
    return pl.DataFrame(
        {"query": [q.query for q in queries], "known": [q.known for q in queries], "payload": payloads},
        schema={"query": pl.String, "known": pl.Boolean, "payload": pl.Binary},
    )


def _records(folder: Path) -> Iterator[PartRecord]:
    number = 0
    while (path := _part(folder, number, "json")).is_file():
        yield PartRecord(**json.loads(path.read_text()))
        number += 1


def _part(folder: Path, number: int, ending: str) -> Path:
    return folder / f"part-{number:05d}.{ending}"


def _resumed(path: Path, dtype: np.dtype[np.void], entries: int) -> NDArray[np.void]:
    _cut(path, entries * dtype.itemsize)
    return np.fromfile(path, dtype)


def _cut(path: Path, size: int) -> None:
    """To what whole pieces wrote; the file is made where they wrote nothing. Raises BadInput where it is shorter."""
    refuse_short(path, size)
    with path.open("ab") as file:
        file.truncate(size)


def _append(path: Path, raw: bytes) -> None:
    with path.open("ab") as file:
        file.write(raw)


def _mapped(path: Path) -> mmap.mmap | bytes:
    if not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
