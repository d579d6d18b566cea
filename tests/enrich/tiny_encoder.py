"""A text encoder small enough to make anew in each test: random weights, one word a token."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

TEXT = "[PAD] [CLS] [SEP] [UNK] red blue vase lamp kitchen garden home decor shoes boots oak table . ,"
WORDS = TEXT.split()


def tiny_encoder(
    folder: Path, pooling: str = "mean_tokens", seed: int = 0, activation: str = "gelu", special: bool = True
) -> str:
    """The folder of a BERT with 16 dimensions that knows WORDS, pooled as the sentence-transformers flag says.

    Without `special` tokens an empty text has none at all.
    """
    vocabulary = {word: place for place, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, hidden_act=activation,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    named = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    return str(folder)
