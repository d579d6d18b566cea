"""The captioner: transformers' words token for token, one vision pass, pixels bit for bit, refusals of one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_captioner import copy, random_images, save_tiny
from transformers import BertConfig, BertModel, BlipForConditionalGeneration, BlipProcessor

from data.captioner.metrics import measure
from data.captioner.pool import draw
from data.pictures import rendering, scenes
from enrich import checkpoints
from enrich.captioner import Captioner, producer_of
from enrich.captioning import text
from enrich.captioning.blip import MAX_TOKENS
from enrich.captioning.describing import Saying
from enrich.captioning.pixels import Pixels
from enrich.captions import DEFAULT_MODEL
from enrich.errors import BadInput
from enrich.matrices import fast_dtype
from enrich.side_by_side import side_by_side

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("blip") / "tiny")


@pytest.fixture(scope="module")
def captioner(checkpoint) -> Captioner:
    return Captioner(str(checkpoint), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return random_images()


def generated(checkpoint: Path, images: list[Image.Image], prompt: str | None = None, **settings: object) -> list[str]:
    """What transformers says, as a model's card shows."""
    with checkpoints.quiet():
        model = BlipForConditionalGeneration.from_pretrained(checkpoint).eval()
        processor = BlipProcessor.from_pretrained(checkpoint)
    asked = {} if prompt is None else {"text": [prompt] * len(images)}
    inputs = processor(images=images, return_tensors="pt", **asked)
    tokens = model.generate(**inputs, max_new_tokens=MAX_TOKENS, **settings)
    return [caption.strip() for caption in processor.batch_decode(tokens, skip_special_tokens=True)]


def test_captions_equal_what_transformers_generates(checkpoint, captioner, images):
    expected = generated(checkpoint, images)
    assert captioner.caption(images) == expected
    assert len(set(expected)) > 2, "the random model says the same of every picture: the test shows nothing"


def test_with_a_prompt_they_do_too_and_begin_with_it(checkpoint, images):
    expected = generated(checkpoint, images, "a red")
    assert Captioner(str(checkpoint), dtype="float32", prompt="a red").caption(images) == expected
    assert all(caption.startswith("a red") for caption in expected)


def test_beams_are_those_of_transformers(checkpoint, captioner, images):
    found = Captioner(str(checkpoint), dtype="float32", beams=3).caption(images)
    assert found == generated(checkpoint, images, num_beams=3)
    assert found != captioner.caption(images)


def test_the_shipped_captioner_says_what_transformers_says_of_real_scenes():
    pictures = [rendering.render(scene, seed) for scene, seed in draw(24, scenes.TEST_SEEDS, held_out=True, seed=5)]
    expected = generated(DEFAULT_MODEL, pictures)
    assert Captioner(str(DEFAULT_MODEL), dtype="float32").caption(pictures) == expected
    assert len(set(expected)) > 12
    half = Captioner(str(DEFAULT_MODEL), dtype="bfloat16").caption(pictures)
    assert sum(one == other for one, other in zip(half, expected, strict=True)) >= 22


def test_a_blip_of_other_layers_is_left_to_transformers(checkpoint, images, tmp_path):
    folder = copy(checkpoint, tmp_path / "relu")
    model = BlipForConditionalGeneration.from_pretrained(checkpoint)
    model.config.vision_config.hidden_act = model.config.text_config.hidden_act = "relu"
    model.config.save_pretrained(folder)
    captioner = Captioner(str(folder), dtype="float32")
    assert captioner.caption(images) == generated(folder, images) != generated(checkpoint, images)


def test_a_decoder_that_is_to_search_otherwise_is_left_to_transformers(checkpoint):
    decoder = BlipForConditionalGeneration.from_pretrained(checkpoint).text_decoder
    assert text.fits(decoder)
    decoder.generation_config.no_repeat_ngram_size = 2
    assert not text.fits(decoder)


def test_a_caption_does_not_depend_on_the_pictures_beside_it(captioner, images):
    together = captioner.caption_and_embed(images)
    alone = [captioner.caption_and_embed([image]) for image in images]
    assert together.captions == [one.captions[0] for one in alone]
    np.testing.assert_allclose(together.embeddings, np.concatenate([one.embeddings for one in alone]), atol=1e-5)


def test_words_and_vector_come_from_one_pass_through_the_vision_tower(checkpoint, captioner, images):
    passes = []
    hook = captioner._model.vision.register_forward_hook(lambda *_: passes.append(1))
    try:
        described = captioner.caption_and_embed(iter(images))
    finally:
        hook.remove()
    assert len(passes) == 1
    assert described.embeddings.dtype == np.float32
    assert described.embeddings.shape == (len(images), captioner.dimension)
    np.testing.assert_allclose(np.linalg.norm(described.embeddings, axis=1), 1, atol=1e-5)
    model = BlipForConditionalGeneration.from_pretrained(checkpoint).eval()
    pixels = BlipProcessor.from_pretrained(checkpoint)(images=images, return_tensors="pt")["pixel_values"]
    means = model.vision_model(pixel_values=pixels).last_hidden_state.mean(dim=1)
    expected = torch.nn.functional.normalize(means, dim=1).detach().numpy()
    np.testing.assert_allclose(described.embeddings, expected, atol=1e-5)


