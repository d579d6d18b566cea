"""A trained network in which a pin's vectors add to the hidden layer in few directions: of one query's pins a third to
a half of the products are left.

A vector v adds A v, A [h, d]. Over the vectors of the training rows A v varies much in some directions and hardly in
the rest: with U [h, r] the leading eigenvectors of its second moments, U (Uᵀ A v) loses the least of it in mean square
that a matrix of rank r can (reduced-rank regression of A v on v; Izenman 1975). Calibration and every figure come after
it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from enrich.errors import BadInput
from relevance.learning.network import Inputs, StudentNetwork
from relevance.learning.packed import Packed

_ROWS, _AT_ONCE = 32_768, 4_096  # at most as many training rows are looked at, evenly through all of them


@torch.no_grad()
def low_rank(trained: StudentNetwork, into: StudentNetwork, packed: Packed) -> StudentNetwork:
    """`into`, a network of fewer directions, with the weights of `trained`, which has them all; `packed` is what it was
    trained on.
    """
    weights, ups = trained.state_dict(), []
    for kind, directions in enumerate(_directions(trained, packed, into.own)):
        name = f"pin_vectors.{kind}.weight"
        projected, own = weights[name][: -trained.own], weights[name][-trained.own :]
        weights[name] = torch.cat([projected, directions.T @ own])
        ups.append(directions)
    into.load_state_dict(weights | {"pin_hidden.weight": torch.cat(ups, dim=1)})
    return into.eval()


def _directions(trained: StudentNetwork, packed: Packed, rank: int) -> list[Tensor]:
    """Of text, visual and graph vectors the directions that A v varies in most; each [h, rank], orthonormal."""
    moments = [torch.zeros(trained.own, trained.own, dtype=torch.float64) for _ in trained.pin_vectors]
    rows = np.unique(np.linspace(0, len(packed) - 1, min(_ROWS, len(packed)), dtype=np.int64))
    for first in range(0, len(rows), _AT_ONCE):
        inputs = Inputs.of(packed.choose(rows[first : first + _AT_ONCE]).features)
        packed.forget()
        vectors = (inputs.text, inputs.visual, inputs.graph)
        for moment, weight, values in zip(moments, trained.pin_vectors.parameters(), vectors, strict=True):
            added = (values @ weight[-trained.own :].T).double()
            moment += added.T @ added
    if not all(moment.isfinite().all() for moment in moments):
        raise BadInput("expected finite weights after training, found a run that diverged; lower its learning rate")
    return [torch.linalg.eigh(moment).eigenvectors[:, -rank:].float() for moment in moments]
