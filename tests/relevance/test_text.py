"""The teacher's reading: fields marked, budgeted, never cut to nothing; the same whatever stands beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_bert, tiny_llama, tiny_llama_3, tiny_t5, tiny_xlmr
from transformers import AutoTokenizer

from enrich.errors import BadInput
from relevance.text import (
    Field,
    FieldBudget,
    PairText,
    PinText,
    Renderer,
    Segment,
    TextSettings,
    fit,
    pair_texts,
    pin_texts_from_frame,
)

TABLE = PinText(title="Oak table", caption="a round table", board_titles=("dining ideas", "small kitchen"))


def written(folder: Path, query: str, pin: str | PinText, settings: TextSettings | None = None) -> str:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (row,) = Renderer(tokenizer, settings or TextSettings()).render(pair_texts([query], [pin]))
    return " ".join(tokenizer.convert_ids_to_tokens(row.ids.tolist()))


def test_fields_are_marked_and_a_missing_field_costs_nothing(tmp_path: Path) -> None:
    expected = "[CLS] round table [SEP] title : oak table caption : a round table [SEP]"
    assert written(tiny_bert(tmp_path), "round table", PinText("oak table", caption="a round table")) == expected


def test_a_string_is_a_pin_with_only_a_title(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path)
    assert written(folder, "red lamp", "a red lamp") == "[CLS] red lamp [SEP] title : a red lamp [SEP]"
    assert written(folder, "red lamp", PinText(title="a  red lamp")) == written(folder, "red lamp", "a red lamp")


def test_a_pin_without_text_and_an_empty_query_still_make_a_sequence(tmp_path: Path) -> None:
    assert written(tiny_bert(tmp_path), "", PinText(title=None, description="  ")) == "[CLS] [SEP] [SEP]"


def test_the_query_is_read_by_its_key(tmp_path: Path) -> None:
    assert written(tiny_bert(tmp_path), "  ROUND\ttable ", "sofa") == "[CLS] round table [SEP] title : sofa [SEP]"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (tiny_xlmr, "<s> rug </s> </s> title : wool rug </s>"),
        (tiny_t5, "rug </s> title : wool rug </s>"),
        (tiny_llama, "<s> rug \n title : wool rug"),
        (tiny_llama_3, "<s> rug \n title : wool rug"),
    ],
)
def test_each_tokenizer_keeps_its_own_special_tokens(tmp_path: Path, make: object, expected: str) -> None:
    assert written(make(tmp_path), "rug", "wool rug") == expected


def test_segments_say_what_is_query_and_which_field_of_the_pin(tmp_path: Path) -> None:
    renderer = Renderer(AutoTokenizer.from_pretrained(tiny_bert(tmp_path)), TextSettings())
    (row,) = renderer.render(pair_texts(["red lamp"], [PinText(title="sofa", board_titles=("ideas",))]))
    special, query, marker, title = Segment.SPECIAL, Segment.QUERY, Segment.MARKER, Segment.FIELD
    boards = Segment.FIELD + [budget.field for budget in TextSettings().fields].index(Field.BOARDS)
    pin = [marker, marker, title, marker, marker, boards]  # "title", ":", "sofa", "boards", ":", "ideas"
    assert row.segments.tolist() == [special, query, query, special, *pin, special]


def test_a_selection_reads_the_title_alone(tmp_path: Path) -> None:
    text = written(tiny_bert(tmp_path), "table", TABLE, TextSettings().selecting(Field.TITLE))
    assert "caption" not in text and "boards" not in text and "title" in text


def test_long_fields_are_cut_and_none_disappears(tmp_path: Path) -> None:
    long = " ".join(["oak"] * 500)
    pin = PinText(long, long, long, long, long, (long, long), (long,))
    text = written(tiny_bert(tmp_path), " ".join(["rug"] * 100), pin).split()
    assert len(text) == 128
    assert text.count("rug") == TextSettings().query_tokens
    for marker in ("title", "description", "caption", "link", "boards", "queries"):
        assert text[text.index(marker) + 2] == "oak"


def test_a_pairs_sequence_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert(tmp_path))
    pairs = pair_texts(["rug", "oak table", "rug"], [TABLE, "sofa", PinText(description="wool rug")])
    together = Renderer(tokenizer, TextSettings()).render(pairs)
    alone = [Renderer(tokenizer, TextSettings()).render([pair])[0] for pair in pairs]
    assert [row.ids.tolist() for row in together] == [row.ids.tolist() for row in alone]


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    shares=st.lists(st.floats(0.05, 1), min_size=6, max_size=6),
    room=st.integers(6, 200),
)
def test_fit_fills_the_room_and_leaves_every_field_a_token(lengths: list[int], shares: list[float], room: int) -> None:
    kept = fit(lengths, shares[: len(lengths)], room)
    assert sum(kept) == min(room, sum(lengths))
    assert all(1 <= k <= length for k, length in zip(kept, lengths, strict=True))


def test_fit_cuts_the_longest_for_its_share_first() -> None:
    assert fit([10, 10, 100], [0.5, 0.25, 0.25], 60) == [10, 10, 40]
    assert fit([50, 50], [0.75, 0.25], 40) == [30, 10]


def test_settings_that_cannot_hold_a_token_a_field_are_refused() -> None:
    with pytest.raises(BadInput, match="--max-tokens"):
        TextSettings(max_tokens=64)
    with pytest.raises(BadInput, match="distinct text fields"):
        TextSettings().selecting()


@pytest.mark.parametrize("make", [tiny_bert, tiny_xlmr, tiny_llama, tiny_t5])
def test_special_tokens_written_in_a_text_are_words(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """Else a pin's page could end its text and begin a query of its own."""
    tokenizer = AutoTokenizer.from_pretrained(make(tmp_path))
    special = {token: count(tokenizer, PinText(title="oak table")) for token in tokenizer.all_special_tokens}
    for token in set(special) - {tokenizer.unk_token}:
        forged = PinText(title=f"oak {token} table")
        assert (
            count(tokenizer, forged)[tokenizer.convert_tokens_to_ids(token)]
            == special[token][tokenizer.convert_tokens_to_ids(token)]
        ), token


