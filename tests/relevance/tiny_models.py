"""Tiny random models of each family, so that a test trains in a second; made anew in each test's own folder."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    LlamaConfig,
    LlamaModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

TEXT = """a oak table round dining chair red blue lamp garden bench small rug wool linen cotton sofa desk shelf
vase mirror clock kitchen : , . title description caption link boards queries ideas"""


def tiny_bert(folder: Path, width: int = 32) -> Path:
    """An encoder with CLS and SEP."""
    config = BertConfig(
        vocab_size=64, hidden_size=width, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=256,
    )  # fmt: skip
    tokenizer = _tokenizer(
        "[CLS] $A [SEP] $B [SEP]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )
    return _save(BertModel, config, tokenizer, folder)


def tiny_xlmr(folder: Path) -> Path:
    """An encoder whose pairs are joined by two separators."""
    config = XLMRobertaConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=256, pad_token_id=0, type_vocab_size=1,
    )  # fmt: skip
    tokenizer = _tokenizer("<s> $A </s> </s> $B </s>", cls_token="<s>", sep_token="</s>", pad_token="<pad>")
    return _save(XLMRobertaModel, config, tokenizer, folder)


def tiny_deberta(folder: Path) -> Path:
    """An encoder of relative positions, as mDeBERTa-v3."""
    config = DebertaV2Config(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=256, type_vocab_size=0, relative_attention=True, position_buckets=16,
        norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
    )  # fmt: skip
    tokenizer = _tokenizer(
        "[CLS] $A [SEP] $B [SEP]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )
    return _save(DebertaV2Model, config, tokenizer, folder)


def tiny_t5(folder: Path) -> Path:
    """An encoder without CLS, whose embeddings are stored under two names."""
    config = T5Config(vocab_size=64, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, dropout_rate=0.1)
    tokenizer = _tokenizer("$A </s> $B </s>", eos_token="</s>", pad_token="<pad>")
    return _save(T5EncoderModel, config, tokenizer, folder)


def tiny_llama(folder: Path) -> Path:
    """A decoder: no CLS, no separator, no padding token."""
    return _llama("<s> $A $B", folder)


def tiny_llama_3(folder: Path) -> Path:
    """A decoder whose tokenizer begins each text of a pair."""
    return _llama("<s> $A <s> $B", folder)


def _llama(template: str, folder: Path) -> Path:
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=256,
    )  # fmt: skip
    return _save(LlamaModel, config, _tokenizer(template, bos_token="<s>", eos_token="</s>"), folder)


def _tokenizer(template: str, **special: str) -> PreTrainedTokenizerFast:
    tokens = list(
        dict.fromkeys([special.get("pad_token", "<unused>"), "[UNK]", "\n", *special.values(), *TEXT.split()])
    )
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Punctuation()]
    )
    used = [(token, vocabulary[token]) for token in special.values() if token in template]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template.split(" $B")[0], pair=template, special_tokens=used
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{"unk_token": "[UNK]", **special})


def _save(kind: type[PreTrainedModel], config: object, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


FAMILIES = (tiny_bert, tiny_xlmr, tiny_deberta, tiny_t5, tiny_llama)
