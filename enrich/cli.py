"""The `enrich` command: sources in, enriched tables out.

enrich import FORMAT PATH          a catalogue into the workspace
enrich texts|captions|links|...    one step; only what is stale is done
enrich run                         every step, in the order that data flows
enrich status [captions|links|positions]   coverage, freshness, failures by reason; of the captions as texts, with
                                   alarms; of the links, by reason and host; what the position at which a pin was shown
                                   did to its clicks
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enrich import console
from enrich.backends import MEMORY, BackendLimits
from enrich.engine import Engine, LogEngine
from enrich.job import JobReport, JobSettings
from enrich.records import to_mapping
from enrich.snapshots import SnapshotSettings
from enrich.workspace import Workspace, Writing

if TYPE_CHECKING:
    from enrich.captions import CaptionSettings
    from enrich.steps import RunSettings

_Command = Callable[..., None]
_COMMANDS = {"max_content_width": 110, "help_option_names": ["-h", "--help"]}
_limit = click.option("--limit", type=click.IntRange(min=1), help="Enrich at most this many rows in this run.")
_retry = click.option("--retry", metavar="REASON", multiple=True, help="Try rows again that failed so; 'failed': all.")
_encoder = click.option("--encoder", metavar="MODEL", help="Text encoder: a folder or hub id.  [default: MiniLM]")
_model = click.option(
    "--model",
    metavar="MODEL",
    help="Captioner, a BLIP or another image-text-to-text model: a folder or hub id.  [default: as last named here, "
    "with its --dtype, --beams, --prompt ...; else data/models/captioner]",
)
_device = click.option("--device", metavar="NAME", help="Of the captioner: cpu, cuda, cuda:1.  [default: a GPU if any]")
_dtype = click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of the captioner; float32 says what transformers says.  [default: bfloat16 where it is computed in]",
)
_beams = click.option("--beams", type=click.IntRange(min=1), help="Of the captioner; 1: greedy.  [default: 1]")
_prompt = click.option(
    "--prompt", metavar="TEXT", help="What captions go on from, or what a model that chats is asked of each picture."
)
_cut_loops = click.option(
    "--cut-loops/--keep-loops",
    default=None,
    help="Cut captions that go round in circles.  [default: cut them, unless --dtype float32 is given, to compare]",
)
_twins = click.option(
    "--twins/--no-twins",
    default=None,
    help="Describe pictures that look alike once (on Ray: those of the same bytes only).  [default: unless float32]",
)
_CAPTIONER = (_model, _device, _dtype, _beams, _prompt, _cut_loops, _twins)
_pictures_a_pass = click.option(
    "--batch-size", type=click.IntRange(min=1), help="Pictures a forward pass.  [default: by memory]"
)
_described_by = console.engine_option(
    Engine, "Where pictures are described: this process and its device, or a Ray cluster (RAY_ADDRESS)."
)
_workers = click.option(
    "--workers", type=click.IntRange(min=1), help="On Ray.  [default: one a GPU, or one a core where there is none]"
)
_gpus = click.option(
    "--gpus", type=click.FloatRange(min=0), help="Of each worker on Ray; 0.5: two share one.  [default: 1 if there is]"
)
_connect_to = click.option(
    "--connect-to",
    metavar="HOST:PORT",
    help="Fetch everything from this loopback server instead of its own host (demos and tests).",
)
_picture_delay = click.option(
    "--picture-delay",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Between two pictures asked of one host; 0 of your own server: as fast as it answers.  [default: 1]",
)
_visited_by = console.engine_option(
    Engine, "Where pages are fetched and read: this process, or a Ray cluster (RAY_ADDRESS), each host by one worker."
)
_max_age = click.option(
    "--max-age-days", type=click.IntRange(min=0), default=30, show_default=True, help="Ask for older pages again."
)
_min_long_clicks = click.option(
    "--min-long-clicks",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Fetch only the links of pins with so many long clicks in the log.",
)
_as_of = click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="Compute only what was known at this time (UTC).  [default: now]",
)
_cadence = click.option(
    "--cadence-days",
    type=click.IntRange(min=1),
    default=SnapshotSettings().cadence_days,
    show_default=True,
    help="Days between two snapshots.",
)
_min_users = click.option(
    "--min-users",
    type=click.IntRange(min=1),
    help="A query reaches a pin's text only if this many users issued it.  [default: 5]",
)
_event_weights = click.option(
    "--event-weights",
    metavar="CLICK,LONG_CLICK,SAVE,HIDE",
    help="What each event says for a query.  [default: 1,2,4,-2]",
)
_refresh = click.option(
    "--refresh",
    type=click.Choice(["full", "merge"]),
    default="full",
    show_default=True,
    help="Aggregate the whole window at each snapshot, or merge the new period with the previous top 20.",
)
_aggregated_by = console.engine_option(
    LogEngine, "Where the log is aggregated: DuckDB in this process, or Spark by its own configuration."
)
_memory = click.option(
    "--memory", metavar="SIZE", default=MEMORY, show_default=True, help="DuckDB's; what is more goes to disk."
)
_threads = click.option(
    "--threads", type=click.IntRange(min=1), help="DuckDB's.  [default: a thread a core]", show_default=False
)
_CONTENT = (_limit, _retry)
_BEHAVIOUR = (_as_of, _cadence, _aggregated_by, _memory, _threads)


@click.group(context_settings=_COMMANDS)
def enrich() -> None:
    """Fill the feature store: captions, link titles, boards, queries, engagement, embeddings."""


@enrich.command("import")
@click.argument("format")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "columns",
    metavar="[TABLE.]COLUMN=FIELD",
    multiple=True,
    help="What a native file calls one of our columns, of the log where no table is named; may be a path into JSON.",
)
@click.option("--event", "events", metavar="WORD=EVENT", multiple=True, help="What a native log calls an event.")
@click.option(
    "--log",
    metavar="URI",
    help="Leave the log there and read it with each run: a folder of parquet, of hive partitions too, or s3:.",
)
@console.common
def import_(
    format: str,
    path: Path,
    columns: Sequence[str],
    events: Sequence[str],
    log: str | None,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Bring the catalogue at PATH into the workspace.

    FORMAT is sample, native, chorus, esci, wands, ubi, lists, trec, beir or quepid. `native` reads a folder of parquet,
    csv or jsonl files named for the source tables (pins, judgments, boards, board_pins, engagements, interests ...);
    only pins are needed.
    """
    from enrich.importers import Mapping, import_catalogue

    report = import_catalogue(format, path, Workspace.at(workspace), Mapping.parse(columns, events), log)
    console.finish("\n".join(report.lines()), to_mapping(report), as_json)


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
    engine: Engine | LogEngine = LogEngine.LOCAL
    memory: str = MEMORY
    threads: int | None = None


