"""sentence-transformers' CrossEncoder, trained and asked as its documentation shows: the rival of the teacher.

Reads plain texts and levels; needs `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import TrainerCallback

from enrich.matrices import fast_dtype
from enrich.text_encoder import default_model_path

BATCH_SIZE, MAX_TOKENS = 32, 128
Ask = Callable[[Sequence[str], Sequence[str]], npt.NDArray[np.float32]]


class Lessons(NamedTuple):
    """Judged pairs: queries, the pins' texts, levels 1..5."""

    queries: Sequence[str]
    texts: Sequence[str]
    levels: Sequence[int]


def train_cross_encoder(
    lessons: Lessons, epochs: int, seed: int, bf16: bool, callbacks: Sequence[TrainerCallback] = ()
) -> Ask:
    """What gives probabilities float32 [n, 5] of queries and texts, once trained on `lessons`.

    MiniLM, five classes, its own defaults for all that is not named here; with `bf16` taught in that, where the
    processor computes in it. Exits with what to install where sentence-transformers is absent.
    """
    try:
        from datasets import Dataset
        from sentence_transformers import CrossEncoder
        from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
        from sentence_transformers.cross_encoder.losses import CrossEntropyLoss
    except ImportError:
        sys.exit("expected sentence-transformers and datasets to compare with; pip install -e '.[bench]'")
    columns = {"query": lessons.queries, "text": lessons.texts, "label": [level - 1 for level in lessons.levels]}
    with tempfile.TemporaryDirectory() as folder:
        arguments = CrossEncoderTrainingArguments(
            output_dir=folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH_SIZE,
            bf16=bf16 and fast_dtype(torch.device("cpu")) is torch.bfloat16,
            use_cpu=True,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
        )
        torch.manual_seed(seed)  # of the new classification layer
        model: Any = CrossEncoder(str(default_model_path()), num_labels=5, max_length=MAX_TOKENS, device="cpu")
        trainer: Any = CrossEncoderTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict(columns),
            loss=CrossEntropyLoss(model),
            callbacks=list(callbacks),
        )
        trainer.train()

    def ask(queries: Sequence[str], texts: Sequence[str]) -> npt.NDArray[np.float32]:
        pairs = list(zip(queries, texts, strict=True))
        return np.asarray(model.predict(pairs, apply_softmax=True, show_progress_bar=False), dtype=np.float32)

    return ask
