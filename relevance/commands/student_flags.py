"""The flags of `relevance train-student` that say how it learns: each a field of StudentSettings.

`relevance run` goes on with those that the student that serves was taught with.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enrich import console
from relevance.model_names import STUDENT_MODEL

if TYPE_CHECKING:
    from relevance.student import StudentSettings

SIZES = ("S", "M", "L")
_NUMBERS = ("target_temperature", "hard_share", "ordinal_margin", "query_slips")
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
        given = {name: getattr(self, name) for name in _NUMBERS if getattr(self, name) is not None}
        return replace(settings, network=network, **given)

    @classmethod
    def last_given(cls, models: Path) -> StudentFlags:
        """What makes a student like the one in this folder of models: none where it has none, or the default's.

        Raises BadInput where its record cannot be read.
        """
        from relevance.student import StudentSettings, settings_of

        usual = StudentSettings()
        found = settings_of(models / STUDENT_MODEL) or usual
        other = {name: getattr(found, name) for name in _NUMBERS if getattr(found, name) != getattr(usual, name)}
        return cls(None if found.network.size is usual.network.size else found.network.size.value, **other)

    def over(self, last: StudentFlags) -> StudentFlags:
        """These, and of `last` what is not given here."""
        both = {name: (getattr(self, name), getattr(last, name)) for name in _names()}
        return StudentFlags(**{name: kept if given is None else given for name, (given, kept) in both.items()})

    def in_words(self) -> str:
        """As they are typed."""
        given = {name: value for name in _names() if (value := getattr(self, name)) is not None}
        return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in given.items())


def _names() -> list[str]:
    return [field.name for field in fields(StudentFlags)]


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
