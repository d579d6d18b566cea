"""The bi-encoder baseline, fine-tuned: the teacher's backbone, query and pin still encoded apart.

Reads training and dev pairs; writes nothing, for `relevance evaluate --models bi_encoder_tuned,…` trains it for each
fold and keeps its answers. Mean pooling, the cosine of the two sides, and from it the levels by proportional odds
(ordinal.py), backbone and thresholds learned together. Beside it the teacher has to show what reading query and pin
together is worth. As the teacher it keeps its last epoch or, where dev can tell, the best one there, which may be the
bi-encoder as it was before training. The same seed gives the same weights on the same machine; a killed run begins
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from enrich.errors import BadInput
from enrich.length_buckets import length_buckets
from enrich.matrices import fast_dtype
from enrich.normalise import normalise_query
from enrich.progress import progress
from enrich.tables import LEVELS
from relevance.ordinal import fit_ordinal
from relevance.teaching.examples import batches_of_like_length
from relevance.teaching.layers import with_and_without_decay
from relevance.teaching.network import Backbone, collate, load_backbone, prepare_to_train
from relevance.teaching.rows import TeacherRows
from relevance.text import PinText, Rendered, pair_texts, plain_text

Floats = npt.NDArray[np.float32]

TUNED_VERSION = 2  # another one makes other weights of the same rows and settings
_CHARACTERS_A_TOKEN = 16  # more text than this times `max_tokens` is never tokenised
_TOKENS_AT_ONCE = 8_192  # padded tokens of a forward pass without gradients
_MAX_GRADIENT_NORM = 1.0
_LEAST = 1e-6  # probability whose logarithm is taken, and step between two thresholds


@dataclass(frozen=True, slots=True)
class TunedSettings:
    """How the baseline is trained."""

    max_tokens: int = 128  # of a text, special tokens included
    epochs: int = 4  # at most
    patience: int = 2  # where dev can tell: epochs without a better loss before training stops
    batch_size: int = 32  # pairs a step
    learning_rate: float = 5e-5  # of the backbone, at its peak
    head_learning_rate: float = 1e-2  # of the cosine's slope and the four thresholds
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps; linear up, then linear down to 0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience, self.batch_size) < 1 or self.max_tokens < 8:
            raise BadInput(
                "expected epochs, patience and batch_size of 1 or more and max_tokens of 8 or more, found "
                f"{self.epochs}, {self.patience}, {self.batch_size} and {self.max_tokens}"
            )


class TunedBiEncoder:
    """The trained baseline: `score` ranks, `predict` gives levels."""

    def __init__(self, network: _Network, texts: _Texts) -> None:
        self._network = network
        self._texts = texts

    def score(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> Floats:
        """Cosines float32 [n]; a str is a pin that has only a title."""
        asked, shown = _sides(queries, pin_texts)
        distinct = sorted({*asked, *shown})
        vectors, place = self._vectors(distinct), {text: i for i, text in enumerate(distinct)}
        u, v = (vectors[[place[text] for text in side]] for side in (asked, shown))
        return np.asarray((u * v).sum(axis=1), dtype=np.float32)

    def predict(self, queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> Floats:
        """Probabilities float32 [n, 5], columns levels 1..5, rows sum to 1."""
        with torch.inference_mode():
            cosines = torch.from_numpy(self.score(queries, pin_texts)).to(self._texts.device)
            found: Tensor = self._network.head(cosines).softmax(dim=-1)
        return np.asarray(found.cpu().numpy(), dtype=np.float32)

    def loss(self, rows: TeacherRows) -> float:
        """Cross-entropy of the rows' levels."""
        likely = self.predict(rows.queries, rows.pin_texts)[np.arange(len(rows.levels)), rows.levels - 1]
        return float(-np.log(likely.clip(_LEAST)).mean())

    def _vectors(self, texts: Sequence[str]) -> Floats:
        rows = self._texts(texts)
        found = np.zeros((len(rows), self._network.width), dtype=np.float32)
        self._network.eval()
        with torch.inference_mode():
            for places in length_buckets([len(row.ids) for row in rows], _TOKENS_AT_ONCE):
                found[places] = self._network.encode([rows[i] for i in places], self._texts).cpu().numpy()
        return found


def fit_tuned_bi_encoder(
    rows: TeacherRows, dev: TeacherRows, backbone: str, settings: TunedSettings | None = None
) -> TunedBiEncoder:
    """Fine-tune `backbone` (a folder or hub id) on `rows`; `dev` chooses the epoch where it can tell them apart.

    Raises BadInput when a side is empty or malformed, or the backbone cannot be loaded.
    """
    rows.check("training")
    dev.check("dev")
    chosen = settings or TunedSettings()
    loaded = load_backbone(backbone)
    prepare_to_train(loaded, dropout=0.0)
    texts = _Texts(loaded, chosen.max_tokens)
    network = _Network(loaded).to(texts.device)
    model = TunedBiEncoder(network, texts)
    network.head.start_from(model.score(rows.queries, rows.pin_texts), rows.levels)
    _train(model, network, texts, rows, dev, chosen)
    return model


