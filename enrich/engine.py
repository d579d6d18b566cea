"""Where work is done: the names of `--engine`, in a module that loads nothing, so that the commands can offer them."""

from __future__ import annotations

from enum import StrEnum


class Engine(StrEnum):
    """Of pages and pairs, each a piece of work of its own."""

    LOCAL = "local"  # this process, and its device
    RAY = "ray"  # workers of a Ray cluster (RAY_ADDRESS)


class LogEngine(StrEnum):
    """Of the log and the saves, aggregated whole (`backends.py`)."""

    LOCAL = "local"  # DuckDB in this process
    SPARK = "spark"  # by its own configuration
