"""The network's inputs of every training row, on disk in rows of one width: what a pass of training reads.

Reads what gathered.py wrote; writes, in the order of the pieces,

rows.bin      a row: its query, its pin, which vectors its sparse form keeps, level, weight, target
numbers.bin   a row: PAIR_FEATURES, raw           sparse.bin   the same with inputs left out (training rows only)
queries.bin   a query, as it was known: vector (float16, as payloads hold it), numbers, interests
held.bin      a distinct pin payload: its text, visual and graph vectors (bytes and scales, as payloads hold them)
packed.json   parts done; a killed run goes on after them

Here a soft label gets its second opinion (peer_labels.py) and its shape (losses.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from enrich import parts
from enrich.pin_payload import VECTORS, HeldVectors, Wanted
from enrich.progress import progress
from enrich.tables import LEVELS
from relevance.features import (
    INTERESTS_A_QUERY,
    PAIR_FEATURES,
    QUERY_FEATURES,
    Bools,
    Features,
    Floats,
    Ints,
    Statistics,
)
from relevance.learning.gathered import Gathered, Part, PartRecord
from relevance.learning.mapped import Mapped, refuse_short, write_at
from relevance.learning.peer_labels import with_second_opinion
from relevance.learning.pieces import ROWS_A_PIECE
from relevance.losses import shaped
from relevance.pin_rows import INPUTS
from relevance.student import Student, StudentSettings

_NUMBER = np.dtype("<f4")
_ROW = np.dtype([
    ("query", "<i4"), ("pin", "<i4"), ("kept", "u1", len(VECTORS)), ("level", "u1"), ("weight", "<f4"),
    ("target", "<f4", len(LEVELS)),
])  # fmt: skip
_ROUNDING = 1e-6  # by which a number that is the same may differ
_VECTOR_INPUTS = [INPUTS.index(vector) for vector in VECTORS]


class Chosen(NamedTuple):
    """Some rows, as the network takes them."""

    features: Features
    targets: Floats  # [n, 5]
    weights: Floats  # [n]
    levels: Ints  # [n] gold, 0 where a teacher labelled


class Moments(NamedTuple):
    """Over rows: of numbers that are normalised."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class Packed:
    """A finished folder."""

    def __init__(self, folder: Path, statistics: Statistics, training: bool) -> None:
        self._widths = statistics.dimensions[1:]
        self._rows = Mapped(folder / "rows.bin", _ROW)
        self._numbers = Mapped(folder / "numbers.bin", _NUMBER, len(PAIR_FEATURES))
        self._sparse = Mapped(folder / "sparse.bin", _NUMBER, len(PAIR_FEATURES)) if training else self._numbers
        self._queries = Mapped(folder / "queries.bin", _query_dtype(statistics))
        self._vectors = Mapped(folder / "held.bin", _vectors_dtype(sum(self._widths)))

    def __len__(self) -> int:
        return len(self._rows.rows)

    def choose(self, rows: Ints, sparse: Bools | None = None, paired: bool = False) -> Chosen:
        """Rows in the order asked, those that `sparse` marks with inputs left out.

        `paired`: query i is row i's; otherwise each query stands once.
        """
        found = self._rows.rows[rows]
        numbers = self._numbers.rows[rows]
        vectors = self._vectors_of(found["pin"])
        if sparse is not None:
            numbers[sparse] = self._sparse.rows[rows[sparse]]
            for vector, kept in zip(vectors, found["kept"].T, strict=True):
                vector[sparse & (kept == 0)] = 0
        asked, query_of = found["query"], np.arange(len(rows))
        if not paired:
            asked, query_of = np.unique(asked, return_inverse=True)
        queries = self._queries.rows[asked]
        features = Features(
            query_vector=torch.from_numpy(np.ascontiguousarray(queries["vector"])).float().numpy(),
            query_numbers=np.ascontiguousarray(queries["numbers"]),
            interests=queries["interests"].astype(np.int64),
            query_of=query_of.astype(np.int64),
            text=vectors[0],
            visual=vectors[1],
            graph=vectors[2],
            numbers=numbers,
        )
        levels = found["level"].astype(np.int64)
        return Chosen(features, np.ascontiguousarray(found["target"]), np.ascontiguousarray(found["weight"]), levels)

    def in_order(self, at_once: int = ROWS_A_PIECE) -> Iterator[Chosen]:
        """All rows, whole, some at a time."""
        for first in range(0, len(self), at_once):
            yield self.choose(np.arange(first, min(len(self), first + at_once)))
            self.forget()

    def ahead(self, first: int, last: int) -> None:
        """Begin to read these rows' numbers; their vectors come when they are asked for."""
        for mapped in (self._rows, self._numbers, self._sparse):
            mapped.ahead(first, last)

    def forget(self) -> None:
        """Give back what was read."""
        for mapped in (self._rows, self._numbers, self._sparse, self._queries, self._vectors):
            mapped.forget()

    def prior(self) -> Floats:
        """The weighted mean target."""
        total, weight = np.zeros(len(LEVELS)), 0.0
        for some in self._blocks(self._rows):
            total += (some["target"].astype(np.float64) * some["weight"][:, None]).sum(axis=0)
            weight += float(some["weight"].sum(dtype=np.float64))
        return (total / weight).astype(np.float32)

    def number_moments(self) -> Moments:
        """Of PAIR_FEATURES, over the rows, whole."""
        return _moments(self._blocks(self._numbers))

    def query_moments(self) -> Moments:
        """Of QUERY_FEATURES, over the rows: a query counts as often as it has pairs."""
        return _moments(self._queries.rows["numbers"][some["query"]] for some in self._blocks(self._rows))

    def constant_numbers(self) -> Bools:
        """Which of PAIR_FEATURES are the same in all rows, whole and with inputs left out; [len(PAIR_FEATURES)]."""
        return _constant(self._blocks(self._numbers, self._sparse))

    def constant_query_numbers(self) -> Bools:
        """Which of QUERY_FEATURES are the same in all rows; [len(QUERY_FEATURES)]."""
        return _constant(self._queries.rows["numbers"][some["query"]] for some in self._blocks(self._rows))

    def _blocks(self, *files: Mapped) -> Iterator[NDArray[Any]]:
        """Of each file, some rows at a time, which are given back when the next are asked for."""
        for first in range(0, len(self), ROWS_A_PIECE):
            for mapped in files:
                yield mapped.rows[first : first + ROWS_A_PIECE]
                self.forget()

    def _vectors_of(self, pins: Ints) -> list[Floats]:
        held = np.take(self._vectors.rows, pins)
        return HeldVectors(held["values"], held["scales"]).wide(self._widths)


