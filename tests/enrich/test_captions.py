"""The captions job: every picture a row or a reason, described once, loops cut and said so, a run that resumes."""

from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_captioner import random_images, save_tiny

from data.captioner.pool import draw
from data.pictures import rendering, scenes
from enrich import console, parts
from enrich.captioner_choice import last_named
from enrich.captioning import working
from enrich.captioning.loops import LOOP_CUT, without_loop
from enrich.captions import Captioner, CaptionSettings, doubt, notes, run_captions
from enrich.cli import enrich
from enrich.commands.flags import Flags, run_settings
from enrich.engine import Engine
from enrich.errors import BadInput
from enrich.job import JobSettings
from enrich.picture_twins import copied_pictures
from enrich.tables import DELETIONS, PIN_CAPTION, PIN_VISUAL_EMBEDDING, PINS
from enrich.workspace import Catalogue, Workspace

CREATED = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("blip") / "tiny")


@pytest.fixture(scope="module")
def captioner(checkpoint) -> Captioner:
    return Captioner(str(checkpoint), dtype="float32")


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return random_images()


def plain(checkpoint: Path, **settings: object) -> CaptionSettings:
    """Captions as the model says them."""
    return CaptionSettings(model=str(checkpoint), dtype="float32", cut_loops=False, **settings)


def add_pins(workspace: Workspace, **uris: str | None) -> None:
    pins = pl.DataFrame({"pin_id": list(uris), "image_uri": list(uris.values()), "created_at": [CREATED] * len(uris)})
    parts.append(workspace.folder(PINS), PINS, pins.to_arrow())


def rows(workspace: Workspace) -> dict[str, tuple[str | None, str | None]]:
    latest = parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION)
    return {pin: (caption, reason) for pin, caption, reason in latest.select("pin_id", "caption", "reason").iter_rows()}


@pytest.fixture
def pictures(tmp_path, images) -> list[str]:
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i}.png")
    return [str(tmp_path / f"{i}.png") for i in range(len(images))]


def test_each_picture_becomes_a_row_or_a_reason(workspace, checkpoint, captioner, pictures, images, tmp_path):
    (tmp_path / "page.png").write_bytes(b"<html>404</html>")
    add_pins(workspace, a=pictures[0], b=pictures[1], gone=str(tmp_path / "no.png"), page=str(tmp_path / "page.png"))
    add_pins(workspace, bare=None, blank=" ", deleted=pictures[2], far="gopher://host/a.png")
    deletions = pl.DataFrame({"kind": ["pin"], "id": ["deleted"], "deleted_at": [CREATED]})
    parts.append(workspace.folder(DELETIONS), DELETIONS, deletions.to_arrow())
    report = run_captions(workspace, plain(checkpoint))
    said = captioner.caption(images[:2])
    assert rows(workspace) == {
        "a": (said[0], None),
        "b": (said[1], None),
        "gone": (None, "not-found"),
        "page": (None, "not-an-image"),
        "far": (None, "unsupported-uri"),
    }
    assert (report.made, dict(report.failed)) == (2, {"not-found": 1, "not-an-image": 1, "unsupported-uri": 1})
    vectors = parts.latest(workspace.folder(PIN_VISUAL_EMBEDDING), PIN_VISUAL_EMBEDDING).filter(pl.col("pin_id") == "b")
    np.testing.assert_allclose(
        vectors["visual_embedding"][0], captioner.caption_and_embed(images[1:2]).embeddings[0], atol=1e-5
    )


def test_a_second_run_finds_nothing_to_do_until_a_picture_changes(workspace, checkpoint, pictures, images, tmp_path):
    settings = plain(checkpoint)
    add_pins(workspace, a=pictures[0], b=str(tmp_path / "later.png"))
    assert run_captions(workspace, settings).made == 1
    assert run_captions(workspace, settings).made == 0
    images[1].save(tmp_path / "0.png")
    images[2].save(tmp_path / "later.png")
    assert run_captions(workspace, settings).made == 2
    assert rows(workspace)["b"][1] is None
    events = (
        parts.scan(workspace.folder(PIN_CAPTION)).select("pin_id", "event_timestamp", "created_timestamp").collect()
    )
    assert events["event_timestamp"].unique().to_list() == [CREATED]
    assert events.is_unique().all()


