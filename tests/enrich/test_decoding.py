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


# WHATWG Encoding, "Names and labels", but UTF-16, which a page cannot ask for. (There iso-8859-8-i is a name apart.)
LABELS = {
    "utf-8": """
        unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8
    """,
    "ibm866": """
        866 cp866 csibm866 ibm866
    """,
    "iso-8859-2": """
        csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2
    """,
    "iso-8859-3": """
        csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3
    """,
    "iso-8859-4": """
        csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4
    """,
    "iso-8859-5": """
        csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988
    """,
    "iso-8859-6": """
        arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e iso-8859-6-i
        iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
    """,
    "iso-8859-7": """
        csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7
        iso_8859-7:1987 sun_eu_greek
    """,
    "iso-8859-8": """
        csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 iso_8859-8
        iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical
    """,
    "iso-8859-10": """
        csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6
    """,
    "iso-8859-13": """
        iso-8859-13 iso8859-13 iso885913
    """,
    "iso-8859-14": """
        iso-8859-14 iso8859-14 iso885914
    """,
    "iso-8859-15": """
        csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9
    """,
    "iso-8859-16": """
        iso-8859-16
    """,
    "koi8-r": """
        cskoi8r koi koi8 koi8-r koi8_r
    """,
    "koi8-u": """
        koi8-ru koi8-u
    """,
    "macintosh": """
        csmacintosh mac macintosh x-mac-roman
    """,
    "windows-874": """
        dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874
    """,
    "windows-1250": """
        cp1250 windows-1250 x-cp1250
    """,
    "windows-1251": """
        cp1251 windows-1251 x-cp1251
    """,
    "windows-1252": """
        ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591
        iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252
    """,
    "windows-1253": """
        cp1253 windows-1253 x-cp1253
    """,
    "windows-1254": """
        cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5
        windows-1254 x-cp1254
    """,
    "windows-1255": """
        cp1255 windows-1255 x-cp1255
    """,
    "windows-1256": """
        cp1256 windows-1256 x-cp1256
    """,
    "windows-1257": """
        cp1257 windows-1257 x-cp1257
    """,
    "windows-1258": """
        cp1258 windows-1258 x-cp1258
    """,
    "x-mac-cyrillic": """
        x-mac-cyrillic x-mac-ukrainian
    """,
    "gb18030": """
        chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030
    """,
    "big5": """
        big5 big5-hkscs cn-big5 csbig5 x-x-big5
    """,
    "euc-jp": """
        cseucpkdfmtjapanese euc-jp x-euc-jp
    """,
    "iso-2022-jp": """
        csiso2022jp iso-2022-jp
    """,
    "shift_jis": """
        csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis
    """,
    "euc-kr": """
        cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601
        windows-949
    """,
}


@pytest.mark.parametrize("name", LABELS)
def test_every_label_of_the_encoding_standard_is_known(name: str) -> None:
    page = b"<title>Lemon</title>"
    known = {label: decode(page, f"text/html; charset={label}").charset for label in LABELS[name].split()}
    assert known == dict.fromkeys(known, name)