def test_batches_of_any_size_side_by_side_say_the_same_in_the_same_order(checkpoint, captioner):
    many, before = random_images(23), torch.get_num_threads()
    small = Captioner(str(checkpoint), device="cpu", dtype="float32", batch_size=2)
    try:
        torch.set_num_threads(3)
        found = small.caption_and_embed(many)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    expected = captioner.caption_and_embed(many)
    assert found.captions == expected.captions
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)


def test_threads_are_given_few_items_ahead_and_what_they_raise_is_raised_here():
    taken, done = [], []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    def work(number):
        if number == 5:
            raise ValueError("five")
        return number

    with pytest.raises(ValueError, match="five"):
        for result in side_by_side(work, items(), threads=2):
            done.append(result)
            assert len(taken) <= len(done) + 4
    assert done == [0, 1, 2, 3, 4]


def test_pictures_are_made_small_bit_for_bit_as_the_processor_does(checkpoint):
    processor = BlipProcessor.from_pretrained(checkpoint).image_processor
    pixels, rng = Pixels(processor, exact=True), np.random.default_rng(1)
    for width, height in [(1, 1), (3, 200), (16, 16), (333, 250), (1, 50)]:
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        prepared = pixels.prepare(picture)
        assert (prepared.dtype, prepared.shape) == (torch.uint8, (16, 16, 3))
        assert torch.equal(pixels.values([prepared], CPU)[0], processor(picture, return_tensors="pt").pixel_values[0])


def test_a_processor_that_crops_is_used_itself(checkpoint):
    processor = BlipProcessor.from_pretrained(checkpoint).image_processor
    processor.do_center_crop, processor.crop_size = True, {"height": 8, "width": 8}
    picture = random_images(1)[0]
    pixels = Pixels(processor, exact=False)
    expected = processor(picture, return_tensors="pt").pixel_values[0]
    assert torch.equal(pixels.values([pixels.prepare(picture)], CPU)[0], expected)
    assert expected.shape == (3, 8, 8)


def test_both_networks_can_be_compiled_whole_and_say_the_same(checkpoint, captioner, images):
    """As on a GPU, where it is worth it; here without the compiler's last stage."""
    compiled = Captioner(str(checkpoint), dtype="float32", batch_size=len(images))
    compiled._model.compile(backend="eager", fullgraph=True)
    found, expected = compiled.caption_and_embed(images), captioner.caption_and_embed(images)
    assert found.captions == expected.captions
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)


def test_no_pictures_give_no_captions(captioner):
    described = captioner.caption_and_embed([])
    assert described.captions == []
    assert described.embeddings.shape == (0, captioner.dimension)


def test_a_grey_or_transparent_picture_is_described_too(captioner):
    assert len(captioner.caption([Image.new("L", (8, 8)), Image.new("RGBA", (8, 8))])) == 2


def test_float32_needs_the_whole_picture_and_less_precision_only_the_models_size(checkpoint, captioner):
    assert captioner.at_least is None
    assert Captioner(str(checkpoint), dtype="bfloat16").at_least == (16, 16)


def test_without_a_dtype_the_fastest_of_the_processor_is_taken(checkpoint):
    assert Captioner(str(checkpoint), device="cpu").dtype is fast_dtype(CPU)


def test_the_producer_names_all_that_decides_what_is_said(checkpoint, captioner, tmp_path):
    name = captioner.producer
    assert name.startswith("tiny@")
    assert Captioner(str(checkpoint), dtype="bfloat16").producer == f"{name} bfloat16"
    asked = Captioner(str(checkpoint), dtype="float32", beams=2, prompt="a", max_tokens=5)
    assert asked.producer == f"{name} beams=2 prompt='a' tokens=5"
    assert producer_of(str(checkpoint), torch.float32, Saying(2, "a", 5)) == asked.producer
    other = copy(checkpoint, tmp_path / "tiny")
    weights = load_file(other / "model.safetensors")
    weights["vision_model.post_layernorm.bias"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert Captioner(str(other), dtype="float32").producer != name


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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dtype": "int8"}, "found int8"),
        ({"device": "abacus"}, "found abacus"),
        ({"device": "cuda:77"}, "found cuda:77"),
        ({"beams": 0}, "at least 1 beam"),
        ({"max_tokens": 0}, "at least 1 token"),
        ({"prompt": "a " * 20}, "shorten --prompt"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(checkpoint, settings, said):
    with pytest.raises(BadInput, match=said) as refused:
        Captioner(str(checkpoint), **settings)
    assert "\n" not in str(refused.value)


# ---- the checkpoint that ships


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_shipped_captioner_tells_what_unseen_scenes_show(dtype):
    wanted = draw(60, scenes.TEST_SEEDS, held_out=True, seed=99)
    captioner = Captioner(str(DEFAULT_MODEL), device="cpu", dtype=dtype)
    captions = captioner.caption(rendering.render(scene, seed) for scene, seed in wanted)
    metrics = measure(captions, [scene for scene, _ in wanted])
    assert metrics.object > 0.8
    assert metrics.colour > 0.8
    assert metrics.setting > 0.9


def test_the_shipped_checkpoint_is_small():
    assert sum(file.stat().st_size for file in DEFAULT_MODEL.iterdir()) < 12e6