def test_a_run_cut_into_pieces_leaves_the_rows_of_a_whole_one(tmp_path, checkpoint, pictures):
    found = []
    for limits in ([None], [2, 1, 3, None]):
        workspace = Workspace.at(tmp_path / f"pieces{len(limits)}")
        workspace.create(Catalogue("native", "inline"))
        add_pins(workspace, **{f"pin{i}": uri for i, uri in enumerate(pictures)})
        for limit in limits:
            run_captions(workspace, plain(checkpoint, job=JobSettings(batch_size=2, limit=limit)))
        found.append(rows(workspace))
        assert parts.count(workspace.folder(PIN_CAPTION)) == len(pictures)
    assert found[0] == found[1]
    assert len(found[0]) == len(pictures)


def test_pieces_of_a_run_take_the_same_original_of_pictures_that_look_alike(tmp_path, checkpoint):
    """Nine pictures, each as PNG and as two JPEGs, whose pins stand in no order of their bytes."""
    uris = {}
    shown = [rendering.render(scene, seed, 240) for scene, seed in draw(9, scenes.TEST_SEEDS, held_out=True, seed=7)]
    for number, image in enumerate(shown):
        for kind, settings in (("z", {}), ("b", {"quality": 90}), ("k", {"quality": 80})):
            name = f"{number}.png" if kind == "z" else f"{number}{kind}.jpg"
            image.save(tmp_path / name, **settings)
            uris[f"{kind}{(number * 5) % 9}"] = str(tmp_path / name)
    copied = []
    for limits in ([None], [4, 4, 4, 4, None]):
        workspace = Workspace.at(tmp_path / f"pieces{len(limits)}")
        workspace.create(Catalogue("native", "inline"))
        add_pins(workspace, **uris)
        for limit in limits:
            settings = CaptionSettings(str(checkpoint), dtype="float32", twins=True, job=JobSettings(limit=limit))
            run_captions(workspace, settings)
        copied.append(copied_pictures(workspace).sort("input_hash"))
    assert copied[0].equals(copied[1])
    assert copied[0].height >= 9


class _Pictures(BaseHTTPRequestHandler):
    """One good picture, one page that says it is one, and nothing else."""

    def do_GET(self) -> None:
        body = {"/good.png": self.server.picture, "/page.png": b"<html>"}.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("room", [working.ROOM_BYTES, 1])  # then one comes in after another
