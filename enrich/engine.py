"""Where a step's pieces of work are done; a module that loads nothing, so that the command line can offer the names."""

from __future__ import annotations

from enum import StrEnum


class Engine(StrEnum):
    LOCAL = "local"  # this process, and its device
    RAY = "ray"  # workers of a Ray cluster (RAY_ADDRESS)
