"""Queries and terms: one spelling a text, in every script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.normalise import MAX_QUERY_CHARACTERS, collapse_space, is_sign, normalise_query, signs, terms


def test_a_query_is_folded_to_one_key() -> None:
    assert normalise_query("  Ｂｌｕｅ\tSCARF \n") == "blue scarf"


def test_words_lose_case_and_latin_accents_only() -> None:
    assert terms("Écharpe BLEUE, 2-ply") == ["echarpe", "bleue", "2", "ply"]
    assert terms("नीला दुपट्टा") == ["नीला", "दुपट्टा"]


def test_scripts_without_spaces_come_as_bigrams() -> None:
    assert terms("青いマフラー wool") == ["青い", "いマ", "マフ", "フラ", "ラー", "wool"]
    assert terms("青") == ["青"]


def test_a_text_has_the_signs_of_its_bigrams_too() -> None:
    assert signs("青いマフラー wool 木 2024") == [*"青いマフラー"]  # 木 is a term already
    assert signs("ที่นั่น") == ["ที่", "นั่", "น"] and signs("빨간 의자 꽃") == []
    assert [is_sign(term) for term in ("青", "ที่", "青い", "a", "꽃", "é")] == [True, True, False, False, False, False]


@given(st.text(alphabet="aé Ж빨꽃طकी\u0301,"))
def test_texts_with_spaces_have_no_signs(text: str) -> None:
    assert signs(text) == [] and not any(map(is_sign, terms(text)))


@given(st.text(alphabet="猫木黑 いทีa"))
def test_signs_are_those_of_the_bigrams(text: str) -> None:
    bigrams = [term for term in terms(text) if not (is_sign(term) or term.isascii())]
    assert set(signs(text)) == {sign for pair in bigrams for sign in signs(pair)}
    assert all(is_sign(sign) for sign in signs(text))


def test_control_characters_and_lone_surrogates_are_dropped() -> None:
    assert collapse_space("a\x00b\ud800 \u2003c") == "ab c"


@pytest.mark.parametrize(
    "typed", ["va\u200bse", "vase\ufeff", "\u200evase", "va\u00adse", "va\u200dse", "\u2066vase\u2069", "v\u2060ase"]
)
def test_what_cannot_be_seen_makes_no_other_query_and_no_other_term(typed: str) -> None:
    assert normalise_query(typed) == "vase"
    assert terms(f"{typed} 木") == ["vase", "木"]


def test_joiners_stay_in_texts_and_split_no_word() -> None:
    assert collapse_space("می\u200cخواهم \u200b👩\u200d🍳") == "می\u200cخواهم 👩\u200d🍳"
    assert terms("می\u200cخواهم") == terms("میخواهم") == ["میخواهم"]
    assert terms("क्\u200dया") == ["क्या"]
    assert normalise_query("می\u200cخواهم") == normalise_query("میخواهم")


def test_a_sign_that_can_be_seen_is_no_format_to_drop() -> None:
    assert collapse_space("\u06ddb") == "\u06ddb"


def test_a_letter_meets_its_accent_over_what_cannot_be_seen() -> None:
    assert normalise_query("e\u200b\u0301") == "é"


@given(st.text() | st.text(alphabet="ae\u0301\u200b\u200c\u200d\ufeff\u00ad क\u094d"))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise_query(text)
    assert normalise_query(once) == once
    assert len(once) <= MAX_QUERY_CHARACTERS


@given(st.text())
def test_terms_are_never_blank(text: str) -> None:
    assert all(term.strip() for term in terms(text))


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_texts_have_the_terms_that_any_text_would(text: str):
    """An ASCII text beside a letter that is none goes the long way round."""
    assert terms(f"{text} é") == [*terms(text), "e"]


def test_a_thai_letter_keeps_its_vowels_and_tones() -> None:
    assert terms("ที่นั่น") == ["ที่นั่", "นั่น"]
    assert terms("โต๊ะไม้") == ["โต๊", "ต๊ะ", "ะไ", "ไม้"]


def test_chinese_arabic_and_hindi() -> None:
    assert terms("木桌 2024") == ["木桌", "2024"]
    assert terms("طاولة خشب") == ["طاولة", "خشب"]
    assert terms("लकड़ी की मेज़") == ["लकड़ी", "की", "मेज़"]
