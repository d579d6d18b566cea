"""Bytes to text: the charset by its signs, whatever the page claims."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.web.decoding import decode

SPANISH = "¿Qué año eligió la compañía? El señor Núñez pidió más información sobre la montaña."
JAPANESE = "誰でも作れる自家製パンのレシピ。生地を発酵させて、とても熱いオーブンで焼きます。"
RUSSIAN = "Рецепт домашнего хлеба, который может приготовить каждый."
POLISH = "Przepis na domowy chleb, który każdy może zrobić. Ciasto odstawiamy do wyrośnięcia i pieczemy na złoto."


@pytest.mark.parametrize(
    ("text", "codec", "charset"),
    [
        (SPANISH, "utf-8", "utf-8"),
        (SPANISH, "utf-8-sig", "utf-8"),
        (SPANISH, "utf-16", "utf-16le"),
        (SPANISH, "utf-16-be", "utf-16be"),
        (SPANISH, "cp1252", "windows-1252"),
        (JAPANESE, "cp932", "shift_jis"),
        (JAPANESE, "euc_jp", "euc-jp"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (POLISH, "cp1250", "windows-1250"),
    ],
)
def test_a_page_that_declares_nothing_is_read_right(text: str, codec: str, charset: str) -> None:
    page = f"<html><head><title>{text}</title></head><body><p>{text}</p></body></html>"
    assert decode(page.encode(codec)) == (page, charset)


def test_strict_utf8_wins_over_a_header_and_a_meta_tag_left_over_from_a_template() -> None:
    page = f"<meta charset=iso-8859-1><title>{SPANISH}</title>"
    assert decode(page.encode(), "text/html; charset=windows-1251") == (page, "utf-8")


def test_the_header_wins_over_the_meta_tag_and_both_over_a_guess() -> None:
    page = f"<meta charset=koi8-r><title>{RUSSIAN}</title>"
    assert decode(page.encode("cp1251"), "text/html; charset=windows-1251") == (page, "windows-1251")
    assert decode(page.encode("koi8-r")) == (page, "koi8-r")
    assert decode("é".encode("latin-1"), "text/html; charset=iso-8859-1") == ("é", "windows-1252")


def test_utf8_with_a_broken_byte_is_utf8() -> None:
    raw = (SPANISH * 20).encode() + b"\xff"
    assert decode(raw) == (SPANISH * 20 + "\ufffd", "utf-8")


def test_a_charset_that_is_no_charset_is_not_looked_up() -> None:
    for label in ("utf-7", "rot13", "zip", "unicode_escape", "idna", "nonsense"):
        assert decode(b"+ADw-\xe9", f"text/html; charset={label}").charset == "windows-1252"


@given(st.binary(max_size=300), st.none() | st.text(max_size=40))
def test_any_bytes_have_a_text(raw: bytes, content_type: str | None) -> None:
    text, charset = decode(raw, content_type)
    text.encode()
    assert charset
