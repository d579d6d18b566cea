"""The dates that servers write, in whatever form they do."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime


def read_date(text: str) -> datetime | None:
    """A date as in mail (RFC 822, 850) or ISO 8601, in UTC where it does not say; None where it cannot be read."""
    for read in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            moment = read(text.strip())
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError, IndexError, TypeError):  # as the text is broken in one way or another
            continue
    return None
