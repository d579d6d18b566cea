"""Damage done to texts: of the kind and amount that it says, the same every time, and nowhere else."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevance.bi_encoder import TextVectors
from relevance.experiments.fields import VECTOR, without_fields
from relevance.experiments.perturbations import PIECES, QUERY, Damage, Perturbation, changed, damaged
from relevance.text_fields import Field
from tests.relevance.students import WordEncoder, labelled_frame

TEXT = "round oak table with four wooden chairs"


def differing(text: str, other: str) -> list[tuple[str, str]]:
    return [(a, b) for a, b in zip(text.split(), other.split(), strict=True) if a != b]


@pytest.mark.parametrize(("share", "words"), [(0.2, 1), (0.5, 3), (1.0, 6)])
def test_so_many_of_the_longer_words_have_one_slip(share: float, words: int) -> None:
    made = Perturbation(Damage.MISSPELLED, share)(TEXT)
    assert made is not None
    slips = differing(TEXT, made)
    assert len(slips) == words  # of round, table, with, four, wooden, chairs: oak is too short
    assert all(abs(len(a) - len(b)) <= 1 and a[0] == b[0] for a, b in slips)


def test_noise_is_put_between_words_that_stay() -> None:
    made = Perturbation(Damage.NOISY, 0.5)(TEXT)
    assert made is not None
    pieces = [word for word in made.split() if word not in TEXT.split()]
    assert len(pieces) == 4 and set(pieces) <= set(PIECES)  # half of seven words, the nearest even
    assert [word for word in made.split() if word in TEXT.split()] == TEXT.split()


def test_strength_one_repeats_ten_times_and_is_two_hundred_words_long() -> None:
    assert Perturbation(Damage.REPEATED, 1)("oak table") == " ".join(["oak table"] * 10)
    made = Perturbation(Damage.LONG, 1)("oak table", ("red", "blue"))
    assert made is not None and made.startswith("oak table ") and len(made.split()) == 202
    assert set(made.split()[2:]) == {"red", "blue"}


def test_a_share_of_the_texts_goes_missing() -> None:
    texts = [f"table {i}" for i in range(1_000)]
    gone = sum(Perturbation(Damage.MISSING, 0.2)(text) is None for text in texts)
    assert 160 <= gone <= 240
    assert all(Perturbation(Damage.MISSING, 1.0)(text) is None for text in texts)


def test_a_query_is_turned_round_with_an_s_more_or_less() -> None:
    made = Perturbation(Damage.REWORDED, 1)("oak tables")
    assert made in ("table oak", "tables oak")  # turned round; the s gone where that word was drawn
    assert Perturbation(Damage.REWORDED, 1)("lamp") == "lamps"


@given(st.text(max_size=60), st.sampled_from(list(Damage)), st.floats(0.01, 1))
def test_the_same_text_is_damaged_the_same(text: str, damage: Damage, strength: float) -> None:
    one = Perturbation(damage, strength, 3)
    assert one(text, ("a", "b")) == one(text, ("a", "b"))


def test_only_the_field_that_is_meant_is_damaged() -> None:
    frame = labelled_frame(2, 3, 1)
    made = damaged(frame, (Field.CAPTION,), Perturbation(Damage.REPEATED, 1))
    assert made.drop("pin_caption__caption").equals(frame.drop("pin_caption__caption"))
    assert made["pin_caption__caption"][0] == " ".join([frame["pin_caption__caption"][0]] * 10)


def test_lists_are_damaged_text_by_text_and_go_missing_as_a_whole() -> None:
    boards = pl.Series("pin_boards__board_titles", [["oak table", "lamps"], ["rugs"]])
    frame = labelled_frame(1, 2, 1).with_columns(boards)
    made = damaged(frame, (Field.BOARDS,), Perturbation(Damage.REPEATED, 0.1))["pin_boards__board_titles"].to_list()
    assert made == [["oak table oak table", "lamps lamps"], ["rugs rugs"]]
    gone = damaged(frame, (Field.BOARDS,), Perturbation(Damage.MISSING, 1))["pin_boards__board_titles"]
    assert gone.null_count() == 2


def test_nothing_is_known_of_a_query_that_nobody_asked_before() -> None:
    frame = labelled_frame(2, 2, 1)
    made = damaged(frame, (QUERY,), Perturbation(Damage.MISSPELLED, 1))
    assert (made["query"] != frame["query"]).all()
    assert made["query_features__frequency"].null_count() == made.height
    assert made["pin_id"].equals(frame["pin_id"]) and made["level"].equals(frame["level"])


def test_a_long_query_has_words_of_the_pins() -> None:
    made = damaged(labelled_frame(2, 2, 1), (QUERY,), Perturbation(Damage.LONG, 1))
    assert all(len(query.split()) == 202 and "ideas" in query for query in made["query"])


def test_a_pin_without_a_content_field_has_another_vector() -> None:
    frame = pl.DataFrame(
        {
            "query": ["oak", "oak"],
            "pin_text__title": ["oak table", None],
            "pin_caption__caption": ["red lamp", None],
            "pin_boards__board_titles": [["dining"], ["dining"]],
            VECTOR: [WordEncoder().encode(["oak table. red lamp"])[0].tolist(), None],
        },
        schema_overrides={VECTOR: pl.List(pl.Float32)},
    )
    made = without_fields(frame, (Field.TITLE,), TextVectors(WordEncoder()))
    expected = WordEncoder().encode(["red lamp"])[0]
    assert made[VECTOR][0].to_list() == pytest.approx(expected.tolist(), abs=2e-3)  # kept as float16
    assert made[VECTOR][1] is None and made["pin_text__title"].null_count() == 2
    assert without_fields(frame, (Field.BOARDS,), TextVectors(WordEncoder()))[VECTOR].equals(frame[VECTOR])
    assert without_fields(frame, tuple(Field), TextVectors(WordEncoder()))[VECTOR].null_count() == 2


def test_how_many_pairs_a_damage_changes_is_told() -> None:
    """Of four queries "led" and "2x4" have no word to misspell; two pins have no caption, one boards alone."""
    frame = pl.DataFrame(
        {
            "query": ["oak table", "led", "lamp", "2x4"],
            "pin_caption__caption": ["an oak table", None, "a lamp", None],
            "pin_boards__board_titles": [["tables"], None, None, ["planks"]],
        }
    )

    def share(damage: Damage, *targets: str) -> float:
        return changed(frame, damaged(frame, targets, Perturbation(damage, 1)), targets)

    assert share(Damage.MISSPELLED, QUERY) == 0.5 and share(Damage.NOISY, QUERY) == 1
    assert share(Damage.MISSING, Field.CAPTION) == 0.5
    assert share(Damage.MISSING, Field.CAPTION, Field.BOARDS) == 0.75
    assert share(Damage.MISSING, Field.LINK) == 0
