"""What every command of `enrich` and `relevance` shares: --workspace, --json, and errors as one line.

Exit 0 done, 1 failed, 2 bad input. Results go to standard output (with --json the last line is one JSON object),
progress and errors to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

import click
import duckdb
import polars as pl
import pyarrow as pa

from enrich import older_tables, parts
from enrich.errors import BadInput, CorkboardError, first_line
from enrich.memory import keep_freed_memory
from enrich.workspace import ENVIRONMENT_VARIABLE, Workspace, Writing

_CONTROL = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]")  # of texts from outside: it would steer the terminal

Command = Callable[..., Any]
Option = Callable[[Command], Command]

_workspace = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=ENVIRONMENT_VARIABLE,
    help=f"Folder of the catalogue.  [default: data/workspace, or ${ENVIRONMENT_VARIABLE}]",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")


WORKERS = click.option(
    "--workers", type=click.IntRange(min=1), help="On Ray.  [default: one a GPU, or one a core where there is none]"
)
GPUS = click.option(
    "--gpus", type=click.FloatRange(min=0), help="Of each worker on Ray; 0.5: two share one.  [default: 1 if there is]"
)


def options(*declared: Option) -> Option:
    """One decorator for several options, which --help shows in this order; a command takes each as an argument."""

    def given(command: Command) -> Command:
        for option in reversed(declared):
            command = option(command)
        return command

    return given


def common(command: Command) -> Command:
    """Give a command `--workspace` (as `workspace: Path | None`) and `--json` (as `as_json: bool`)."""
    return options(_workspace, _json)(command)


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click alone
    """A day or a time in ISO 8601, as an option gives it; in UTC where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Fails where it is none, or beyond the years 1 to 9999 in UTC."""
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(f"expected a day or a time as 2025-01-31 or 2025-01-31T12:00+01:00, found {value!r}", param, ctx)


def engine_option(engines: type[StrEnum], help: str, name: str = "engine") -> Option:
    """`--engine`, as one of `engines`, by this name; the first is the default."""
    names = [engine.value for engine in engines]
    return click.option(
        "--engine",
        name,
        type=click.Choice(names),
        default=names[0],
        show_default=True,
        callback=lambda _context, _option, value: engines(value),
        help=help,
    )


def say(text: str, err: bool = False) -> None:
    """Print what people read, on standard error if asked to, without what would steer their terminal."""
    click.echo(_CONTROL.sub("", text), err=err)


def finish(summary: str, result: Mapping[str, object], as_json: bool) -> None:
    """Print what a command did: a line or a page for people, then, if asked for, the same as one JSON object."""
    if summary:
        say(summary)
    if as_json:
        click.echo(json.dumps(result, default=str))


def open_workspace(path: Path | None, writing: Writing | None = None, older: bool = False) -> Workspace:
    """The workspace that the flags name, and the environment pointed at it, so that Feast's definitions agree.

    Until the command ends no other one is `writing` the same there. Tables of an older version are brought up to date
    by who writes tables; others refuse them, but for columns that those miss which read `older` ones: raises BadInput.
    """
    workspace = Workspace.open(path)
    os.environ[ENVIRONMENT_VARIABLE] = str(workspace.root)
    if writing is not None:
        click.get_current_context().with_resource(workspace.alone(writing))
    if writing is Writing.TABLES:
        older_tables.widen(workspace)
    else:
        older_tables.refuse(workspace, but_for_columns=older)
    return workspace


def run(command: click.Group, arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit status and says every error we know in one line."""
    _quieten()
    keep_freed_memory()
    try:
        status = command.main(args=arguments, standalone_mode=False)
    except click.exceptions.Abort:
        return _fail("stopped by the user; run it again to go on where it was", 1)
    except KeyboardInterrupt:
        return _fail("stopped by the user; run it again to go on where it was", 1)
    except click.ClickException as error:
        where = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        return _fail(error.format_message() + where, 2)
    except BadInput as error:
        return _fail(str(error), 2)
    except CorkboardError as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(_in_words(error), 1)
    except (pa.ArrowException, pl.exceptions.PolarsError, duckdb.Error) as error:
        if "os error" in str(error):  # Polars' own type for a full disk, a folder that may not be written ...
            return _fail(str(error), 1)
        damaged = _damaged_part()
        if damaged is None and isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
            return _fail(
                f"expected room and files, found: {first_line(error)}; make room, or put back what was taken", 1
            )
        if damaged is None:
            raise
        return _fail(
            f"expected a whole parquet file at {damaged}, found it damaged ({str(error)[:200]}); put it back from a "
            "copy; without one remove it: what a source had is to be imported again, the rest is made again",
            1,
        )
    return status if isinstance(status, int) else 0


def _damaged_part() -> Path | None:
    """The first part, of the workspace that the command opened, that cannot be read to its end."""
    root = os.environ.get(ENVIRONMENT_VARIABLE)
    return parts.damaged(Path(root)) if root else None


def _in_words(error: OSError) -> str:
    """Without the number that stands first in what Python says of it."""
    said = error.strerror or str(error) or type(error).__name__
    return f"{said}: {error.filename}" if error.filename else said


def _fail(message: str, status: int) -> int:
    say(f"error: {' '.join(message.split())}", err=True)
    return status


def _quieten() -> None:
    """Silence what third parties say that a user can do nothing about; nothing broader."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text wrapper, whatever the stubs say
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("feast").setLevel(logging.WARNING)
    warnings.showwarning = _without_deprecations  # not a filter: Feast puts its own before ours as it is imported


def _without_deprecations(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if not issubclass(category, DeprecationWarning):
        said = warnings.formatwarning(message, category, filename, lineno, line)
        (file or sys.stderr).write(_CONTROL.sub("", said))
