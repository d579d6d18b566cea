"""Making a sample: the same for the same seed, tables as declared, true to its own clocks, its truth hidden."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from data.pictures.scenes import OBJECTS, Scene
from data.sample_maker.chance import stream
from data.sample_maker.pins import END, START, Pin
from data.sample_maker.relevance import Want, cost, relevance
from data.sample_maker.settings import SampleSettings
from data.sample_maker.vocabulary import LANGUAGES, Attributes, words
from data.sample_maker.writer import TRUTH, write_sample
from enrich.errors import BadInput
from enrich.tables import EVENTS, SOURCES

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
SMALL = SampleSettings(seed=5, pins=60)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "small"
    write_sample(SMALL, folder)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- how it is made ---


def test_the_same_seed_gives_the_same_bytes(small, tmp_path):
    write_sample(SMALL, tmp_path / "again")
    first, second = files_of(small), files_of(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_another_seed_gives_another_world(small, tmp_path):
    write_sample(SampleSettings(seed=6, pins=60), tmp_path / "other")
    titles = [set(pl.read_parquet(folder / "pins.parquet")["pin_id"]) for folder in (small, tmp_path / "other")]
    assert not titles[0] & titles[1]


def test_remaking_leaves_nothing_of_the_world_before(tmp_path):
    out = tmp_path / "sample"
    write_sample(SampleSettings(seed=6, pins=30), out)
    write_sample(SampleSettings(seed=7, pins=25), out)
    assert len(list((out / "images").iterdir())) == 25
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_a_folder_of_other_files_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match=r"expected .* to be empty or an earlier sample, found other files"):
        write_sample(SMALL, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_the_script_says_what_is_wrong_and_exits_2(tmp_path):
    script = SAMPLE.parent / "make_sample.py"
    run = subprocess.run(
        [sys.executable, script, "--pins", "5", "--out", tmp_path / "x"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr == ("make_sample: expected --pins of at least 20, found 5; a smaller world has no queries\n")


def test_streams_of_different_subjects_do_not_move_each_other():
    assert stream(1, "titles").random() == stream(1, "titles").random()
    assert stream(1, "titles").random() != stream(1, "boards").random() != stream(2, "boards").random()


# --- the tables ---


@pytest.mark.parametrize("table", SOURCES, ids=lambda table: table.name)
def test_every_source_table_has_exactly_the_declared_columns(small, table):
    written = pq.read_schema(small / f"{table.name}.parquet")
    assert [(field.name, field.type) for field in written] == [(field.name, field.type) for field in table.schema]
    rows = pl.read_parquet(small / f"{table.name}.parquet")
    assert rows.height > 0
    assert rows.select(table.key).n_unique() == rows.height
    assert all(rows[column.name].null_count() == 0 for column in table.columns if column.required)


def test_the_truth_is_in_no_table(small):
    latent = {name for path in (small / TRUTH).glob("*.parquet") for name in pq.read_schema(path).names}
    hidden = latent - {"pin_id", "query", "lang"}
    assert hidden >= {"object", "colour", "material", "styles", "quality", "popularity", "relevance", "true_level"}
    for table in SOURCES:
        columns = set(pq.read_schema(small / f"{table.name}.parquet").names)
        assert not columns & hidden, table.name


def test_pin_ids_and_their_order_tell_nothing_of_the_object(small):
    pins = pl.read_parquet(small / TRUTH / "pins.parquet")
    neighbours = (pins["object"] == pins["object"].shift(1)).mean()
    assert neighbours < 0.15


def test_nothing_happens_to_a_pin_before_it_is_made(small):
    made = pl.read_parquet(small / "pins.parquet").select("pin_id", "created_at", "updated_at")
    for name, time in (("engagements", "event_timestamp"), ("board_pins", "saved_at"), ("judgments", "judged_at")):
        rows = pl.read_parquet(small / f"{name}.parquet").join(made, on="pin_id")
        assert (rows[time] > rows["created_at"]).all(), name
    judged = pl.read_parquet(small / "judgments.parquet").join(made, on="pin_id")
    assert (judged["judged_at"] > pl.Series(judged["updated_at"].fill_null(START))).all()


def test_boards_are_made_before_pins_are_saved_to_them(small):
    made = pl.read_parquet(small / "boards.parquet").select("board_id", "created_at")
    saves = pl.read_parquet(small / "board_pins.parquet").join(made, on="board_id")
    assert (saves["saved_at"] > saves["created_at"]).all()


def test_the_log_is_of_two_years_and_every_click_follows_its_impression(small):
    log = pl.read_parquet(small / "engagements.parquet")
    assert log["event_timestamp"].min() >= START
    assert log["event_timestamp"].max() <= END.replace(month=7, day=1)
    assert set(log["event"]) == set(EVENTS)
    shown = log.filter(pl.col("event") == "impression").select("query", "pin_id", "position", "user_hash")
    done = log.filter(pl.col("event") != "impression")
    assert done.join(shown, on=shown.columns, how="anti").height == 0


def test_the_deleted_were_there_and_no_judged_pin_is_among_them(small):
    deletions = pl.read_parquet(small / "deletions.parquet")
    gone = {kind: set(deletions.filter(pl.col("kind") == kind)["id"]) for kind in ("pin", "board", "user")}
    pins, boards = pl.read_parquet(small / "pins.parquet"), pl.read_parquet(small / "boards.parquet")
    assert gone["pin"] <= set(pins["pin_id"])
    assert gone["board"] <= set(boards["board_id"])
    assert not gone["pin"] & set(pl.read_parquet(small / "judgments.parquet")["pin_id"])


# --- words ---


@pytest.mark.parametrize(
    ("lang", "thing", "said", "expected"),
    [
        ("en", "chair", Attributes(colour="red", material="wooden"), "a red wooden chair"),
        ("en", "sunglasses", Attributes(colour="orange"), "a pair of orange sunglasses"),
        ("es", "mug", Attributes(colour="red", material="glass"), "una taza roja de cristal"),
        ("fr", "sofa", Attributes(colour="white"), "un canapé blanc"),
        ("de", "scarf", Attributes(colour="blue"), "ein blauer Schal"),
        ("de", "lamp", Attributes(colour="pink"), "eine rosa Lampe"),
        ("pt", "chair", Attributes(colour="yellow"), "uma cadeira amarela"),
        ("ja", "sofa", Attributes(colour="green", material="leather"), "革の緑のソファ"),
    ],
)
def test_noun_phrases_agree_as_the_language_has_it(lang, thing, said, expected):
    usual = np.random.default_rng(0)
    phrases = {words(lang).noun_phrase(thing, said, usual, article=True) for _ in range(60)}
    assert expected in phrases


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_object_has_a_name_in_every_language(lang):
    rng = np.random.default_rng(0)
    for thing in OBJECTS:
        for said in (Attributes(colour="red", count=2), Attributes(colour="black")):
            phrase = words(lang).noun_phrase(thing.name, said, rng, article=True)
            assert phrase.strip() == phrase != ""
            assert "{" not in phrase and "!" not in phrase and "  " not in phrase


# --- the truth, by hand ---

RED_MUG = Pin("1", Scene("mug", "red", "dotted", "table", 1), "kitchen", ("vintage",), "en", 0.5, 1.0, START)


@pytest.mark.parametrize(
    ("want", "expected"),
    [
        (Want("kitchen", "mug"), 5.1),  # the thing, nothing else asked
        (Want("kitchen", "mug", colour="red", material="dotted", style="vintage"), 5.1),  # all of it holds
        (Want("kitchen", "mug", colour="blue"), 4.1),  # the colour fails
        (Want("kitchen", "mug", colour="orange"), 4.35),  # the colour nearly holds
        (Want("kitchen", "mug", colour="blue", count=2, style="luxury"), 2.9),  # the thing, all else fails
        (Want("kitchen", "teapot", colour="red"), 3.1),  # a related thing, all else holds
        (Want("kitchen", "pan"), 2.2),  # another thing of the interest
        (Want("baking", "cake"), 1.4),  # of a neighbouring interest
        (Want("pets", "cat"), 1.0),
        (Want("kitchen", None, style="vintage"), 5.0),  # anything of the interest
    ],
)
def test_relevance_by_hand(want, expected):
    assert relevance(want, RED_MUG) == pytest.approx(expected)


def test_what_nearly_holds_costs_three_quarters():
    assert cost(Want("kitchen", "mug", colour="pink", style="rustic"), RED_MUG) == pytest.approx(
        0.75 * 1.0 + 0.75 * 0.9
    )
