"""The pairs labelled by workers of a Ray cluster, each with a teacher of its own: `relevance label --engine ray`.

The same functions as here (worker.py): a worker is given some parts of the sample, joins their texts, asks its
teacher and writes the parts. It must see the workspace under the same path. A worker that dies is started again and
its parts are done anew; when the driver dies its workers end, and the next run does what they had not written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from enrich import ray_cluster
from enrich.errors import CorkboardError
from relevance.labelling.sample import SamplePart
from relevance.labelling.worker import Done, Labelling, LabelSettings, Worker, tasks_of

_RETRIES = 3  # of a worker, and of a task whose worker died


def run_on_ray(job: Labelling, todo: Sequence[SamplePart], settings: LabelSettings) -> Iterator[Done]:
    """What became of some parts after others, as they get done, on the cluster of RAY_ADDRESS, else on this machine's.

    Raises BadInput without Ray, or where the cluster has not the GPUs that one worker is to have; CorkboardError when
    workers die again and again.
    """
    number, gpus = ray_cluster.workers(settings.workers, settings.gpus)
    tasks, ray = tasks_of(todo, settings.pairs_a_frame, number), ray_cluster.connected()
    options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": _RETRIES, "max_task_retries": _RETRIES}
    remote = ray.remote(**options)(Worker)
    idle = [remote.remote(job) for _ in range(min(number, len(tasks)))]
    workers, waiting, running = list(idle), list(reversed(tasks)), dict[Any, Any]()
    try:
        while waiting or running:
            while waiting and idle:
                worker = idle.pop()
                running[worker.label.remote(waiting.pop())] = worker
            ready, _ = ray.wait(list(running), num_returns=1)
            done: Done = ray.get(ready[0])
            idle.append(running.pop(ready[0]))
            yield done
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from error
    except ray.exceptions.RayActorError as error:
        why = str(error).partition("\n")[0]
        raise CorkboardError(
            f"expected workers that live, found one that died {_RETRIES + 1} times ({why}); look into Ray's logs, "
            "leave each worker more memory (fewer --workers), and run this again to go on where it was"
        ) from error
    finally:
        for worker in workers:
            ray.kill(worker)
