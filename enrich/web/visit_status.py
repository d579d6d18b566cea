"""What `enrich links` has to show for itself: outcomes by reason and host, rates, rule shares, coverage by language.

Reads pins, deletions, pin_link and W/visits; writes nothing (`enrich status links`). Pages are counted by what became
of them the last time that they were asked for, pins by whether they have a link title.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from enrich import parts
from enrich.links import linked_pins
from enrich.tables import PIN_LINK, PINS
from enrich.web import visits
from enrich.web.fetch_reasons import NEVER_FETCHED
from enrich.workspace import Workspace

_HOSTS_SHOWN = 20  # on a terminal; the record has all that failed at least once, at most _HOSTS
_HOSTS = 1_000
_UNKNOWN = "?"
_IDLE_SECONDS = 60.0  # without an answer, and nothing was being asked
_EXAMPLE = 70  # characters of a URL shown


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host's pages: how many could be read, why not the others, and how long a page took (median, seconds)."""

    host: str
    pages: int
    read: int
    failed: Counter[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class LanguageStatus:
    """The pins of one language (their own `lang`; ? where they have none) that have a link."""

    lang: str
    linked: int
    titled: int
    described: int


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """`pages` of the `linked` pins were visited; of them `read` could be read, `unchanged` cost a 304."""

    linked: int
    to_visit: int  # pages never visited
    pages: int
    read: int
    unchanged: int
    failed: Counter[str]
    examples: dict[str, str]  # reason -> one of its URLs
    oldest: datetime | None
    newest: datetime | None
    pages_per_second: float | None  # over the time in which the newest visits were made
    title_rules: Counter[str]
    description_rules: Counter[str]
    hosts: tuple[HostStatus, ...]  # the most pages first
    languages: tuple[LanguageStatus, ...]


def link_status(workspace: Workspace) -> LinkStatus:
    """The state of the workspace's links."""
    pins = linked_pins(workspace)
    seen = visits.latest(workspace)
    made = seen.filter(pl.col("reason").is_null())
    return LinkStatus(
        linked=pins.height,
        to_visit=pins.select(pl.col("page").unique()).join(seen, on="page", how="anti").height,
        pages=seen.height,
        read=made.height,
        unchanged=int(made["unchanged"].sum()),
        failed=_counts(seen["reason"]),
        examples=dict(seen.drop_nulls("reason").group_by("reason").agg(pl.col("url").min()).iter_rows()),
        oldest=_moment(seen["visited_at"].min()),
        newest=_moment(seen["visited_at"].max()),
        pages_per_second=_rate(seen),
        title_rules=_counts(made["title_rule"]),
        description_rules=_counts(made["description_rule"]),
        hosts=_hosts(seen),
        languages=_languages(workspace, pins),
    )


def _hosts(seen: pl.DataFrame) -> tuple[HostStatus, ...]:
    by_host = (
        seen.group_by("host")
        .agg(pl.len(), pl.col("reason").is_null().sum().alias("read"), "reason", pl.col("seconds").median())
        .sort(["len", "host"], descending=[True, False])
        .head(_HOSTS)
    )
    return tuple(
        HostStatus(host or _UNKNOWN, pages, read, _counts(pl.Series(reasons, dtype=pl.String)), round(seconds, 3))
        for host, pages, read, reasons, seconds in by_host.iter_rows()
    )


def _languages(workspace: Workspace, pins: pl.DataFrame) -> tuple[LanguageStatus, ...]:
    newest = parts.latest(workspace.folder(PIN_LINK), PIN_LINK).select("pin_id", "link_title", "link_description")
    langs = parts.scan(workspace.folder(PINS)).select("pin_id", pl.col("lang").fill_null(_UNKNOWN)).collect()
    by_lang = (
        pins.join(langs, on="pin_id")
        .join(newest, on="pin_id", how="left")
        .group_by("lang")
        .agg(pl.len(), pl.col("link_title").count(), pl.col("link_description").count())
        .sort(["len", "lang"], descending=[True, False])
    )
    return tuple(LanguageStatus(*row) for row in by_lang.iter_rows())


def _rate(seen: pl.DataFrame) -> float | None:
    """Pages a second of the last hour's work, a minute without an answer left out; those that were asked for."""
    asked = seen.filter(~pl.col("reason").fill_null("").is_in(sorted(map(str, NEVER_FETCHED)))).sort("visited_at")
    last = asked.filter(pl.col("visited_at") > pl.col("visited_at").max() - pl.duration(hours=1))
    between = last["visited_at"].diff().drop_nulls().dt.total_microseconds() / 1e6
    worked = float(between.filter(between < _IDLE_SECONDS).sum()) + float(sum(last["seconds"].head(1)))
    return round(last.height / worked, 1) if worked else None


def _moment(found: object) -> datetime | None:
    return found if isinstance(found, datetime) else None


def _counts(values: pl.Series) -> Counter[str]:
    return Counter(dict(sorted(Counter(values.drop_nulls().to_list()).items())))


def render(found: LinkStatus) -> str:
    """The status as plain text, for a terminal or a file."""
    share = f" ({found.read / found.pages:.1%})" if found.pages else ""
    rate = f", {found.pages_per_second:,} pages/s in the last hour of work" if found.pages_per_second else ""
    lines = [
        f"{found.linked:,} pins have a link; {found.pages:,} pages known, {found.to_visit:,} not yet visited",
        f"read {found.read:,} pages{share}, of which {found.unchanged:,} unchanged{rate}",
    ]
    if found.oldest and found.newest:
        lines.append(f"visits from {found.oldest:%Y-%m-%d %H:%M} to {found.newest:%Y-%m-%d %H:%M} UTC")
    lines += _shares("pages not read, one of each", found.failed, found.pages, found.examples)
    lines += _shares("titles by rule", found.title_rules, found.read, {})
    lines += _shares("descriptions by rule", found.description_rules, found.read, {})
    if found.languages:
        lines += ["", f"{'pins, by lang':14}{'linked':>10}{'titled':>10}{'described':>11}{'coverage':>10}"]
        for one in found.languages:
            counts = f"{one.linked:>10,}{one.titled:>10,}{one.described:>11,}"
            lines.append(f"{one.lang:14}{counts}{one.titled / one.linked:>10.1%}")
    if found.hosts:
        lines += ["", f"{'host':40}{'pages':>8}{'read':>8}{'median s':>10}  not read"]
        for host in found.hosts[:_HOSTS_SHOWN]:
            failed = ", ".join(f"{reason} {count:,}" for reason, count in host.failed.most_common(3))
            lines.append(f"{host.host:40}{host.pages:>8,}{host.read:>8,}{host.seconds:>10.2f}  {failed}".rstrip())
        if len(found.hosts) > _HOSTS_SHOWN:
            lines.append(f"... and {len(found.hosts) - _HOSTS_SHOWN:,} more hosts (--json has up to {_HOSTS:,})")
    return "\n".join(lines)


def _shares(what: str, counts: Counter[str], of: int, examples: dict[str, str]) -> list[str]:
    lines = [
        f"    {name:24}{count:>10,}{count / of:>8.1%}  {ascii(examples.get(name, ''))[1:-1][:_EXAMPLE]}".rstrip()
        for name, count in counts.most_common()
        if of
    ]
    return ["", what, *lines] if lines else []
