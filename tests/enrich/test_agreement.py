"""Online against offline: equal after a load, different once a table has what the store has not."""

from __future__ import annotations

from table_rows import day, write_rows

from enrich.agreement import agreements
from enrich.status import render, status
from enrich.tables import PIN_SERVING, PIN_TEXT
from enrich.workspace import Workspace
from relevance.feature_store import apply, materialize, open_store, quiet


def test_agreement_before_and_after_a_load_and_after_a_new_row(workspace: Workspace):
    write_rows(workspace, PIN_SERVING, *({"pin_id": p, "payload": b"x", "event_timestamp": day(1)} for p in "abc"))
    write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": "t", "event_timestamp": day(1)})
    assert status(workspace).online == ()
    apply(workspace)
    assert {view.loaded_until for view in agreements(workspace)} == {None}
    materialize(workspace)
    with quiet():
        open_store(workspace).materialize(day(0), day(9), feature_views=["pin_text"])
    found = {view.view: view for view in agreements(workspace)}
    assert (found["pin_serving"].sampled, found["pin_serving"].equal) == (3, 3)
    assert (found["pin_text"].sampled, found["pin_text"].equal, found["pin_text"].differing) == (1, 1, None)
    write_rows(workspace, PIN_SERVING, {"pin_id": "b", "payload": b"y", "event_timestamp": day(2)})
    newer = {view.view: view for view in agreements(workspace)}["pin_serving"]
    assert (newer.sampled, newer.equal, newer.differing) == (3, 2, "payload")
    shown = render(status(workspace))
    assert "payload differs" in shown and "never materialized" in shown
