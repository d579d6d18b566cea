"""Pictures described by the workers of a Ray cluster, each with a captioner of its own: `enrich captions --engine ray`.

The same functions as here (working.py), as Ray Data runs them: the pictures as a dataset, `map_batches` over actors
that hold the model, each on its share of the GPUs. What they make comes back to this process, which writes it. A worker
must see local pictures and the model under the same paths; one that dies is started again and its pictures are
described anew; when the driver dies its workers end, and the next run describes what was not written.

Each worker fetches by itself what lies on the web, and any host's pictures may come to it: so it waits as many times as
long between two requests to a host as there are workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from enrich import ray_cluster
from enrich.captioner import Captioner
from enrich.captioning import working
from enrich.captioning.working import Work

if TYPE_CHECKING:
    import pyarrow as pa
    import torch


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a run takes of the cluster."""

    workers: int
    gpus: float  # of each worker
    device: torch.device  # of each worker

    def describe(self, work: Work, wanted: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """As `working.describe`, by the cluster's workers; in no order."""
        if wanted.is_empty():
            return
        import ray
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False  # the job's own says more
        blocks = [some.to_arrow() for some in wanted.iter_slices(work.read_at_once)]
        workers = min(self.workers, len(blocks))
        shared = replace(work, fetch=replace(work.fetch, sharers=workers))
        made: Any = ray.data.from_arrow(blocks).map_batches(
            _Worker,
            fn_constructor_args=(shared,),
            batch_format="pyarrow",
            batch_size=work.read_at_once,
            concurrency=workers,
            num_cpus=1,
            num_gpus=self.gpus,
        )
        try:
            for batch in made.iter_batches(batch_size=None, batch_format="pyarrow"):
                rows = pl.DataFrame(pl.from_arrow(batch))
                yield rows.select(pl.col(name).cast(kind) for name, kind in working.SCHEMA.items())
        except ray.exceptions.RayError as error:
            raise ray_cluster.as_ours(error) from None  # it is the cause already


class _Worker:
    """One actor, with what it fetches by, which remembers what hosts asked for, and its captioner, loaded at its first
    pictures, for what an actor raises as it is made is mere text.
    """

    def __init__(self, work: Work) -> None:
        self._work, self._web = work, work.web()
        self._captioner: Captioner | None = None

    def __call__(self, wanted: pa.Table) -> Iterator[pa.Table]:
        self._captioner = self._captioner or self._work.captioner()
        pictures = pl.DataFrame(pl.from_arrow(wanted))
        for made in working.describe(self._work, pictures, self._captioner, web=self._web):
            yield made.to_arrow()


def cluster(workers: int | None, gpus: float | None) -> Cluster:
    """The cluster of RAY_ADDRESS, else one of this machine, and what each of the workers gets of it.

    Raises BadInput without Ray, or where it has not the GPUs that one worker is to have.
    """
    import torch

    number, share = ray_cluster.workers(workers, gpus)
    return Cluster(number, share, torch.device("cuda" if share else "cpu"))
