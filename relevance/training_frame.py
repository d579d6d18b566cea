"""Pairs of a query and a pin, each with the features that were known of it at its moment, and no later.

Reads the labels and, through Feast, the views of a feature service; `write_training_frame` writes a parquet file, for
more rows than memory holds. A content view is joined as of the pair's own time; a behaviour view as of that time minus
a gap, since engaged queries and rates leak the label (15 days, as in OmniSearchSage, arXiv 2404.16260). Both clocks
must have passed: when a value became true, and when it could be known; a sample of every answer is joined a second
time, without Feast, and a store that let a row of the future through is refused (`framing/check.py`).
`relevance train-teacher`, `label`, `train-student` and `evaluate` read their rows here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureService, FeatureStore
from feast.errors import FeastObjectNotFoundException, FeatureServiceNotFoundException

from enrich import parts
from enrich.errors import BadInput
from enrich.importers import columns as lenient
from enrich.live_pins import deleted_pins
from enrich.normalise import normalise_query
from enrich.progress import progress
from enrich.snapshots import GAP as GAP
from enrich.tables import ENRICHED, JUDGMENT, SOFT_LABEL, Kind, Table
from enrich.workspace import Workspace
from relevance.feature_store import apply, fingerprint, open_store, quiet
from relevance.framing.check import Group, check

HUMAN, TEACHER = "human", "teacher"  # label_source

_PAIR = {"query": pl.String(), "pin_id": pl.String(), "event_timestamp": pl.Datetime("us", "UTC")}
_POSSIBLE = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))  # others are no moments of labels
_MOMENTS_AT_ONCE = 100_000  # keys and times in one call of Feast, to bound the memory of its join
_ROWS_AT_ONCE = 100_000  # of a frame that goes to a file; 310 MB where two vectors have 384 entries
_TABLES = {table.name: table for table in ENRICHED}


class _Asked(NamedTuple):
    """A service, ready to be joined."""

    workspace: Workspace
    store: FeatureStore
    groups: list[Group]
    names: list[str]  # of the features, in the service's order


def training_frame(
    workspace: Workspace, pairs: pl.DataFrame, service: str, gap: timedelta = GAP, trained_from: str | None = None
) -> pl.DataFrame:
    """`pairs` (query, pin_id, event_timestamp and any other columns), in their order, then the service's features.

    A query is found by its key, as scoring finds it ("Oak  Table" by "oak table"), and stays as it is written. A
    feature is named view__feature and typed as its table declares; it is null where nothing was known, so an unknown
    query or pin keeps its row. `trained_from` is the service's fingerprint that a model was trained from, when its
    features are wanted again. Raises BadInput for pairs without those columns, with nulls in them, or with a column
    named as a feature; for a service that is not there, has labels or packed views, names a view without a table, or
    has another fingerprint; for a negative gap. Raises CorkboardError when the offline store answers with a row that is
    not the right one.
    """
    return FrameJoin(workspace, service, gap, trained_from).frame(pairs)


class FrameJoin:
    """`training_frame` for pairs that come some at a time: what is the same for all of them is done once.

    A sample of the first answer alone is joined a second time. Raises as `training_frame` does.
    """

    def __init__(
        self, workspace: Workspace, service: str, gap: timedelta = GAP, trained_from: str | None = None
    ) -> None:
        self._asked = _prepared(workspace, service, gap, trained_from)
        self._verified = False

    def frame(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """`pairs`, in their order, then the service's features."""
        wanted = checked_pairs(pairs)
        _refuse_names(pairs, self._asked)
        found = pairs.with_columns(_features_of(self._asked, wanted, verified=not self._verified))
        self._verified = True
        return found


def write_training_frame(
    workspace: Workspace,
    pairs: pl.DataFrame,
    service: str,
    path: Path,
    gap: timedelta = GAP,
    trained_from: str | None = None,
) -> int:
    """The rows of `training_frame` in a parquet file at `path`, 100,000 at a time; how many.

    Written aside and renamed: the file is whole or not there. Raises as `training_frame` does.
    """
    asked, wanted = _prepared(workspace, service, gap, trained_from), checked_pairs(pairs)
    _refuse_names(pairs, asked)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer: pq.ParquetWriter | None = None
    try:
        with progress(pairs.height, f"training frame {path.name}") as bar:
            for some, keys in zip(_slices(pairs), _slices(wanted), strict=True):
                rows = some.with_columns(_features_of(asked, keys, verified=writer is None)).to_arrow()
                writer = writer or pq.ParquetWriter(aside, rows.schema, compression="zstd", use_dictionary=_texts(rows))
                writer.write_table(rows)
                bar.update(some.height)
        if writer:
            writer.close()
        aside.replace(path)
    finally:
        if writer:
            writer.close()
        aside.unlink(missing_ok=True)
    return pairs.height


