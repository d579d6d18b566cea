"""Which URLs and addresses are fetched: every literal unsafe one is refused, ordinary public ones are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.web.addresses import NotWebURL, UnsafeURL, canonical_url, check_url, parse_url, refuse_address

PUBLIC = [
    "https://example.com",
    "http://example.com:8080/path?query=1#part",
    "HTTPS://EXAMPLE.COM/",
    "https://my_blog.blogspot.com/2020/01/a.html",
    "https://medium.com/@someone/a-title-1a2b3c",
    "https://example.com/login?next=http://127.0.0.1/",
    "https://münchen.de/straße?ü=ß",
    "http://日本語.jp/ページ",
    "https://xn--bcher-kva.example/",
    "https://💩.la/",
    "https://my_bücher.example/",
    "https://localhost.example.com/",
    "https://example.com./",
    "http://8.8.8.8/",
    "http://[2606:4700:4700::1111]/",
    " https://example.com/\n",
]


@pytest.mark.parametrize("url", PUBLIC)
def test_an_ordinary_public_url_passes(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "http://",
        "http:///path",
        "ftp://example.com/",
        "javascript:alert(1)",
        "http://user:secret@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:22/",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://example.com%2eevil.com/",
        "http://router/",
        "http://printer.local/",
        "http://localhost:8000/",
        "http://api.localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.0.0.1./",
        "http://①②⑦.⓪.⓪.①/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
        "http://[fe80::1%25eth0]/",
        "http://168.63.129.16/",
        "http://example.com/" + "a" * 5_000,
        "http://example.com/\x00",
        "http://example.com/\ud800",
    ],
)
def test_what_is_not_plainly_public_is_refused(url: str) -> None:
    with pytest.raises(UnsafeURL):
        check_url(url)


@pytest.mark.parametrize("url", ["see my blog", "mailto:a@b.example", "file:///etc/passwd", "http://", "https://a b/"])
def test_what_is_no_web_url_is_told_from_what_is_unsafe(url: str) -> None:
    with pytest.raises(NotWebURL):
        check_url(url)
    with pytest.raises(UnsafeURL) as refused:
        check_url("http://10.0.0.1/")
    assert not isinstance(refused.value, NotWebURL)


def test_every_literal_unsafe_url_of_the_collection_is_refused(shared_data: Path) -> None:
    cases = [json.loads(line) for line in (shared_data / "link_pages" / "unsafe_urls.jsonl").read_text().splitlines()]
    passed = []
    for case in cases:
        try:
            check_url(case["url"])
            passed.append(case)
        except UnsafeURL:
            continue
    assert all(case["needs_dns"] for case in passed), passed


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1"),
        *("fc00::1", "fe80::1%eth0", "::ffff:192.168.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1", "name", ""),
    ],
)
def test_an_address_that_is_not_global_is_refused(address: str) -> None:
    with pytest.raises(UnsafeURL):
        refuse_address(address)


def test_loopback_passes_only_where_a_setting_allows_it() -> None:
    check_url("http://127.0.0.1:8000/", allow_loopback=True)
    check_url("http://localhost:8000/", allow_loopback=True)
    check_url("http://[::1]:8000/", allow_loopback=True)
    with pytest.raises(UnsafeURL):
        check_url("http://169.254.169.254/", allow_loopback=True)


@given(st.text(max_size=80), st.sampled_from(["", "http://", "https://", "http://[", "http://a@", "http://1."]))
def test_any_text_is_judged_without_another_error(text: str, start: str) -> None:
    try:
        url = str(parse_url(start + text))
    except UnsafeURL:
        return
    assert str(parse_url(url)) == url, "what passes has one spelling"
    assert url.isascii()


def test_pins_share_a_page_when_their_urls_differ_only_in_spelling() -> None:
    same = ["http://Example.com", "http://example.com:80/#top", " HTTP://EXAMPLE.COM/./", "http://example.com/a/.."]
    assert {canonical_url(url) for url in same} == {"http://example.com/"}
    apart = ["http://example.com/a", "http://example.com/a/", "http://example.com/A", "https://example.com/a"]
    assert len({canonical_url(url) for url in apart}) == 4
    assert canonical_url("http://example.com/a b?q=ü") == "http://example.com/a%20b?q=%C3%BC"
    assert canonical_url("http://example.com/a/%2E/b/.%2e/") == "http://example.com/a/", "dots are dots, however spelt"
    assert canonical_url("https://i❤️.example/") == "https://xn--i-7iq.example/"
    assert canonical_url("https://faß.example/") == "https://xn--fa-hia.example/"
    assert canonical_url(" not a url ") == "not a url"
