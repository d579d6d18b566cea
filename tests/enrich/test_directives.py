"""X-Robots-Tag and <meta name=robots>: which directives bind us, and whom the others bind."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.web.dates import read_date
from enrich.web.directives import Allowed, allowed_by

YES, NO_INDEX, NO_SNIPPET = Allowed(), Allowed(indexing=False), Allowed(snippet=False)


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ([], YES),
        ([""], YES),
        (["all"], YES),
        (["index, follow, max-image-preview:large, max-snippet:-1"], YES),
        (["noindex"], NO_INDEX),
        (["NoIndex , nofollow"], NO_INDEX),
        (["none"], NO_INDEX),
        (["nosnippet"], NO_SNIPPET),
        (["max-snippet: 0"], NO_SNIPPET),
        (["noarchive", "noindex, nosnippet"], Allowed(False, False)),
        (["otherbot: noindex"], YES),
        (["CorkboardBot: noindex"], NO_INDEX),
        (["otherbot: noindex, corkboardbot: nosnippet, nofollow"], NO_SNIPPET),
        (["otherbot: noindex", "nosnippet"], NO_SNIPPET),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], NO_INDEX),
        (["unavailable_after: Wednesday, 25-Jun-10 15:00:00 GMT"], NO_INDEX),
        (["index, unavailable_after: 2010-06-25T15:00:00+01:00, follow"], NO_INDEX),
        (["unavailable_after: 25 Jun 2999 15:00:00 GMT"], YES),
        (["unavailable_after: some day"], YES),
        (["otherbot: unavailable_after: 25 Jun 2010 15:00:00 GMT"], YES),
        (["noindexing"], YES),
    ],
)
def test_what_is_said_to_us(values: list[str], allowed: Allowed) -> None:
    assert allowed_by(values, "CorkboardBot") == allowed


@given(
    st.lists(st.text(max_size=60) | st.sampled_from(["unavailable_after:", "a:b:c", ",,:", "unavailable_after: 99"]))
)
def test_any_text_is_read(values: list[str]) -> None:
    assert allowed_by([", ".join(values), *values], "CorkboardBot") in {
        Allowed(indexing, snippet) for indexing in (True, False) for snippet in (True, False)
    }


def test_a_date_that_no_clock_knows_is_none() -> None:
    assert read_date("25 Jun 99999999999999999999 15:00:00 GMT") is None
    assert read_date("0001-01-01T00:00:00+14:00") is None
    assert read_date("Wed, 25 Jun 2025 15:00:00 GMT") == datetime(2025, 6, 25, 15, tzinfo=UTC)
