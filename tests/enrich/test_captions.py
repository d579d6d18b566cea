"""Captions: the words of transformers, one vision pass, every picture a row or a reason, a loop that resumes."""

from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, BlipForConditionalGeneration, BlipProcessor

from data.captioner.metrics import measure
from data.captioner.network import build_model, build_processor
from data.captioner.pool import draw
from data.captioner.settings import TrainingSettings
from data.pictures import rendering, scenes
from enrich import checkpoints, parts
from enrich.captioner import MAX_TOKENS
from enrich.captions import DEFAULT_MODEL, Captioner, CaptionSettings, doubt, run_captions
from enrich.errors import BadInput
from enrich.fetch import FetchSettings
from enrich.job import JobSettings
from enrich.tables import DELETIONS, PIN_CAPTION, PIN_VISUAL_EMBEDDING, PINS
from enrich.workspace import Catalogue, Workspace

TINY = TrainingSettings(image_size=16, patch_size=8, hidden_size=24, heads=2, vision_layers=1, text_layers=1)
CREATED = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A BLIP of random weights, large enough that what it says depends on the picture."""
    folder = tmp_path_factory.mktemp("blip") / "tiny"
    processor = build_processor(TINY)
    model = build_model(TINY, processor.tokenizer)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.4)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def captioner(checkpoint) -> Captioner:
    return Captioner(str(checkpoint), device="cpu")


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(16, 16), (40, 10), (3, 3), (1, 1), (10, 64), (16, 16), (31, 7)]
    return [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def copy(checkpoint: Path, to: Path) -> Path:
    to.mkdir()
    for file in checkpoint.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_captions_equal_what_transformers_generates(checkpoint, captioner, images):
    with checkpoints.quiet():
        model = BlipForConditionalGeneration.from_pretrained(checkpoint).eval()
        processor = BlipProcessor.from_pretrained(checkpoint)
    tokens = model.generate(**processor(images=images, return_tensors="pt"), max_new_tokens=MAX_TOKENS)
    expected = [caption.strip() for caption in processor.batch_decode(tokens, skip_special_tokens=True)]
    assert captioner.caption(images) == expected
    assert len(set(expected)) > 2, "the random model says the same of every picture: the test shows nothing"


def test_a_caption_does_not_depend_on_the_pictures_beside_it(captioner, images):
    together = captioner.caption_and_embed(images)
    alone = [captioner.caption_and_embed([image]) for image in images]
    assert together.captions == [one.captions[0] for one in alone]
    np.testing.assert_allclose(together.embeddings, np.concatenate([one.embeddings for one in alone]), atol=1e-5)


def test_words_and_vector_come_from_one_pass_through_the_vision_tower(captioner, images):
    passes = []
    hook = captioner._model.vision_model.register_forward_hook(lambda *_: passes.append(1))
    try:
        described = captioner.caption_and_embed(iter(images))
    finally:
        hook.remove()
    assert len(passes) == 1
    assert described.embeddings.dtype == np.float32
    assert described.embeddings.shape == (len(images), captioner.dimension)
    np.testing.assert_allclose(np.linalg.norm(described.embeddings, axis=1), 1, atol=1e-5)


def test_no_pictures_give_no_captions(captioner):
    described = captioner.caption_and_embed([])
    assert described.captions == []
    assert described.embeddings.shape == (0, captioner.dimension)


def test_a_grey_or_transparent_picture_is_described_too(captioner):
    assert len(captioner.caption([Image.new("L", (8, 8)), Image.new("RGBA", (8, 8))])) == 2


def test_the_producer_names_the_weights_and_the_precision(checkpoint, captioner, tmp_path):
    assert captioner.producer.startswith("tiny@")
    assert Captioner(str(checkpoint), dtype="bfloat16").producer == captioner.producer + " bfloat16"
    other = copy(checkpoint, tmp_path / "tiny")
    weights = load_file(other / "model.safetensors")
    weights["vision_model.post_layernorm.bias"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert Captioner(str(other)).producer != captioner.producer


def test_a_missing_folder_is_one_clear_line(tmp_path):
    with pytest.raises(BadInput, match="found no such folder"):
        Captioner(str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"config\.json"):
        Captioner(str(tmp_path / "empty"))


def test_a_checkpoint_cut_short_is_one_clear_line(checkpoint, tmp_path):
    folder = copy(checkpoint, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(BadInput, match="does not load") as refused:
        Captioner(str(folder))
    assert "\n" not in str(refused.value)


def test_a_checkpoint_without_some_weights_is_refused_not_filled_in(checkpoint, tmp_path):
    folder = copy(checkpoint, tmp_path / "holed")
    weights = load_file(folder / "model.safetensors")
    del weights["vision_model.post_layernorm.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="1 weights are missing"):
        Captioner(str(folder))


def test_broken_json_and_other_models_are_refused(checkpoint, tmp_path):
    broken = copy(checkpoint, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    with pytest.raises(BadInput, match="does not load"):
        Captioner(str(broken))
    bert = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=10)
    BertModel(bert).save_pretrained(tmp_path / "bert")
    with pytest.raises(BadInput, match="found a bert model"):
        Captioner(str(tmp_path / "bert"))


def test_an_unknown_precision_is_refused(checkpoint):
    with pytest.raises(BadInput, match="int8"):
        Captioner(str(checkpoint), dtype="int8")


# ---- the job


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
    report = run_captions(workspace, CaptionSettings(model=str(checkpoint)))
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
    settings = CaptionSettings(model=str(checkpoint))
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
            run_captions(workspace, CaptionSettings(str(checkpoint), job=JobSettings(batch_size=2, limit=limit)))
        found.append(rows(workspace))
        assert parts.count(workspace.folder(PIN_CAPTION)) == len(pictures)
    assert found[0] == found[1]
    assert len(found[0]) == len(pictures)


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


def test_pictures_on_the_web_are_fetched(workspace, checkpoint, captioner, images, pictures):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pictures)
    server.picture = Path(pictures[1]).read_bytes()
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        names = {"good": "good.png", "page": "page.png", "gone": "no.png"}
        add_pins(workspace, **{pin: f"http://pictures.example/{name}" for pin, name in names.items()}, here=pictures[0])
        to = FetchSettings(connect_to=f"127.0.0.1:{server.server_port}", host_delay=0.0)
        run_captions(workspace, CaptionSettings(model=str(checkpoint), fetch=to))
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


def test_relative_paths_start_where_the_catalogue_was_imported_from(tmp_path, checkpoint, pictures):
    workspace = Workspace.at(tmp_path / "relative")
    workspace.create(Catalogue("native", str(tmp_path)))
    add_pins(workspace, a="0.png")
    assert run_captions(workspace, CaptionSettings(model=str(checkpoint))).made == 1


# ---- the checkpoint that ships


def test_the_shipped_captioner_tells_what_unseen_scenes_show():
    wanted = draw(60, scenes.TEST_SEEDS, held_out=True, seed=99)
    captioner = Captioner(str(DEFAULT_MODEL), device="cpu")
    captions = captioner.caption(rendering.render(scene, seed) for scene, seed in wanted)
    metrics = measure(captions, [scene for scene, _ in wanted])
    assert metrics.object > 0.8
    assert metrics.colour > 0.8
    assert metrics.setting > 0.9


def test_the_shipped_checkpoint_is_small():
    assert sum(file.stat().st_size for file in DEFAULT_MODEL.iterdir()) < 12e6


@pytest.mark.parametrize(
    ("format", "model", "doubted"),
    [("sample", None, False), ("native", None, True), ("native", "another/captioner", False)],
)
def test_the_samples_captioner_is_doubted_elsewhere(format, model, doubted, tmp_path):
    workspace = Workspace.at(tmp_path)
    workspace.create(Catalogue(format, "here"))
    settings = CaptionSettings(model) if model else CaptionSettings()
    assert bool(doubt(workspace, settings)) is doubted
