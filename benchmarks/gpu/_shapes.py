"""Backbones by their shape alone, with random weights, and what a pair costs them in floating-point operations.

What is counted is what the model cannot do without, of tokens that are there: 2 operations a weight of a layer's
matrices and token, and 4 n² d a layer for the attention's two products (half as many where a token sees only those
before it). Embeddings, norms and the head are left out, padding and what is computed twice are not counted: the usual
"model FLOPs" (Chowdhery et al. 2022, arXiv 2204.02311, appendix B).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, LlamaConfig, PretrainedConfig, XLMRobertaConfig

from enrich.text_encoder import default_model_path
from relevance.teaching.choices import Adapter
from relevance.teaching.layers import layer_of
from relevance.teaching.network import Pooling

BACKWARD = {Adapter.NONE: 2.0, Adapter.LORA: 1.0, Adapter.QLORA: 1.0}  # by the forward pass: states, and all weights


@dataclass(frozen=True, slots=True)
class Shape:
    """A backbone, and how it is taught and asked here."""

    name: str
    config: PretrainedConfig
    pooling: Pooling
    adapter: Adapter
    batch_size: int  # pairs a training step
    taught: int  # pairs of an epoch
    asked: int  # pairs to label

    @property
    def causal(self) -> bool:
        """Whether a token sees only those before it."""
        return self.pooling is Pooling.LAST

    @property
    def layer_weights(self) -> int:
        """Of the matrices inside the stack of layers; counted on a network without memory."""
        with torch.device("meta"):
            network = AutoModel.from_config(self.config)
        return sum(
            module.weight.numel()
            for name, module in network.named_modules()
            if isinstance(module, nn.Linear) and layer_of(f"{name}.") is not None
        )

    def forward_operations(self, lengths: Sequence[int]) -> float:
        """Of one forward pass over sequences of so many tokens each."""
        tokens = np.asarray(lengths, np.float64)
        products = 4 * self.config.num_hidden_layers * self.config.hidden_size * (tokens**2).sum()
        return float(2 * self.layer_weights * tokens.sum() + (products / 2 if self.causal else products))

    def training_operations(self, lengths: Sequence[int], adapter: Adapter) -> float:
        """Of one forward and backward pass; a frozen weight has no gradient of its own."""
        return (1 + BACKWARD[adapter]) * self.forward_operations(lengths)

    def write(self, folder: Path, device: torch.device) -> Path:
        """A checkpoint of random bf16 weights beside the embedded tokenizer, whose ids every vocabulary here holds."""
        torch.manual_seed(0)
        with torch.device(device):
            network = AutoModel.from_config(self.config, dtype=torch.bfloat16)
        network.save_pretrained(folder)
        AutoTokenizer.from_pretrained(default_model_path()).save_pretrained(folder)
        return folder


XLM_R_LARGE = Shape(  # Conneau et al. 2020, arXiv 1911.02116
    name="XLM-R-large",
    config=XLMRobertaConfig(
        vocab_size=250_002, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
        max_position_embeddings=514, type_vocab_size=1, pad_token_id=0,
    ),
    pooling=Pooling.CLS, adapter=Adapter.NONE, batch_size=128, taught=4_096, asked=32_768,
)  # fmt: skip
LLAMA_3_8B = Shape(  # the published config.json of Llama 3 8B
    name="Llama-3-8B",
    config=LlamaConfig(
        vocab_size=128_256, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        intermediate_size=14_336, max_position_embeddings=8192,
    ),
    pooling=Pooling.LAST, adapter=Adapter.QLORA, batch_size=32, taught=1_024, asked=8_192,
)  # fmt: skip
SHAPES = (XLM_R_LARGE, LLAMA_3_8B)

TINY = (  # the same steps in seconds on a CPU
    Shape(
        name="tiny XLM-R",
        config=XLMRobertaConfig(
            vocab_size=30_522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            max_position_embeddings=514, type_vocab_size=1, pad_token_id=0,
        ),
        pooling=Pooling.CLS, adapter=Adapter.NONE, batch_size=16, taught=32, asked=48,
    ),
    Shape(
        name="tiny Llama",
        config=LlamaConfig(
            vocab_size=30_522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            intermediate_size=64, max_position_embeddings=512,
        ),
        pooling=Pooling.LAST, adapter=Adapter.QLORA, batch_size=16, taught=32, asked=48,
    ),
)  # fmt: skip
