"""What a larger student is worth and what it costs: sizes S, M and L on one's own workspace, accuracy against latency.

    python -m benchmarks.student_sizes [W] [--folds 1] [--json]

W holds trained models (`relevance run`). Each size, and the student of human labels that has a say in its labels,
learns from the same rows as the student there and is asked about queries that it never saw; then 1,000 pairs are
scored again and again, network alone and features with it. A mark: the default size takes at most 10 ms for both,
which is what a whole answer may take. Ours is the default size's pairs a second, the rival's the largest one's.
Models stay beside the student as `student_size_s`, ..., so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmarks._own_workspace import difference_told, figures_told, workspace_argument
from benchmarks._report import Mark, Report, finish, percentile
from enrich.errors import BadInput
from enrich.workspace import Workspace
from relevance.evaluation import Versus, evaluate
from relevance.framing.judged import of_queries
from relevance.judging.figures import Evaluation, Measure
from relevance.judging.predictions import Predictor
from relevance.learning.inputs import StudentInputs, student_inputs
from relevance.learning.network import NetworkSettings, Size
from relevance.pin_rows import take
from relevance.pipeline import Pipeline, RunSettings
from relevance.plan import PlanSettings
from relevance.student import Student, StudentSettings

PACKAGES = ("torch", "numpy")
PAIRS, CALLS, LIMIT_MS = 1_000, 200, 10.0
MEASURES = (Measure.ACCURACY, Measure.AUROC_4, Measure.KAPPA, Measure.NDCG)


class Cost(NamedTuple):
    """Of 1,000 pairs, ms."""

    weights: int
    network: float  # p50
    whole: float  # p50, features computed too


def main() -> int:
    parser = argparse.ArgumentParser(description="Sizes of the student: accuracy against latency.")
    workspace_argument(parser)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the JSON line, too")
    flags = parser.parse_args()
    try:
        found, costs = measured(Workspace.open(flags.workspace), PlanSettings(folds=flags.folds))
    except BadInput as error:
        sys.exit(str(error))
    return finish(reported(found, costs), flags.json)


def measured(workspace: Workspace, plan: PlanSettings) -> tuple[Evaluation, dict[Size, Cost]]:
    pipelines = {size: Pipeline(workspace, RunSettings(plan=plan, student=of_size(size))) for size in Size}
    first = pipelines[Size.S]
    folds = [fold for fold in first.folds if fold.tested]
    for size in (Size.S, Size.L, Size.M):  # the default last: student_human is then what `relevance run` left
        for fold in folds:
            pipelines[size].learn(fold, named(size))
    predictor = Predictor(first.judged, first.encoder)
    answers = [predictor.predictions(named(size), folds) for size in Size]
    compared = [Versus(named(size), named(Size.M)) for size in Size if size is not Size.M]
    test = of_queries(first.judged.features, folds[0].split.test)
    inputs = one_query(student_inputs(test, first.encoder))
    costs = {size: cost(Student.load(folds[0].folder / named(size)), inputs) for size in Size}
    return evaluate(answers, comparisons=compared), costs


def of_size(size: Size) -> StudentSettings:
    return replace(StudentSettings(), network=NetworkSettings(size))


def named(size: Size) -> str:
    return f"student_size_{size.value.lower()}"


def one_query(inputs: StudentInputs) -> StudentInputs:
    """1,000 of the pins, for one query, as a request has them."""
    rows = np.arange(PAIRS) % len(inputs.pins)
    group, every = inputs.groups[0], np.arange(PAIRS)
    rates, has = np.zeros((PAIRS, group.rates.shape[1]), np.float32), np.zeros(PAIRS, np.bool_)
    return StudentInputs(take(inputs.pins, rows), (group._replace(rows=every, rates=rates, has_rates=has),))


def cost(student: Student, inputs: StudentInputs) -> Cost:
    given = inputs.features(student.statistics)
    weights = sum(weight.numel() for weight in student.network.parameters())
    network = median_ms(lambda: student.predict(given))
    return Cost(weights, network, median_ms(lambda: student.predict(inputs.features(student.statistics))))


def median_ms(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return percentile(seconds, 0.5)


def reported(found: Evaluation, costs: dict[Size, Cost]) -> Report:
    report = Report("student_sizes", "pairs/s of the network, the default size and the largest", PACKAGES)
    report.figures["pairs"] = f"{found.pairs:,} of {found.queries:,} queries, {found.folds} fold(s)"
    for size, one in costs.items():
        report.figures[f"{size.value}: {one.weights:,} weights"] = figures_told(found, named(size), MEASURES)
        report.figures[f"{size.value}: network, ms of {PAIRS:,} pairs"] = one.network
        report.figures[f"{size.value}: features and network, ms"] = one.whole
    report.marks = [Mark("M: features and network, ms", costs[Size.M].whole, f"<= {LIMIT_MS:g}")]
    for compared in found.comparisons:
        if compared.measure in (Measure.ACCURACY, Measure.NDCG):
            name, told = difference_told(compared)
            report.figures[name] = told
    report.compare(1000 * PAIRS / costs[Size.M].network, 1000 * PAIRS / costs[Size.L].network)
    return report


if __name__ == "__main__":
    sys.exit(main())
