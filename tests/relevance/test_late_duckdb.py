"""Our offline store asked through Feast itself: a job made now and read later, and views that are not ours."""

from __future__ import annotations

import pandas as pd
import pytest
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob
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
