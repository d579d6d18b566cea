"""What GET /metrics shows, in Prometheus' own form.

A process shows its own figures. Where CORKBOARD_METRICS names a folder (`relevance serve --workers N` makes one) every
worker writes its figures there, and whichever is asked shows the sum of all. (PROMETHEUS_MULTIPROC_DIR alone says
nothing: Feast sets it in every process that imports it.)
"""

from __future__ import annotations

import os
from collections import Counter as Tally
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from relevance.online import STAGES, Answer, ScoredPin

TOGETHER = "CORKBOARD_METRICS"
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # as prometheus_client and Feast name it
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0, 5.0)  # seconds
_STAGE_LATENCIES = (0.0001, 0.0003, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.1, 1.0)  # seconds
_LEVELS_APART = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)


class Meters:
    """The service's figures; its methods may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        at = self.registry
        self.seconds = Histogram(
            "relevance_request_seconds", "Time to answer.", ["path"], registry=at, buckets=_LATENCIES
        )
        self.stages = Histogram(
            "relevance_stage_seconds", "Time in a stage.", ["stage"], registry=at, buckets=_STAGE_LATENCIES
        )
        self.requests = Counter("relevance_requests", "Requests answered.", ["path", "status"], registry=at)
        self.pins = Counter("relevance_pins", "Pins scored.", registry=at)
        self.degraded = Counter("relevance_degraded_pins", "Pins answered degraded.", registry=at)
        self.degraded_answers = Counter("relevance_degraded_answers", "Answers that are degraded.", registry=at)
        self.partial = Counter("relevance_partial_answers", "Answers cut off by their deadline.", registry=at)
        self.refused = Counter("relevance_refused", "Answers 429: no room, or no time.", registry=at)
        self.missing = Counter("relevance_missing_inputs", "Absent inputs.", ["input"], registry=at)
        self.queries = Counter("relevance_query_vectors", "Query vectors, by source.", ["source"], registry=at)
        self.cached = Counter("relevance_cached_pins", "Pins that were not read from the store.", registry=at)
        self.shadow_pins = Counter("relevance_shadow_pins", "Pins scored by the shadow model.", registry=at)
        self.shadow_dropped = Counter("relevance_shadow_dropped", "Answers that it had no time for.", registry=at)
        self.shadow_apart = Histogram(
            "relevance_shadow_levels_apart", "|its level - the answer's|.", registry=at, buckets=_LEVELS_APART
        )
        self.reloads = Counter("relevance_reloads", "Reloads of model or features.", ["result"], registry=at)
        self.waiting = Gauge(
            "relevance_waiting_requests", "Requests in the queue.", registry=at, multiprocess_mode="livesum"
        )
        self.version = Gauge(
            "relevance_model",
            "Processes that answer with this model and these features.",
            ["model", "features", "corkboard"],
            registry=at,
            multiprocess_mode="livesum",
        )
        self._shown: tuple[str, str, str] | None = None

    def show_version(self, model: str, features: str, corkboard: str) -> None:
        """Of this process: it answers with these, and no more with those before."""
        if self._shown is not None:
            self.version.labels(*self._shown).set(0)  # several processes' labels cannot be taken back
        self._shown = (model, features, corkboard)
        self.version.labels(*self._shown).set(1)

    def saw(self, answer: Answer, pins: Sequence[ScoredPin], degraded: bool) -> None:
        """Count an answer, which may be degraded, and its pins."""
        self.pins.inc(len(pins))
        self.degraded.inc(sum(pin.degraded for pin in pins))
        self.degraded_answers.inc(degraded)
        combinations = Tally(pin.missing for pin in pins)
        absent: Tally[str] = Tally()
        for names, count in combinations.items():
            absent.update(dict.fromkeys(names, count))
        for name, count in absent.items():
            self.missing.labels(name).inc(count)
        work = answer.work
        if any(work.seconds):  # an answer that was not worked on took no time in any
            for stage, seconds in zip(STAGES, work.seconds, strict=True):
                self.stages.labels(stage).observe(seconds)
        source = "encoded" if work.encoded else "cached" if work.recalled else "stored"
        self.queries.labels(source if answer.query.embedding is not None else "none").inc()
        self.cached.inc(work.cached_pins)

    def page(self) -> bytes:
        """The figures of all worker processes."""
        if not (folder := os.environ.get(TOGETHER)):
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def count_together(folder: str) -> None:
    """Let the processes that this one starts add their figures up; they must import prometheus_client after it."""
    os.environ[TOGETHER] = os.environ[_MULTIPROCESS] = folder


def forget_dead_workers() -> None:
    """Take what workers that are gone left of their gauges out of the sums; called as a worker begins."""
    folder = os.environ.get(TOGETHER)
    for file in Path(folder).glob("gauge_live*_*.db") if folder else ():
        pid = file.stem.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            file.unlink(missing_ok=True)
