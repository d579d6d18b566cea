"""Pictures that look alike: what is one picture and what is not, and that a kill changes no answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from table_rows import day, write_rows

from data.pictures import rendering
from data.pictures.scenes import Scene
from enrich.captioning import alike
from enrich.captioning.working import SCHEMA
from enrich.errors import CorkboardError
from enrich.hamming_index import DISTANCE, HammingIndex
from enrich.picture_prints import PicturePrint, one_picture, picture_print
from enrich.picture_twins import PictureTwins, copied_pictures, described_pictures
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING
from enrich.workspace import REPOSITORY

VASE = Scene("vase", "red", "plain", "table", 1)


def again(image: Image.Image, format: str = "JPEG", scale: float = 1.0, **options) -> Image.Image:
    """Resized and compressed."""
    stored = BytesIO()
    size = (round(image.width * scale), round(image.height * scale))
    image.resize(size, Image.Resampling.BICUBIC).save(stored, format, **options)
    return Image.open(stored).convert("RGB")


def scene(seed: int = 0, **changed) -> Image.Image:
    return rendering.render(VASE._replace(**changed), seed, 240)


def dyed(image: Image.Image) -> Image.Image:
    """Another hue in one corner, as bright as it was: brightness is 0.299 red + 0.587 green + 0.114 blue."""
    pixels = np.asarray(image).astype(int)
    pixels[:60, :60] += np.array([-40, 20, 2])
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def described(*pictures: str) -> pl.Series:
    return pl.Series(pictures, dtype=pl.String)


# ---- one picture or another


@pytest.mark.parametrize(
    "variant",
    [
        lambda image: again(image, quality=90),
        lambda image: again(image, quality=60),
        lambda image: again(image, "WEBP", quality=80),
        lambda image: again(image, "PNG"),
        lambda image: again(image, scale=2.0),
        lambda image: again(image, scale=0.75, quality=85),
    ],
)
def test_a_picture_recompressed_or_resized_is_the_same(variant):
    for seed in range(3):
        assert one_picture(picture_print(scene(seed)), picture_print(variant(scene(seed))))


@pytest.mark.parametrize(
    "other",
    [
        scene(1),
        scene(colour="blue"),
        scene(count=2),
        scene(object="lamp"),
        scene().transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        scene().convert("L").convert("RGB"),
        scene().resize((240, 200)),
        dyed(scene()),
    ],
    ids=["seed", "colour", "count", "object", "mirrored", "grey", "squeezed", "dyed"],
)
def test_what_shows_something_else_is_another_picture(other):
    assert not one_picture(picture_print(scene()), picture_print(other))


def test_another_number_on_the_same_poster_is_another_picture():
    prints = []
    for price in ("19", "20", "29", "49"):
        poster = Image.new("RGB", (600, 600), (230, 240, 250))
        draw = ImageDraw.Draw(poster)
        draw.rectangle((100, 150, 500, 450), fill=(200, 60, 60))
        draw.text((250, 270), price, fill="white", font_size=40)
        prints.append(picture_print(poster))
    assert [[one_picture(a, b) for a in prints] for b in prints] == np.eye(4, dtype=bool).tolist()


def test_no_two_of_the_samples_pictures_are_taken_for_one():
    files = sorted((REPOSITORY / "data" / "sample" / "images").glob("*.jpg"))
    prints = [picture_print(Image.open(file)) for file in files]
    index = HammingIndex(np.array([found.hash for found in prints], np.uint64))
    pairs = [(a, int(b)) for a, found in enumerate(prints) for b in index.near(found.hash) if b > a]
    assert len(files) == 1_400
    assert len(pairs) > 5, "the hash alone would take some for one"
    assert [(files[a].name, files[b].name) for a, b in pairs if one_picture(prints[a], prints[b])] == []


def test_plain_pictures_have_one_hash_and_differ_by_colour():
    white, grey = (picture_print(Image.new("RGB", (50, 50), (level,) * 3)) for level in (255, 128))
    assert white.hash == grey.hash == 0
    assert not one_picture(white, grey)
    assert one_picture(white, picture_print(Image.new("RGB", (500, 500), (250,) * 3)))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.integers(0, 2**64 - 1), st.data())
def test_the_index_finds_what_comparing_with_every_hash_finds(hashes, wanted, data):
    flips = data.draw(st.lists(st.integers(0, 63), max_size=6))
    near = wanted
    for bit in flips:
        near ^= 1 << bit
    known = data.draw(st.integers(0, len(hashes)))
    index = HammingIndex(np.array(hashes[:known], np.uint64))
    for one in [*hashes[known:], near]:
        index.add(one)
    expected = [at for at, one in enumerate([*hashes, near]) if (one ^ wanted).bit_count() <= DISTANCE]
    assert index.near(wanted).tolist() == expected


def test_the_index_still_finds_once_it_has_sorted_in_what_was_added():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 80_000, dtype=np.uint64)
    index = HammingIndex(hashes[:1_000])
    for one in hashes[1_000:].tolist():
        index.add(one)
    for at in (0, 999, 1_000, 40_000, 79_999):
        assert index.near(int(hashes[at]) ^ 0b1111) == [at]


# ---- who copies whom


def test_the_first_asked_is_described_and_the_others_copy_it(tmp_path):
    a, b = scene(0), scene(1)
    with PictureTwins(tmp_path / "twins.db", "blip", described()) as twins:
        assert twins.original("a", picture_print(a)) == "a"
        assert twins.original("b", picture_print(b)) == "b"
        assert twins.original("a small", picture_print(again(a, scale=0.8))) == "a"
        assert twins.original("b again", picture_print(again(b))) == "b"
        assert twins.original("a small", picture_print(again(a, scale=0.8))) == "a"
        assert twins.original("a", picture_print(a)) == "a"


def test_a_later_run_copies_what_an_earlier_one_described(tmp_path):
    with PictureTwins(tmp_path / "twins.db", "blip", described()) as twins:
        twins.original("a", picture_print(scene()))
        twins.commit()
    with PictureTwins(tmp_path / "twins.db", "blip", described("a")) as twins:
        assert twins.original("a small", picture_print(again(scene(), scale=0.8))) == "a"
    with PictureTwins(tmp_path / "twins.db", "another model", described()) as twins:
        assert twins.original("a small", picture_print(again(scene(), scale=0.8))) == "a small"


def test_what_has_no_rows_is_copied_by_none(tmp_path):
    """As after a kill between `commit` and the rows, or after the pin was deleted."""
    with PictureTwins(tmp_path / "twins.db", "blip", described()) as twins:
        assert twins.original("a", picture_print(scene())) == "a"
        assert twins.original("copy of a", picture_print(again(scene()))) == "a"
        twins.commit()
    with PictureTwins(tmp_path / "twins.db", "blip", described("copy of a")) as twins:
        assert twins.original("copy of a", picture_print(again(scene()))) == "copy of a"
        assert twins.original("third", picture_print(again(scene(), quality=80))) == "copy of a"


def test_no_trace_of_a_forgotten_picture_stays_in_the_file(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with PictureTwins(tmp_path / "twins.db", "blip", described()) as twins:
        twins.original("forgotten", picture_print(Image.fromarray(pixels)))
        twins.commit()
    assert b"forgotten" in (tmp_path / "twins.db").read_bytes()
    PictureTwins(tmp_path / "twins.db", "blip", described()).__exit__(None, None, None)
    assert b"forgotten" not in (tmp_path / "twins.db").read_bytes()


@pytest.mark.parametrize(("at_once", "asked"), [(4_000, [["0", "0", "0"]]), (2, [["0", "0"], ["0"]])])
def test_what_was_said_of_earlier_pictures_is_looked_up_for_many_copies_at_once(tmp_path, monkeypatch, at_once, asked):
    monkeypatch.setattr(alike, "EARLIER_AT_ONCE", at_once)
    with PictureTwins(tmp_path / "twins.db", "blip", described()) as twins:
        twins.original("0", picture_print(scene()))
        twins.commit()
    looked_up = []

    def row(places: list[int], words: str) -> pl.DataFrame:
        return pl.DataFrame([(place, words, None, [1.0], None) for place in places], SCHEMA, orient="row")

    def values(copies: pl.DataFrame) -> pl.DataFrame:
        looked_up.append(copies["input_hash"].to_list())
        return row(copies["place"].to_list(), "as before")

    with PictureTwins(tmp_path / "twins.db", "blip", described("0")) as twins:
        pictures = pl.DataFrame([pl.Series("place", range(6), pl.Int64), pl.Series("input_hash", list("abcdef"))])
        one = alike.Alike(twins, pictures, values)

        def batches() -> Iterator[pl.DataFrame]:
            """Each has a copy of the earlier picture, and another that is described."""
            for copy in (0, 2, 4):
                assert one.is_copy(copy, picture_print(again(scene(), quality=90 - copy)))
                assert not one.is_copy(copy + 1, picture_print(scene(1 + copy)))
                yield row([copy + 1], "new")

        said = {place: words for some in one.with_copies(batches()) for place, words, *_ in some.iter_rows()}
    assert looked_up == asked
    assert said == {place: "new" if place % 2 else "as before" for place in range(6)}


_ONE_RUN = """
import sys
from pathlib import Path
import polars as pl
from PIL import Image
from enrich.picture_prints import picture_print
from enrich.picture_twins import PictureTwins
folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
rows = folder / "rows.txt"                    # the job's table: a line a picture, in batches of two
done = rows.read_text().split("\\n")[:-1] if rows.exists() else []
pictures = sorted(folder.glob("*.png"))
with PictureTwins(folder / "twins.db", "blip", pl.Series([row.split()[0] for row in done], dtype=pl.String)) as twins:
    for start in range(len(done), len(pictures), 2):
        batch = [(p.stem, twins.original(p.stem, picture_print(Image.open(p)))) for p in pictures[start:start + 2]]
        if start == kill_at: import os; os.kill(os.getpid(), 9)
        twins.commit()
        if start + 1 == kill_at: import os; os.kill(os.getpid(), 9)
        with rows.open("a") as out: out.writelines(f"{name} {original}\\n" for name, original in batch)
