"""What no honest row has: the bounds that an import and a log left in place share, so that both drop the same rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # a time before it is impossible, and 0 is no event's
FUTURE = timedelta(days=366)  # and one later than this from now
MAX_POSITION = 1_000_000
DAYS = (19_000_101, 21_001_231)  # a whole number in between is a date written YYYYMMDD
EPOCHS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0))  # below the limit: seconds, milliseconds, microseconds; above: ns


def most_characters(column: str) -> int:
    """No honest value of a column is longer, and what follows need not be ready for one that is."""
    if column in ("title", "name", "image_uri", "link_url"):
        return 16_384
    return {"query": 4_096, "description": 1 << 20}.get(column, 1_024)
