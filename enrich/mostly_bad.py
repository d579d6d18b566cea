"""When rows are so bad that the file cannot be what it is taken for."""

from __future__ import annotations

from collections import Counter

from enrich.errors import BadInput

MOSTLY_BAD = 0.5  # a job stops when more than this share of a table's, or a new log file's, rows must be dropped


def refuse(origin: str, table: str, good: int, dropped: Counter[str]) -> None:
    """Raises BadInput, with the commonest reasons, where most rows are bad."""
    bad, total = dropped.total(), good + dropped.total()
    if bad <= MOSTLY_BAD * total:
        return
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.most_common(5))
    raise BadInput(
        f"{origin}: expected rows of table {table!r}, found {bad:,} of {total:,} rows bad "
        f"({reasons}); is this the right file and format?"
    )
