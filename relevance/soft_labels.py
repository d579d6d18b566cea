"""Asks the teacher about unlabelled pairs and keeps its answers: the soft labels that the student learns from.

Reads a sample of pairs (labelling/sample.py), a part at a time, and their texts; appends to the table soft_label
(`relevance label`), or to another folder of that table, such as a fold's. Each part of the sample becomes one part of
the table, named for the teacher, the sample and the part's number, and appears whole: what is done is seen by the
names, a killed run goes on with the parts that are missing, and a part that two workers made is there once. Pairs that
the teacher labelled for another sample are left out; those that failed then are asked about again. What is done of a
part, labelling/worker.py says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from enrich import parts
from enrich.engine import Engine
from enrich.job import JobReport
from enrich.progress import progress
from enrich.tables import SOFT_LABEL
from relevance.ahead import made_ahead
from relevance.labelling.labelled_pairs import known_of, write_known
from relevance.labelling.sample import SamplePart, SoftSample
from relevance.labelling.worker import (
    Done,
    Labelling,
    LabelSettings,
    SoftTeacher,
    Texts,
    Worker,
    part_name,
    tasks_of,
    with_texts,
)


def label(
    sample: SoftSample,
    load: Callable[[], SoftTeacher],
    producer: str,
    texts: Texts,
    into: Path,
    settings: LabelSettings | None = None,
) -> JobReport:
    """Label the pairs of the sample that the teacher `producer`, which `load` gives, has not labelled yet.

    `texts` gives a batch of pairs its teacher_v1 columns, in the same order; `into` is the table's folder. On Ray both
    functions are sent to the workers, which must see the workspace under the same path. Raises BadInput when the frame
    of texts is not the batch's, and for Ray where it is not installed or has too few GPUs.
    """
    chosen = settings or LabelSettings()
    parts.create(into, SOFT_LABEL)
    name = f"{producer.rpartition('@')[2]}-{sample.made_from[:12]}"
    todo = [part for part in sample.parts if not _path(into, name, part).is_file()]
    known = write_known(sample, into, producer, name) if todo else None
    fresh = sample.pairs - sum(part.rows for part in todo)
    fresh += sum(known_of(known, part.number).height for part in todo) if known else 0
    made, failed = 0, Counter[str]()
    with progress(sum(part.rows for part in todo), "label", unit="pair") as bar:
        for done in _run(Labelling(load, texts, into, name, known), todo, chosen):
            made += done.made
            failed += done.failed
            bar.update(done.pairs)
    return JobReport(SOFT_LABEL.name, fresh, made, failed)


def _run(job: Labelling, todo: Sequence[SamplePart], settings: LabelSettings) -> Iterator[Done]:
    if settings.engine is Engine.RAY and todo:
        from relevance.labelling.on_ray import run_on_ray  # Ray is an extra, and loads for seconds

        return run_on_ray(job, todo, settings)
    return _run_here(job, tasks_of(todo, settings.pairs_a_frame))


def _run_here(job: Labelling, tasks: Sequence[list[SamplePart]]) -> Iterator[Done]:
    """The next task's texts are joined while the teacher reads this one's."""
    if not tasks:
        return
    worker = Worker(job)
    for frames in made_ahead(with_texts(job, task) for task in tasks):
        for frame in frames:
            yield worker.score([frame])


def _path(folder: Path, run: str, part: SamplePart) -> Path:
    return folder / f"part-{part_name(run, part)}.parquet"
