"""The enrichment steps in the order that data flows, and `enrich run`, which does what is stale of each.

Every step is its own module with a frozen dataclass of settings; a step that finds nothing stale costs a look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import duckdb

from enrich.boards import BoardSettings, run_boards
from enrich.captions import CaptionSettings, run_captions
from enrich.embeddings import EmbeddingSettings, run_embeddings
from enrich.engagement import EngagementSettings, run_engagement
from enrich.erasure import run_erasure
from enrich.errors import CorkboardError, first_line
from enrich.graph import GraphSettings, run_graph
from enrich.job import JobReport
from enrich.judgments import JudgmentSettings, run_judgments
from enrich.links import LinkSettings, run_links
from enrich.queries import QuerySettings, run_queries
from enrich.serving import ServingSettings, run_serving
from enrich.texts import TextSettings, run_texts
from enrich.workspace import Workspace


class Step(StrEnum):
    """What can be enriched; the names of the commands."""

    ERASE = "erase"
    TEXTS = "texts"
    CAPTIONS = "captions"
    LINKS = "links"
    BOARDS = "boards"
    QUERIES = "queries"
    ENGAGEMENT = "engagement"
    EMBEDDINGS = "embeddings"
    GRAPH = "graph"
    JUDGMENTS = "judgments"
    SERVING = "serving"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """One step's settings each; the defaults are what each command does without flags."""

    texts: TextSettings = field(default_factory=TextSettings)
    captions: CaptionSettings = field(default_factory=CaptionSettings)
    links: LinkSettings = field(default_factory=LinkSettings)
    boards: BoardSettings = field(default_factory=BoardSettings)
    queries: QuerySettings = field(default_factory=QuerySettings)
    engagement: EngagementSettings = field(default_factory=EngagementSettings)
    embeddings: EmbeddingSettings = field(default_factory=EmbeddingSettings)
    graph: GraphSettings = field(default_factory=GraphSettings)
    judgments: JudgmentSettings = field(default_factory=JudgmentSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)


class StepReport(NamedTuple):
    step: Step
    reports: tuple[JobReport, ...]


def run(workspace: Workspace, settings: RunSettings, steps: Sequence[Step] = tuple(Step)) -> Iterator[StepReport]:
    """Do `steps` in the order of data flow, whatever order they are named in; a report after each.

    Every run begins with the erasure of what was deleted, which costs a look where nothing was. Raises CorkboardError
    where the engine has no room, or a file was taken from it: what was written until then stays.
    """
    for step, work in _work(settings):
        if step in steps or step is Step.ERASE:
            try:
                found = work(workspace)
            except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
                raise CorkboardError(
                    f"expected room and files for `enrich {step}`, found: {first_line(error)}; make room on the disk "
                    "(or raise --memory), put back what was taken, and run it again"
                ) from error
            yield StepReport(step, _reports(found))


_Reports = JobReport | Sequence[JobReport]


def _work(settings: RunSettings) -> tuple[tuple[Step, Callable[[Workspace], _Reports]], ...]:
    return (
        (Step.ERASE, run_erasure),
        (Step.TEXTS, lambda workspace: run_texts(workspace, settings.texts)),
        (Step.CAPTIONS, lambda workspace: run_captions(workspace, settings.captions)),
        (Step.LINKS, lambda workspace: run_links(workspace, settings.links)),
        (Step.BOARDS, lambda workspace: run_boards(workspace, settings.boards)),
        (Step.QUERIES, lambda workspace: run_queries(workspace, settings.queries)),
        (Step.ENGAGEMENT, lambda workspace: run_engagement(workspace, settings.engagement)),
        (Step.EMBEDDINGS, lambda workspace: run_embeddings(workspace, settings.embeddings)),
        (Step.GRAPH, lambda workspace: run_graph(workspace, settings.graph)),
        (Step.JUDGMENTS, lambda workspace: run_judgments(workspace, settings.judgments)),
        (Step.SERVING, lambda workspace: run_serving(workspace, settings.serving)),
    )


def _reports(found: _Reports) -> tuple[JobReport, ...]:
    return (found,) if isinstance(found, JobReport) else tuple(found)