def _command(name: str, help: str, *options: Callable[[_Command], _Command]) -> None:
    """Add the command of a step, or `run`: its own options, then those that every command has."""

    def command(workspace: Path | None, as_json: bool, **flags: Any) -> None:
        _run(None if name == "run" else name, Flags(**flags), workspace, as_json)  # Flags refuses what it does not know

    for option in reversed(options):
        command = option(command)
    enrich.command(name, help=help)(console.common(command))


_command("erase", "Take what was deleted out of every table; every other step begins with it.")
_command("texts", "Tidy the owners' titles and descriptions: pin_text.", *_CONTENT)
_command(
    "captions",
    "Describe each pin's image in words and as a vector: pin_caption, pin_visual_embedding.",
    *_CAPTIONER,
    _pictures_a_pass,
    _described_by,
    _workers,
    _gpus,
    _connect_to,
    _picture_delay,
    *_CONTENT,
)
_command(
    "links",
    "Fetch each pin's link and read its title and description: pin_link.",
    _connect_to,
    _max_age,
    _min_long_clicks,
    _visited_by,
    *_CONTENT,
)
_command("boards", "The titles of the boards that people saved each pin to: pin_boards.", *_BEHAVIOUR)
_command(
    "queries",
    "The queries that people engaged with each pin for, and what is known of a query: pin_queries, query_features.",
    _min_users,
    _event_weights,
    _refresh,
    _encoder,
    *_BEHAVIOUR,
)
_command(
    "engagement",
    "Counts and smoothed rates of pins and of (query, pin) pairs: pin_engagement, query_pin_engagement.",
    *_BEHAVIOUR,
)
_command("embeddings", "Each pin's content texts as one vector: pin_text_embedding.", _encoder, *_CONTENT)
_command("graph", "Each pin's neighbourhood over boards as one vector: pin_graph.", *_BEHAVIOUR)
_command("judgments", "The annotators' votes as one gold level a pair: judgment.")
_command(
    "serving",
    "Pack all that scoring needs of a pin, and of a known query, into one row each: pin_serving, query_serving.",
)
_command(
    "run",
    "Do what is stale, in the order that data flows. Killed, it goes on where it was.",
    *_CAPTIONER,
    _picture_delay,
    _connect_to,
    _min_users,
    _event_weights,
    _refresh,
    _encoder,
    *_BEHAVIOUR,
)


@enrich.command()
@click.argument("step", type=click.Choice(["captions", "links", "positions"]), required=False)
@console.common
def status(step: str | None, workspace: Path | None, as_json: bool) -> None:
    """Rows, coverage, freshness and failures by reason of every table.

    `enrich status captions` tells what the captions are like as texts, and what should worry: empties, one sentence of
    everything, loops, another language or length than before. `enrich status links` tells more of the linked pages:
    outcomes by reason and host, rules, languages. `enrich status positions`: click-through by position, its bias, and
    what an order by corrected rates would have been clicked.
    """
    if step == "positions":
        from enrich import position_report

        report = position_report.position_report(console.open_workspace(workspace))
        console.finish(position_report.render(report), to_mapping(report) if report else {}, as_json)
        return
    if step == "captions":
        from enrich import caption_status

        captions = caption_status.caption_status(console.open_workspace(workspace))
        console.finish(caption_status.render(captions), to_mapping(captions), as_json)
        return
    if step == "links":
        from enrich.web import visit_status

        links = visit_status.link_status(console.open_workspace(workspace))
        console.finish(visit_status.render(links), to_mapping(links), as_json)
        return
    from enrich import status as module

    found = module.status(console.open_workspace(workspace))
    console.finish(module.render(found), to_mapping(found), as_json)


