"""What arms are worth and how they differ, by query, over seeds.

Reads frames of answers (`arms.py`: query, pin_id, level, probabilities, score); pure. A figure of an arm with several
seeds is the mean of the seeds' figures on each draw of the queries, so its interval is of the queries, not of the
seeds. Differences are paired by query and, of each measure, Holm-corrected over all comparisons made at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from enrich.errors import BadInput
from enrich.tables import LEVELS
from relevance import intervals, metrics
from relevance.experiments.records import ArmFigures, Compared
from relevance.intervals import BootstrapSettings, Statistic
from relevance.judging.figures import CUTOFF, Figure, Measure, Versus
from relevance.judging.gold import by_query_and_pin
from relevance.judging.level_statistics import level_statistics
from relevance.metrics import Floats

MEASURES = (
    *(Measure.ACCURACY, Measure.WITHIN_ONE, Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5),
    *(Measure.KAPPA, Measure.NDCG),
)
COMPARED = (Measure.ACCURACY, Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5, Measure.NDCG)


@dataclass(frozen=True)
class OverSeeds:
    """The mean of a measure's values over seeds; each matrix of draws is worked through once."""

    seeds: tuple[Statistic, ...]
    _known: dict[int, Floats] = field(default_factory=dict)

    @property
    def queries(self) -> int:
        return min(one.queries for one in self.seeds)

    def values(self, draws: Floats) -> Floats:
        if len(draws) not in self._known:
            self._known[len(draws)] = np.mean([one.values(draws) for one in self.seeds], axis=0)
        return self._known[len(draws)]


class Figures:
    """The figures of arms that were asked about the same pairs."""

    def __init__(
        self, answers: Mapping[str, Sequence[pl.DataFrame]], bootstrap: BootstrapSettings | None = None
    ) -> None:
        """`answers`: of each arm, a frame a seed. Raises BadInput where there is none, or arms answer other pairs."""
        frames = [frame for seeds in answers.values() for frame in seeds]
        if not frames or frames[0].is_empty():
            raise BadInput("expected answers about judged test pairs, found none; judge more queries")
        pairs = frames[0].select("query", "pin_id", "level")
        if not all(frame.select("query", "pin_id", "level").equals(pairs) for frame in frames):
            raise BadInput("expected arms that were asked about the same pairs, found others; ask them anew")
        self._answers = answers
        self._queries = sorted(pairs["query"].unique())
        self._settings = bootstrap or BootstrapSettings()
        self._draws = intervals.draw_queries(len(self._queries), self._settings)
        self._statistics = {arm: self._of(seeds) for arm, seeds in answers.items()}

    def _of(self, seeds: Sequence[pl.DataFrame]) -> dict[Measure, OverSeeds]:
        found = [statistics_of(frame, self._queries) for frame in seeds]
        return {measure: OverSeeds(tuple(one[measure] for one in found)) for measure in MEASURES}

    def arms(self, numbers: Mapping[str, dict[str, float]] | None = None) -> tuple[ArmFigures, ...]:
        return tuple(
            ArmFigures(
                arm,
                len(seeds),
                seeds[0].height,
                len(self._queries),
                tuple(Figure(m, self._estimate(self._statistics[arm][m])) for m in MEASURES),
                (numbers or {}).get(arm, {}),
            )
            for arm, seeds in self._answers.items()
        )

    def _estimate(self, statistic: Statistic) -> intervals.Estimate:
        return intervals.estimate(statistic, self._draws, self._settings.confidence)

    def compare(self, wanted: Sequence[Versus], measures: Sequence[Measure] = COMPARED) -> tuple[Compared, ...]:
        """Those of `wanted` whose arms are both there, each measure corrected for its own number of them."""
        there = [one for one in wanted if one.model in self._statistics and one.rival in self._statistics]
        found = [compared for measure in measures for compared in self._compare(there, measure)]
        return tuple(sorted(found, key=lambda one: there.index(Versus(one.arm, one.rival))))

    def _compare(self, there: Sequence[Versus], measure: Measure) -> list[Compared]:
        differences = [
            intervals.difference(
                self._statistics[one.model][measure],
                self._statistics[one.rival][measure],
                self._draws,
                self._settings.confidence,
            )
            for one in there
        ]
        corrected = intervals.holm([one.p_value for one in differences])
        return [
            Compared(*versus, measure, difference, p)
            for versus, difference, p in zip(there, differences, corrected, strict=True)
        ]


def statistics_of(rows: pl.DataFrame, queries: Sequence[str]) -> dict[Measure, Statistic]:
    """Every measure of one frame of answers, as `intervals` draws it; `queries` gives each query its place."""
    index = {query: place for place, query in enumerate(queries)}
    query = np.array([index[one] for one in rows["query"]], np.int64)
    levels = rows["level"].to_numpy().astype(np.int64)
    probabilities = metrics.checked_probabilities(rows["probabilities"].list.to_array(len(LEVELS)).to_numpy())
    by_query = metrics.ndcg_by_query(by_query_and_pin(rows, "level"), by_query_and_pin(rows, "score"), CUTOFF)
    gained = np.array([by_query[one] for one in queries])
    ranked = {Measure.NDCG: intervals.mean(np.arange(len(queries)), gained, len(queries))}
    return level_statistics(query, levels, probabilities, len(queries)) | ranked
