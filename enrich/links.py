"""What the page behind a pin's link says of itself: `enrich links`.

Reads pins (link_url) and deletions, fetches each distinct URL once through `enrich.fetch`, and writes pin_link, a row
a pin with a link: title, description and site name with the rules that gave them, or the reason why there are none.

Pins share a page when their URLs are the same once canonical (`web.addresses.canonical_url`: scheme and host in lower
case and ASCII, default port and fragment dropped, dot segments resolved; nothing a server could tell apart). A reason
that may pass (`fetch.TRANSIENT`) is tried again by the next run, any other by `--retry REASON`. A page that was read
once and cannot be had again keeps what it said: its new row carries the old values beside the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

import polars as pl

from enrich import job, parts
from enrich.fetch import TRANSIENT, FetchSession, FetchSettings, Outcome
from enrich.job import JobReport, JobSettings
from enrich.tables import DELETIONS, PIN_LINK, PINS
from enrich.web.addresses import canonical_url
from enrich.web.decoding import decode
from enrich.web.descriptions import choose_description
from enrich.web.page import read_page
from enrich.web.site_names import site_of
from enrich.web.titles import TitleRule, choose_title
from enrich.workspace import Workspace

PRODUCER = "link-rules/1"  # raised whenever the rules give other texts: then every page is read anew
_VALUES = [column.name for column in PIN_LINK.features]
_PAGE = pl.Schema({"input_hash": pl.String, **dict.fromkeys([*_VALUES, "reason"], pl.String)})


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


@dataclass(frozen=True, slots=True)
class LinkSettings:
    connect_to: str | None = None  # a loopback server, ADDRESS:PORT, that stands for every host (one's own: no delays)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    job: JobSettings = field(default_factory=lambda: JobSettings(batch_size=256))

    def __post_init__(self) -> None:
        self.fetching()  # refuses a connect_to that is not a loopback address and port

    def fetching(self) -> FetchSettings:
        """The fetcher's settings."""
        if self.connect_to is None:
            return self.fetch
        return replace(self.fetch, connect_to=self.connect_to, host_delay=0.0, host_connections=16)


def run_links(workspace: Workspace, settings: LinkSettings) -> JobReport:
    """Read the linked pages that these rules have not read yet. Raises BadInput when the settings clash."""
    with FetchSession(settings.fetching()) as session:

        def read(batch: pl.DataFrame) -> pl.DataFrame:
            return _read_batch(workspace, session, batch)

        return job.run(workspace, [PIN_LINK], linked_pins(workspace), read, PRODUCER, settings.job, TRANSIENT)


def linked_pins(workspace: Workspace) -> pl.DataFrame:
    """pin_id, url (canonical), event_timestamp, input_hash of the pins that have a link, deleted pins left out.

    In the order of the hash, so that pins with one page stand together and hosts are spread over the batches.
    """
    deletions = parts.scan(workspace.folder(DELETIONS)).filter(pl.col("kind") == "pin").select(pin_id="id")
    pins = (
        parts.scan(workspace.folder(PINS))
        .filter(pl.col("link_url").str.strip_chars().str.len_bytes() > 0)
        .join(deletions, on="pin_id", how="anti")
        .select("pin_id", "link_url", event_timestamp=pl.coalesce("updated_at", "created_at"))
        .collect()
    )
    links = pins.select(pl.col("link_url").unique())
    urls = [canonical_url(link) for link in links["link_url"]]
    hashes = [job.input_hash(url) for url in urls]
    named = links.with_columns(url=pl.Series(urls, dtype=pl.String), input_hash=pl.Series(hashes, dtype=pl.String))
    return pins.join(named, on="link_url").drop("link_url").sort("input_hash", "pin_id")


def _read_batch(workspace: Workspace, session: FetchSession, batch: pl.DataFrame) -> pl.DataFrame:
    """pin_id, the values of pin_link and reason of each row; a page that some pin has already is not asked for."""
    earlier = _last_read(workspace, batch)
    had = earlier.filter(pl.col("producer") == PRODUCER).select(*_PAGE)
    wanted = batch.select("input_hash", "url").unique(maintain_order=True).join(had, on="input_hash", how="anti")
    texts = session.fetch_all(wanted["url"].to_list(), _text_of)
    rows = [(key, *text) for key, text in zip(wanted["input_hash"], texts, strict=True)]
    read = pl.DataFrame(rows, schema=_PAGE, orient="row")
    kept = read.filter(pl.col("reason").is_not_null()).select("input_hash", "reason")
    kept = kept.join(earlier.select("input_hash", *_VALUES), on="input_hash", how="left").select(*_PAGE)
    pages = pl.concat([had, read.filter(pl.col("reason").is_null()), kept])
    return batch.select("pin_id", "input_hash").join(pages, on="input_hash").drop("input_hash")


def _last_read(workspace: Workspace, batch: pl.DataFrame) -> pl.DataFrame:
    """What each page of `batch` said when it was last read, for whichever pin and by whichever rules."""
    pages = batch.select("input_hash").unique().lazy()
    return (
        parts.scan(workspace.folder(PIN_LINK))
        .filter(pl.col("reason").is_null())
        .join(pages, on="input_hash", how="semi")
        .sort("written_at")
        .unique(subset="input_hash", keep="last")
        .select(*_PAGE, "producer")
        .collect()
    )


class _Text(NamedTuple):
    """In the order of _PAGE."""

    link_title: str | None = None
    link_description: str | None = None
    site_name: str | None = None
    title_rule: str | None = None
    description_rule: str | None = None
    reason: str | None = None


def _text_of(outcome: Outcome) -> _Text:
    if outcome.reason is not None:
        return _Text(reason=outcome.reason)
    text = extract_link_text(outcome.body, outcome.content_type, outcome.final_url)
    if text.title_rule == TitleRule.BOILERPLATE:
        return _Text(reason=PageReason.BOILERPLATE.value)
    if text.title is None and text.description is None:
        return _Text(reason=PageReason.NO_TEXT.value)
    return _Text(text.title, text.description, text.site_name, text.title_rule, text.description_rule)
