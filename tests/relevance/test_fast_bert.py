"""The fast forward pass gives what the encoder it was made of gives, nearer than the encoder in plain bf16."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_bert, tiny_llama, tiny_t5, tiny_xlmr

from enrich.text_encoder import default_model_path
from relevance.teaching.fast_bert import FastBert, fits
from relevance.teaching.network import load_backbone

pytestmark = pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16", False), reason="the processor does not compute in bf16"
)


@pytest.fixture(scope="module")
def minilm() -> torch.nn.Module:
    return load_backbone(str(default_model_path())).network.eval()


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
def test_it_is_nearer_to_float32_than_the_model_in_bf16(minilm: torch.nn.Module) -> None:
    ids, mask = batch()
    wanted = minilm(input_ids=ids, attention_mask=mask).last_hidden_state
    plain = copy.deepcopy(minilm).bfloat16()(input_ids=ids, attention_mask=mask).last_hidden_state
    fast = FastBert(minilm)(ids, mask).last_hidden_state
    assert fast.dtype == torch.float32
    assert error(fast, wanted, mask) < 0.7 * error(plain, wanted, mask)


@torch.inference_mode()
def test_the_first_token_alone_is_the_same_as_among_all(minilm: torch.nn.Module) -> None:
    ids, mask = batch()
    every = FastBert(minilm)(ids, mask).last_hidden_state
    first = FastBert(minilm, first_token_alone=True)(ids, mask).last_hidden_state
    assert first.shape == (6, 1, 384)
    assert error(first, every, mask) < 0.01


@torch.inference_mode()
def test_padding_changes_nothing(minilm: torch.nn.Module) -> None:
    ids, mask = batch(rows=1)
    fast = FastBert(minilm)
    alone = fast(ids, mask).last_hidden_state
    padded = fast(torch.nn.functional.pad(ids, (0, 9)), torch.nn.functional.pad(mask, (0, 9))).last_hidden_state
    assert error(padded[:, :20], alone, mask) < 0.005


def test_other_families_keep_their_own(tmp_path: Path) -> None:
    made = {make.__name__: load_backbone(str(make(tmp_path / make.__name__))).network for make in MAKERS}
    assert {name for name, network in made.items() if fits(network)} == {"tiny_bert"}


MAKERS = (tiny_bert, tiny_xlmr, tiny_t5, tiny_llama)
