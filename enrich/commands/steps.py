"""A command a step, and `enrich run`, which does them all in order: what each takes, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from enrich import console
from enrich.commands.flags import Flags, run_settings
from enrich.commands.options import (
    BEHAVIOUR,
    CAPTIONER,
    CONNECT_TO,
    CONTENT,
    DESCRIBING,
    ENCODER,
    ENCODER_DTYPE,
    ENGAGED_QUERIES,
    PICTURE_DELAY,
    VISITING,
    WITHOUT,
)
from enrich.job import JobReport
from enrich.left_out import counts_sources, left_out
from enrich.records import to_mapping
from enrich.workspace import Writing


def _command(name: str, help: str, *taken: console.Option) -> click.Command:
    """The command of a step, or `run`: the options that every command has, then its own."""

    @click.command(name, help=help)
    @console.common
    @console.options(*taken)
    def command(workspace: Path | None, as_json: bool, **flags: Any) -> None:
        _run(None if name == "run" else name, Flags(**flags), workspace, as_json)  # Flags refuses what it does not know

    return command


COMMANDS = (
    _command(
        "erase",
        "Take deleted pins, boards and users out of every table; every other step begins with it. Snapshots that they "
        "had a part in are made again without them by `enrich run`.",
    ),
    _command("texts", "Tidy the owners' titles and descriptions: pin_text.", CONTENT),
    _command(
        "captions",
        "Describe each pin's image in words and as a vector: pin_caption, pin_visual_embedding.",
        *(CAPTIONER, DESCRIBING, CONNECT_TO, PICTURE_DELAY, CONTENT),
    ),
    _command(
        "links",
        "Fetch each pin's link and read its title and description: pin_link.",
        *(CONNECT_TO, VISITING, CONTENT),
    ),
    _command("boards", "The titles of the boards that people saved each pin to: pin_boards.", BEHAVIOUR),
    _command(
        "queries",
        "The queries that people engaged with each pin for, and what is known of a query: pin_queries, query_features.",
        *(ENGAGED_QUERIES, BEHAVIOUR),
    ),
    _command(
        "engagement",
        "Counts and smoothed rates of pins and of (query, pin) pairs: pin_engagement, query_pin_engagement.",
        BEHAVIOUR,
    ),
    _command(
        "embeddings", "Each pin's content texts as one vector: pin_text_embedding.", ENCODER, ENCODER_DTYPE, CONTENT
    ),
    _command("graph", "Each pin's neighbourhood over boards as one vector: pin_graph.", BEHAVIOUR),
    _command("judgments", "The annotators' votes as one gold level a pair: judgment."),
    _command(
        "serving",
        "Pack all that scoring needs of a pin, and of a known query, into one row each: pin_serving, query_serving.",
    ),
    _command(
        "run",
        "Do what is stale, in the order that data flows. Killed, it goes on where it was.",
        *(WITHOUT, CAPTIONER, PICTURE_DELAY, CONNECT_TO, ENGAGED_QUERIES, ENCODER_DTYPE, BEHAVIOUR),
    ),
)


def _run(step: str | None, flags: Flags, workspace: Path | None, as_json: bool) -> None:
    """Run one step, or all; a line a table as it is done. The steps' modules load here, so that --help is quick."""
    opened = console.open_workspace(workspace, Writing.TABLES)

    from enrich import captioner_choice, captions, encoder_choice, steps

    asked = [steps.Step(step)] if step else [one for one in steps.Step if one not in flags.without]
    describing = steps.Step.CAPTIONS in asked
    last = captioner_choice.last_named(opened) if describing and not flags.model else None
    settings = run_settings(flags, last)
    if last and settings.captions.model != str(captions.DEFAULT_MODEL):
        console.say(f"captions by {captioner_choice.in_words(settings.captions)}, as last named; --model names another")
    embedding = not {steps.Step.QUERIES, steps.Step.EMBEDDINGS}.isdisjoint(asked)
    if embedding and not flags.encoder and (encoder := encoder_choice.last_named(opened)):
        console.say(f"texts embedded by {encoder}, as last named; --encoder names another")
    done = []
    for report in steps.run(opened, settings, asked):
        for table in report.reports:
            if report.step is steps.Step.ERASE:
                if not (table.made or table.failed or step == report.step):
                    continue  # nothing was deleted
                console.say(_erased(table))
            else:
                console.say(_made(table))
            done.append(to_mapping(table))
        if report.step is steps.Step.CAPTIONS and any(table.made or table.failed for table in report.reports):
            for note in captions.notes(opened, settings.captions):
                console.say(f"note: {note}")
    if asked == [steps.Step.ERASE] and any(table["made"] for table in done):
        console.say("note: `enrich run` makes the snapshots of boards, queries and engagement again without it")
    console.finish("", {"workspace": str(opened.root), "tables": done}, as_json)


def _made(report: JobReport) -> str:
    before = f" ({report.settled:,} of them failed before)" if report.settled else ""
    left = f", {report.left:,} left for the next run" if report.left else ""
    due = f", its first snapshot is due {report.due:%Y-%m-%d}" if report.due else ""
    did = f"{report.table}: {report.made:,} made, {report.fresh:,} fresh{before}{left}{due}"
    if counts_sources(report.table):
        return ", ".join([did, *left_out(report.table, report.failed)])
    failed = _by_reason(report)
    return did + (f", not made: {failed}" if failed else "")


def _erased(report: JobReport) -> str:
    failed = _by_reason(report)
    return f"{report.table}: {report.made:,} rows taken out" + (f", not done: {failed}" if failed else "")


def _by_reason(report: JobReport) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in report.failed.most_common())
