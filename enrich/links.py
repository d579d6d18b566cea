"""What the page behind a pin's link says of itself: `enrich links`.

Reads pins (link_url), fetches each distinct URL once through `enrich.fetch`, and writes pin_link, a row a pin with a
link: title, description and site name with the rules that gave them, or the reason why there are none.
"""

from __future__ import annotations

from typing import NamedTuple

from enrich.decoding import decode
from enrich.descriptions import choose_description
from enrich.page import read_page
from enrich.site_names import site_of
from enrich.titles import TitleRule, choose_title


class LinkText(NamedTuple):
    """A page's own words. Where `title_rule` is "boilerplate", the page was an error, a challenge or a consent wall."""

    title: str | None
    description: str | None
    site_name: str | None
    title_rule: str | None
    description_rule: str | None
    charset: str  # WHATWG name of the charset it was read as


def extract_link_text(html: bytes, content_type: str | None = None, url: str | None = None) -> LinkText:
    """Title, description and site name of a page, from its bytes, its Content-Type header and its URL.

    Any bytes are a page; never raises. Titles come without the site's name and without markup, on one line.
    """
    text, charset = decode(html, content_type)
    page = read_page(text)
    site = site_of(page, url)
    title = choose_title(page, site)
    if title is not None and title.rule is TitleRule.BOILERPLATE:
        return LinkText(None, None, site.name, title.rule.value, None, charset)
    description = choose_description(page, site, title.text if title else None)
    return LinkText(
        title.text if title else None,
        description.text if description else None,
        site.name,
        title.rule.value if title else None,
        description.rule.value if description else None,
        charset,
    )
