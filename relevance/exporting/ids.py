"""Names of queries and pins that any tool can read: TREC's files are columns between blanks, and a query is a text.

A query is named by a hash of its text, so a run that was made elsewhere from our topics is known again without a table.
A pin keeps its own id where that has no blank in it, and else gets a hash; both are written beside what was exported.
"""

from __future__ import annotations

import re

from enrich.job import input_hash

_PLAIN = re.compile(r"[!-~]{1,128}")  # ASCII that is seen, as every tool reads it
_DIGITS = 16


def query_id(query: str) -> str:
    """Of a normalised query."""
    return f"q{input_hash('query', query)[:_DIGITS]}"


def document_id(pin_id: str) -> str:
    return pin_id if _PLAIN.fullmatch(pin_id) else f"p{input_hash('pin', pin_id)[:_DIGITS]}"
