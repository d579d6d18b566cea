"""Names of queries and pins that any tool can read: TREC's files are columns between blanks, and a query is a text.

A query is named by a hash of its text, so a run that was made elsewhere from our topics is known again without a table.
A pin keeps its own id where that is at most 128 signs of ASCII without a blank, and else gets a hash; documents.tsv,
beside what was exported, says whose that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from enrich.job import input_hash

DOCUMENTS = "documents.tsv"  # hash and id of each pin that could not keep its id
SIDES = ("train", "dev", "test")  # what a data set's splits are called

_PLAIN = re.compile(r"[!-~]{1,128}")  # ASCII that is seen, as every tool reads it
_DIGITS = 16


def query_id(query: str) -> str:
    """Of a normalised query."""
    return f"q{input_hash('query', query)[:_DIGITS]}"


def document_id(pin_id: str) -> str:
    return pin_id if _PLAIN.fullmatch(pin_id) else f"p{input_hash('pin', pin_id)[:_DIGITS]}"


def changed_ids(pins: Iterable[str]) -> Iterator[str]:
    """The lines of documents.tsv."""
    for pin in pins:
        if (name := document_id(pin)) != pin:
            yield f"{name}\t{_one_line(pin)}"


def _one_line(pin: str) -> str:
    return pin.encode("unicode_escape").decode() if any(sign in pin for sign in "\t\r\n") else pin
