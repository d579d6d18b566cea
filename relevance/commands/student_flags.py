"""The flags of `relevance train-student` that say how it learns: each a field of StudentSettings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from enrich import console

if TYPE_CHECKING:
    from relevance.student import StudentSettings

SIZES = ("S", "M", "L")
SIZE = click.option("--size", type=click.Choice(SIZES), help="Of the student: how many weights.  [default: M]")


@dataclass(frozen=True, slots=True)
class StudentFlags:
    """What was given; None leaves the setting as it is."""

    size: str | None = None
    target_temperature: float | None = None
    hard_share: float | None = None
    ordinal_margin: float | None = None
    query_slips: float | None = None

    def applied(self, settings: StudentSettings) -> StudentSettings:
        """The settings with what was given. Raises BadInput where it is out of bounds."""
        from relevance.learning.network import Size

        network = replace(settings.network, size=Size(self.size)) if self.size else settings.network
        numbers = ("target_temperature", "hard_share", "ordinal_margin", "query_slips")
        given = {name: getattr(self, name) for name in numbers if getattr(self, name) is not None}
        return replace(settings, network=network, **given)


student_options = console.options(
    SIZE,
    click.option(
        "--target-temperature", type=float, metavar="T", help="Of soft labels; above 1 they are flatter.  [default: 1]"
    ),
    click.option(
        "--hard-share", type=float, metavar="SHARE", help="Of a soft label, its likeliest level alone.  [default: 0]"
    ),
    click.option(
        "--ordinal-margin",
        type=float,
        metavar="LOGITS",
        help="By which a level must lie lower for each level that it is off.  [default: 0]",
    ),
    click.option(
        "--query-slips",
        type=float,
        metavar="CHANCE",
        help="That a pair's query is misspelled.  [default: 0]",
    ),
)