def pack(
    gathered: Gathered,
    statistics: Statistics,
    settings: StudentSettings,
    folder: Path,
    label: str,
    training: bool = True,
    peer: Student | None = None,
) -> Packed:
    """Pack what is not yet. `training` rows have a sparse form too; `peer` has a say in their soft labels.

    Raises BadInput where a file lacks rows that were packed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "packed.json"
    done = int(json.loads(state.read_text())) if state.is_file() else 0
    _refuse_short(folder, gathered.parts[:done], statistics, training)
    first_row, first_query = 0, 0
    with progress(len(gathered.parts) - done, label, unit="piece") as bar:
        for number, record in enumerate(gathered.parts):
            if number >= done:
                at = _At(number, first_row, first_query)
                _pack_part(gathered, gathered.part(number), statistics, settings, folder, at, training, peer)
                parts.write_text(state, f"{number + 1}\n")
                bar.update(1)
            first_row, first_query = first_row + record.rows, first_query + record.groups
    _write_vectors(gathered, statistics.dimensions[1:], folder / "held.bin")
    return Packed(folder, statistics, training)


def _refuse_short(folder: Path, done: Sequence[PartRecord], statistics: Statistics, training: bool) -> None:
    rows, numbers = sum(part.rows for part in done), len(PAIR_FEATURES) * _NUMBER.itemsize
    refuse_short(folder / "rows.bin", rows * _ROW.itemsize)
    refuse_short(folder / "numbers.bin", rows * numbers)
    refuse_short(folder / "sparse.bin", rows * numbers if training else 0)
    refuse_short(folder / "queries.bin", sum(part.groups for part in done) * _query_dtype(statistics).itemsize)


class _At(NamedTuple):
    """Where a part's rows and queries go."""

    part: int
    row: int
    query: int