def _run(step: str | None, flags: Flags, workspace: Path | None, as_json: bool) -> None:
    """Run one step, or all; a line a table as it is done. The steps' modules load here, so that --help is quick."""
    opened = console.open_workspace(workspace, Writing.TABLES)

    from enrich import captioner_choice, captions, steps

    last = None if flags.model else captioner_choice.last_named(opened)
    settings = _settings(flags, last)
    if last and step in (None, steps.Step.CAPTIONS) and settings.captions.model != str(captions.DEFAULT_MODEL):
        click.echo(f"captions by {captioner_choice.in_words(settings.captions)}, as last named; --model names another")
    done = []
    for report in steps.run(opened, settings, [steps.Step(step)] if step else tuple(steps.Step)):
        for table in report.reports:
            if report.step is steps.Step.ERASE:
                if not (table.made or table.failed or step == report.step):
                    continue  # nothing was deleted
                click.echo(_erased(table))
            else:
                click.echo(_line(table))
            done.append(to_mapping(table))
        if report.step is steps.Step.CAPTIONS and any(table.made or table.failed for table in report.reports):
            for note in captions.notes(opened, settings.captions):
                click.echo(f"note: {note}")
    console.finish("", {"workspace": str(opened.root), "tables": done}, as_json)


def _settings(flags: Flags, captions: CaptionSettings | None = None) -> RunSettings:
    """What the steps do without flags, but for the flags given; of captions, what `captions` says instead."""
    from enrich.queries import EventWeights, Refresh
    from enrich.steps import RunSettings

    def job(default: JobSettings) -> JobSettings:
        return replace(default, limit=flags.limit, retry=frozenset(flags.retry))

    limits = BackendLimits(flags.memory, flags.threads)
    backend = limits._replace(engine=flags.engine) if isinstance(flags.engine, LogEngine) else limits
    as_of = flags.as_of.replace(tzinfo=UTC) if flags.as_of else None
    cadence = SnapshotSettings(cadence_days=flags.cadence_days, as_of=as_of)
    base = RunSettings()
    features = replace(base.queries.features, model=flags.encoder)
    min_users = base.queries.min_users if flags.min_users is None else flags.min_users
    return RunSettings(
        texts=replace(base.texts, job=job(base.texts.job)),
        captions=_captions(flags, captions or base.captions, job(base.captions.job)),
        links=replace(
            base.links,
            connect_to=flags.connect_to,
            max_age=timedelta(days=flags.max_age_days),
            min_long_clicks=flags.min_long_clicks,
            engine=flags.engine if isinstance(flags.engine, Engine) else base.links.engine,
            job=job(base.links.job),
        ),
        boards=replace(base.boards, snapshots=cadence, backend=backend),
        queries=replace(
            base.queries,
            min_users=min_users,
            weights=EventWeights.parse(flags.event_weights) if flags.event_weights else base.queries.weights,
            refresh=Refresh(flags.refresh),
            features=features,
            snapshots=cadence,
            backend=backend,
        ),
        engagement=replace(base.engagement, snapshots=cadence, backend=backend),
        embeddings=replace(base.embeddings, model=flags.encoder, job=job(base.embeddings.job)),
        graph=replace(base.graph, snapshots=cadence, backend=backend),
    )


def _captions(flags: Flags, base: CaptionSettings, job: JobSettings) -> CaptionSettings:
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
        engine=flags.engine if isinstance(flags.engine, Engine) else base.engine,
        workers=flags.workers,
        gpus=flags.gpus,
        connect_to=flags.connect_to,
        host_delay=flags.picture_delay,
        job=job,
    )


def _line(report: JobReport) -> str:
    failed = ", ".join(f"{reason} {count:,}" for reason, count in report.failed.most_common())
    fresh = f"{report.fresh:,} fresh" + (f" ({report.settled:,} of them failed before)" if report.settled else "")
    left = f", {report.left:,} left for the next run" if report.left else ""
    return f"{report.table}: {report.made:,} made, {fresh}{left}" + (f", not made: {failed}" if failed else "")


def _erased(report: JobReport) -> str:
    failed = ", ".join(f"{reason} {count:,}" for reason, count in report.failed.most_common())
    return f"{report.table}: {report.made:,} rows taken out" + (f", not done: {failed}" if failed else "")


def main() -> int:
    """Entry point; returns the exit status."""
    return console.run(enrich)
