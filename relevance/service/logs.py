"""Structured logs: a line of JSON an event on standard error, each request's with the id that its answer carries.

Neither headers, keys nor queries are in a line: who may see what people search for is a matter of the request log
(`CORKBOARD_RECORD`), not of these.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

LOG = logging.getLogger("corkboard.service")
LOGGERS = (LOG, *map(logging.getLogger, ("uvicorn", "relevance", "enrich")))
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class RequestLine:
    """What is logged of a request, filled in as it is answered."""

    request_id: str
    method: str
    path: str = "other"  # the route's, never as typed
    status: int = 500
    ms: float = 0.0
    caller: str | None = None  # whose API key
    pins: int | None = None
    model: str | None = None
    degraded: bool = False
    partial: bool = False


class JsonLines(logging.Formatter):
    """A record as one line of JSON; a RequestLine given as its argument becomes its fields."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
        }
        line = getattr(record, "request", None)
        said |= {"event": record.getMessage()}
        if isinstance(line, RequestLine):
            said |= {name: value for name, value in asdict(line).items() if value is not None}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def write_json_lines() -> None:
    """Send this service's events, the server's own and those of what is behind it to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for logger in LOGGERS:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)


def request_id(sent: str | None) -> str:
    """The caller's own id where it is a plain word of at most 64 characters, else a new one."""
    return sent if sent and _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
