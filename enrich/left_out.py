"""What the snapshots of a behaviour table left out, in words: each reason, how many, and of what."""

from __future__ import annotations

from collections import Counter

from enrich.tables import PIN_BOARDS, PIN_GRAPH, PIN_QUERIES, QUERY_PIN_ENGAGEMENT

WITHOUT_USER = "log-rows-without-user"  # not left out: counted, because half-hour sittings stand in for their users

# What the reasons of a table count; those of all other tables count its rows.
_COUNTED = {
    PIN_BOARDS.name: ("board", "boards"),
    PIN_QUERIES.name: ("query", "queries"),
    QUERY_PIN_ENGAGEMENT.name: ("query", "queries"),
    PIN_GRAPH.name: ("pin", "pins"),
}


def left_out(table: str, reasons: Counter[str]) -> list[str]:
    """A phrase a reason, most frequent first: `left out private-email: 2 queries`; of a board's title a piece goes."""
    one, many = _COUNTED.get(table, ("row", "rows"))
    said = []
    for reason, count in reasons.most_common():
        if reason == WITHOUT_USER:
            said.append(f"half hours stand in for users: {count:,} log rows")
        else:
            did = "taken out" if table == PIN_BOARDS.name and reason.startswith("private-") else "left out"
            said.append(f"{did} {reason}: {count:,} {one if count == 1 else many}")
    return said


def counts_sources(table: str) -> bool:
    """Whether the reasons of `table` count what its rows were made from, and not rows that could not be made."""
    return table in _COUNTED
