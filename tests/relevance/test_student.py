"""The student learns, is the same again, reads back as written, and sees at serving what it saw in training."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from enrich.errors import BadInput
from enrich.pin_packing import pack_pins
from enrich.pin_payload import unpack_pins
from enrich.query_payload import unpack_query
from relevance import metrics
from relevance.calibration import Calibration
from relevance.commands.student_flags import StudentFlags
from relevance.features import PAIR_FEATURES, QUERY_FEATURES
from relevance.learning.inputs import pin_columns, rounded, student_inputs
from relevance.learning.network import Inputs, NetworkSettings, Side, Size
from relevance.learning.query_slips import slipped_rows
from relevance.learning.training import train_student
from relevance.student import Student, StudentSettings
from tests.relevance.students import WordEncoder, labelled_frame

SETTINGS = StudentSettings(network=NetworkSettings(Size.S), epochs=25, batch_size=64)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "student"
    rows = pl.concat([labelled_frame(20, 20, 1), labelled_frame(20, 20, 2, source="teacher")])
    train_student(rows, labelled_frame(6, 20, 3), SETTINGS, folder, WordEncoder())
    return folder


def _predict(student: Student, frame: pl.DataFrame) -> np.ndarray:
    return student.predict(student_inputs(frame, WordEncoder()).features(student.statistics))


def test_it_learns_what_the_words_and_vectors_say(trained):
    frame = labelled_frame(10, 20, 4)
    probabilities = _predict(Student.load(trained), frame)
    assert probabilities.shape == (200, 5) and probabilities.dtype == np.float32
    assert metrics.accuracy(frame["level"], probabilities) > 0.85


def test_the_record_says_how_it_was_made(trained):
    record = Student.load(trained).record
    assert (record.human_rows, record.teacher_rows, record.encoder) == (400, 400, "words@test")
    assert record.settings == SETTINGS and record.interests == ("home",)
    assert sum(record.prior) == pytest.approx(1, abs=1e-4)
    assert record.dev_loss is not None and 0 < record.epochs <= 25
    assert record.reliability is not None and record.reliability.rows == 120
    card = (trained / "README.md").read_text()
    assert "400 judged by people" in card and "120 dev pairs of 6 queries" in card


def test_training_again_gives_the_same_student(trained, tmp_path):
    rows = pl.concat([labelled_frame(20, 20, 1), labelled_frame(20, 20, 2, source="teacher")])
    again = train_student(rows, labelled_frame(6, 20, 3), SETTINGS, tmp_path / "again", WordEncoder())
    frame = labelled_frame(3, 10, 5)
    assert np.array_equal(_predict(Student.load(trained), frame), _predict(again, frame))


def test_a_student_taught_with_query_slips_reads_them_better(trained, tmp_path):
    rows = pl.concat([labelled_frame(20, 20, 1), labelled_frame(20, 20, 2, source="teacher")])
    settings = StudentFlags(query_slips=0.5).applied(SETTINGS)
    taught = train_student(rows, labelled_frame(6, 20, 3), settings, tmp_path / "slips", WordEncoder())
    asked = slipped_rows(labelled_frame(20, 20, 4), 0.999, 9)
    right = [metrics.accuracy(asked["level"], _predict(student, asked)) for student in (taught, Student.load(trained))]
    assert right[0] > right[1] + 0.05


def test_serving_features_equal_training_features(trained):
    """One pair, alone, by the payloads that the online store would hold, against its row in a whole frame."""
    student, frame = Student.load(trained), labelled_frame(3, 10, 6)
    frame = frame.with_columns(pl.lit(None, frame.schema[c]).alias(c) for c in frame.columns if c.startswith("query_f"))
    together = student_inputs(frame, WordEncoder()).features(student.statistics)
    for place in (0, 7, 29):
        row = frame[place : place + 1]
        query = unpack_query(None, row["query"][0])
        query = replace(query, embedding=rounded(WordEncoder().encode([query.query])[0]))
        pins = unpack_pins(pack_pins(pin_columns(row)))
        alone = student.features(query, pins, *query.rates_of(row["pin_id"].to_list()))
        assert np.allclose(alone.numbers[0], together.numbers[place], atol=1e-6)
        assert np.array_equal(alone.text[0], together.text[place])
        assert np.array_equal(alone.query_vector[0], together.query_vector[together.query_of[place]])


def test_what_was_known_of_a_query_changes_with_time():
    frame = labelled_frame(1, 4, 7).with_columns(
        pl.Series("query_features__frequency", [1, 1, 9, 9]), pin_id=pl.Series(["a", "b", "a", "a"])
    )
    groups = student_inputs(frame, WordEncoder()).groups
    assert [(g.query.frequency, g.rows.tolist()) for g in groups] == [(1, [0, 1]), (9, [2]), (9, [3])]


def test_rows_come_back_in_the_frames_order():
    frame = labelled_frame(4, 6, 8)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=0)
    statistics = train_statistics(frame)
    plain = student_inputs(frame, WordEncoder()).features(statistics)
    mixed = student_inputs(shuffled, WordEncoder()).features(statistics)
    places = {pin: i for i, pin in enumerate(frame["pin_id"])}
    order = [places[pin] for pin in shuffled["pin_id"]]
    assert np.allclose(mixed.numbers, plain.numbers[order], atol=1e-6)
    assert np.array_equal(mixed.query_vector[mixed.query_of], plain.query_vector[plain.query_of][order])


def train_statistics(frame: pl.DataFrame):
    from relevance.features import Statistics

    return Statistics.of(student_inputs(frame, WordEncoder()).pins, ("home",), WordEncoder.dimension)


def test_the_split_first_layer_equals_the_whole_network(trained):
    """The query's part once, the pins' parts once, and their pairs, against one forward pass."""
    student, frame = Student.load(trained), labelled_frame(1, 12, 9)
    inputs = Inputs.of(student_inputs(frame, WordEncoder()).features(student.statistics))
    with torch.inference_mode():
        query = student.network.query_side(inputs.query_vector, inputs.query_numbers, inputs.interests)
        pins = student.network.pin_side(inputs.text, inputs.visual, inputs.graph)
        assert query.hidden.shape[0] == 1
        split = student.network.pairs(Side(query.projections, query.hidden), pins, inputs.numbers)
        assert torch.allclose(split, student.network(inputs), atol=1e-5)


def test_a_missing_input_degrades_gently(trained):
    student, frame = Student.load(trained), labelled_frame(10, 20, 10)
    whole = metrics.accuracy(frame["level"], _predict(student, frame))
    bare = frame.drop("pin_caption__caption")
    assert whole - metrics.accuracy(frame["level"], _predict(student, bare)) < 0.35


def test_a_number_that_never_varied_in_training_says_nothing_and_one_that_was_left_out_there_does(trained):
    """All texts are English and every query had a vector; text vectors were there, but for the rows taught without."""
    student = Student.load(trained)
    usual = student_inputs(labelled_frame(3, 10, 6), WordEncoder()).features(student.statistics)

    def moved(name: str) -> float:
        numbers, queries = usual.numbers.copy(), usual.query_numbers.copy()
        if name in PAIR_FEATURES:
            numbers[:, PAIR_FEATURES.index(name)] = 1
        else:
            queries[:, QUERY_FEATURES.index(name)] = 1
        other = replace(usual, numbers=numbers, query_numbers=queries)
        return float(np.abs(student.predict(other) - student.predict(usual)).max())

    assert moved("other_language") == moved("missing_embedding") == 0
    assert moved("missing_text_embedding") > 0


def test_without_dev_rows_it_trains_to_the_end_uncalibrated(tmp_path):
    settings = replace(SETTINGS, epochs=2)
    student = train_student(labelled_frame(3, 5, 1), pl.DataFrame(), settings, tmp_path / "s", WordEncoder())
    assert (student.record.epochs, student.record.calibration, student.record.dev_loss) == (2, Calibration(), None)
    assert student.record.reliability is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (StudentFlags(target_temperature=0.0), "--target-temperature"),
        (StudentFlags(hard_share=1.5), "--hard-share"),
        (StudentFlags(ordinal_margin=float("nan")), "--ordinal-margin"),
    ],
)
def test_what_a_flag_cannot_be_is_one_line_that_names_it(flags, words):
    with pytest.raises(BadInput, match=words) as caught:
        flags.applied(SETTINGS)
    assert "\n" not in str(caught.value)


def test_a_training_that_diverges_is_one_line(tmp_path):
    wild = replace(SETTINGS, learning_rate=1e30, epochs=2)
    with pytest.raises(BadInput, match="diverged; lower its learning rate"):
        train_student(labelled_frame(3, 5, 1), labelled_frame(2, 5, 2), wild, tmp_path / "s", WordEncoder())


@pytest.mark.parametrize("size", list(Size))
def test_every_size_trains_and_loads(size, tmp_path):
    settings = replace(StudentFlags(size=size.value, ordinal_margin=0.5).applied(SETTINGS), epochs=1)
    made = train_student(labelled_frame(3, 5, 1), labelled_frame(2, 5, 2), settings, tmp_path / "s", WordEncoder())
    loaded, frame = Student.load(tmp_path / "s"), labelled_frame(2, 5, 3)
    assert loaded.record == made.record and loaded.record.settings.network.size is size
    assert np.array_equal(_predict(loaded, frame), _predict(made, frame))


def test_shopping_intent_has_a_row_for_each_band_and_one_for_the_unknown(trained):
    """Bands begin at an eighth, three, five and seven eighths; nothing known is row 0."""
    network = Student.load(trained).network
    numbers = torch.zeros(6, len(QUERY_FEATURES))
    numbers[:, QUERY_FEATURES.index("shopping_intent")] = torch.tensor([0.0, 0.0, 0.12, 0.125, 0.7, 1.0])
    interests = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]])
    rows = network._shopping(numbers, interests)
    assert torch.equal(rows, network.shopping.weight[torch.tensor([0, 1, 1, 2, 4, 5])])
    assert torch.equal(network._interests(interests)[:2], network.interests.weight[torch.tensor([0, 1])])


def test_dropout_leaves_the_mean_and_nothing_out_when_it_serves(trained):
    network, ones = Student.load(trained).network, torch.ones(1000, 64)
    assert torch.equal(network._dropped(ones), ones)
    torch.manual_seed(0)
    dropped = network.train()._dropped(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 256 / (256 - 77)])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert (dropped == 0).float().mean(dim=0).max().item() < 0.37, "alike in every column"
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_no_rows_and_no_features_are_refused(tmp_path):
    frame = labelled_frame(2, 3, 1)
    with pytest.raises(BadInput, match="labelled rows"):
        train_student(frame.clear(), frame, SETTINGS, tmp_path, WordEncoder())
    bare = frame.select("query", "pin_id", "label_source", "level")
    with pytest.raises(BadInput, match="pin features"):
        train_student(bare, frame, SETTINGS, tmp_path, WordEncoder())


def test_a_missing_or_broken_folder_is_one_line(trained, tmp_path):
    with pytest.raises(BadInput, match="train-student"):
        Student.load(tmp_path)
    for damage in ("weights", "record", "features"):
        broken = tmp_path / damage
        broken.mkdir()
        raw = (trained / "model.safetensors").read_bytes()
        record = json.loads((trained / "student.json").read_text())
        (broken / "model.safetensors").write_bytes(raw[:-50] if damage == "weights" else raw)
        if damage == "record":
            del record["calibration"]
        if damage == "features":
            record["features"] = ["other"]
        (broken / "student.json").write_text(json.dumps(record))
        with pytest.raises(BadInput, match="train it again") as caught:
            Student.load(broken)
        assert "\n" not in str(caught.value)


def test_run_goes_on_with_the_student_as_last_taught(tmp_path: Path) -> None:
    """But for what is given; what no flag says is this version's, and the encoder the workspace's."""
    taught = StudentFlags(size="L", query_slips=0.15)
    settings = replace(taught.applied(StudentSettings()), text_encoder="org/words", epochs=1)
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "student.json").write_text(json.dumps({"settings": asdict(settings)}))
    last = StudentFlags.last_given(tmp_path)
    assert last == taught and last.in_words() == "--size L --query-slips 0.15"
    assert StudentFlags(size="M").over(last) == StudentFlags(size="M", query_slips=0.15)
    assert StudentFlags.last_given(tmp_path / "new") == StudentFlags() and StudentFlags().in_words() == ""
    (tmp_path / "student" / "student.json").write_text("{")
    with pytest.raises(BadInput, match="train-student"):
        StudentFlags.last_given(tmp_path)
