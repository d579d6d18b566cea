"""A page's title, description and site name: the whole way through it, from bytes.

decoding -> page -> site_names, titles, descriptions; and what the page itself forbids (directives).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from enrich.web.decoding import Decoded, decode
from enrich.web.descriptions import choose_description
from enrich.web.directives import allowed_by, name_last_day
from enrich.web.fetch_reasons import Reason
from enrich.web.page import Page, read_page
from enrich.web.site_names import site_of
from enrich.web.titles import TitleRule, choose_title


class PageReason(StrEnum):
    """Why a page that was fetched gave nothing; why one was not fetched is `fetch.Reason` or status-NNN."""

    BOILERPLATE = "boilerplate"  # an error page, a challenge or a consent wall
    NO_TEXT = "no-text"  # neither title nor description


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
    decoded = decode(html, content_type)
    return _chosen(read_page(decoded.text), decoded, url)


class Reading(NamedTuple):
    """What may be kept of a page, or the reason why nothing is."""

    text: LinkText | None
    reason: str | None = None
    lasting: bool = True  # the page names no date from which it must not be found


def read_link(
    html: bytes, content_type: str | None, url: str | None, agent: str | None, snippet: bool = True
) -> Reading:
    """As `extract_link_text`, within what the page allows to `agent` (None: it is not asked).

    Without `snippet` the description is left out, as X-Robots-Tag had it.
    """
    decoded = decode(html, content_type)
    page = read_page(decoded.text)
    tags = [meta.content for meta in page.metas if agent is not None and meta.name in ("robots", agent.lower())]
    allowed = allowed_by(tags, agent or "")
    if not allowed.indexing:
        return Reading(None, Reason.REFUSED_NOINDEX.value)
    text = _chosen(page, decoded, url)
    if not (snippet and allowed.snippet):
        text = text._replace(description=None, description_rule=None)
    if text.title_rule == TitleRule.BOILERPLATE:
        return Reading(None, PageReason.BOILERPLATE.value)
    if text.title is None and text.description is None:
        return Reading(None, PageReason.NO_TEXT.value)
    return Reading(text, lasting=not name_last_day(tags))


def _chosen(page: Page, decoded: Decoded, url: str | None) -> LinkText:
    site = site_of(page, url)
    title = choose_title(page, site)
    if title is not None and title.rule is TitleRule.BOILERPLATE:
        return LinkText(None, None, site.name, title.rule.value, None, decoded.charset)
    description = choose_description(page, site, title.text if title else None)
    return LinkText(
        title.text if title else None,
        description.text if description else None,
        site.name,
        title.rule.value if title else None,
        description.rule.value if description else None,
        decoded.charset,
    )