def test_pictures_on_the_web_are_fetched(workspace, checkpoint, captioner, images, pictures, monkeypatch, room):
    monkeypatch.setattr(working, "ROOM_BYTES", room)
    monkeypatch.setattr(working, "SMALL_BYTES", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pictures)
    server.picture = Path(pictures[1]).read_bytes()
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        names = {"good": "good.png", "page": "page.png", "gone": "no.png"}
        add_pins(workspace, **{pin: f"http://pictures.example/{name}" for pin, name in names.items()}, here=pictures[0])
        run_captions(workspace, plain(checkpoint, connect_to=f"127.0.0.1:{server.server_port}"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    here, good = captioner.caption(images[:2])
    assert rows(workspace) == {
        "good": (good, None),
        "here": (here, None),
        "page": (None, "not-an-image"),
        "gone": (None, "status-404"),
    }


def test_white_space_around_a_uri_is_none_of_it(workspace, checkpoint, captioner, pictures, images):
    add_pins(workspace, a=f" {pictures[0]}\n", b=f"\tfile://{pictures[1]} ")
    run_captions(workspace, plain(checkpoint))
    assert [rows(workspace)[pin][0] for pin in "ab"] == captioner.caption(images[:2])


def test_a_store_without_its_driver_is_a_reason_that_passes_and_a_note_what_to_install(workspace, checkpoint):
    add_pins(workspace, a="az://bucket/a.png", b="AZ://bucket/b.png")
    for _ in range(2):
        report = run_captions(workspace, plain(checkpoint))
        assert (dict(report.failed), report.fresh) == ({"no-driver": 2}, 0)
    noted = [note for note in notes(workspace, plain(checkpoint)) if "az:" in note]
    assert noted == ["no driver is installed for pictures in az: (2; pip install adlfs); they wait for it"]


def test_what_cannot_be_is_said_before_any_picture_is_read(workspace, checkpoint, pictures):
    add_pins(workspace, a=pictures[0])
    no_model = plain(checkpoint.parent / "none")
    for settings in (no_model, plain(checkpoint, job=JobSettings(retry=frozenset({"trunkated"})))):
        with pytest.raises(BadInput, match=r"no such folder|a reason to retry, one of .*, truncated, .*'trunkated'"):
            run_captions(workspace, settings)
    assert not (workspace.root / "image_hashes.parquet").exists()
    assert last_named(workspace) == CaptionSettings()


def test_relative_paths_start_where_the_catalogue_was_imported_from(tmp_path, checkpoint, pictures):
    workspace = Workspace.at(tmp_path / "relative")
    workspace.create(Catalogue("native", str(tmp_path)))
    add_pins(workspace, a="0.png")
    assert run_captions(workspace, plain(checkpoint)).made == 1


# ---- described once


def described(workspace: Workspace, settings: CaptionSettings) -> tuple[int, int]:
    """How many pictures a run described, and how many rows it made."""
    seen: list[int] = []
    describe = Captioner.described

    def counting(self: Captioner, prepared):
        for description in describe(self, prepared):
            seen.append(len(description.captions))
            yield description

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Captioner, "described", counting)
        made = run_captions(workspace, settings).made
    return sum(seen), made


def test_one_picture_is_described_once_however_many_pins_show_it_and_whenever(
    workspace, checkpoint, captioner, pictures, images, tmp_path
):
    (tmp_path / "same.png").write_bytes(Path(pictures[0]).read_bytes())
    add_pins(workspace, a=pictures[0], b=pictures[0], c=str(tmp_path / "same.png"), d=pictures[1])
    assert described(workspace, plain(checkpoint)) == (2, 4)
    add_pins(workspace, e=pictures[1], f=pictures[2], g=pictures[2], h=pictures[0])
    assert described(workspace, plain(checkpoint)) == (1, 4)
    said = captioner.caption(images[:3])
    assert {pin: caption for pin, (caption, _) in rows(workspace).items()} == {
        **dict.fromkeys("abch", said[0]),
        **dict.fromkeys("de", said[1]),
        **dict.fromkeys("fg", said[2]),
    }
    latest = parts.latest(workspace.folder(PIN_VISUAL_EMBEDDING), PIN_VISUAL_EMBEDDING)
    vectors = dict(latest.select("pin_id", "visual_embedding").iter_rows())
    assert vectors["a"] == vectors["h"] != vectors["e"] == vectors["d"]


def test_a_picture_that_comes_back_is_not_described_again(workspace, checkpoint, pictures, images, tmp_path):
    add_pins(workspace, a=pictures[0])
    run_captions(workspace, plain(checkpoint))
    first = rows(workspace)["a"]
    images[1].save(pictures[0])
    assert described(workspace, plain(checkpoint)) == (1, 1)
    images[0].save(pictures[0])
    assert described(workspace, plain(checkpoint)) == (0, 1)
    assert rows(workspace)["a"] == first


def test_what_another_producer_said_is_not_taken_over(workspace, checkpoint, pictures):
    add_pins(workspace, a=pictures[0], b=pictures[0])
    for settings in (plain(checkpoint), plain(checkpoint, beams=2), plain(checkpoint, prompt="a")):
        assert described(workspace, settings) == (1, 2)
    assert parts.scan(workspace.folder(PIN_CAPTION)).select("producer").collect()["producer"].n_unique() == 3


def test_a_bad_picture_that_many_pins_show_gives_each_its_reason(workspace, checkpoint, pictures, tmp_path):
    (tmp_path / "page.png").write_bytes(b"<html>404</html>")
    add_pins(workspace, **{f"p{i}": str(tmp_path / "page.png") for i in range(5)}, good=pictures[0])
    report = run_captions(workspace, plain(checkpoint))
    assert (report.made, dict(report.failed)) == (1, {"not-an-image": 5})
    again = run_captions(workspace, plain(checkpoint))
    assert (again.made, again.fresh, dict(again.failed)) == (0, 6, {})
    retried = plain(checkpoint, job=JobSettings(retry=frozenset({"not-an-image"})))
    assert dict(run_captions(workspace, retried).failed) == {"not-an-image": 5}


def test_nothing_stale_loads_no_model(workspace, checkpoint, pictures):
    add_pins(workspace, a=pictures[0])
    run_captions(workspace, plain(checkpoint))
    with pytest.MonkeyPatch.context() as patched:
        patched.delattr(Captioner, "__init__")
        assert run_captions(workspace, plain(checkpoint)).fresh == 1


# ---- loops


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        ("a man in a hat and a man in a hat and a man", "a man in a hat"),
        ("a dog dog dog dog", "a dog"),
        ("a red car, a red car, a red car", "a red car"),
        ("一只猫一只猫一只猫", "一只猫"),
        ("a very very large dog", None),
        ("a black and white photo of a man in black and white", None),
        ("a cat and a dog and a bird", None),
        ("wait ... what", None),
        ("", None),
    ],
)
def test_a_loop_is_cut_after_its_first_time_round(caption, kept):
    assert without_loop(caption) == ((caption, False) if kept is None else (kept, True))


