"""The graph vectors: recall of held-out saves against the text vector alone, and 10 million edges on two cores.

    python -m benchmarks.graph [--workspace W] [--small] [--json]

Recall: of a workspace (default: the sample, imported and embedded in build/graph) every fifth save of a board with four
pins or more is held out. A board is the mean of its remaining pins' vectors; all pins but these are ranked by their
cosine with it, and recall is the share of held-out pins in the first ten. The graph vectors are pooled without the
held-out saves. Scale: boards of a long-tailed size, 10 million saves of 1 million pins with vectors of 64 entries,
pooled by the same function; time, pins/s and the most memory that was held. `ratio` is recall by recall.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from benchmarks._report import Mark, Report, finish, peak_mb
from enrich import parts
from enrich.embeddings import EmbeddingSettings, run_embeddings
from enrich.history import History
from enrich.importance_pooling import Pooling, Vectors, pool
from enrich.importers import import_catalogue
from enrich.tables import PIN_TEXT_EMBEDDING
from enrich.texts import run_texts
from enrich.workspace import REPOSITORY, Workspace

FIRST, LEAST, EVERY = 10, 4, 5
EDGES, PINS, BOARDS, DIMENSION = 10_000_000, 1_000_000, 250_000, 64


def sample_workspace() -> Workspace:
    workspace = Workspace.at(REPOSITORY / "build" / "graph")
    import_catalogue("sample", REPOSITORY / "data" / "sample", workspace)
    run_texts(workspace)
    run_embeddings(workspace, EmbeddingSettings())
    return workspace


def recalls(workspace: Workspace) -> dict[str, float]:
    """Recall of held-out saves in the first ten by the text vectors, by the graph vectors, and by both together."""
    saves = History(workspace).saves().select("board_id", "pin_id").to_polars().sort("board_id", "pin_id")
    latest = parts.latest(workspace.folder(PIN_TEXT_EMBEDDING), PIN_TEXT_EMBEDDING)
    known = latest.filter(pl.col("text_embedding").is_not_null()).sort("pin_id")
    saves = saves.join(known.select("pin_id"), on="pin_id", how="semi").sort("board_id", "pin_id")
    big = pl.len().over("board_id") >= LEAST
    held = saves.with_columns(held=big & (pl.int_range(pl.len()).over("board_id") % EVERY == EVERY - 2))
    boards = held["board_id"].unique().sort()
    pin = np.asarray(known["pin_id"].search_sorted(held["pin_id"]).to_numpy())
    board = np.asarray(boards.search_sorted(held["board_id"]).to_numpy())
    out = held["held"].to_numpy()
    holds = _matrix(pin[~out], board[~out], (known.height, len(boards)))
    away = _matrix(pin[out], board[out], holds.shape)
    text = np.stack(known["text_embedding"].to_list()).astype(np.float32)
    pooled = pool(holds, text, Pooling())
    ways = {"text": text, "graph": pooled, "both": np.hstack([text, pooled])}
    return {name: _recall(vectors, holds, away) for name, vectors in ways.items()}


def _matrix(pins: NDArray[np.int64], boards: NDArray[np.int64], shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(pins)), (pins, boards)), shape=shape)


def _recall(vectors: Vectors, holds: sparse.csr_array, away: sparse.csr_array) -> float:
    asked = np.flatnonzero(np.asarray(away.sum(axis=0)).ravel())
    found = 0.0
    holds, away = holds.tocsc(), away.tocsc()
    for board in asked:
        inside = holds.indices[holds.indptr[board] : holds.indptr[board + 1]]
        wanted = away.indices[away.indptr[board] : away.indptr[board + 1]]
        cosines = vectors @ vectors[inside].mean(axis=0)
        cosines[inside] = -np.inf
        first = np.argpartition(-cosines, FIRST)[:FIRST]
        found += np.isin(wanted, first).sum()
    return float(found / away.sum())


def long_tailed(edges: int, pins: int, boards: int, seed: int = 5) -> sparse.csr_array:
    """Saves whose pins and boards are drawn with P(rank) about 1 / rank ** 0.3; no board holds a pin twice."""
    random = np.random.default_rng(seed)
    pin = (random.random(edges) ** (1 / 0.7) * pins).astype(np.int64)
    board = (random.random(edges) ** (1 / 0.7) * boards).astype(np.int64)
    holds = _matrix(random.permutation(pins)[pin], random.permutation(boards)[board], (pins, boards))
    holds.sum_duplicates()
    holds.data[:] = 1.0
    return holds


def main() -> int:
    """Both, the graph of 10 million edges last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--small", action="store_true", help="a hundredth of the edges")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    workspace = Workspace.open(options.workspace) if options.workspace else sample_workspace()
    report = Report("graph", f"recall@{FIRST} of held-out saves, graph against text", ("numpy", "scipy", "polars"))
    found = recalls(workspace)
    report.compare(found["graph"], found["text"])
    report.figures |= {f"recall@{FIRST}, {name}": recall for name, recall in found.items()}
    report.marks.append(Mark("graph by text", found["graph"] / found["text"], ">= 1"))
    share = 100 if options.small else 1
    holds = long_tailed(EDGES // share, PINS // share, BOARDS // share)
    own = np.random.default_rng(1).standard_normal((PINS // share, DIMENSION)).astype(np.float32)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    start = time.perf_counter()
    pool(holds, own, Pooling())
    seconds = time.perf_counter() - start
    report.figures |= {"edges": holds.nnz, "seconds": seconds, "pins/s": holds.shape[0] / seconds}
    report.figures["peak, MB"] = peak_mb()
    return finish(report, options.json)


if __name__ == "__main__":
    sys.exit(main())