def labelled_pairs(workspace: Workspace) -> pl.DataFrame:
    """Every pair with a label, one row each, a human label before a teacher's; pairs of deleted pins left out.

    query, pin_id, event_timestamp, lang, level (1..5) and votes (null where the teacher labelled), probabilities (five,
    null where people labelled), label_source (HUMAN or TEACHER), stratum; by query and pin.
    """
    human = judged_pairs(workspace)
    teacher = _labels(workspace, SOFT_LABEL, "probabilities").with_columns(label_source=pl.lit(TEACHER))
    teacher = teacher.join(human, on=["query", "pin_id"], how="anti")
    columns = ("lang", "level", "votes", "probabilities", "label_source", "stratum")
    return pl.concat([human, teacher], how="diagonal").select(*_PAIR, *columns).sort("query", "pin_id")


def judged_pairs(workspace: Workspace) -> pl.DataFrame:
    """The human half of `labelled_pairs`: its columns but probabilities and stratum."""
    human = _labels(workspace, JUDGMENT, "level").with_columns(label_source=pl.lit(HUMAN))
    return human.sort("query", "pin_id")


def _labels(workspace: Workspace, table: Table, label: str) -> pl.DataFrame:
    latest = parts.latest(workspace.folder(table), table).filter(pl.col(label).is_not_null())
    return latest.join(deleted_pins(workspace).collect(), on="pin_id", how="anti").select(
        *_PAIR, *(column.name for column in table.features)
    )


def checked_pairs(pairs: pl.DataFrame) -> pl.DataFrame:
    """query (its key), pin_id and event_timestamp (UTC; taken as UTC where it has no zone, to the microsecond) of each
    pair.

    Raises BadInput where one is absent, cannot be converted, or is null.
    """
    missing = [name for name in _PAIR if name not in pairs.columns]
    if missing:
        raise BadInput(f"expected pairs with {', '.join(_PAIR)}, found no {', '.join(missing)}; add it to the pairs")
    time = pairs.schema["event_timestamp"]
    if not isinstance(time, (pl.Datetime, pl.Date, pl.Null)):
        raise BadInput(f"expected times in event_timestamp, found {time}; convert it, for a number says no unit")
    try:
        when = lenient.time(pl.col("event_timestamp"), time).cast(_PAIR["event_timestamp"])
        wanted = pairs.select(pl.col(name).cast(_PAIR[name]) for name in _PAIR if name != "event_timestamp")
        wanted = wanted.with_columns(pairs.select(event_timestamp=when).to_series()).select(*_PAIR)
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            f"expected pairs of {_PAIR}, found {pairs.select(*_PAIR).schema} ({error}); convert them"
        ) from error
    unnameable = wanted["event_timestamp"].null_count() - pairs["event_timestamp"].null_count()
    if unnameable:
        raise BadInput(f"expected times of years 1 to 9999, found {unnameable} others; correct them")
    nulls = wanted.null_count().row(0)
    if any(nulls):
        raise BadInput(f"expected no nulls in {', '.join(_PAIR)}, found {nulls}; drop those pairs")
    impossible = wanted.filter(~pl.col("event_timestamp").is_between(pl.lit(_POSSIBLE[0]), pl.lit(_POSSIBLE[1])))
    if impossible.height:
        raise BadInput(
            f"expected times of {_POSSIBLE[0]:%Y} to {_POSSIBLE[1]:%Y}, found {impossible.height} others "
            f"(of the year {impossible['event_timestamp'].dt.year()[0]}); correct them"
        )
    return wanted.with_columns(query=_query_keys(wanted["query"]))


def _query_keys(queries: pl.Series) -> pl.Series:
    """Each query's key, by which the tables know it, however it is written; each spelling is read once."""
    spellings = queries.unique()
    keys = pl.Series([normalise_query(query) for query in spellings], dtype=pl.String)
    return queries if (keys == spellings).all() else queries.replace_strict(spellings, keys)


def _refuse_names(pairs: pl.DataFrame, asked: _Asked) -> None:
    """A column of the pairs' own would be lost where a feature has its name."""
    taken = sorted(set(pairs.columns) & set(asked.names))
    if taken:
        raise BadInput(f"expected pairs without columns named as features, found {', '.join(taken)}; rename them")


