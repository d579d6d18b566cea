"""An experiment's log as searches and sessions of users, each in one arm.

Reads the workspace's `experiment_log`, or a file or folder with its columns (parquet, csv, tsv, jsonl), cleaned as
`enrich import` cleans it. Where user_hash is null the user is who the session names in other rows; a session that names
nobody stands for a user, and is counted as one. Users seen in two arms were not randomised: they are left out and
counted.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich import mostly_bad, parts
from enrich.errors import BadInput
from enrich.importers import files
from enrich.importers.clean import DROPPED, clean
from enrich.importers.raw import RawTable
from enrich.normalise import normalise_query
from enrich.tables import EXPERIMENT_LOG
from enrich.workspace import Workspace

_KEY = ("request_id", "pin_id", "event")


class ExperimentLog(NamedTuple):
    """`events`: the table's rows with `user` (user_hash, its session's, or session_id), query normalised."""

    events: pl.DataFrame
    users: dict[str, int]  # by arm
    crossed: int  # users that were in two arms, left out
    dropped: Counter[str]  # rows by reason
    sessions: int = 0  # among the users, sessions that stand for one


def read_log(workspace: Workspace, path: Path | None = None) -> ExperimentLog:
    """The log at `path`, else the workspace's. Raises BadInput where there is none, or little of it can be used."""
    rows, dropped = _table(workspace) if path is None else _file(path)
    if rows.is_empty():
        where = path or f"the experiment_log of {workspace.root}"
        reasons = f" ({', '.join(f'{count:,} {reason}' for reason, count in dropped.items())})" if dropped else ""
        raise BadInput(f"expected events of an experiment in {where}, found none{reasons}; name a log, or import one")
    return experiment_log(rows)._replace(dropped=dropped)


def experiment_log(rows: pl.DataFrame) -> ExperimentLog:
    """Of rows of the `experiment_log` table. Raises BadInput where every user was in several arms."""
    named = pl.col("user_hash").drop_nulls()
    only = pl.when(named.n_unique() == 1).then(named.first()).over("session_id")  # of two, nobody knows which it was
    rows = rows.with_columns(named=pl.coalesce("user_hash", only)).with_columns(user=pl.coalesce("named", "session_id"))
    arms = rows.group_by("user").agg(arms=pl.col("arm").n_unique())
    crossed = arms.filter(pl.col("arms") > 1)
    kept = rows.join(crossed, on="user", how="anti")
    if kept.is_empty():
        raise BadInput("expected users who are each in one arm, found only users who were in several; check the arms")
    spelled = kept["query"].unique()
    keys = pl.DataFrame({"query": spelled, "key": [normalise_query(text) for text in spelled]})
    events = kept.join(keys, on="query", how="left").drop("query", "named").rename({"key": "query"})
    by_arm = events.group_by("arm").agg(pl.col("user").n_unique()).sort("arm")
    sessions = kept.filter(pl.col("named").is_null())["user"].n_unique()
    return ExperimentLog(events, dict(by_arm.iter_rows()), crossed.height, Counter(), sessions)


def _table(workspace: Workspace) -> tuple[pl.DataFrame, Counter[str]]:
    return parts.scan(workspace.folder(EXPERIMENT_LOG)).collect(), Counter()


def _file(path: Path) -> tuple[pl.DataFrame, Counter[str]]:
    if not path.exists():
        raise BadInput(f"expected an experiment's log at {path}, found nothing; check the path")
    scanned = files.scan(path, [column.name for column in EXPERIMENT_LOG.columns])
    raw = RawTable(EXPERIMENT_LOG, scanned.frame, str(path), scanned.unreadable, scanned.columns)
    try:
        rows = clean(raw).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise files.unreadable(path, "events of an experiment", error) from error
    dropped = Counter(rows[DROPPED].drop_nulls().to_list())
    dropped.update({"unreadable-line": scanned.unreadable} if scanned.unreadable else {})
    good = rows.filter(pl.col(DROPPED).is_null()).select([column.name for column in EXPERIMENT_LOG.columns])
    mostly_bad.refuse(str(path), EXPERIMENT_LOG.name, good.height, dropped)
    distinct = good.unique(_KEY, keep="first", maintain_order=True)
    dropped.update({"duplicate": good.height - distinct.height} if good.height > distinct.height else {})
    return distinct, dropped
