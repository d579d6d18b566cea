"""The service: `relevance serve` and its flags."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from enrich import console
from enrich.errors import BadInput
from relevance.service.settings import ServiceSettings

_USUAL = ServiceSettings()
_share = click.FloatRange(0, 1)
_Command = Callable[..., Any]


def _limits(command: _Command) -> _Command:
    for option in reversed((
        click.option("--threads", type=click.IntRange(min=1), default=_USUAL.threads, show_default=True,
                     help="Requests worked on at once, in each process."),
        click.option("--queue", type=click.IntRange(min=0), default=_USUAL.waiting, show_default=True,
                     help="Requests that may wait for a thread; the next is answered 429."),
        click.option("--deadline-ms", type=click.IntRange(1, 60_000), default=_USUAL.deadline_ms, show_default=True,
                     help="Time of a request that names none; what is not scored by then is flagged."),
        click.option("--pin-cache-seconds", type=click.FloatRange(min=0), default=0.0, show_default=True,
                     help="For which a pin that was read is not read again."),
        click.option("--api-keys", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                     help="File of lines NAME KEY; one of the keys must then come with every request."),
    )):  # fmt: skip
        command = option(command)
    return command


def _models(command: _Command) -> _Command:
    for option in reversed((
        click.option("--shadow", type=click.Path(exists=True, file_okay=False, path_type=Path),
                     help="Folder of a second student: scored and logged to W/shadow, never returned."),
        click.option("--shadow-share", type=_share, default=1.0, show_default=True, help="Of answers that it scores."),
        click.option("--record", type=_share, help="Share of requests to log for `relevance replay`.  "
                     "[default: $CORKBOARD_RECORD, else 0]"),
        click.option("--reload-seconds", type=click.FloatRange(min=0), default=_USUAL.reload_seconds, show_default=True,
                     help="Between looks for another model or other features; 0: never."),
        click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), multiple=True,
                     help="Folder whose pictures may be shown, besides the catalogue's own; may be repeated."),
        click.option("--teacher/--no-teacher", default=True, help="Whether the page may ask the teacher.",
                     show_default=True),
    )):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@_limits
@_models
@console.common
def serve(
    host: str,
    port: int,
    workers: int,
    threads: int,
    queue: int,
    deadline_ms: int,
    pin_cache_seconds: float,
    api_keys: Path | None,
    shadow: Path | None,
    shadow_share: float,
    record: float | None,
    reload_seconds: float,
    images: tuple[Path, ...],
    teacher: bool,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Score, rank and explain over HTTP, with an inspector page at / (and /openapi.json, /metrics, /readyz)."""
    from relevance.commands.scoring import served_workspace

    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client") if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(f"expected {', '.join(missing)} to serve, found none; pip install 'corkboard[serve]'")
    from relevance.service.start import serve as run_server

    settings = ServiceSettings(
        threads=threads,
        waiting=queue,
        deadline_ms=deadline_ms,
        api_keys=str(api_keys.resolve()) if api_keys else None,
        shadow=str(shadow.resolve()) if shadow else None,
        shadow_share=shadow_share,
        record=record,
        pin_cache_seconds=pin_cache_seconds,
        reload_seconds=reload_seconds,
        image_folders=tuple(str(folder.resolve()) for folder in images),
        teacher=teacher,
    )
    served = served_workspace(workspace)
    if as_json:
        console.finish("", {"host": host, "port": port, "workspace": str(served.root)}, as_json)
    click.echo(f"serving {served.root} at http://{host}:{port}/ (the inspector page), /metrics", err=True)
    run_server(served, settings, host, port, workers)
