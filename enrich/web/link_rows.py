"""What pin_link should say of each pin now: by the newest visits of the pages, and by the rows that stand.

Reads W/visits and pin_link; writes nothing. A row's input_hash is its page's hash and behind it that of all that it
says, its reason included. So a row is stale when its page says otherwise, whatever became of the record of visits: it
may have been removed, or a pin have been away while its page changed. What stands from versions that hashed otherwise
stays while it says the same.

A row is dated by its pin's content, by the visit at which its page was seen to be revised, and never before the row
that it replaces. Where no visit is known that tells since when another text holds, it holds since the last one.
"""

from __future__ import annotations

import polars as pl

from enrich import job, parts
from enrich.tables import PIN_LINK
from enrich.web import visits
from enrich.web.fetch_reasons import Reason
from enrich.web.shared_ends import Titled, without_shared_ends
from enrich.web.visiting import PRODUCER
from enrich.web.visits import VALUES
from enrich.workspace import Workspace

_STANDS = "_stands"  # what a standing row's columns end in here
_READ = "_read"  # what a page's own words end in, where others stand in the row
_CUT = ("link_title", "site_name")  # what shared ends change


def wanted(workspace: Workspace, pins: pl.DataFrame) -> pl.DataFrame:
    """A row for each of `pins` (pin_id, page, event_timestamp) whose page was visited, as `job.run` takes it."""
    seen = visits.latest(workspace, "page", "host", "visited_at", "revised_at", "reason", *VALUES)
    found = pins.join(_without_shared_ends(seen), on="page", maintain_order="left")
    beside = found.join(_standing(workspace), on="pin_id", how="left", maintain_order="left")
    rows = beside.with_columns(_remembered()).with_columns(event_timestamp=_dated())
    return rows.with_columns(input_hash=_hashes(rows)).select(*pins.columns, "input_hash", "reason", *VALUES)


def taken_back(workspace: Workspace, bare: pl.DataFrame) -> pl.DataFrame:
    """`bare` (pin_id, event_timestamp), none dated before the row that its pin has."""
    joined = bare.join(_standing(workspace), on="pin_id", how="left", maintain_order="left")
    return joined.select("pin_id", pl.max_horizontal("event_timestamp", f"event_timestamp{_STANDS}"))


def _standing(workspace: Workspace) -> pl.DataFrame:
    """The newest row of each pin, its columns but the key named so."""
    rows = parts.newest(parts.scan(workspace.folder(PIN_LINK)), PIN_LINK)
    said = rows.select("pin_id", "event_timestamp", "producer", "input_hash", "reason", *VALUES)
    return said.rename(lambda name: name if name == "pin_id" else name + _STANDS).collect()


def _without_shared_ends(seen: pl.DataFrame) -> pl.DataFrame:
    """Pages with their titles as their hosts' others show them, and beside them the titles as they were read."""
    titled = seen.select(host="host", title="link_title").drop_nulls().unique()
    cut = without_shared_ends(Titled(*row) for row in titled.iter_rows())
    rows = [(*titled, found.rest, found.end) for titled, found in cut.items()]
    ends = pl.DataFrame(rows, schema=dict.fromkeys(("host", "link_title", "rest", "end"), pl.String), orient="row")
    joined = seen.join(ends, on=["host", "link_title"], how="left", maintain_order="left")
    return joined.with_columns(
        pl.col(_CUT).name.suffix(_READ),
        link_title=pl.coalesce("rest", "link_title"),
        site_name=pl.coalesce("site_name", "end"),
    )


def _of_one_page() -> pl.Expr:
    """Whether the row that stands is of the page that the pin links to now; not known of earlier versions' rows."""
    return pl.col(f"input_hash{_STANDS}").str.starts_with(pl.col("page")).fill_null(False)


def _remembered() -> list[pl.Expr]:
    """The texts, of a page that no known visit could read as its row has them: it keeps what it said, unless it is
    not to be indexed any more.
    """
    silent = pl.all_horizontal(pl.col(name).is_null() for name in VALUES)
    silent &= pl.col("reason").ne_missing(pl.lit(Reason.REFUSED_NOINDEX.value))
    return [pl.when(silent & _of_one_page()).then(name + _STANDS).otherwise(name).alias(name) for name in VALUES]


def _dated() -> pl.Expr:
    stands = pl.col(f"event_timestamp{_STANDS}")
    since = pl.max_horizontal("event_timestamp", "revised_at", stands)
    spoke = pl.any_horizontal(pl.col(name + _STANDS).is_not_null() for name in VALUES)
    other = spoke & (pl.col(f"producer{_STANDS}") == PRODUCER) & pl.any_horizontal(_says_other(name) for name in VALUES)
    older = (pl.col("event_timestamp") <= stands) | _of_one_page()  # the pin's content, than what the row says
    told = (pl.col("revised_at") > stands).fill_null(False)
    return pl.when(other & older & ~told).then(pl.max_horizontal(since, "visited_at")).otherwise(since)


def _says_other(name: str) -> pl.Expr:
    """Whether the row that stands has neither what the page says under `name` nor what is made of it."""
    stands = pl.col(name + _STANDS)
    other = stands.ne_missing(pl.col(name))
    return other & stands.ne_missing(pl.col(name + _READ)) if name in _CUT else other


def _hashes(rows: pl.DataFrame) -> pl.Series:
    said = ("reason", *VALUES)
    texts = [job.input_hash(*values) for values in rows.select(said).iter_rows()]
    hashes = rows["page"] + pl.Series(texts, dtype=pl.String)
    stands = pl.col(f"input_hash{_STANDS}")
    of_old = stands.str.len_bytes() < pl.lit(hashes).str.len_bytes()
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name + _STANDS)) for name in said)
    return rows.select(pl.when(of_old & same).then(stands).otherwise(pl.lit(hashes))).to_series()