def _slices(pairs: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The pairs some at a time; none are one slice, so that the frame has its columns."""
    return iter([pairs]) if pairs.is_empty() else pairs.iter_slices(_ROWS_AT_ONCE)


def _texts(rows: pa.Table) -> list[str]:
    """Columns that parquet's dictionaries make smaller; vectors only cost time there."""
    return [f.name for f in rows.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]


def _prepared(workspace: Workspace, service: str, gap: timedelta, trained_from: str | None) -> _Asked:
    """The store, its definitions applied, and what to ask of it."""
    if gap < timedelta(0):
        raise BadInput(f"expected a gap of at least 0 days, found {gap.days}; features must be older than the label")
    apply(workspace)
    store = open_store(workspace)
    found = _service(store, service)
    refuse_other_features(workspace, service, trained_from)
    names = [f"{p.name}__{feature.name}" for p in found.feature_view_projections for feature in p.features]
    return _Asked(workspace, store, _groups(workspace, found, gap), names)


def refuse_other_features(workspace: Workspace, service: str, trained_from: str | None, model: str = "a model") -> None:
    """Raises BadInput where the service's fingerprint is another than the one that a model was trained from."""
    if trained_from is not None and (now := fingerprint(workspace, service)) != trained_from:
        raise BadInput(
            f"expected the feature service {service} as {model} was trained from it ({trained_from}), found another "
            f"view, type or producer in it ({now}); train the model anew, or bring back what it was trained from"
        )


def _service(store: FeatureStore, name: str) -> FeatureService:
    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException as error:
        there = ", ".join(sorted(service.name for service in store.list_feature_services()))
        raise BadInput(f"expected one of the feature services {there}, found {name!r}; name one of them") from error


def _groups(workspace: Workspace, service: FeatureService, gap: timedelta) -> list[Group]:
    lags = {Kind.CONTENT: timedelta(0), Kind.BEHAVIOUR: gap}
    grouped: dict[tuple[tuple[str, ...], timedelta], list[tuple[Table, str]]] = {}
    for projection in service.feature_view_projections:
        table = _TABLES.get(projection.name)
        if table is None or not any(workspace.folder(table).glob("*.parquet")):
            raise BadInput(
                f"expected the rows of view {projection.name}, which {service.name} reads, in {workspace.root}, found "
                "not even an empty part; run `enrich import` again, or take the view out of the service"
            )
        if table.kind not in lags:
            raise BadInput(
                f"expected a service of content and behaviour to train from, found {service.name!r} with the "
                f"{table.kind.value} view {table.name}; train from student_v1 or teacher_v1"
            )
        features = [(table, feature.name) for feature in projection.features]
        grouped.setdefault((table.key, lags[table.kind]), []).extend(features)
    return [Group(key, lag, tuple(features)) for (key, lag), features in grouped.items()]


def _features_of(asked: _Asked, pairs: pl.DataFrame, verified: bool = True) -> list[pl.Series]:
    """Every feature of every pair, in the service's order; a sample of them joined a second time where `verified`."""
    found = {column.name: column for group in asked.groups for column in _join(asked, pairs, group, verified)}
    return [found[name] for name in asked.names]


def _join(asked: _Asked, pairs: pl.DataFrame, group: Group, verified: bool) -> list[pl.Series]:
    """The group's features of every pair, each looked up once for each distinct key and time."""
    at = pairs.select(*group.key, event_timestamp=pl.col("event_timestamp") - group.lag)
    moments = at.unique(maintain_order=True).with_row_index("row_id")
    found = [group.schema.to_frame(eager=True)]
    with progress(moments.height, f"features of {' and '.join(group.key)}") as bar:
        for some in moments.iter_slices(_MOMENTS_AT_ONCE):
            found.append(_retrieve(asked.store, some, group))
            bar.update(some.height)
    frame = pl.concat(found)
    if verified:
        check(asked.workspace, moments, group, frame)
    if moments.height < at.height:
        frame = frame[at.join(moments, on=at.columns, how="left", maintain_order="left")["row_id"]]
    return frame.get_columns()


def _retrieve(store: FeatureStore, moments: pl.DataFrame, group: Group) -> pl.DataFrame:
    """The group's features at each of `moments`, in their order."""
    try:
        with quiet():
            job = store.get_historical_features(
                entity_df=moments.to_pandas(),
                features=[f"{table.name}:{feature}" for table, feature in group.features],
                full_feature_names=True,
                filter_by_created_timestamp=True,  # else a row that was known only later would be seen
            )
            found = pl.DataFrame(pl.from_arrow(job.to_arrow()))
    except FeastObjectNotFoundException as error:
        raise BadInput(
            f"expected the views {', '.join(sorted({table.name for table, _ in group.features}))} in the registry, "
            f"found one missing ({error}); run `feast apply`"
        ) from error
    if not found["row_id"].equals(moments["row_id"]):
        found = found.sort("row_id")
    return found.select(pl.col(name).cast(dtype) for name, dtype in group.schema.items())
