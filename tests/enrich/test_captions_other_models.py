"""Captioners that are no BLIP: two kinds of tiny random models of transformers behind the one adapter."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from tiny_captioner import random_images
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    GitVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from enrich import checkpoints, parts
from enrich.captioner import Captioner
from enrich.captioning.other_models import ASKED, _by_grid
from enrich.captions import CaptionSettings, run_captions
from enrich.errors import BadInput
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING

TEXT = "[PAD] [CLS] [SEP] [UNK] <image> user assistant red blue cat dog on a the mat sees Describe this picture in one"
WORDS = TEXT.split()
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}assistant"
)


def tokenizer(ends: bool) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if ends:
        pair = [("[CLS]", 1), ("[SEP]", 2)]
        made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pair)
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="[CLS]", eos_token="[SEP]", extra_special_tokens=["<image>"], **special
    )


def image_processor():
    return CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def shaken(model):
    """Weights large enough that what it says depends on the picture."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.5)
    return model.eval()


def save(model, processor, folder: Path) -> Path:
    shaken(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def git(tmp_path_factory) -> Path:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision = GitVisionConfig(image_size=16, patch_size=8, **small)
    config = GitConfig(
        vision_config=vision.to_dict(), vocab_size=len(WORDS), max_position_embeddings=128, bos_token_id=1,
        eos_token_id=2, pad_token_id=0, **small,
    )  # fmt: skip
    processor = GitProcessor(image_processor(), tokenizer(ends=True))
    return save(GitForCausalLM(config), processor, tmp_path_factory.mktemp("git") / "git")


@pytest.fixture(scope="module")
def llava(tmp_path_factory) -> Path:
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = LlamaConfig(
        vocab_size=len(WORDS), max_position_embeddings=256, num_key_value_heads=2, pad_token_id=0, **small
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=16, patch_size=8, **small), text_config=text, image_token_index=4
    )
    processor = LlavaProcessor(
        image_processor(), tokenizer(ends=False), patch_size=8, vision_feature_select_strategy="default",
        chat_template=TEMPLATE, num_additional_image_tokens=1,
    )  # fmt: skip
    return save(LlavaForConditionalGeneration(config), processor, tmp_path_factory.mktemp("llava") / "llava")


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return [image.resize((20, 20)) for image in random_images(5)]


def alone(folder: Path, auto, kind, images, text: str | None) -> list[str]:
    """What transformers says of each picture alone, new words only."""
    with checkpoints.quiet():
        model, processor = auto.from_pretrained(folder).eval(), kind.from_pretrained(folder)
    said = []
    for image in images:
        asked = {} if text is None else {"text": text}
        inputs = processor(images=image, return_tensors="pt", **asked)
        tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        start = inputs["input_ids"].shape[1] if text is not None else 0
        said.append(processor.batch_decode(tokens[:, start:], skip_special_tokens=True)[0].strip())
    return said


def test_a_git_says_in_batches_what_transformers_says_of_each_picture(git, images):
    captioner = Captioner(str(git), dtype="float32", max_tokens=6, batch_size=3)
    expected = alone(git, GitForCausalLM, GitProcessor, images, None)
    assert captioner.caption(images) == expected
    assert len(set(expected)) > 1
    assert captioner.producer.startswith("git@")


def test_a_model_that_chats_is_asked_by_its_template(llava, images):
    captioner = Captioner(str(llava), dtype="float32", max_tokens=6, prompt="a cat sees")
    asked = "user <image> a cat sees assistant"
    expected = alone(llava, LlavaForConditionalGeneration, LlavaProcessor, images, asked)
    assert captioner.caption(images) == expected
    assert len(set(expected)) > 1
    usual = alone(llava, LlavaForConditionalGeneration, LlavaProcessor, images, f"user <image> {ASKED} assistant")
    assert Captioner(str(llava), dtype="float32", max_tokens=6).caption(images) == usual


@pytest.mark.parametrize("beams", [1, 2])
def test_the_embedding_is_the_vision_towers_mean(git, images, beams):
    found = Captioner(str(git), dtype="float32", max_tokens=3, beams=beams).caption_and_embed(images)
    model, processor = GitForCausalLM.from_pretrained(git).eval(), GitProcessor.from_pretrained(git)
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        means = model.git.image_encoder(pixels).last_hidden_state.mean(dim=1)
    expected = torch.nn.functional.normalize(means, dim=1).numpy()
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-5)


def test_a_picture_of_many_patches_is_told_by_its_grid():
    states = torch.arange(12, dtype=torch.float32).reshape(6, 2)
    by_patch = _by_grid(states, torch.tensor([2, 4]), 2)
    assert by_patch.tolist() == [[1, 2], [7, 8]]
    merged = _by_grid(states, torch.tensor([8, 16]), 2)  # 4 patches a row, as Qwen-VL merges them
    assert merged.tolist() == by_patch.tolist()
    assert _by_grid(states, torch.tensor([2, 5]), 2) is None
    assert _by_grid(states, torch.tensor([6]), 2) is None


def test_the_job_fills_both_tables_and_leaves_the_vector_out_where_there_is_none(workspace, llava, images, tmp_path):
    from test_captions import add_pins

    images[0].save(tmp_path / "a.png")
    add_pins(workspace, a=str(tmp_path / "a.png"))
    settings = CaptionSettings(str(llava), dtype="float32", prompt="a cat")
    assert run_captions(workspace, settings).made == 1
    vector = parts.latest(workspace.folder(PIN_VISUAL_EMBEDDING), PIN_VISUAL_EMBEDDING)
    assert vector.select(pl.col("visual_embedding").list.len()).item() == 16
    assert parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION)["caption"].item()


def test_a_model_that_does_not_caption_so_is_refused_in_one_line(git, tmp_path):
    with pytest.raises(BadInput, match="name the --prompt that its model card shows") as refused:
        Captioner(str(git), prompt="a cat on the mat " * 40)
    assert "\n" not in str(refused.value)