def count(tokenizer: Any, pin: PinText) -> Counter[int]:
    """How often each token stands in the pin's sequence."""
    (row,) = Renderer(tokenizer, TextSettings()).render(pair_texts(["lamp"], [pin]))
    return Counter(row.ids.tolist())


def test_markers_that_leave_the_fields_no_room_are_refused(tmp_path: Path) -> None:
    """3 special tokens, 4 of the query, 12 of the marker and one of the title are 20."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert(tmp_path))
    marker = (FieldBudget(Field.TITLE, "title " * 12, 1.0),)
    (row,) = Renderer(tokenizer, TextSettings(marker, 20, 4)).render(
        pair_texts(["oak table round dining chair"], ["oak table"])
    )
    assert len(row.ids) == 20
    with pytest.raises(BadInput, match=r"--max-tokens of at least 20 .*found 19"):
        Renderer(tokenizer, TextSettings(marker, 19, 4))


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match="2 and 1"):
        pair_texts(["rug"], ["a", "b"])


@pytest.mark.parametrize(
    ("queries", "pins", "said"),
    [
        ("oak", "rug", "expected queries as a list, one a pair, found str 'oak'"),
        (["oak"] * 7, PinText("rug"), "expected pin texts as a list, one a pair, found PinText"),
        ([None], ["rug"], "expected query 0 as a str, found NoneType None"),
        (["oak"], [None], "expected pin text 0 as a str or a PinText, found NoneType None"),
        (["oak"], [float("nan")], "expected pin text 0 as a str or a PinText, found float nan"),
        (["oak"] * 2, ["rug", {"title": "rug"}], "expected pin text 1 as a str or a PinText, found dict"),
        (["oak"], [PinText(float("nan"))], "expected texts in title of pin text 0, found float nan"),
        (
            ["oak"],
            [PinText(board_titles="ab")],
            "expected board_titles of pin text 0 as a tuple of texts, found str",
        ),
        (["oak"], [PinText(engaged_queries=("a", 3))], "expected texts in engaged_queries of pin text 0, found int 3"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(queries: object, pins: object, said: str) -> None:
    with pytest.raises(BadInput) as error:
        pair_texts(queries, pins)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_a_list_of_boards_is_read_as_a_tuple() -> None:
    found = pair_texts(["oak"], [PinText(board_titles=["a", "b"], engaged_queries=None)])
    assert found == [PairText("oak", PinText(board_titles=("a", "b")))]
    assert hash(found[0].pin)


def test_a_frame_gives_the_pins_in_its_order_and_nulls_are_empty() -> None:
    frame = pl.DataFrame(
        {
            "pin_text__title": ["Oak table", None],
            "pin_boards__board_titles": [["dining", "oak"], None],
            "pin_link__link_title": [None, "A rug"],
        }
    )
    assert pin_texts_from_frame(frame) == [
        PinText(title="Oak table", board_titles=("dining", "oak")),
        PinText(link_title="A rug"),
    ]
