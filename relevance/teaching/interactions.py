"""Which words of the query a pin answers: each query token's best match among the tokens of each of the pin's fields.

A small module of the teacher's network; its output goes into the head beside the states of the whole sequence. A
cross-encoder learns from a few thousand pairs what they are about, hardly which single word is missing ("a green
ceramic vase" for "red vase"); here that is read off. Similarities of tokens, from words alone and in their context, are
what KNRM (Xiong et al. 2017) and CEDR (MacAvaney et al. 2019) add to a ranker; the best match of each query token is
ColBERT's (Khattab and Zaharia 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relevance.text import Segment

_SOURCES = 3  # of similarities: words, words nearly equal, states
_SUMMARIES = 3  # of a query's tokens: their mean, the least, the mean by importance
_NEARLY_EQUAL = 0.1  # width of the kernel around cosine 1: that of KNRM's soft matches (its exact ones have .001)
_SCALE = 4.0  # of the outputs, so that they stand beside states of length √d


class TokenInteractions(nn.Module):
    """Best matches of the query's tokens, summed up; `size` numbers a pair."""

    def __init__(self, width: int, fields: int) -> None:
        super().__init__()
        self.importance = nn.Linear(width, 1)
        self.size = _SOURCES * (fields + 1) * _SUMMARIES
        self._fields = fields

    def forward(self, words: Tensor, states: Tensor, segments: Tensor) -> Tensor:
        """Float32 [pairs, size] of word embeddings and last states [pairs, tokens, d]; 0 where query or field is empty.

        `segments` [pairs, tokens] says what each token belongs to (`Segment`).
        """
        asked = segments == Segment.QUERY
        places = asked.any(0).nonzero().flatten()
        if not len(places):
            return states.new_zeros(len(states), self.size)
        query = slice(int(places[0]), int(places[-1]) + 1)
        asked = asked[:, query]
        importance = self.importance(states[:, query]).squeeze(-1).masked_fill(~asked, -1e4).softmax(1)
        of_words, of_states = _cosines(words, query), _cosines(states, query)
        summaries: list[Tensor] = []
        for members in [segments >= Segment.FIELD, *(segments == Segment.FIELD + i for i in range(self._fields))]:
            word, state = _best_match(of_words, members), _best_match(of_states, members)
            there = members.any(1, keepdim=True)
            equal = torch.exp(-((word - 1) ** 2) / (2 * _NEARLY_EQUAL**2))
            for best in (word, equal, state):
                summaries += _summed_up(best * there, asked, importance)
        return _SCALE * torch.stack(summaries, dim=1) * asked.any(1, keepdim=True)


def _cosines(tokens: Tensor, query: slice) -> Tensor:
    """Of each query token with every token, [pairs, query tokens, tokens]."""
    directions = nn.functional.normalize(tokens, dim=-1)
    return directions[:, query] @ directions.transpose(1, 2)


def _best_match(cosines: Tensor, members: Tensor) -> Tensor:
    """Each query token's greatest cosine with a member, [pairs, query tokens]; -1 where there is no member."""
    return cosines.masked_fill(~members[:, None, :], -1.0).amax(-1)


def _summed_up(best: Tensor, asked: Tensor, importance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[pairs] each: the mean over the query's tokens, the least of them, the mean by importance."""
    count = asked.sum(1).clamp(min=1)
    return (
        (best * asked).sum(1) / count,
        best.masked_fill(~asked, 1.0).amin(1),
        (best * importance).sum(1),
    )
