"""The pages that the sample catalogue's pins link to: which page, on which site, and what it says.

A shop's page is about one thing and tells what it is made of, for what style and by which brand; a blog's page is about
an interest in a style, and several pins link to it. Some addresses redirect, some are gone, one site forbids robots.
The HTML itself is written by `page_html.py`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from data.sample_maker.chance import Rng, choose, happens, stream
from data.sample_maker.phrases import Subject, say
from data.sample_maker.pins import Pin
from data.sample_maker.texts import subject
from data.sample_maker.vocabulary import Attributes, entries

LINKED = 0.42  # of pins
_PRODUCT_SHARE = 0.50  # of linked pins; the others link to articles
_PINS_PER_PRODUCT, _PINS_PER_ARTICLE = 2, 5
_GONE, _MOVED, _FAILING = 0.03, 0.03, 0.005  # of pages
FORBIDDING_HOST = "www.theoldtramshed.example"
_PRODUCT_TELLS = {"colour": 0.4, "material": 0.7, "count": 0.3}


class Site(NamedTuple):
    host: str
    name: str
    lang: str
    is_shop: bool
    charset: str


@dataclass(frozen=True, slots=True)
class PageText:
    """What a page says, before it is HTML."""

    site: Site
    url: str
    title: str
    summary: str
    body: tuple[str, ...]
    related: tuple[str, ...]
    nav: tuple[str, ...]
    is_product: bool


class Address(NamedTuple):
    """What answers at a URL: a page, or the status that comes instead of one (301 with its target)."""

    url: str
    status: int
    page: PageText | None = None
    location: str | None = None


class Web(NamedTuple):
    addresses: list[Address]
    link_of: dict[str, str]  # pin_id -> link_url
    robots: dict[str, str]  # host -> robots.txt


@cache
def sites() -> tuple[Site, ...]:
    return tuple(
        Site(host, name, lang, kind == "shop", charset) for host, (name, lang, kind, charset) in entries("sites")
    )


def make_web(seed: int, pins: Sequence[Pin]) -> Web:
    """The pages of the pins that have a link, and what else answers on their sites."""
    rng = stream(seed, "pages")
    linked = [pin for pin in pins if happens(rng, LINKED)]
    addresses: list[Address] = []
    link_of: dict[str, str] = {}
    for group, is_product in _groups(rng, linked):
        page = _page(rng, group, is_product)
        url = page.url
        if happens(rng, _MOVED):
            url = f"{page.url}?ref=board"
            addresses.append(Address(url, 301, location=page.url))
        if happens(rng, _GONE):
            addresses.append(Address(page.url, choose(rng, (404, 410))))
        else:
            addresses.append(Address(page.url, 503) if happens(rng, _FAILING) else Address(page.url, 200, page))
        link_of.update({pin.pin_id: url for pin in group})
    robots = {site.host: _robots(site) for site in sites()}
    return Web(addresses, link_of, robots)


def _groups(rng: Rng, pins: Sequence[Pin]) -> Iterator[tuple[list[Pin], bool]]:
    """Pins that link to one page, and whether it is a shop's."""
    by_thing: dict[tuple[str, ...], list[Pin]] = defaultdict(list)
    for pin in pins:
        if happens(rng, _PRODUCT_SHARE):
            by_thing["product", pin.lang, pin.scene.object, pin.scene.material].append(pin)
        else:
            by_thing["article", pin.lang, pin.interest, pin.styles[0]].append(pin)
    for key, alike in by_thing.items():
        size = _PINS_PER_PRODUCT if key[0] == "product" else _PINS_PER_ARTICLE
        for start in range(0, len(alike), size):
            yield alike[start : start + size], key[0] == "product"


def _page(rng: Rng, group: list[Pin], is_product: bool) -> PageText:
    pin = group[0]
    site = choose(rng, [site for site in sites() if site.lang == pin.lang and site.is_shop == is_product])
    about = subject(rng, pin, _PRODUCT_TELLS if is_product else {})._replace(style=pin.styles[0], brand=site.name)
    title = say(pin.lang, "page.product" if is_product else "page.article", about, rng)
    summary = say(pin.lang, "page.object_summary" if is_product else "page.article_summary", about, rng)
    digest = hashlib.blake2b(f"{pin.pin_id}/{title}".encode(), digest_size=4).hexdigest()
    folder = ("products" if is_product else choose(rng, ("journal", "2025/03", "blog"))) + "/"
    return PageText(
        site=site,
        url=f"http://{site.host}/{folder}{_slug(title)}-{digest}" + ("" if happens(rng, 0.7) else ".html"),
        title=title[:1].upper() + title[1:],
        summary=summary[:1].upper() + summary[1:],
        body=tuple(_body(rng, pin, about)),
        related=tuple(_related(rng, pin) for _ in range(3)),
        nav=tuple(dict.fromkeys(say(pin.lang, "page.nav", about, rng) for _ in range(6))),
        is_product=is_product,
    )


def _slug(title: str) -> str:
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in title.lower())
    return "-".join(filter(None, plain.split("-")))[:48] or "p"


def _body(rng: Rng, pin: Pin, about: Subject) -> Iterator[str]:
    quiet = about._replace(said=Attributes())
    yield say(pin.lang, "desc.opener", quiet, rng)
    for section in ("page.body", "desc.material", "page.body", "desc.style", "page.body"):
        yield say(pin.lang, section, quiet, rng)


def _related(rng: Rng, pin: Pin) -> str:
    """The name of something else on the site: a neighbour's word, as on any real page."""
    return say(pin.lang, f"title.{pin.interest}", Subject(pin.interest), rng)


def _robots(site: Site) -> str:
    if site.host == FORBIDDING_HOST:
        return "User-agent: *\nDisallow: /\n"
    return "User-agent: *\nDisallow: /cart\nDisallow: /search\n"
