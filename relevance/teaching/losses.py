"""The teacher's last layer and its loss: five free logits, or one score and four thresholds between ordered levels.

Pure. Whichever it is, the network gives five numbers a pair whose softmax is the probabilities of levels 1..5 (of an
ordinal layer they are log-probabilities), so predicting, calibration and the dev loss do not tell them apart.

    cross-entropy     five logits; cross-entropy
    coral             P(level > k) = σ(f - θ_k); the sum over k of four binary cross-entropies (CORAL: Cao, Mirjalili &
                      Raschka 2020, arXiv 1901.07884)
    cumulative-link   the same layer; cross-entropy of the five probabilities (proportional odds: McCullagh 1980)

CORAL leaves the thresholds free and proves that they end in order; here they are put in order, in both, so that what
lies between two of them is a probability at every step. Targets are probabilities, so votes work with each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from enrich.tables import LEVELS
from relevance.teaching.choices import Loss

_LEAST_STEP = 1e-4  # between two thresholds, or the level between them would have probability 0 and no gradient


class OrderedLevels(nn.Module):
    """One score f and four thresholds θ: P(level ≤ k) = σ(θ_k - f). At the start no level is likelier at f = 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        self.thresholds = nn.Parameter(torch.logit(torch.arange(1, len(LEVELS)) / len(LEVELS)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Log-probabilities [pairs, 5] of inputs [pairs, width]."""
        thresholds = self.thresholds.sort().values
        below = thresholds - self.score(inputs)  # [pairs, 4]
        reached = nn.functional.logsigmoid(torch.cat([below, torch.full_like(below[:, :1], torch.inf)], dim=1))
        passed = nn.functional.logsigmoid(torch.cat([torch.full_like(below[:, :1], torch.inf), -below], dim=1))
        # σ(a) - σ(b) = σ(a) σ(-b) (1 - exp(b - a))
        between = torch.log(-torch.expm1(-thresholds.diff().clamp(min=_LEAST_STEP)))
        return reached + passed + nn.functional.pad(between, (1, 1))


def last_layer(loss: Loss, width: int) -> nn.Module:
    """From the last hidden layer to five numbers a pair."""
    return nn.Linear(width, len(LEVELS)) if loss is Loss.CROSS_ENTROPY else OrderedLevels(width)


def loss_of(loss: Loss, logits: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of logits [pairs, 5] given target probabilities [pairs, 5]."""
    return _coral(logits, targets) if loss is Loss.CORAL else nn.functional.cross_entropy(logits, targets)


def divergence_of_halves(logits: Tensor) -> Tensor:
    """R-drop's term (Liang et al. 2021, arXiv 2106.14448): the mean of both KL divergences between the halves.

    Logits [2 x pairs, 5]: the same pairs twice, passed through the network twice with other dropout. The paper adds α
    times this to the sum of both passes' cross-entropies, the authors' published usage to their mean,
    as we do: our weight is half the α of the formula.
    """
    first, second = logits.log_softmax(-1).chunk(2)
    one_way = nn.functional.kl_div(first, second, reduction="batchmean", log_target=True)
    other_way = nn.functional.kl_div(second, first, reduction="batchmean", log_target=True)
    return (one_way + other_way) / 2


def _coral(logits: Tensor, targets: Tensor) -> Tensor:
    """Σ_k of the binary cross-entropies of "level > k"; both sides' probabilities are sums over levels."""
    levels = logits.log_softmax(-1)
    at_most = levels.logcumsumexp(-1)[:, :-1]
    above = levels.flip(-1).logcumsumexp(-1).flip(-1)[:, 1:]
    wanted = targets.flip(-1).cumsum(-1).flip(-1)[:, 1:]
    return -(wanted * above + (1 - wanted) * at_most).sum(1).mean()
