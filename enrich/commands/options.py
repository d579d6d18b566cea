"""The options of the steps, each declared once, with what a step takes together; commands/flags.py collects them."""

from __future__ import annotations

import click

from enrich import console
from enrich.commands.flags import Flags
from enrich.engine import Engine, LogEngine

_USUAL = Flags()

CONTENT = console.options(
    click.option("--limit", type=click.IntRange(min=1), help="Enrich at most this many rows in this run."),
    click.option("--retry", metavar="REASON", multiple=True, help="Try rows again that failed so; 'failed': all."),
)
WITHOUT = click.option(
    "--without",
    metavar="STEP",
    multiple=True,
    type=click.Choice(["captions", "links", "boards", "queries", "engagement", "embeddings", "graph"]),
    help="Leave this step out of this run (links and captions ask the web); given once or more.",
)
ENCODER = click.option(
    "--encoder",
    metavar="MODEL",
    help="Text encoder of pins and queries: a folder or hub id.  [default: as last named here, else MiniLM]",
)
ENCODER_DTYPE = click.option(
    "--encoder-dtype",
    type=click.Choice(["float32", "bfloat16"]),
    help="Of pins' texts; queries are always float32.  [default: bfloat16 where a CPU computes in it]",
)

CAPTIONER = console.options(
    click.option(
        "--model",
        metavar="MODEL",
        help="Captioner, a BLIP or another image-text-to-text model: a folder or hub id.  "
        "[default: as last named here, with its --dtype, --beams, --prompt ...; else data/models/captioner]",
    ),
    click.option("--device", metavar="NAME", help="Of the captioner: cpu, cuda, cuda:1.  [default: a GPU if any]"),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        help="Of the captioner; float32 says what transformers says.  [default: bfloat16 where it is computed in]",
    ),
    click.option("--beams", type=click.IntRange(min=1), help="Of the captioner; 1: greedy.  [default: 1]"),
    click.option(
        "--prompt",
        metavar="TEXT",
        help="What captions go on from, or what a model that chats is asked of each picture.",
    ),
    click.option(
        "--cut-loops/--keep-loops",
        default=None,
        help="Cut captions that go round in circles.  [default: cut them, unless --dtype float32 is given, to compare]",
    ),
    click.option(
        "--twins/--no-twins",
        default=None,
        help="Describe pictures that look alike once (on Ray: those of the same bytes only).  "
        "[default: unless float32]",
    ),
)
DESCRIBING = console.options(
    click.option("--batch-size", type=click.IntRange(min=1), help="Pictures a forward pass.  [default: by memory]"),
    console.engine_option(
        Engine, "Where pictures are described: this process and its device, or a Ray cluster (RAY_ADDRESS)."
    ),
    console.WORKERS,
    console.GPUS,
)

CONNECT_TO = click.option(
    "--connect-to",
    metavar="HOST:PORT",
    help="Fetch everything from this loopback server instead of its own host (demos and tests).",
)
PICTURE_DELAY = click.option(
    "--picture-delay",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Between two pictures asked of one host; 0 of your own server: as fast as it answers.  [default: 1]",
)
VISITING = console.options(
    click.option(
        "--max-age-days",
        type=click.IntRange(min=0),
        default=_USUAL.max_age_days,
        show_default=True,
        help="Ask for older pages again.",
    ),
    click.option(
        "--min-long-clicks",
        type=click.IntRange(min=0),
        default=_USUAL.min_long_clicks,
        show_default=True,
        help="Fetch only the links of pins with so many long clicks in the log.",
    ),
    console.engine_option(
        Engine,
        "Where pages are fetched and read: this process, or a Ray cluster (RAY_ADDRESS), each host by one worker.",
    ),
)

ENGAGED_QUERIES = console.options(
    click.option(
        "--min-users",
        type=click.IntRange(min=1),
        help="A query reaches a pin's text only if this many users issued it.  [default: 5]",
    ),
    click.option(
        "--event-weights",
        metavar="CLICK,LONG_CLICK,SAVE,HIDE",
        help="What each event says for a query.  [default: 1,2,4,-2]",
    ),
    click.option(
        "--refresh",
        type=click.Choice(["full", "merge"]),
        default=_USUAL.refresh,
        show_default=True,
        help="Aggregate the whole window at each snapshot, or merge the new period with the previous top 40, those of "
        "too few users among them.",
    ),
    ENCODER,
)
BEHAVIOUR = console.options(
    click.option(
        "--as-of",
        type=console.Moment(),
        help="Compute only what was known at this time (UTC, or with its zone).  [default: now]",
    ),
    click.option(
        "--cadence-days",
        type=click.IntRange(min=1),
        default=_USUAL.cadence_days,
        show_default=True,
        help="Days between two snapshots.",
    ),
    console.engine_option(
        LogEngine,
        "Where the log is aggregated: DuckDB in this process, or Spark by its own configuration.",
        "log_engine",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        default=_USUAL.memory,
        show_default=True,
        help="DuckDB's share; what is more goes to disk.",
    ),
    click.option(
        "--threads", type=click.IntRange(min=1), help="DuckDB's.  [default: a thread a core]", show_default=False
    ),
)