def test_a_caption_that_was_cut_says_so_in_its_row_and_no_other(workspace, checkpoint, captioner, pictures, images):
    add_pins(workspace, **{f"pin{i}": uri for i, uri in enumerate(pictures)})
    run_captions(workspace, CaptionSettings(str(checkpoint), dtype="float32", cut_loops=True))
    latest = parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION).sort("pin_id")
    expected = [without_loop(caption) for caption in captioner.caption(images)]
    assert latest["caption"].to_list() == [caption for caption, _ in expected]
    assert latest["caption_rule"].to_list() == [LOOP_CUT if cut else None for _, cut in expected]
    assert any(cut for _, cut in expected)
    assert latest["producer"].unique().to_list() == [f"{captioner.producer} loops cut"]
    run_captions(workspace, CaptionSettings())
    latest = parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION)
    assert latest["caption_rule"].null_count() == len(pictures)
    assert (latest["caption"].str.len_chars() > 5).all()


def test_loops_are_cut_unless_float32_is_asked_for_by_name():
    settings = [CaptionSettings(), CaptionSettings(dtype="bfloat16"), CaptionSettings(dtype="float32")]
    assert [one.cutting for one in settings] == [True, True, False]
    assert CaptionSettings(dtype="float32", cut_loops=True).cutting
    assert not CaptionSettings(cut_loops=False).cutting


def test_a_table_of_an_older_version_is_given_the_new_column(workspace, checkpoint, pictures):
    add_pins(workspace, a=pictures[0])
    run_captions(workspace, plain(checkpoint))
    before = rows(workspace)
    for part in workspace.folder(PIN_CAPTION).glob("*.parquet"):
        pq.write_table(pq.ParquetFile(part).read().drop_columns(["caption_rule"]), part)
    add_pins(workspace, b=pictures[1])
    assert run_captions(workspace, plain(checkpoint)).made == 1
    assert {pin: row for pin, row in rows(workspace).items() if pin == "a"} == before
    assert parts.read(workspace.folder(PIN_CAPTION), PIN_CAPTION).num_rows == 2


# ---- settings


