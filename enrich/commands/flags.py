"""What the flags of the steps say (commands/options.py declares them), and the settings that they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from enrich.backends import MEMORY, BackendLimits
from enrich.engine import Engine, LogEngine
from enrich.snapshots import SnapshotSettings

if TYPE_CHECKING:
    from enrich.captions import CaptionSettings
    from enrich.embeddings import EmbeddingSettings
    from enrich.job import JobSettings
    from enrich.links import LinkSettings
    from enrich.queries import QuerySettings
    from enrich.steps import RunSettings


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of the steps, by their names as options; each command has those that concern it."""

    model: str | None = None
    device: str | None = None
    dtype: str | None = None
    beams: int | None = None
    prompt: str | None = None
    cut_loops: bool | None = None
    twins: bool | None = None
    batch_size: int | None = None
    workers: int | None = None
    gpus: float | None = None
    encoder: str | None = None
    encoder_dtype: str | None = None
    connect_to: str | None = None
    picture_delay: float | None = None
    min_users: int | None = None
    event_weights: str | None = None
    refresh: str = "full"
    as_of: datetime | None = None
    cadence_days: int = SnapshotSettings().cadence_days
    limit: int | None = None
    retry: Sequence[str] = ()
    max_age_days: int = 30
    min_long_clicks: int = 0
    engine: Engine = Engine.LOCAL
    log_engine: LogEngine = LogEngine.LOCAL
    memory: str = MEMORY
    threads: int | None = None
    without: Sequence[str] = ()  # steps that `enrich run` leaves out


def run_settings(flags: Flags, captions: CaptionSettings | None = None) -> RunSettings:
    """What the steps do without flags, but for the flags given; of captions, what `captions` says instead.

    Raises BadInput where one is out of bounds.
    """
    from enrich.steps import RunSettings

    base = RunSettings()
    snapshots = SnapshotSettings(cadence_days=flags.cadence_days, as_of=flags.as_of)
    backend = BackendLimits(flags.memory, flags.threads, engine=flags.log_engine)
    return RunSettings(
        texts=replace(base.texts, job=_job(flags, base.texts.job)),
        captions=_captions(flags, captions or base.captions),
        links=_links(flags, base.links),
        boards=replace(base.boards, snapshots=snapshots, backend=backend),
        queries=replace(_queries(flags, base.queries), snapshots=snapshots, backend=backend),
        engagement=replace(base.engagement, snapshots=snapshots, backend=backend),
        embeddings=_embeddings(flags, base.embeddings),
        graph=replace(base.graph, snapshots=snapshots, backend=backend),
    )


def _job(flags: Flags, base: JobSettings) -> JobSettings:
    return replace(base, limit=flags.limit, retry=frozenset(flags.retry))


def _captions(flags: Flags, base: CaptionSettings) -> CaptionSettings:
    return replace(
        base,
        model=flags.model or base.model,
        device=flags.device,
        dtype=flags.dtype or base.dtype,
        beams=flags.beams or base.beams,
        prompt=base.prompt if flags.prompt is None else flags.prompt,
        cut_loops=base.cut_loops if flags.cut_loops is None else flags.cut_loops,
        twins=base.twins if flags.twins is None else flags.twins,
        batch_size=flags.batch_size,
        engine=flags.engine,
        workers=flags.workers,
        gpus=flags.gpus,
        connect_to=flags.connect_to,
        host_delay=flags.picture_delay,
        job=_job(flags, base.job),
    )


def _embeddings(flags: Flags, base: EmbeddingSettings) -> EmbeddingSettings:
    return replace(base, model=flags.encoder, dtype=flags.encoder_dtype, job=_job(flags, base.job))


def _links(flags: Flags, base: LinkSettings) -> LinkSettings:
    return replace(
        base,
        connect_to=flags.connect_to,
        max_age=timedelta(days=flags.max_age_days),
        min_long_clicks=flags.min_long_clicks,
        engine=flags.engine,
        job=_job(flags, base.job),
    )


def _queries(flags: Flags, base: QuerySettings) -> QuerySettings:
    from enrich.queries import EventWeights, Refresh

    return replace(
        base,
        min_users=base.min_users if flags.min_users is None else flags.min_users,
        weights=EventWeights.parse(flags.event_weights) if flags.event_weights else base.weights,
        refresh=Refresh(flags.refresh),
        features=replace(base.features, model=flags.encoder),
    )
