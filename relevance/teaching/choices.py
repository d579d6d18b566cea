"""What a teacher may be taught with, by name; a module without torch, so that the command line can offer the names."""

from __future__ import annotations

from enum import StrEnum


class Loss(StrEnum):
    """What the last layer says of the five levels, and what training lessens (losses.py)."""

    CROSS_ENTROPY = "cross-entropy"
    CORAL = "coral"
    CUMULATIVE_LINK = "cumulative-link"


class Adapter(StrEnum):
    """Which of the backbone's weights are taught (adapters.py).

    NONE: all. LORA: low-rank additions to its projections alone. QLORA: those, over a backbone held in 4 bits.
    """

    NONE = "none"
    LORA = "lora"
    QLORA = "qlora"


class Targets(StrEnum):
    """What the loss aims at: the gold level, or half that and half the annotators' votes."""

    LEVEL = "level"
    VOTES = "votes"
