"""What the page behind a pin's link says of itself: `enrich links`.

Reads pins (link_url), engagements (where only links that people dwelt on are wanted) and deletions. First each page
that is due is asked for, once whatever number of pins share it, and what became of it is kept in W/visits
(`web.visits`: never visited, too old, failed for a passing reason). Then pin_link is brought up to date with the
visits, a row a pin with a visited link: title, description and site name with the rules that gave them, or the reason
why there are none. What the titles of a host share at an end is taken off them (`web.shared_ends`), once enough of its
pages were read to tell: their rows are then made anew.

Pins share a page when their URLs are the same once canonical (`web.addresses.canonical_url`: scheme and host in lower
case and ASCII, default port and fragment dropped, dot segments resolved; nothing a server could tell apart). A page
older than `max_age` is asked for again, with the validators that came with it, so that an unchanged one costs a 304
and no row; a changed one costs a row that is true from then on, so that no earlier moment sees it. A reason that may
pass (`fetch.TRANSIENT`) is tried again by the next run, any other by `--retry REASON` or by age. A page that was read
once and cannot be had again keeps what it said, beside the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import polars as pl

from enrich import job
from enrich.engine import Engine as Engine
from enrich.errors import BadInput
from enrich.fetch import TRANSIENT, FetchSettings, Reason
from enrich.history import History
from enrich.job import JobReport, JobSettings
from enrich.live_pins import live_pins, pins_without
from enrich.progress import progress
from enrich.tables import PIN_LINK
from enrich.web import visits
from enrich.web.addresses import canonical_url
from enrich.web.fetch_reasons import refuse_unknown
from enrich.web.link_rows import taken_back, wanted
from enrich.web.link_text import LinkText as LinkText
from enrich.web.link_text import PageReason
from enrich.web.link_text import extract_link_text as extract_link_text
from enrich.web.visiting import PRODUCER as PRODUCER
from enrich.web.visiting import Visit
from enrich.web.visiting_processes import visit_here
from enrich.web.visiting_ray import visit_on_ray
from enrich.web.visits import VALUES, VisitLog
from enrich.workspace import Workspace


@dataclass(frozen=True, slots=True)
class LinkSettings:
    connect_to: str | None = None  # a loopback server, ADDRESS:PORT, that stands for every host (one's own: no delays)
    max_age: timedelta = timedelta(days=30)  # after which a page is asked for again
    min_long_clicks: int = 0  # long clicks (a dwell of 10 s or more) that a pin needs for its link to be fetched
    engine: Engine = Engine.LOCAL  # where pages are asked for and read; on Ray each host by one worker
    part_visits: int = 500  # pages kept as one part (or those of two seconds): all that a kill can lose
    fetch: FetchSettings = field(default_factory=FetchSettings)
    job: JobSettings = field(default_factory=lambda: JobSettings(batch_size=20_000))  # limit: pages

    def __post_init__(self) -> None:
        if self.max_age < timedelta(0) or self.min_long_clicks < 0:
            raise BadInput("expected a max_age and min_long_clicks of at least 0; raise --max-age-days")
        self.fetching()  # refuses a connect_to that is not a loopback address and port

    def fetching(self) -> FetchSettings:
        """The fetcher's settings."""
        if self.connect_to is None:
            return self.fetch
        return replace(self.fetch, connect_to=self.connect_to, host_delay=0.0, host_connections=16)


def run_links(workspace: Workspace, settings: LinkSettings) -> JobReport:
    """Visit the linked pages that are due, then write what is new of them.

    Raises BadInput where a reason to retry is none.
    """
    refuse_unknown(settings.job.retry, (job.GONE,), Reason, PageReason)
    linked = linked_pins(workspace)
    pins = _dwelt_on(workspace, linked, settings.min_long_clicks) if settings.min_long_clicks else linked
    left = _visit(workspace, pins.select("page", "url").unique(maintain_order=True), settings)
    visits.tidy(workspace, linked.select("page"))
    known, bare = wanted(workspace, pins), taken_back(workspace, pins_without(workspace, linked))
    every = replace(settings.job, limit=None)  # a row costs nobody anything
    report = job.run(workspace, [PIN_LINK], known, _values, PRODUCER, every, TRANSIENT, bare)
    return replace(report, left=pins.join(left, on="url", how="semi").height)


def linked_pins(workspace: Workspace) -> pl.DataFrame:
    """pin_id, url (canonical), page (its hash), event_timestamp of the pins with a link, deleted pins left out.

    In the order of the hash, so that pins with one page stand together and a limit takes pages of all hosts.
    """
    linking = live_pins(workspace).filter(pl.col("link_url").str.strip_chars().str.len_bytes() > 0)
    pins = linking.select("pin_id", "link_url", "event_timestamp").collect()
    links = pins.select(pl.col("link_url").unique())
    urls = [canonical_url(link) for link in links["link_url"]]
    hashes = [job.input_hash(url) for url in urls]
    named = links.with_columns(url=pl.Series(urls, dtype=pl.String), page=pl.Series(hashes, dtype=pl.String))
    return pins.join(named, on="link_url").drop("link_url").sort("page", "pin_id")


def _dwelt_on(workspace: Workspace, pins: pl.DataFrame, min_long_clicks: int) -> pl.DataFrame:
    """Those of `pins` that have so many long clicks in the log, those of deleted users left out."""
    history = History(workspace)
    log = history.log().filter(lambda row: row.event == "long_click")
    kept = history.without_deleted(log, "user", "user_hash")
    counted = kept.group_by("pin_id").agg(clicks=kept.count())
    clicked: pl.DataFrame = counted.filter(counted.clicks >= min_long_clicks).select("pin_id").to_polars()
    return pins.join(clicked, on="pin_id", how="semi", maintain_order="left")


def _visit(workspace: Workspace, pages: pl.DataFrame, settings: LinkSettings) -> pl.DataFrame:
    """Ask for those of `pages` (page, url) that are due, and keep what became of them as it comes.

    Returns the url of those that the limit left for another run.
    """
    known = visits.latest(workspace)
    due = visits.due(pages, known, settings.max_age, settings.job.retry)
    requests = due[: settings.job.limit]
    left = pl.DataFrame({"url": [request.url for request in due[len(requests) :]]}, schema={"url": pl.String})
    if not requests:
        return left
    log = VisitLog(workspace, known, pages, settings.part_visits)
    visit = visit_on_ray if settings.engine is Engine.RAY else visit_here
    with progress(len(requests), "pages", unit="page") as bar:

        def take(found: Sequence[Visit]) -> None:
            log.add(found)
            bar.update(len(found))

        try:
            visit(requests, settings.fetching(), take)
        finally:
            log.flush()
    return left


def _values(batch: pl.DataFrame) -> pl.DataFrame:
    return batch.select("pin_id", *VALUES, "reason")
