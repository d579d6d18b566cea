"""The small captioner: what its figures mean, and a training that a kill does not change."""

import numpy as np
import pytest
import torch
from transformers import BlipForConditionalGeneration, BlipProcessor

from data.captioner.checkpoint import export
from data.captioner.metrics import CaptionMetrics, measure, told
from data.captioner.network import build_processor, build_tokenizer
from data.captioner.pool import augment, build_pool, covered, draw
from data.captioner.settings import TrainingSettings
from data.captioner.training import Training, order, rate
from data.pictures import rendering, scenes
from data.pictures.scenes import OBJECTS, Scene, reference_caption

TINY = TrainingSettings(
    image_size=48,
    patch_size=24,
    hidden_size=24,
    heads=2,
    vision_layers=1,
    text_layers=1,
    training_scenes=24,
    steps=4,
    batch_size=8,
    warm_up=1,
)
SCARVES = Scene("scarf", "blue", "knitted", "table", 2)
SAYS = "two blue knitted scarves on a wooden table"


@pytest.mark.parametrize(
    ("caption", "wrong"),
    [
        (SAYS, []),
        ("three blue knitted scarves on a wooden table", ["how_many"]),
        ("two red knitted scarves on a wooden table", ["colour"]),
        ("two blue scarves on a wooden table", ["material"]),
        ("two blue knitted coats on a wooden table", ["object"]),
        ("two blue knitted scarves in the snow", ["setting"]),
        ("two blue knitted scarf on a wooden table", []),
        ("", ["object", "colour", "material", "setting", "how_many"]),
    ],
)
def test_each_slot_is_judged_by_itself(caption, wrong):
    slots = told(caption, SCARVES)._asdict()
    whole = slots.pop("whole_caption")
    assert [name for name, right in slots.items() if not right] == wrong
    assert whole == (caption == SAYS)


def test_a_plain_material_is_told_by_saying_none():
    cat = Scene("cat", "black", "plain", "snow", 1)
    assert told("a black cat in the snow", cat).material
    assert not told("a black striped cat in the snow", cat).material


def test_a_yarn_ball_is_no_ball():
    assert not told("a red ball on the grass", Scene("yarn ball", "red", "plain", "grass", 1)).object


def test_metrics_are_shares_of_the_captions():
    assert measure([SAYS, "a blue coat"], [SCARVES, SCARVES]) == CaptionMetrics(0.5, 1.0, 0.5, 0.5, 0.5, 0.5)


def test_the_tokenizer_knows_every_word_of_every_caption():
    tokenizer = build_tokenizer()
    rng = np.random.default_rng(0)
    drawn = [scenes.draw_scene(rng)._replace(object=thing.name, count=count) for thing in OBJECTS for count in (1, 2)]
    captions = [reference_caption(scene) for scene in drawn]
    ids = tokenizer(captions)["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in ids)
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == captions


def test_training_never_draws_a_held_out_description_and_the_test_draws_no_other():
    train = draw(300, scenes.TRAINING_SEEDS, held_out=False, seed=1)
    test = draw(50, scenes.TEST_SEEDS, held_out=True, seed=1)
    assert not {scene for scene, _ in train} & {scene for scene, _ in test}
    assert all(seed in scenes.TRAINING_SEEDS for _, seed in train)
    assert all(seed in scenes.TEST_SEEDS for _, seed in test)


def test_moving_and_mirroring_keep_the_picture():
    pixels = np.arange(2 * 4 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 4)
    still = augment(pixels, 0, np.random.default_rng(0))
    for before, after in zip(pixels, still, strict=True):
        assert (after == before).all() or (after == before[:, ::-1]).all()


def test_a_patch_is_covered_when_things_fill_half_of_it():
    pixels = np.zeros((1, 4, 4, 4), np.uint8)
    pixels[0, :2, 2:, 3] = 255  # the whole upper right patch
    pixels[0, 2:, 0, 3] = 255  # half of the lower left one
    pixels[0, 3, 2:, 3] = (255, 0)  # a quarter of the lower right one
    assert covered(pixels, 2).tolist() == [[False, True, True, False]]


def test_the_rate_warms_up_and_ends_near_zero():
    settings = TrainingSettings(steps=100, warm_up=10)
    assert rate(settings, 0) == pytest.approx(0.1)
    assert rate(settings, 10) == pytest.approx(1.0)
    assert rate(settings, 99) < 0.01


def test_a_training_killed_and_resumed_ends_with_the_weights_of_one_that_was_not(tmp_path):
    torch.set_num_threads(1)
    processor = build_processor(TINY)
    pool = build_pool(TINY.training_scenes, TINY.seed, TINY.image_size, processor.tokenizer, workers=1)
    whole = Training(TINY, processor)
    for step, rows in order(TINY, 0):
        whole.step(step, pool, rows)
        if step == 1:
            whole.save(tmp_path / "state.pt", step + 1)
    resumed = Training(TINY, processor)
    for step, rows in order(TINY, resumed.resume(tmp_path / "state.pt")):
        resumed.step(step, pool, rows)
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], weight, msg=name)


def test_the_exported_folder_loads_by_transformers_own_calls_in_float32(tmp_path):
    training = Training(TINY, build_processor(TINY))
    export(TINY, training.model, training.processor, CaptionMetrics(*[0.5] * 6), 0, tmp_path / "captioner")
    model = BlipForConditionalGeneration.from_pretrained(tmp_path / "captioner")
    processor = BlipProcessor.from_pretrained(tmp_path / "captioner")
    assert model.dtype == torch.float32
    picture = rendering.render(SCARVES, 0, size=48)
    tokens = model.generate(**processor(images=picture, return_tensors="pt"), max_new_tokens=20)
    assert len(processor.batch_decode(tokens, skip_special_tokens=True)) == 1
