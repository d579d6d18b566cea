"""A student's lessons by way of the disk: as in memory to the last bit, well shuffled, and the same after any kill."""

from __future__ import annotations

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from enrich.errors import BadInput
from enrich.pin_packing import pack_pins
from relevance.features import Statistics, StatisticsCounter
from relevance.learning.batches import BLOCK, Batches, drawn
from relevance.learning.fit import fit
from relevance.learning.gathered import gather
from relevance.learning.inputs import pin_columns, student_inputs
from relevance.learning.network import Inputs, NetworkSettings, Size, StudentNetwork
from relevance.learning.packed import dropped_inputs, pack
from relevance.learning.pieces import Pieces
from relevance.learning.places import Places
from relevance.learning.resuming import Checkpoint
from relevance.learning.training import LESSONS, train_student
from relevance.losses import soft_cross_entropy
from relevance.pin_rows import INPUTS, take
from relevance.student import StudentSettings
from tests.relevance.students import WordEncoder, labelled_frame

SETTINGS = StudentSettings(network=NetworkSettings(Size.S), epochs=4, batch_size=32)
BRIEF = replace(SETTINGS, epochs=1)
IN_TRAINING = replace(SETTINGS.network, low_rank=False)  # which a student has once it is trained
SOURCES = ("human", "teacher")
FRAME = pl.concat([labelled_frame(6, 10, seed, source) for seed, source in enumerate(SOURCES)])
ENCODER = WordEncoder()
PASSES = ("prior", "number_moments", "query_moments", "constant_numbers", "constant_query_numbers")