def test_a_command_goes_on_with_the_captioner_last_named(workspace, checkpoint, captioner, pictures, images, capsys):
    add_pins(workspace, a=pictures[0])
    command = ["captions", "--workspace", str(workspace.root)]
    assert console.run(enrich, [*command, "--model", str(checkpoint), "--dtype", "float32"]) == 0
    add_pins(workspace, b=pictures[1])
    capsys.readouterr()
    assert console.run(enrich, command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"captions by {checkpoint} --dtype float32, as last named; --model names another"
    assert said[1] == "pin_caption: 1 made, 1 fresh"
    assert [rows(workspace)[pin][0] for pin in "ab"] == captioner.caption(images[:2])


def test_an_empty_prompt_is_none(workspace, checkpoint, pictures):
    add_pins(workspace, a=pictures[0])
    run_captions(workspace, plain(checkpoint))
    assert run_captions(workspace, plain(checkpoint, prompt="")).fresh == 1


def test_a_server_of_ones_own_is_asked_as_fast_as_it_answers():
    strangers = CaptionSettings().fetching()
    own = CaptionSettings(host_delay=0.0).fetching()
    assert (strangers.host_delay, strangers.host_connections) == (1.0, 2)
    assert (own.host_delay, own.host_connections, own.max_bytes) == (0.0, 16, strangers.max_bytes)
    assert CaptionSettings(host_delay=0.2).fetching() == replace(strangers, host_delay=0.2)
    with pytest.raises(BadInput, match="loopback"):
        CaptionSettings(connect_to="10.0.0.1:80")


def test_every_flag_of_the_command_reaches_the_settings():
    said = Flags(model="m", dtype="float16", beams=3, prompt="a", cut_loops=False)
    flags = replace(said, twins=False, batch_size=9, engine=Engine.RAY)
    found = run_settings(replace(flags, workers=4, gpus=0.5, limit=7, retry=("corrupt",))).captions
    assert (found.model, found.dtype, found.beams, found.prompt, found.cutting) == ("m", "float16", 3, "a", False)
    assert (found.batch_size, found.engine, found.workers, found.gpus) == (9, Engine.RAY, 4, 0.5)
    assert (found.job.limit, found.job.retry) == (7, frozenset({"corrupt"}))
    assert run_settings(Flags(device="cpu")).captions.device == "cpu"
    web = run_settings(Flags(connect_to="127.0.0.1:80", picture_delay=0.5)).captions
    assert (web.connect_to, web.host_delay) == ("127.0.0.1:80", 0.5)
    assert run_settings(Flags()).captions.once_alike and not run_settings(Flags(twins=False)).captions.once_alike


def test_a_bad_flag_is_one_line_and_exit_2(capsys, tmp_path):
    workspace = Workspace.at(tmp_path / "w")
    workspace.create(Catalogue("native", "inline"))
    for flags, said in (
        (["--dtype", "int8"], "int8"),
        (["--device", "abacus"], "found abacus"),
        (["--model", "no/such/model"], "found no such folder"),
        (["--workers", "2"], "with --engine ray only"),
    ):
        assert console.run(enrich, ["captions", "--workspace", str(workspace.root), *flags]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and said in error


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 2}, "with --engine ray only"),
        ({"gpus": 1.0}, "with --engine ray only"),
        ({"engine": Engine.RAY, "device": "cuda:1"}, "no --device with --engine ray"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_flags_that_clash_are_refused(settings, said):
    with pytest.raises(BadInput, match=said):
        CaptionSettings(**settings)


@pytest.mark.parametrize(
    ("format", "model", "doubted"),
    [("sample", None, False), ("native", None, True), ("native", "another/captioner", False)],
)
def test_the_samples_captioner_is_doubted_elsewhere(format, model, doubted, tmp_path):
    workspace = Workspace.at(tmp_path)
    workspace.create(Catalogue(format, "here"))
    settings = CaptionSettings(model) if model else CaptionSettings()
    assert bool(doubt(workspace, settings)) is doubted


def test_a_picture_that_looks_the_same_takes_the_description_over_whatever_kills_the_run(tmp_path, checkpoint):
    shown = [rendering.render(scene, seed, 240) for scene, seed in draw(3, scenes.TEST_SEEDS, held_out=True, seed=7)]
    uris = {}
    for number, image in enumerate([*shown, *shown, *shown]):
        uris[f"pin{number}"] = str(tmp_path / f"{number}.jpg")
        image.save(uris[f"pin{number}"], quality=95 - number)
    found = []
    for limits in ([None], [1, 2, 1, None]):
        workspace = Workspace.at(tmp_path / f"pieces{len(limits)}")
        workspace.create(Catalogue("native", "inline"))
        add_pins(workspace, **uris)
        for limit in limits:
            job = JobSettings(batch_size=2, limit=limit)
            run_captions(workspace, CaptionSettings(str(checkpoint), dtype="float32", twins=True, job=job))
        vectors = parts.latest(workspace.folder(PIN_VISUAL_EMBEDDING), PIN_VISUAL_EMBEDDING).sort("pin_id")
        found.append([tuple(vector) for vector in vectors["visual_embedding"].to_list()])
        assert copied_pictures(workspace).height == 6
    assert len(found[0]) == 9
    assert found[0][:3] == found[0][3:6] == found[0][6:]
    plain = Workspace.at(tmp_path / "plain")
    plain.create(Catalogue("native", "inline"))
    add_pins(plain, **uris)
    run_captions(plain, CaptionSettings(str(checkpoint), dtype="float32"))
    each = parts.latest(plain.folder(PIN_VISUAL_EMBEDDING), PIN_VISUAL_EMBEDDING)
    assert len({tuple(vector) for vector in each["visual_embedding"].to_list()}) == 9
