"""What is private in a text, and what only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.privacy import Private, find_private, scrub


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mail jane.doe+pins@example.co.uk", Private.EMAIL),
        ("jane@example.com", Private.EMAIL),
        ("ｊａｎｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", Private.EMAIL),
        ("https://example.org/a?b=c", Private.URL),
        ("see www.example.org", Private.URL),
        ("pinterest.com/jane", Private.URL),
        ("lamps by @jane_doe", Private.HANDLE),
        ("4111 1111 1111 1111", Private.CARD),
        ("5500-0000-0000-0004", Private.CARD),
        ("call +49 30 901820", Private.PHONE),
        ("(555) 123-4567", Private.PHONE),
        ("555.123.4567", Private.PHONE),
        ("06 12 34 56 78", Private.PHONE),
        ("٠٦ ١٢ ٣٤ ٥٦ ٧٨", Private.PHONE),
        ("+९१ ९८७६५ ४३२१०", Private.PHONE),
    ],
)
def test_private_pieces_are_found(text: str, reason: Private) -> None:
    assert find_private(text) == (reason,)


@pytest.mark.parametrize(
    "text",
    [
        "red vase",
        "calendar 2024 2025",
        "iphone 15 pro 256 gb",
        "4006381333931",  # an article number: card-like in length, Luhn's check fails
        "lego 75192",
        "1080x1920 wallpaper",
        "dinner @ home",
        "node.js",
        "st. patrick's day",
        "3.5 mm jack",
        "赤い花瓶 2024",
    ],
)
def test_ordinary_queries_are_left(text: str) -> None:
    assert find_private(text) == ()
    assert scrub(text).text == text


def test_a_title_keeps_what_is_not_private() -> None:
    assert scrub("Kitchen ideas, ask jane@example.com or @jane") == (
        "Kitchen ideas, ask or",
        (Private.EMAIL, Private.HANDLE),
    )


def test_a_dropped_control_character_brings_no_handle_together() -> None:
    assert find_private(scrub("@0\x1f0").text) == ()


@given(st.text(max_size=200) | st.text(alphabet="0123456789 +-.()@acom/", max_size=80))
def test_scrubbing_leaves_nothing_private(text: str) -> None:
    assert find_private(scrub(text).text) == ()


@given(st.text(alphabet="0123456789 +-.()@a", max_size=2000))
def test_long_runs_of_digits_take_no_time(text: str) -> None:
    scrub(text)
