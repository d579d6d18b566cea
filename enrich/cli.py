"""The `enrich` command: sources in, enriched tables out.

enrich import FORMAT PATH          a catalogue into the workspace
enrich texts|captions|links|...    one step; only what is stale is done
enrich run                         every step, in the order that data flows
enrich status [captions|links|positions]   coverage, freshness, failures by reason; of the captions as texts, with
                                   alarms; of the links, by reason and host; what the position at which a pin was shown
                                   did to its clicks
"""

from __future__ import annotations

import click

from enrich import console
from enrich.commands import catalogue, steps

_SETTINGS = {"max_content_width": 110, "help_option_names": ["-h", "--help"]}


@click.group(context_settings=_SETTINGS)
def enrich() -> None:
    """Fill the feature store: captions, link titles, boards, queries, engagement, embeddings."""


for _command in (catalogue.import_, *steps.COMMANDS, catalogue.status):
    enrich.add_command(_command)


def main() -> int:
    """Entry point; returns the exit status."""
    return console.run(enrich)
