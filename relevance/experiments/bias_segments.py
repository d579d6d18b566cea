"""Rows by segment: who asks, for what, in which language, of which pins, judged by whom.

Reads student_v1 rows and, through the site, the catalogue's pins, the log and the votes; a segment that cannot be
told is not there.

    frequency    of the query: head, torso, tail, thirds of the searches for the rows' queries (labelling/strata.py);
                 "new" without
    interest     of the query, its best one
    language     of the pair
    category     of the pin, as it was last
    impressions  of the pin: often seen (the upper half of those seen), seldom, never
    country      from which the pair was mostly seen
    users        by whom it was mostly seen: heavy, regular or light ones, thirds of the log by the rows of a user
    annotators   how many people judged the pair; by name where one person did
    source       whether a person of an audit looked at the pair (`relevance audit`)
"""

from __future__ import annotations

from collections import Counter

import ibis
import ibis.expr.types as ir
import polars as pl

from enrich import parts
from enrich.history import History
from enrich.tables import PIN_TEXT
from enrich.workspace import Workspace
from relevance.experiments.site import Site, languages
from relevance.judging.segments import most_rows, source_of
from relevance.labelling.strata import FREQUENCIES, frequency_classes

SEGMENTS = ("frequency", "interest", "language", "category", "impressions", "country", "users", "annotators", "source")
_PAIR = ["query", "pin_id"]
_FREQUENCY, _INTERESTS = "query_features__frequency", "query_features__interests"
_IMPRESSIONS = "pin_engagement__impressions_365d"
_USERS = dict(zip(FREQUENCIES, ("heavy", "regular", "light"), strict=True))


def segmented(rows: pl.DataFrame, site: Site) -> pl.DataFrame:
    """A column a segment, in the rows' order, as texts; null where a row's is not known."""
    found = rows.select(_PAIR).with_columns(languages(rows).alias("language"))
    if _FREQUENCY in rows.columns and (rows[_FREQUENCY] > 0).any():
        found = found.with_columns(_frequency(rows).alias("frequency"))
    if _INTERESTS in rows.columns:
        found = found.with_columns(rows[_INTERESTS].list.first().cast(pl.String).alias("interest"))
    if _IMPRESSIONS in rows.columns and (rows[_IMPRESSIONS] > 0).any():
        found = found.with_columns(_impressions(rows[_IMPRESSIONS]).alias("impressions"))
    found = _joined(found, _categories(site), ["pin_id"])
    found = _joined(found, site.audiences(found.select(_PAIR)), _PAIR)
    found = _joined(found, _annotators(site), _PAIR)
    known = [name for name in SEGMENTS if name in found.columns and found[name].null_count() < found.height]
    return found.select(known)


def _frequency(rows: pl.DataFrame) -> pl.Series:
    queries = rows.select("query", pl.col(_FREQUENCY).fill_null(0).cast(pl.Int64)).group_by("query").max()
    known = queries.filter(pl.col(_FREQUENCY) > 0)
    classes = frequency_classes(dict(Counter(known[_FREQUENCY].to_list())))
    named = {query: classes.get(count, "new") for query, count in queries.iter_rows()}
    return pl.Series([named[query] for query in rows["query"]], dtype=pl.String)


def _impressions(impressions: pl.Series) -> pl.Series:
    seen = impressions.fill_null(0)
    middle = seen.filter(seen > 0).median()
    return pl.Series(["never" if one == 0 else "often" if one >= middle else "seldom" for one in seen], dtype=pl.String)


def _joined(found: pl.DataFrame, more: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    return found.join(more, on=on, how="left", maintain_order="left") if more.height else found


def _categories(site: Site) -> pl.DataFrame:
    pins = site.table(PIN_TEXT)
    if "category" not in pins.collect_schema():
        return pl.DataFrame()
    latest = parts.newest(pins, PIN_TEXT).select("pin_id", "category").collect()
    return latest.drop_nulls()


def audiences_of(workspace: Workspace, pairs: pl.DataFrame) -> pl.DataFrame:
    """query, pin_id, country, users: of most rows of each pair's log, the first by name where two have as many.

    Of the `pairs` alone: the log may be long, and lie where it was left.
    """
    history = History(workspace)
    log = history.live(history.log())
    pins = ibis.memtable(pairs.select("pin_id").unique().to_arrow())
    log = log.mutate(user_hash=log.user_hash.lower())
    seen = log.semi_join(pins, "pin_id")
    asked = pairs.select(_PAIR).unique()
    by_users = seen.join(_users(log), "user_hash")
    return most_rows(_counts(seen, "country"), asked, "country").join(
        most_rows(_counts(by_users, "users"), asked, "users"), on=_PAIR, how="full", coalesce=True
    )


def _counts(seen: ir.Table, what: str) -> pl.DataFrame:
    seen = seen.filter(seen[what].notnull())
    counts: pl.DataFrame = seen.group_by("query", "pin_id", what).agg(rows=seen.count()).to_polars()
    return counts


def _users(log: ir.Table) -> ir.Table:
    """user_hash, users: heavy, regular, light."""
    named = log.filter(log.user_hash.notnull())
    volumes = named.group_by("user_hash").agg(volume=named.count())
    sizes: pl.DataFrame = volumes.group_by("volume").agg(users=volumes.count()).to_polars()
    classes = frequency_classes(dict(sizes.select("volume", "users").iter_rows()))
    of_volume = ibis.memtable(
        pl.DataFrame(
            {"volume": list(classes), "users": [_USERS[one] for one in classes.values()]},
            schema={"volume": pl.Int64, "users": pl.String},
        ).to_arrow()
    )
    return volumes.join(of_volume, "volume").select("user_hash", "users")


def _annotators(site: Site) -> pl.DataFrame:
    votes = site.votes()
    if votes.is_empty():
        return votes
    who = pl.col("annotator_id")
    by_pair = votes.group_by(_PAIR).agg(people=pl.len(), who=who.drop_nulls().first(), source=source_of(who))
    one = pl.when(pl.col("who").is_null()).then(pl.lit("one person")).otherwise(pl.format("{} alone", "who"))
    named = pl.when(pl.col("people") == 1).then(one).otherwise(pl.format("{} people", "people"))
    return by_pair.select(*_PAIR, annotators=named, source="source")
