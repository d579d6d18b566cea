"""What there is of a catalogue: `enrich import` brings it, `enrich status` tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from enrich import console
from enrich.records import to_mapping
from enrich.workspace import Workspace


@click.command("import")
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
@click.option(
    "--corrected",
    is_flag=True,
    help="Texts that changed were wrong before (a heading not read): judgments made before see the new ones.",
)
@console.common
def import_(
    format: str,
    path: Path,
    columns: Sequence[str],
    events: Sequence[str],
    log: str | None,
    corrected: bool,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Bring the catalogue at PATH into the workspace.

    FORMAT is sample, native, chorus, esci, wands, ubi, lists, trec, beir or quepid. `native` reads a folder of parquet,
    csv, tsv or jsonl files named for the source tables (pins, judgments, boards, board_pins, engagements, interests,
    ...); only pins are needed.
    """
    from enrich.importers import Mapping, import_catalogue

    report = import_catalogue(format, path, Workspace.at(workspace), Mapping.parse(columns, events), log, corrected)
    console.finish("\n".join(report.lines()), to_mapping(report), as_json)


@click.command()
@click.argument("step", type=click.Choice(["captions", "links", "positions"]), required=False)
@console.common
def status(step: str | None, workspace: Path | None, as_json: bool) -> None:
    """Rows, coverage, freshness and failures by reason of every table.

    `enrich status captions` tells what the captions are like as texts, and what should worry: empties, one sentence of
    everything, loops, another language or length than before. `enrich status links` tells more of the linked pages:
    outcomes by reason and host, rules, languages. `enrich status positions`: click-through by position, its bias, and
    what an order by corrected rates would have been clicked.
    """
    text, found = _SAYING[step](console.open_workspace(workspace, older=True))
    console.finish(text, found, as_json)


def _tables(workspace: Workspace) -> Said:
    from enrich import status as module

    found = module.status(workspace)
    return module.render(found), to_mapping(found)


def _captions(workspace: Workspace) -> Said:
    from enrich import caption_status

    found = caption_status.caption_status(workspace)
    return caption_status.render(found), to_mapping(found)


def _links(workspace: Workspace) -> Said:
    from enrich.web import visit_status

    found = visit_status.link_status(workspace)
    return visit_status.render(found), to_mapping(found)


def _positions(workspace: Workspace) -> Said:
    from enrich import position_report

    found = position_report.position_report(workspace)
    return position_report.render(found), to_mapping(found) if found else {}


Said = tuple[str, dict[str, object]]  # for people, and for --json
_SAYING = {None: _tables, "captions": _captions, "links": _links, "positions": _positions}