class _Killed(Exception):
    """What stands for a kill: nothing that runs here catches it."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def packed_of(frame: pl.DataFrame, folder: Path, rows: int = 50, settings: StudentSettings = SETTINGS):
    gathered = gather(Pieces.of(frame, rows), ENCODER, settings, folder / "gathered", "rows")
    return gathered, pack(gathered, gathered.statistics, settings, folder / "packed", "features")


def killed_at(frame: pl.DataFrame, rows: int, piece: int) -> Pieces:
    whole = Pieces.of(frame, rows)

    def give(number: int) -> pl.DataFrame:
        if number == piece:
            raise _Killed
        return whole.frame(number)

    return Pieces(whole.count, give)


def test_keys_get_places_as_they_first_appear():
    places = Places()
    keys = np.array([9, 4, 9, 7], np.uint64)
    first = places.give(keys)
    assert (first.places.tolist(), first.firsts.tolist()) == ([0, 1, 0, 2], [0, 1, 3])
    again = places.give(np.array([7, 5, 4], np.uint64))
    assert (again.places.tolist(), again.firsts.tolist()) == ([2, 3, 1], [1])
    assert Places(np.array([9, 4, 7, 5], np.uint64)).give(np.array([5, 9], np.uint64)).places.tolist() == [3, 0]


def test_statistics_of_pieces_are_those_of_the_whole():
    pins = student_inputs(FRAME, ENCODER).pins
    counter = StatisticsCounter()
    for start in range(0, len(pins), 7):
        counter.add(take(pins, np.arange(start, min(len(pins), start + 7))))
    found, whole = counter.statistics(("home",), 8), Statistics.of(pins, ("home",), 8)
    assert (found.pins, found.dimensions) == (whole.pins, whole.dimensions)
    assert np.array_equal(found.terms, whole.terms) and np.array_equal(found.frequencies, whole.frequencies)
    assert found.average_lengths == pytest.approx(whole.average_lengths)


def test_packed_rows_are_the_features_that_serving_computes(tmp_path):
    gathered, packed = packed_of(FRAME, tmp_path)
    inputs = student_inputs(FRAME, ENCODER)
    whole, chosen = inputs.features(gathered.statistics), packed.choose(np.arange(len(packed)))
    for name in ("text", "visual", "graph"):
        assert np.array_equal(getattr(chosen.features, name), getattr(whole, name)), name
    assert np.allclose(chosen.features.numbers, whole.numbers, atol=1e-6)  # a cosine's last bit is its neighbours' too
    for name in ("query_vector", "query_numbers", "interests"):
        theirs = getattr(whole, name)[whole.query_of]
        assert np.array_equal(getattr(chosen.features, name)[chosen.features.query_of], theirs), name
    assert chosen.levels.tolist() == FRAME["level"].fill_null(0).to_list()
    mixed = packed.choose(np.array([70, 3, 3, 101]))
    assert np.allclose(mixed.features.numbers, whole.numbers[[70, 3, 3, 101]], atol=1e-6)


def test_a_sparse_row_is_one_whose_enrichments_were_never_made(tmp_path):
    gathered, packed = packed_of(FRAME, tmp_path, settings=replace(SETTINGS, input_dropout=0.5))
    dropped = np.concatenate([dropped_inputs(n, 0.5, 0, part) for part, n in enumerate((50, 50, 20))])
    bare = student_inputs(FRAME, ENCODER).features(gathered.statistics, dropped)
    some = np.arange(len(packed)) % 3 == 0
    chosen = packed.choose(np.arange(len(packed)), some)
    assert np.allclose(chosen.features.numbers[some], bare.numbers[some], atol=1e-6)
    assert np.array_equal(chosen.features.text[some], bare.text[some])
    assert not chosen.features.text[some & dropped[:, INPUTS.index("text_embedding")]].any()
    whole = packed.choose(np.arange(len(packed)))
    assert np.array_equal(chosen.features.numbers[~some], whole.features.numbers[~some])


def test_rows_with_a_query_each_have_the_logits_of_rows_that_share_them(tmp_path):
    gathered, packed = packed_of(FRAME, tmp_path)
    network = StudentNetwork(IN_TRAINING, gathered.statistics.dimensions, 1).eval()
    rows = np.array([70, 3, 3, 101, 4])
    shared, own = (packed.choose(rows, paired=paired).features for paired in (False, True))
    assert len(shared.query_vector) < len(own.query_vector) == len(rows)
    with torch.inference_mode():
        expected, logits = network(Inputs.of(shared)), network(Inputs.of(own)._replace(query_of=None))
        assert torch.allclose(logits, expected, atol=1e-5)
        halved = network(Inputs.of(shared), torch.bfloat16)
    assert torch.allclose(halved, expected, atol=0.02) and not torch.equal(halved, expected)


def test_a_pin_is_stored_once_however_often_it_is_judged(tmp_path):
    twice = pl.concat([FRAME, FRAME.with_columns(query=pl.lit("red lamp"))])
    gathered, _ = packed_of(twice, tmp_path)
    distinct = set(pack_pins(pin_columns(FRAME)))
    assert gathered.rows == 2 * FRAME.height and gathered.distinct == len(distinct)
    assert gathered.statistics.pins == FRAME["pin_id"].n_unique()


def test_means_and_deviations_over_pieces_by_hand(tmp_path):
    _, packed = packed_of(FRAME, tmp_path)
    chosen = packed.choose(np.arange(len(packed)))
    numbers, queries = chosen.features.numbers, chosen.features.query_numbers[chosen.features.query_of]
    for found, values in ((packed.number_moments(), numbers), (packed.query_moments(), queries)):
        assert found.mean == pytest.approx(values.mean(axis=0, dtype=np.float64), abs=1e-6)
        assert found.deviation == pytest.approx(values.std(axis=0, dtype=np.float64), abs=1e-6)
    assert packed.prior() == pytest.approx(np.average(chosen.targets, axis=0, weights=chosen.weights), abs=1e-6)


def test_soft_labels_are_shaped_and_human_ones_are_not(tmp_path):
    settings = replace(SETTINGS, target_temperature=2.0, hard_share=0.25)
    _, plain = packed_of(FRAME, tmp_path / "plain")
    _, shaped = packed_of(FRAME, tmp_path / "shaped", settings=settings)
    before, after = (one.choose(np.arange(len(one))).targets for one in (plain, shaped))
    assert np.array_equal(before[:60], after[:60])
    roots = np.sqrt(np.array([0.9, 0.025]))
    expected = 0.75 * roots / (roots[0] + 4 * roots[1]) + np.array([0.25, 0.0])
    assert np.sort(after[60:], axis=1)[:, [4, 0]] == pytest.approx(np.tile(expected, (60, 1)), abs=1e-5)


def test_a_margin_costs_by_the_distance_from_the_targets_level():
    """Even logits, target level 5: level j is raised by 5 - j."""
    loss = soft_cross_entropy(torch.zeros(1, 5), torch.eye(5)[4:], torch.ones(1), margin=1.0)
    assert loss.item() == pytest.approx(np.log(np.exp([4, 3, 2, 1, 0]).sum()))


@pytest.mark.parametrize("rows", [1, 127, 128, 1_000, 40 * BLOCK + 3])
def test_every_row_is_learned_from_once_an_epoch(rows):
    windows = -(-rows // (8 * BLOCK))
    found = np.concatenate([drawn(rows, 0, 1, number, 8).rows for number in range(windows)])
    assert sorted(found.tolist()) == list(range(rows))
    again = np.concatenate([drawn(rows, 0, 1, number, 8).rows for number in range(windows)])
    assert np.array_equal(found, again)
    other = np.concatenate([drawn(rows, 0, 2, number, 8).rows for number in range(windows)])
    assert rows == 1 or not np.array_equal(found, other)


def test_a_window_holds_rows_from_everywhere_and_few_neighbours():
    rows = 100 * 64 * BLOCK
    window = drawn(rows, 0, 0, 0, 64).rows
    assert window.min() < rows / 8 and window.max() > rows * 7 / 8
    assert (np.abs(np.diff(window)) == 1).mean() < 0.01


def test_a_kill_while_gathering_leaves_the_same_bytes(tmp_path):
    whole, _ = packed_of(FRAME, tmp_path / "whole", 25)
    folder = tmp_path / "killed" / "gathered"
    for piece in (1, 3):
        with pytest.raises(_Killed):
            gather(killed_at(FRAME, 25, piece), ENCODER, SETTINGS, folder, "rows")
    with (folder / "payloads.bin").open("ab") as file:
        file.write(b"half a payload")
    (folder / "part-00004.npz").write_bytes(b"half a part")
    gathered = gather(Pieces.of(FRAME, 25), ENCODER, SETTINGS, folder, "rows")
    assert gathered.fingerprint == whole.fingerprint
    for name in ("payloads.bin", "payloads.idx", "pins.idx"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / "gathered" / name).read_bytes()
    packed = pack(gathered, gathered.statistics, SETTINGS, folder.parent / "packed", "features")
    assert len(packed) == FRAME.height
    for file in sorted((tmp_path / "whole" / "packed").iterdir()):
        assert (folder.parent / "packed" / file.name).read_bytes() == file.read_bytes(), file.name


class _Failing:
    """Batches that end in a kill after so many."""

    def __init__(self, batches: Batches, left: int) -> None:
        self._batches, self._left = batches, left

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def looks(self) -> int:
        return self._batches.looks

    def of(self, epoch: int, look: int):
        for batch in self._batches.of(epoch, look):
            if not self._left:
                raise _Killed
            self._left -= 1
            yield batch


@pytest.mark.parametrize("window", [1024, 1])
def test_a_killed_training_ends_with_the_same_weights(window, tmp_path):
    frame = pl.concat([FRAME, labelled_frame(8, 20, 5, "teacher")])
    gathered, packed = packed_of(frame, tmp_path)
    batches = Batches(packed, replace(SETTINGS, look_rows=BLOCK), window)
    assert batches.looks == (1 if window > 1 else 3)

    def trained(feed, checkpoint: Checkpoint):
        torch.manual_seed(0)
        network = StudentNetwork(IN_TRAINING, gathered.statistics.dimensions, 1)
        dev = packed.choose(np.arange(0, len(packed), 5))

        def dev_loss(net: StudentNetwork) -> float:
            with torch.inference_mode():
                logits = net(Inputs.of(dev.features))
                return soft_cross_entropy(logits, torch.from_numpy(dev.targets), torch.from_numpy(dev.weights)).item()

        return fit(network, feed, dev_loss, SETTINGS, checkpoint)

    whole = trained(batches, Checkpoint(tmp_path / "whole", "f"))
    for batches_learned in (3, 11, 14):
        with pytest.raises(_Killed):
            trained(_Failing(batches, batches_learned), Checkpoint(tmp_path / "killed", "f"))
    resumed = trained(batches, Checkpoint(tmp_path / "killed", "f"))
    assert (resumed.epoch, resumed.loss) == (whole.epoch, whole.loss)
    assert all(torch.equal(resumed.weights[name], value) for name, value in whole.weights.items())
    torch.manual_seed(1)
    assert Checkpoint(tmp_path / "killed", "other rows").restore(
        StudentNetwork(IN_TRAINING, gathered.statistics.dimensions, 1),
        torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]),
    ).look == 0  # fmt: skip


def test_a_student_killed_in_its_lessons_is_the_same_student(tmp_path):
    dev = labelled_frame(3, 10, 9)
    whole = train_student(Pieces.of(FRAME, 40), dev, SETTINGS, tmp_path / "whole", ENCODER)
    with pytest.raises(_Killed):
        train_student(killed_at(FRAME, 40, 2), dev, SETTINGS, tmp_path / "killed", ENCODER)
    assert (tmp_path / "killed" / LESSONS).is_dir()
    again = train_student(Pieces.of(FRAME, 40), dev, SETTINGS, tmp_path / "killed", ENCODER)
    assert again.record == whole.record
    assert sorted(file.name for file in (tmp_path / "killed").iterdir()) == [
        "README.md",
        "model.safetensors",
        "student.json",
    ]


@pytest.mark.parametrize("lost", ["gathered/payloads.*", "packed/rows.bin", "packed/sparse.bin"])
def test_a_student_killed_while_its_lessons_were_removed_is_the_same_student(lost, tmp_path, monkeypatch):
    dev = labelled_frame(3, 10, 9)
    whole = train_student(Pieces.of(FRAME, 40), dev, BRIEF, tmp_path / "whole", ENCODER)

    def half(folder: Path, **_: object) -> None:
        for file in folder.glob(lost):
            file.unlink()
        raise _Killed

    with monkeypatch.context() as patched, pytest.raises(_Killed):
        patched.setattr(shutil, "rmtree", half)
        train_student(Pieces.of(FRAME, 40), dev, BRIEF, tmp_path / "killed", ENCODER)
    again = train_student(Pieces.of(FRAME, 40), dev, BRIEF, tmp_path / "killed", ENCODER)
    assert again.record == whole.record
    left, expected = ({file.name for file in (tmp_path / name).iterdir()} for name in ("killed", "whole"))
    assert left == expected


@pytest.mark.parametrize("cut", ["gathered/payloads.bin", "gathered/pins.idx", "packed/rows.bin", "packed/sparse.bin"])
def test_lessons_that_lack_what_was_written_to_them_are_refused(cut, tmp_path):
    packed_of(FRAME, tmp_path)
    with (tmp_path / cut).open("ab") as file:
        file.truncate(file.tell() // 2)
    with pytest.raises(BadInput, match=rf"bytes or more in .*{cut}, found .*; remove .* and run"):
        packed_of(FRAME, tmp_path)
    (tmp_path / cut).unlink()
    with pytest.raises(BadInput, match="found 0; remove"):
        packed_of(FRAME, tmp_path)


def resident(folder: Path) -> int:
    """Bytes of the folder's files that this process has mapped and in memory."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, value = line.partition(" ")
        if not name.endswith(":"):
            ours = str(folder) in line
        elif ours and name == "Rss:":
            found += 1024 * int(value.split()[0])
    return found


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="the system does not say what is in memory")
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_over_the_rows_gives_back_what_it_read(name, tmp_path):
    _, packed = packed_of(FRAME, tmp_path)
    assert len(packed.choose(np.arange(3)).levels) and resident(tmp_path / "packed")
    packed.forget()
    getattr(packed, name)()
    assert not resident(tmp_path / "packed")


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Python's and numpy's own, four times the pieces: all that could grow is 16 bytes a distinct pin."""

    def peak(pieces: int) -> int:
        frames = Pieces(pieces, lambda number: labelled_frame(10, 20, number % 3, "teacher"))
        tracemalloc.start()
        gathered = gather(frames, ENCODER, SETTINGS, tmp_path / f"g{pieces}", "rows")
        pack(gathered, gathered.statistics, SETTINGS, tmp_path / f"p{pieces}", "features")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is kept from the first time on
    few, many = peak(4), peak(16)
    assert many < 1.15 * few