class _Texts:
    """Token ids of texts; each distinct one is tokenised once. A text of no tokens is one token of padding."""

    def __init__(self, backbone: Backbone, max_tokens: int) -> None:
        self._tokenizer = backbone.tokenizer
        self._max_tokens = max_tokens
        self._known: dict[str, Rendered] = {}
        self.padding_id = backbone.padding_id
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def __call__(self, texts: Sequence[str]) -> list[Rendered]:
        for text in set(texts) - self._known.keys():
            cut = text[: _CHARACTERS_A_TOKEN * self._max_tokens]
            found = self._tokenizer(cut, truncation=True, max_length=self._max_tokens)["input_ids"]
            ids = np.asarray(found or [self.padding_id], dtype=np.int32)
            self._known[text] = Rendered(ids, np.zeros_like(ids))
        return [self._known[text] for text in texts]


class _Network(nn.Module):
    """The backbone, and the levels' head on a cosine."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone.network
        self.head = _ProportionalOdds()
        self.width = backbone.width

    def encode(self, rows: Sequence[Rendered], texts: _Texts) -> Tensor:
        """Unit vectors float32 [n, width]: the mean of the tokens' states."""
        ids, mask, _ = collate(rows, texts.padding_id).to(texts.device)
        dtype = fast_dtype(texts.device)
        with torch.autocast(texts.device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            states = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return nn.functional.normalize((states.float() * mask.unsqueeze(-1)).sum(dim=1), dim=-1)


class _ProportionalOdds(nn.Module):
    """P(level ≤ k) = σ(threshold_k - slope · cosine), thresholds ascending."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))
        self.first = nn.Parameter(torch.zeros(()))
        self.steps = nn.Parameter(torch.zeros(len(LEVELS) - 2))  # logarithms of the steps to the next threshold

    def start_from(self, cosines: Floats, levels: npt.NDArray[np.int64]) -> None:
        """The likeliest ones for these cosines [n] and levels."""
        fitted = fit_ordinal(cosines, levels)
        slope = fitted.weights[0] / fitted.scale[0]
        thresholds = np.asarray(fitted.thresholds) + slope * fitted.mean[0]
        with torch.no_grad():
            self.slope.fill_(slope)
            self.first.fill_(float(thresholds[0]))
            self.steps.copy_(torch.from_numpy(np.log(np.diff(thresholds))))

    def forward(self, cosines: Tensor) -> Tensor:
        """Logarithms of the probabilities, [n, 5]."""
        thresholds = self.first + nn.functional.pad(self.steps.exp().cumsum(0), (1, 0))
        below = torch.sigmoid(thresholds - self.slope * cosines.unsqueeze(-1))
        edges = nn.functional.pad(nn.functional.pad(below, (1, 0)), (0, 1), value=1.0)
        return edges.diff(dim=-1).clamp(min=_LEAST).log()


class _Best(NamedTuple):
    epoch: int
    loss: float
    weights: dict[str, Tensor]


def _train(
    model: TunedBiEncoder,
    network: _Network,
    texts: _Texts,
    rows: TeacherRows,
    dev: TeacherRows,
    settings: TunedSettings,
) -> None:
    """Train `network`, which is the model's, in place; where dev can tell, leave it as it was best there."""
    steps = settings.epochs * -(-len(rows.levels) // settings.batch_size)
    optimizer = _optimizer(network, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, settings.warmup))
    best = _Best(0, model.loss(dev), _weights(network))
    with progress(steps, "bi_encoder_tuned", unit="step") as bar:
        for epoch in range(1, settings.epochs + 1):
            _epoch(network, texts, rows, optimizer, schedule, bar, (settings.seed, epoch), settings.batch_size)
            loss = model.loss(dev)
            if loss < best.loss or not dev.tell_epochs_apart:
                best = _Best(epoch, loss, _weights(network))
            elif epoch - best.epoch >= settings.patience:
                break
    network.load_state_dict(best.weights)


def _epoch(
    network: _Network,
    texts: _Texts,
    rows: TeacherRows,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    bar: tqdm[NoReturn],
    seed: tuple[int, int],
    batch_size: int,
) -> None:
    asked, shown = (texts(side) for side in _sides(rows.queries, rows.pin_texts))
    levels = torch.from_numpy(rows.levels - 1).to(texts.device)
    network.train()
    random = np.random.default_rng(seed)
    batches = batches_of_like_length([len(pin.ids) for pin in shown], batch_size, random)
    random.shuffle(batches)
    for places in batches:
        u, v = (network.encode([side[i] for i in places], texts) for side in (asked, shown))
        loss = nn.functional.nll_loss(network.head((u * v).sum(dim=-1)), levels[torch.from_numpy(places)])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        bar.update(1)


def _optimizer(network: _Network, settings: TunedSettings) -> torch.optim.AdamW:
    """No decay on biases, normalisation weights and the head."""
    weights = [weight for weight in network.backbone.parameters() if weight.requires_grad]
    groups = [
        *with_and_without_decay(weights, settings.learning_rate, settings.weight_decay),
        {"params": list(network.head.parameters()), "lr": settings.head_learning_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, fused=True)


def _rate(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate: linear up over `warmup` of the steps, then linear down to 0."""
    rising = max(1, round(warmup * steps))
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def _sides(queries: Sequence[str], pin_texts: Sequence[str | PinText]) -> tuple[list[str], list[str]]:
    """What is encoded of each pair: the query's key and the pin's plain text."""
    pairs = pair_texts(queries, pin_texts)
    return [normalise_query(pair.query) for pair in pairs], [plain_text(pair.pin) for pair in pairs]


def _weights(network: _Network) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in network.state_dict().items()}
