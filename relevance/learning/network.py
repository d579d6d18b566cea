"""The student's network: one hidden layer that is a sum of a query's, a pin's and a pair's part, then a small tower.

    query:  vector, numbers, tables    ──► projections q_k [heads, r]  and  hidden part [h]   once a request
    pin:    text, visual, graph        ──► projections p_k [heads, r]  and  hidden part [h]   can be kept with the pin
    pair:   q_k · p_k for each kind and head, pair numbers ──────────► hidden part [h]
            gelu(sum of the three) ──► gelu(h2) ──► 5 logits

Of one query's pins the projections need not be made: q_k · (W_k v) is (W_kᵀ q_k) · v, a vector a head (`one_query`).
Once trained, a pin vector's part of the hidden layer is computed in a quarter as many directions (`low_rank.py`).

The tables hold a vector for each interest and for each band of shopping intent. Where query and pin vectors come from
one encoder their projections start equal, so that each head starts as an estimate of their cosine. The vectors' own
hidden parts start small: with few labels the named numbers decide, with many the rest is learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance.features import PAIR_FEATURES, QUERY_FEATURES, Dimensions, Features

_CLIP = 5.0  # standard deviations beyond which a number says no more
_INTEREST_DIMENSION = 16
_SHOPPING_INTENT = QUERY_FEATURES.index("shopping_intent")
_HEAD_DIMENSION = 16  # entries of a query's and of a pin's projection for one head
_SHOPPING_BANDS = (0.125, 0.375, 0.625, 0.875)  # shopping intents at which the next row of its table begins
_SMALL_START = 0.1  # of the usual scale of the weights from vectors to the hidden layer


class Size(StrEnum):
    S = "S"
    M = "M"
    L = "L"


class _Widths(NamedTuple):
    heads: int
    hidden: int
    tower: int
    rank: int  # directions in which a vector adds to the hidden layer, where it has a low rank


_WIDTHS = {Size.S: _Widths(4, 64, 32, 16), Size.M: _Widths(8, 128, 64, 32), Size.L: _Widths(16, 256, 128, 64)}


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    size: Size = Size.M
    dropout: float = 0.3  # of the hidden layers, in training
    low_rank: bool = True  # a pin vector's part of the hidden layer has few directions, once trained (low_rank.py)
    layout: int = 2  # of the weights: a model of another one is trained again

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise BadInput(f"expected a dropout of 0 to below 1, found {self.dropout}")


class Inputs(NamedTuple):
    """`Features` as tensors; float32, `interests` and `query_of` int64."""

    query_vector: Tensor
    query_numbers: Tensor
    interests: Tensor
    query_of: Tensor | None  # None: query i is pair i's
    text: Tensor
    visual: Tensor
    graph: Tensor
    numbers: Tensor

    @classmethod
    def of(cls, features: Features) -> Inputs:
        return cls(*(torch.from_numpy(getattr(features, name)) for name in cls._fields))


class Side(NamedTuple):
    """What a query, or a pin, brings to every pair it is in."""

    projections: Tensor  # [rows, 3 * heads, _HEAD_DIMENSION], heads of text, of visual, of graph vectors
    hidden: Tensor  # [rows, h]


class StudentNetwork(nn.Module):
    """Logits [n, 5] of pairs. Its numbers are normalised by the buffers, which training sets once."""

    number_mean: Tensor
    number_scale: Tensor
    query_mean: Tensor
    query_scale: Tensor
    shopping_bands: Tensor

    def __init__(self, settings: NetworkSettings, dimensions: Dimensions, interests: int) -> None:
        super().__init__()
        widths = _WIDTHS[settings.size]
        pin_dimensions = dimensions[1:]
        self.register_buffer("number_mean", torch.zeros(len(PAIR_FEATURES)))
        self.register_buffer("number_scale", torch.ones(len(PAIR_FEATURES)))
        self.register_buffer("query_mean", torch.zeros(len(QUERY_FEATURES)))
        self.register_buffer("query_scale", torch.ones(len(QUERY_FEATURES)))
        self.register_buffer("shopping_bands", torch.tensor(_SHOPPING_BANDS), persistent=False)
        self.interests = nn.Embedding(interests + 1, _INTEREST_DIMENSION, padding_idx=0)
        self.shopping = nn.Embedding(len(_SHOPPING_BANDS) + 2, _INTEREST_DIMENSION)
        projected = widths.heads * _HEAD_DIMENSION
        self.own = widths.rank if settings.low_rank else widths.hidden  # of a pin vector, beside its projections
        self.query_vector = _of_vector(dimensions.query, len(pin_dimensions) * projected, widths.hidden)
        self.pin_vectors = nn.ModuleList(_of_vector(size, projected, self.own) for size in pin_dimensions)
        self.pin_hidden = (
            nn.Linear(len(pin_dimensions) * self.own, widths.hidden, bias=False) if settings.low_rank else None
        )
        _start_equal(self.query_vector.weight, self.pin_vectors.parameters(), projected)
        self.query_known = nn.Linear(len(QUERY_FEATURES) + 2 * _INTEREST_DIMENSION, widths.hidden)
        similarities = len(pin_dimensions) * widths.heads
        self.pair_hidden = nn.Linear(similarities + len(PAIR_FEATURES), widths.hidden, bias=False)
        self.tower = nn.Linear(widths.hidden, widths.tower)
        self.logits = nn.Linear(widths.tower, len(LEVELS))
        self._dropout = settings.dropout

    def forward(self, inputs: Inputs, dtype: torch.dtype = torch.float32) -> Tensor:
        """[n, 5]; vectors are multiplied in `dtype`."""
        query = self.query_side(inputs.query_vector, inputs.query_numbers, inputs.interests, dtype)
        pins = self.pin_side(inputs.text, inputs.visual, inputs.graph, dtype)
        if inputs.query_of is not None:
            query = Side(*(one.index_select(0, inputs.query_of) for one in query))
        return self.pairs(query, pins, inputs.numbers)

    def one_query(self, inputs: Inputs) -> Tensor:
        """As `forward`, [n, 5], where one query is every pair's: less than half the products, equal up to rounding."""
        query = self.query_side(inputs.query_vector, inputs.query_numbers, inputs.interests)
        vectors, kinds = (inputs.text, inputs.visual, inputs.graph), len(self.pin_vectors)
        of_kinds = query.projections.reshape(kinds, -1, 1, _HEAD_DIMENSION)
        similarities, own = [], []
        for projections, weight, rows in zip(of_kinds, self.pin_vectors.parameters(), vectors, strict=True):
            projected = weight[: -self.own].reshape(len(projections), _HEAD_DIMENSION, -1)
            heads = torch.bmm(projections, projected)[:, 0]
            made = functional.linear(rows, torch.cat([heads, weight[-self.own :]]))
            similarities.append(made[:, : len(heads)])
            own.append(made[:, len(heads) :])
        return self._logits(torch.cat(similarities, dim=1), query.hidden + self._of_pins(own), inputs.numbers)

    def query_side(
        self, vector: Tensor, numbers: Tensor, interests: Tensor, dtype: torch.dtype = torch.float32
    ) -> Side:
        """Of q queries."""
        normalised = _normalised(numbers, self.query_mean, self.query_scale)
        known = torch.cat([normalised, self._interests(interests), self._shopping(numbers, interests)], dim=1)
        projected, hidden = _parted(self.query_vector.weight, vector, self.query_known.out_features, dtype)
        return Side(_heads(projected), hidden + self.query_known(known))

    def _interests(self, interests: Tensor) -> Tensor:
        """The mean of the known ones' rows; zeros where there is none."""
        known = (interests > 0).sum(dim=1, keepdim=True).clamp(min=1)
        mean: Tensor = self.interests(interests).sum(dim=1) / known
        return mean

    def _shopping(self, numbers: Tensor, interests: Tensor) -> Tensor:
        """The row of the shopping intent's band; row 0 is of queries of which neither it nor an interest is known."""
        intent = numbers[:, _SHOPPING_INTENT]
        known = (intent > 0) | (interests > 0).any(dim=1)
        row: Tensor = self.shopping(known * (1 + (intent[:, None] >= self.shopping_bands).sum(dim=1)))
        return row

    def pin_side(self, text: Tensor, visual: Tensor, graph: Tensor, dtype: torch.dtype = torch.float32) -> Side:
        """Of n pins; nothing in it depends on the query."""
        vectors = (text, visual, graph)
        weights = self.pin_vectors.parameters()  # each layer has one
        made = [_parted(weight, rows, self.own, dtype) for weight, rows in zip(weights, vectors, strict=True)]
        projections = _heads(torch.cat([projected for projected, _ in made], dim=1))
        return Side(projections, self._of_pins([own for _, own in made]))

    def _of_pins(self, own: Sequence[Tensor]) -> Tensor:
        """The hidden part of pins; [n, h]. `own` is what each of their vectors brings to it, [n, self.own]."""
        if self.pin_hidden is not None:
            hidden: Tensor = self.pin_hidden(torch.cat(list(own), dim=1))
            return hidden
        of_text, of_visual, of_graph = own
        return of_text + of_visual + of_graph

    def pairs(self, query: Side, pins: Side, numbers: Tensor) -> Tensor:
        """Logits of n pairs; `query` has one row, or one a pair."""
        similarities = (query.projections * pins.projections).sum(dim=2)
        return self._logits(similarities, query.hidden + pins.hidden, numbers)

    def _logits(self, similarities: Tensor, sides: Tensor, numbers: Tensor) -> Tensor:
        """Of the similarities by kind and head, and the sum of the two sides' hidden parts."""
        known = _normalised(numbers, self.number_mean, self.number_scale)
        hidden = sides + self.pair_hidden(torch.cat([similarities, known], dim=1))
        tower = self.tower(self._dropped(functional.gelu(hidden)))
        logits: Tensor = self.logits(self._dropped(functional.gelu(tower)))
        return logits

    def _dropped(self, values: Tensor) -> Tensor:
        """Dropout at a rate in 256ths; a draw decides eight entries. (nn.Dropout takes a sixth of a step on a CPU.)"""
        below = min(255, round(256 * self._dropout))
        if not self.training or not below:
            return values
        draws = torch.empty(-(-values.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[: values.numel()].view_as(values) >= below
        return values * (kept * (256 / (256 - below)))


def _parted(weight: Tensor, rows: Tensor, own: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A vector's projections and its own part; float32, whatever they are multiplied in."""
    made = functional.linear(rows.to(dtype), weight.to(dtype)).float()
    projected, hidden = torch.split(made, [made.shape[1] - own, own], dim=1)
    return projected, hidden


def _of_vector(dimension: int, projected: int, own: int) -> nn.Linear:
    """A vector's projections, and after them its own part; `dimension` may be 0: the catalogue has no such vector.

    Projections are scaled so that a head's product of two unit vectors is their cosine in expectation.
    """
    layer = nn.Linear(max(1, dimension), projected + own, bias=False)
    if not dimension:
        layer.in_features, layer.weight = 0, nn.Parameter(torch.empty(projected + own, 0))
        return layer
    nn.init.normal_(layer.weight[:projected], std=_HEAD_DIMENSION**-0.5)
    with torch.no_grad():
        layer.weight[projected:] *= _SMALL_START
    return layer


@torch.no_grad()
def _start_equal(query: Tensor, pins: Iterable[Tensor], projected: int) -> None:
    """Weights of pin vectors that may be the query encoder's start with the query's projections."""
    for kind, weight in enumerate(pins):
        if weight.shape[1] == query.shape[1]:
            weight[:projected] = query[kind * projected : (kind + 1) * projected]


def _heads(projected: Tensor) -> Tensor:
    return projected.reshape(-1, projected.shape[1] // _HEAD_DIMENSION, _HEAD_DIMENSION)  # len(): a constant in ONNX


def _normalised(values: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return ((values - mean) / scale).clamp(-_CLIP, _CLIP)
