"""Query slips: what a typist does to words, never to the pin or its label, the same again in a resumed run."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from relevance.learning.pieces import Pieces
from relevance.learning.query_slips import slipped_rows, with_slips
from relevance.misspelling import misspelled, slipped
from relevance.teaching.query_slips import slip_queries
from relevance.text import PairText, PinText
from tests.relevance.students import labelled_frame

PIN = PinText("a vase", engaged_queries=("wooden vase",))


def edits(one: str, other: str) -> int:
    """Letters left out, too many, changed or swapped with the next (Damerau and Levenshtein)."""
    rows = [[max(i, j) if not min(i, j) else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (one[i - 1] != other[j - 1]))
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def draws(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(word=st.text("abcdeéßжд椅子", min_size=4, max_size=12), seed=st.integers(0, 999))
def test_a_slip_is_one_edit_behind_the_first_letter(word: str, seed: int) -> None:
    found = slipped(word, draws(seed))
    assert edits(word, found) <= 1
    assert found[0] == word[0]


def test_every_kind_of_slip_happens_and_a_word_without_equal_neighbours_is_never_left_as_it_was() -> None:
    found = {slipped("table", draws(seed)) for seed in range(400)}
    assert {"tble", "talbe", "taable", "tanle"} <= found
    assert "table" not in found


def test_letters_of_no_keyboard_are_left_out_or_swapped() -> None:
    assert {slipped("стол", draws(seed)) for seed in range(100)} == {"сол", "стл", "сто", "сотл", "стло"}


def test_words_that_are_short_or_no_words_stay() -> None:
    assert misspelled("tv 4k usb-c hdmi2 box", draws(0)) == "tv 4k usb-c hdmi2 box"
    assert misspelled("", draws(0)) == ""
    assert misspelled("木製の椅子", draws(0)) == "木製の椅子"
    whole = ["red", "oak", "table", "for", "kids"]
    for seed in range(50):
        words = misspelled(" ".join(whole), draws(seed)).split(" ")
        wrong = [place for place, (one, other) in enumerate(zip(words, whole, strict=True)) if one != other]
        assert wrong in ([2], [4])


def test_queries_slip_at_the_chance_given_and_anew_each_epoch() -> None:
    pairs = [PairText("wooden table", PIN)] * 2_000
    first, again, second = (slip_queries(pairs, 0.2, 0, epoch) for epoch in (0, 0, 1))
    assert first == again != second
    assert all(pair.pin == PIN for pair in first)
    assert abs(sum(pair.query != "wooden table" for pair in first) / len(pairs) - 0.2) < 0.03
    assert slip_queries(pairs, 0.0, 0, 0) == pairs


def test_a_students_row_that_slips_keeps_its_pin_and_label_and_nothing_is_known_of_its_query() -> None:
    frame = labelled_frame(100, 20, 1).with_columns(query_pin_engagement__clicks_365d=pl.lit(3))
    found = slipped_rows(frame, 0.2, 0)
    hit = found["query"] != frame["query"]
    assert abs(hit.mean() - 0.2) < 0.03
    known = [name for name in frame.columns if name.startswith("query_")]
    assert found.drop("query", *known).equals(frame.drop("query", *known))
    assert found.filter(~hit).equals(frame.filter(~hit))
    assert all(found.filter(hit)[name].null_count() == hit.sum() for name in known)
    assert found.schema == frame.schema


def test_a_query_slips_in_one_way_and_the_same_again_in_whatever_pieces() -> None:
    frame = labelled_frame(20, 20, 1)
    whole = slipped_rows(frame, 0.3, 5)
    pieces = with_slips(Pieces.of(frame, 70), 0.3, 5)
    assert pl.concat([pieces.frame(i) for i in range(pieces.count)]).equals(whole)
    assert not slipped_rows(frame, 0.3, 6).equals(whole)
    ways = pl.DataFrame({"was": frame["query"], "is": whole["query"]}).filter(pl.col("was") != pl.col("is"))
    assert ways.group_by("was").agg(pl.col("is").n_unique())["is"].max() == 1
    assert with_slips(pieces, 0.0, 5) is pieces
