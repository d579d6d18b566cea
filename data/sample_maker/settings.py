"""How large the sample catalogue is, and which world it shows."""

from __future__ import annotations

from dataclasses import dataclass

from enrich.errors import BadInput


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How much of everything, per pin; `seed` names the world."""

    seed: int = 2024
    pins: int = 1_400
    image_size: int = 96  # pixels a side
    boards_per_pin: float = 0.26
    users_per_pin: float = 2.15
    queries_per_pin: float = 1.3
    judged_per_pin: float = 0.312  # queries that are judged
    searches_per_pin: float = 9.0
    experiment_sessions_per_pin: float = 0.6

    def __post_init__(self) -> None:
        if self.pins < 20:
            raise BadInput(f"expected --pins of at least 20, found {self.pins}; a smaller world has no queries")
        if self.seed < 0:
            raise BadInput(f"expected a --seed of 0 or more, found {self.seed}; name another")

    def number(self, per_pin: float) -> int:
        return max(1, round(self.pins * per_pin))
