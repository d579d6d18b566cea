"""The pairs' counts and the engaged queries as one writes them at first in Polars and in pandas.

`largest` runs them on ever larger logs (a folder of parquet a day each), each in a process of its own that is ended at
the memory limit. No position bias and no languages: what they leave out is to their favour.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path

WEIGHTS = {"click": 1.0, "long_click": 2.0, "save": 4.0, "hide": -2.0, "impression": 0.0}
USERS, QUERIES = 5, 20
_SECONDS = 240.0  # for one size
_LOOK_SECONDS = 0.05


def largest(library: str, folders: Sequence[Path], limit_gb: float) -> str:
    """Rows and seconds of the largest log that `library` survives, and what ended it on the next; as one line."""
    said = "none survived"
    for folder in folders:
        seconds, ended = _run(library, folder, limit_gb)
        if ended:
            return f"{said}; at {int(folder.name):,} rows {ended}"
        said = f"{int(folder.name):,} rows in {seconds:.2f} s"
    return said


def _run(library: str, folder: Path, limit_gb: float) -> tuple[float, str | None]:
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(library, folder))
    start = time.perf_counter()
    process.start()
    ended: str | None = None
    while process.is_alive() and ended is None:
        if _resident_gb(process.pid) > limit_gb:
            ended = f"it passed {limit_gb:g} GB"
        elif time.perf_counter() - start > _SECONDS:
            ended = f"it took more than {_SECONDS:.0f} s"
        else:
            process.join(_LOOK_SECONDS)
    if ended:
        process.kill()
    process.join()
    seconds = time.perf_counter() - start
    return seconds, ended or (f"it ended with {process.exitcode}" if process.exitcode else None)


def _work(library: str, folder: Path) -> None:
    (_polars if library == "polars" else _pandas)(folder)


def _polars(folder: Path) -> None:
    import polars as pl

    columns = ["query", "pin_id", "event", "user_hash"]
    log = pl.scan_parquet(f"{folder}/*/*.parquet").select(columns).collect()
    events = [(pl.col("event") == event).sum().alias(event) for event in WEIGHTS]
    log.group_by("query", "pin_id").agg(events)
    issued = log.group_by("query").agg(pl.col("user_hash").n_unique()).filter(pl.col("user_hash") >= USERS)
    scored = log.with_columns(score=pl.col("event").replace_strict(WEIGHTS, return_dtype=pl.Float64))
    pairs = scored.group_by("pin_id", "query").agg(pl.col("score").sum()).filter(pl.col("score") > 0)
    kept = pairs.join(issued, on="query", how="semi").sort("pin_id", "score", descending=[False, True])
    kept.group_by("pin_id", maintain_order=True).agg(pl.col("query", "score").head(QUERIES))


def _pandas(folder: Path) -> None:
    import pandas as pd

    files = sorted(folder.glob("*/*.parquet"))
    log = pd.concat(
        [pd.read_parquet(file, columns=["query", "pin_id", "event", "user_hash"], partitioning=None) for file in files],
        ignore_index=True,
    )
    log.groupby(["query", "pin_id", "event"]).size().unstack(fill_value=0)
    issued = log.groupby("query")["user_hash"].nunique()
    log["score"] = log["event"].map(WEIGHTS)
    pairs = log.groupby(["pin_id", "query"])["score"].sum().reset_index()
    pairs = pairs[(pairs["score"] > 0) & pairs["query"].isin(issued[issued >= USERS].index)]
    best = pairs.sort_values(["pin_id", "score"], ascending=[True, False]).groupby("pin_id").head(QUERIES)
    best.groupby("pin_id")["query"].agg(list)


def _resident_gb(pid: int | None) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has just ended
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9