def _pack_part(
    gathered: Gathered,
    part: Part,
    statistics: Statistics,
    settings: StudentSettings,
    folder: Path,
    at: _At,
    training: bool,
    peer: Student | None,
) -> None:
    inputs = gathered.inputs(part, Wanted(dimensions=tuple(statistics.dimensions[1:])))
    whole = inputs.features(statistics)
    rows = np.zeros(len(whole), _ROW)
    rows["query"], rows["pin"], rows["kept"] = at.query + part.group_of, part.payloads, 1
    rows["level"], rows["weight"], rows["target"] = part.levels, part.targets.weights, part.targets.probabilities
    if training:
        rows["target"] = _targets(gathered, part, settings, peer)
        dropped = dropped_inputs(len(rows), settings.input_dropout, settings.seed, at.part)
        rows["kept"] = ~dropped[:, _VECTOR_INPUTS]
        write_at(folder / "sparse.bin", at.row, inputs.features(statistics, dropped).numbers)
    write_at(folder / "numbers.bin", at.row, whole.numbers)
    write_at(folder / "queries.bin", at.query, _queries(part, whole, statistics))
    write_at(folder / "rows.bin", at.row, rows)


def _targets(gathered: Gathered, part: Part, settings: StudentSettings, peer: Student | None) -> Floats:
    """What the rows are to be given: a soft label with its second opinion and its shape."""
    targets, soft = part.targets.probabilities.copy(), ~part.human
    if not soft.any():
        return targets
    if peer is not None:
        inputs = gathered.inputs(part, Wanted(dimensions=tuple(peer.statistics.dimensions[1:])))
        targets[soft] = with_second_opinion(targets, inputs, peer, settings.peer_share)[soft]
    targets[soft] = shaped(targets[soft], settings.target_temperature, settings.hard_share)
    return targets


def dropped_inputs(rows: int, chance: float, seed: int, part: int) -> Bools:
    """Which inputs each row of a part is to learn without; [rows, len(INPUTS)]."""
    return np.random.default_rng([seed, part]).random((rows, len(INPUTS))) < chance


def _queries(part: Part, whole: Features, statistics: Statistics) -> NDArray[np.void]:
    """A part's groups; in `features` each group's query stands at its own place."""
    queries = np.zeros(len(part.groups), _query_dtype(statistics))
    queries["vector"], queries["numbers"] = whole.query_vector, whole.query_numbers
    queries["interests"] = whole.interests
    return queries


def _query_dtype(statistics: Statistics) -> np.dtype[np.void]:
    return np.dtype([
        ("vector", "<f2", (statistics.dimensions.query,)), ("numbers", "<f4", (len(QUERY_FEATURES),)),
        ("interests", "<i4", (INTERESTS_A_QUERY,)),
    ])  # fmt: skip


def _vectors_dtype(width: int) -> np.dtype[np.void]:
    return np.dtype([("scales", "<f4", (len(VECTORS),)), ("values", "i1", (width,))])


def _write_vectors(gathered: Gathered, dimensions: Sequence[int], path: Path) -> None:
    """The vectors of every distinct payload; those that are there already stay."""
    dtype = _vectors_dtype(sum(dimensions))
    there = path.stat().st_size // dtype.itemsize if path.is_file() else 0
    for first in range(there - there % ROWS_A_PIECE, gathered.distinct, ROWS_A_PIECE):
        places = np.arange(first, min(gathered.distinct, first + ROWS_A_PIECE))
        held, rows = HeldVectors.of(gathered.payloads(places), dimensions), np.zeros(len(places), dtype)
        rows["values"], rows["scales"] = held
        write_at(path, first, rows)
    if not path.is_file():
        path.touch()


def _constant(blocks: Iterator[NDArray[Any]]) -> Bools:
    """Which columns are the same in all rows, but for rounding."""
    ends = np.array([(block.min(axis=0), block.max(axis=0)) for block in blocks])
    least, most = ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)
    same: Bools = most - least <= _ROUNDING * np.maximum(1, np.abs(most))
    return same


def _moments(blocks: Iterator[NDArray[Any]]) -> Moments:
    """Mean and population deviation, block by block (Chan, Golub & LeVeque 1979)."""
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for block in blocks:
        wide = block.astype(np.float64)
        of_block = wide.mean(axis=0)
        apart, total = of_block - mean, count + len(wide)
        squares = squares + ((wide - of_block) ** 2).sum(axis=0) + apart**2 * (count * len(wide) / total)
        mean, count = mean + apart * (len(wide) / total), total
    return Moments(mean, np.sqrt(squares / count))
