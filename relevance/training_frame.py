"""Pairs of a query and a pin, each with the features that were known of it at its moment, and no later.

Reads the labels and, through Feast, the views of a feature service; writes nothing. A content view is joined as of the
pair's own time; a behaviour view as of that time minus a gap, since engaged queries and rates leak the label (15 days,
as in OmniSearchSage, arXiv 2404.16260). Both clocks must have passed: when a value became true, and when it could be
known. `relevance train-teacher`, `label`, `train-student` and `evaluate` read their rows here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import polars as pl
from feast import FeatureService, FeatureStore
from feast.errors import FeatureServiceNotFoundException

from enrich import parts
from enrich.errors import BadInput
from enrich.progress import progress
from enrich.tables import DELETIONS, ENRICHED, JUDGMENT, SOFT_LABEL, Kind, Table
from enrich.workspace import Workspace
from relevance.feature_store import apply, open_store, quiet

GAP = timedelta(days=15)
HUMAN, TEACHER = "human", "teacher"  # label_source

_PAIR = {"query": pl.String(), "pin_id": pl.String(), "event_timestamp": pl.Datetime("us", "UTC")}
_MOMENTS_AT_ONCE = 20_000  # keys and times in one call of Feast, to bound the memory of its join
_TABLES = {table.name: table for table in ENRICHED}


class _Group(NamedTuple):
    """Views of one key and one moment: joined together, once for each distinct key and time."""

    key: tuple[str, ...]
    lag: timedelta
    features: tuple[tuple[Table, str], ...]  # in the service's order


def training_frame(workspace: Workspace, pairs: pl.DataFrame, service: str, gap: timedelta = GAP) -> pl.DataFrame:
    """`pairs` (query, pin_id, event_timestamp and any other columns), in their order, then the service's features.

    A feature is named view__feature and typed as its table declares; it is null where nothing was known, so an unknown
    query or pin keeps its row. Raises BadInput for pairs without those columns or with nulls in them, a service that is
    not there, one with labels or packed views, and a negative gap.
    """
    wanted = _checked(pairs)
    if gap < timedelta(0):
        raise BadInput(f"expected a gap of at least 0 days, found {gap.days}; features must be older than the label")
    apply(workspace)
    store = open_store(workspace)
    groups = _groups(_service(store, service), gap)
    columns = [joined for group in groups for joined in _join(store, wanted, group)]
    named = {column.name: column for column in columns}
    ordered = [named[_name(table, feature)] for table, feature in _features(_service(store, service))]
    return pairs.with_columns(ordered)


def labelled_pairs(workspace: Workspace) -> pl.DataFrame:
    """Every pair with a label, one row each, a human label before a teacher's; pairs of deleted pins left out.

    query, pin_id, event_timestamp, lang, level (1..5) and votes (null where the teacher labelled), probabilities (five,
    null where people labelled), label_source (HUMAN or TEACHER), stratum; by query and pin.
    """
    human = _labels(workspace, JUDGMENT, "level").with_columns(label_source=pl.lit(HUMAN))
    teacher = _labels(workspace, SOFT_LABEL, "probabilities").with_columns(label_source=pl.lit(TEACHER))
    teacher = teacher.join(human, on=["query", "pin_id"], how="anti")
    columns = ("lang", "level", "votes", "probabilities", "label_source", "stratum")
    return pl.concat([human, teacher], how="diagonal").select(*_PAIR, *columns).sort("query", "pin_id")


def _labels(workspace: Workspace, table: Table, label: str) -> pl.DataFrame:
    deletions = parts.scan(workspace.folder(DELETIONS)).filter(pl.col("kind") == "pin").select(pin_id="id")
    latest = parts.latest(workspace.folder(table), table).filter(pl.col(label).is_not_null())
    return latest.join(deletions.collect(), on="pin_id", how="anti").select(
        *_PAIR, *(column.name for column in table.features)
    )


def _checked(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs' own three columns, typed."""
    missing = [name for name in _PAIR if name not in pairs.columns]
    if missing:
        raise BadInput(f"expected pairs with {', '.join(_PAIR)}, found no {', '.join(missing)}; add it to the pairs")
    try:
        wanted = pairs.select(pl.col(name).cast(dtype) for name, dtype in _PAIR.items())
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            f"expected pairs of {_PAIR}, found {pairs.select(*_PAIR).schema} ({error}); convert them"
        ) from error
    nulls = wanted.null_count().row(0)
    if any(nulls):
        raise BadInput(f"expected no nulls in {', '.join(_PAIR)}, found {nulls}; drop those pairs")
    return wanted


def _service(store: FeatureStore, name: str) -> FeatureService:
    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException as error:
        there = ", ".join(sorted(service.name for service in store.list_feature_services()))
        raise BadInput(f"expected one of the feature services {there}, found {name!r}; name one of them") from error


def _features(service: FeatureService) -> list[tuple[Table, str]]:
    return [
        (_TABLES[projection.name], feature.name)
        for projection in service.feature_view_projections
        for feature in projection.features
    ]


def _name(table: Table, feature: str) -> str:
    return f"{table.name}__{feature}"


def _groups(service: FeatureService, gap: timedelta) -> list[_Group]:
    lags = {Kind.CONTENT: timedelta(0), Kind.BEHAVIOUR: gap}
    grouped: dict[tuple[tuple[str, ...], timedelta], list[tuple[Table, str]]] = {}
    for table, feature in _features(service):
        if table.kind not in lags:
            raise BadInput(
                f"expected a service of content and behaviour to train from, found {service.name!r} with the "
                f"{table.kind.value} view {table.name}; train from student_v1 or teacher_v1"
            )
        grouped.setdefault((table.key, lags[table.kind]), []).append((table, feature))
    return [_Group(key, lag, tuple(features)) for (key, lag), features in grouped.items()]


def _join(store: FeatureStore, pairs: pl.DataFrame, group: _Group) -> Sequence[pl.Series]:
    """The group's features of every pair, each looked up once for each distinct key and time."""
    at = pairs.select(*group.key, event_timestamp=pl.col("event_timestamp") - group.lag)
    moments = at.unique(maintain_order=True).with_row_index("row_id")
    with progress(moments.height, f"features of {' and '.join(group.key)}") as bar:
        found = [_schema(group).to_frame(eager=True)]
        for some in moments.iter_slices(_MOMENTS_AT_ONCE):
            found.append(_retrieve(store, some, group))
            bar.update(some.height)
    places = at.join(moments, on=at.columns, how="left", maintain_order="left")["row_id"]
    return pl.concat(found)[places].get_columns()


def _retrieve(store: FeatureStore, moments: pl.DataFrame, group: _Group) -> pl.DataFrame:
    """The group's features at each of `moments`, in their order."""
    schema = _schema(group)
    with quiet():
        job = store.get_historical_features(
            entity_df=moments.to_pandas(),
            features=[f"{table.name}:{feature}" for table, feature in group.features],
            full_feature_names=True,
            filter_by_created_timestamp=True,  # else a row that was known only later would be seen
        )
        found = pl.DataFrame(pl.from_arrow(job.to_arrow()))
    return found.sort("row_id").select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _schema(group: _Group) -> pl.Schema:
    """The features' names and types, as their tables declare them."""
    types = {table.name: pl.DataFrame(pl.from_arrow(table.schema.empty_table())).schema for table, _ in group.features}
    return pl.Schema({_name(table, feature): types[table.name][feature] for table, feature in group.features})
