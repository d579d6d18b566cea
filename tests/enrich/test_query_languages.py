"""Languages of queries: the log's own word first, then the text, read beside the other queries of the log."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from enrich.language import LANGUAGES, identify, probabilities
from enrich.query_languages import QueryLanguages, shares

ENGLISH = ["oak table", "running shoes for men", "wooden chair", "blue kitchen curtains", "garden lights", "glass vase"]


def told(queries: list[str], given: dict[str, str] | None = None) -> dict[str, str | None]:
    rows = [(query, language, 1) for query, language in (given or {}).items()]
    schema = {"query": pl.String, "lang": pl.String, "n": pl.Int64}
    languages = QueryLanguages().of(pl.DataFrame(rows, schema=schema, orient="row"), queries)
    return dict(zip(queries, languages.to_list(), strict=True))


def test_a_short_query_is_in_the_language_of_the_queries_around_it() -> None:
    assert identify(["glass vase"]) == ["et"]
    assert told(ENGLISH) == dict.fromkeys(ENGLISH, "en")


def test_the_majority_does_not_speak_for_a_query_that_says_its_language() -> None:
    others = {"らーめん 作り方": "ja", "ผัดไทย": "th", "كنافة": "ar", "हिंदी किताब": "hi", "泰国面": "zh",
              "gemütlicher sessel für das wohnzimmer": "de"}  # fmt: skip
    found = told([*ENGLISH, *others])
    assert {query: found[query] for query in others} == others


def test_what_the_log_gives_is_taken_and_counts_for_the_others() -> None:
    german = {f"begriff {number}": "de-DE" for number in range(30)}
    assert told([*german, "vase"], german)["vase"] == "de"
    assert told(ENGLISH, {"glass vase": "fr"})["glass vase"] == "fr"
    languages = pl.DataFrame({"query": ["vase"] * 2, "lang": ["fr", "en"], "n": [2, 3]})
    assert QueryLanguages().of(languages, ["vase"]).to_list() == ["en"]


@pytest.mark.parametrize("query", ["2024", "❤️", "12 x 30"])
def test_nothing_is_said_of_a_query_without_letters(query: str) -> None:
    assert told([*ENGLISH, query])[query] is None


def test_a_second_window_is_told_by_its_own_queries() -> None:
    languages, nothing = QueryLanguages(), pl.DataFrame(schema={"query": pl.String, "lang": pl.String, "n": pl.Int64})
    assert languages.of(nothing, ENGLISH).to_list() == ["en"] * len(ENGLISH)
    assert languages.of(nothing, ["glass vase"]).to_list() == [told(["glass vase"])["glass vase"]] != ["en"]


def test_shares_by_hand() -> None:
    """Two languages; three queries known to be in the first, two read as .6 to .4: f = (3 + 2.5 + 2r) / (3 + 5 + 2)."""
    read = np.array([[0.6, 0.4], [0.6, 0.4]], dtype=np.float32)
    first, second = shares(read, np.array([3.0, 0.0]))
    responsible = 0.6 * first / (0.6 * first + 0.4 * second)
    assert first == pytest.approx((3 + 2.5 + 2 * responsible) / 10, abs=1e-4)
    assert first + second == pytest.approx(1)


def test_probabilities_are_of_the_languages_in_their_order() -> None:
    thai, nothing = probabilities(["ผัดไทย", "2024"])
    assert LANGUAGES[thai.argmax()] == "th" and thai.sum() == pytest.approx(1, abs=1e-5)
    assert not nothing.any()
