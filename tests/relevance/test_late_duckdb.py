"""Our offline store asked through Feast itself: a job made now and read later, and views that are not ours."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.types import Int64
from table_rows import day, write_rows

from enrich.erasure import run_erasure
from enrich.errors import CorkboardError
from enrich.tables import DELETIONS, PIN_TEXT
from enrich.workspace import Workspace
from relevance.feature_store import apply, open_store, quiet


def titles_of(workspace: Workspace, *pins: str) -> RetrievalJob:
    """What each pin's title was on 9 January."""
    apply(workspace)
    entities = pd.DataFrame({"pin_id": list(pins), "event_timestamp": [day(9)] * len(pins)})
    with quiet():
        return open_store(workspace).get_historical_features(entity_df=entities, features=["pin_text:title"])


def test_a_part_rewritten_between_choosing_and_reading_is_noticed(workspace: Workspace):
    """Without the erased pin's row each address is the next pin's."""
    pins = ("a", "b", "c")
    write_rows(workspace, PIN_TEXT, *({"pin_id": p, "title": f"of {p}", "event_timestamp": day(1)} for p in pins))
    job = titles_of(workspace, *pins)
    assert job.to_df()["title"].to_list() == ["of a", "of b", "of c"]
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "a", "deleted_at": day(5)})
    run_erasure(workspace)
    with pytest.raises(CorkboardError, match="rewritten since; run this again"):
        job.to_df()


@pytest.mark.filterwarnings("ignore:.* is an experimental feature:RuntimeWarning")
def test_a_saved_dataset_is_read_back(workspace: Workspace):
    write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": "of a", "event_timestamp": day(1)})
    job = titles_of(workspace, "a", "b")
    with quiet():
        store = open_store(workspace)
        storage = SavedDatasetFileStorage(str(workspace.root / "saved.parquet"))
        store.create_saved_dataset(from_=job, name="titles", storage=storage)
        saved = store.get_saved_dataset("titles")
    assert (saved.features, saved.join_keys) == (["pin_text:title"], ["pin_id"])
    assert saved.to_df().set_index("pin_id")["title"].to_dict() == {"a": "of a", "b": None}


@pytest.mark.parametrize("store_type", ["enrich.stores.late_duckdb.LateDuckDBOfflineStore", "duckdb"])
def test_views_over_one_file_by_other_keys_and_columns_of_a_path_are_answered(tmp_path: Path, store_type: str):
    """Views that somebody else adds: Feast's own store answers them."""
    columns = {"a": ["a1", "a2"], "b": ["b1", "b2"], "x": [1, 2], "y": [3, 4], "event_timestamp": [day(1)] * 2}
    (tmp_path / "files" / "part=7").mkdir(parents=True)
    pd.DataFrame(columns).to_parquet(tmp_path / "files" / "part=7" / "f.parquet")

    def view(name: str, key: str, *features: str) -> FeatureView:
        source = FileSource(name=name, path=f"{tmp_path}/files/**/*.parquet", timestamp_field="event_timestamp")
        entity = Entity(name=key, value_type=ValueType.STRING)
        return FeatureView(
            name=name, entities=[entity], schema=[Field(name=f, dtype=Int64) for f in features], source=source
        )

    config = RepoConfig(
        project="p",
        provider="local",
        registry=str(tmp_path / "registry.db"),
        offline_store={"type": store_type},
        online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
        entity_key_serialization_version=3,
    )
    entities = pd.DataFrame({"a": ["a1", "a2"], "b": ["b2", "b1"], "event_timestamp": [day(9)] * 2})
    with quiet():
        store = FeatureStore(config=config)
        views = [view("of_a", "a", "x"), view("of_b", "b", "y"), view("of_path", "a", "part")]
        store.apply([*(Entity(name=key, value_type=ValueType.STRING) for key in "ab"), *views])
        found = [
            store.get_historical_features(entities, asked).to_df() for asked in (["of_a:x", "of_b:y"], ["of_path:part"])
        ]
    assert found[0][["x", "y"]].values.tolist() == [[1, 4], [2, 3]] and found[1]["part"].to_list() == [7, 7]
