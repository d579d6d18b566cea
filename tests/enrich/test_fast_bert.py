"""The fast forward pass gives what the encoder it was made of gives, nearer than the encoder in plain bf16."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedModel,
    T5Config,
    T5EncoderModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from enrich.fast_bert import FastBert, fits
from enrich.text_encoder import default_model_path

pytestmark = pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16", False), reason="the processor does not compute in bf16"
)
TINY: dict[str, Any] = {
    "vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def minilm() -> BertModel:
    network: BertModel = BertModel.from_pretrained(default_model_path(), dtype=torch.float32)  # already in eval mode
    return network


def batch(rows: int = 6, tokens: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask; each row one token shorter than the one before."""
    ids = torch.randint(1_000, 20_000, (rows, tokens), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(tokens)[None, :] < tokens - torch.arange(rows)[:, None]).long()
    return ids * mask, mask


def error(found: torch.Tensor, wanted: torch.Tensor, mask: torch.Tensor) -> float:
    """Of the states of tokens that are there, against their size."""
    there = mask.bool()[:, : found.shape[1]]
    wanted = wanted[:, : found.shape[1]]
    return float((found.float() - wanted)[there].norm() / wanted[there].norm())


@torch.inference_mode()
def test_it_is_nearer_to_float32_than_the_model_in_bf16(minilm: BertModel) -> None:
    ids, mask = batch()
    wanted = minilm(input_ids=ids, attention_mask=mask).last_hidden_state
    plain = copy.deepcopy(minilm).bfloat16()(input_ids=ids, attention_mask=mask).last_hidden_state
    fast = FastBert(minilm)(ids, mask).last_hidden_state
    assert fast.dtype == torch.float32
    assert error(fast, wanted, mask) < 0.7 * error(plain, wanted, mask)


@torch.inference_mode()
def test_the_first_token_alone_is_the_same_as_among_all(minilm: BertModel) -> None:
    ids, mask = batch()
    every = FastBert(minilm)(ids, mask).last_hidden_state
    first = FastBert(minilm, first_token_alone=True)(ids, mask).last_hidden_state
    assert first.shape == (6, 1, 384)
    assert error(first, every, mask) < 0.01


@torch.inference_mode()
def test_padding_changes_nothing(minilm: BertModel) -> None:
    ids, mask = batch(rows=1)
    fast = FastBert(minilm)
    alone = fast(ids, mask).last_hidden_state
    padded = fast(torch.nn.functional.pad(ids, (0, 9)), torch.nn.functional.pad(mask, (0, 9))).last_hidden_state
    assert error(padded[:, :20], alone, mask) < 0.005


@pytest.mark.parametrize(
    ("network", "fitting"),
    [
        (BertModel(BertConfig(**TINY)), True),
        (BertModel(BertConfig(**TINY, hidden_act="relu")), False),
        (BertModel(BertConfig(**TINY, is_decoder=True)), False),
        (XLMRobertaModel(XLMRobertaConfig(**TINY)), False),
        (LlamaModel(LlamaConfig(**TINY)), False),
        (T5EncoderModel(T5Config(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)), False),
    ],
)
def test_other_families_keep_their_own(network: PreTrainedModel, fitting: bool) -> None:
    assert fits(network) is fitting