"""


def test_a_kill_before_or_after_the_commit_changes_no_answer(tmp_path):
    shown = [0, 1, 0, 1, 2, 0, 2]
    expected = ["p0 p0", "p1 p1", "p2 p0", "p3 p1", "p4 p4", "p5 p0", "p6 p4"]
    for at, seed in enumerate(shown):
        again(scene(seed), quality=95 - at).save(tmp_path / f"p{at}.png")

    def run(kill_at: int) -> int:
        command = [sys.executable, "-c", _ONE_RUN, str(tmp_path), str(kill_at)]
        path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode

    for kill_at in (2, 5):  # before the second batch's commit; between the third's and its rows
        assert run(kill_at) == -signal.SIGKILL
    assert run(-1) == 0
    assert (tmp_path / "rows.txt").read_text().splitlines() == expected


def test_a_file_that_is_no_database_is_begun_anew_and_one_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "twins.db").write_bytes(b"no database" * 1_000)
    with PictureTwins(tmp_path / "twins.db", "blip", described()) as twins:
        assert twins.original("a", picture_print(scene())) == "a"
    with pytest.raises(CorkboardError, match="remove it") as refused:
        PictureTwins(tmp_path / "absent" / "twins.db", "blip", described())
    assert "\n" not in str(refused.value)


# ---- the tables


def test_what_can_be_copied_has_a_caption_and_a_vector_of_the_same_producer(workspace):
    caption = {"event_timestamp": day(1), "caption": "a vase", "producer": "blip"}
    vector = {"event_timestamp": day(1), "visual_embedding": [1.0], "producer": "blip"}
    write_rows(
        workspace,
        PIN_CAPTION,
        {**caption, "pin_id": "1", "input_hash": "both"},
        {**caption, "pin_id": "1", "input_hash": "later", "event_timestamp": day(2)},
        {**caption, "pin_id": "2", "input_hash": "no vector"},
        {**caption, "pin_id": "3", "input_hash": "failed", "caption": None, "reason": "corrupt"},
        {**caption, "pin_id": "4", "input_hash": "another's", "producer": "git"},
    )
    write_rows(
        workspace,
        PIN_VISUAL_EMBEDDING,
        *({**vector, "pin_id": "1", "input_hash": name} for name in ("both", "later", "failed", "another's")),
    )
    assert sorted(described_pictures(workspace, "blip")) == ["both", "later"]


def test_who_copied_whom_can_be_read(workspace):
    assert copied_pictures(workspace).is_empty()
    with PictureTwins(workspace.root / "picture_twins.db", "blip", described()) as twins:
        twins.original("a", picture_print(scene()))
        twins.original("b", picture_print(again(scene())))
        twins.commit()
    assert copied_pictures(workspace).rows() == [("blip", "b", "a")]


def test_a_print_travels_between_processes():
    made = picture_print(scene())
    assert PicturePrint(*made) == made
    assert (len(made.brightness), len(made.colour), made.shape) == (4_096, 768, 1.0)
