"""The graph by hand: four pins on two boards."""

from __future__ import annotations

from datetime import timedelta
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from table_rows import day, write_rows

from enrich import importance_pooling, parts
from enrich.errors import BadInput
from enrich.graph import GraphSettings, run_graph
from enrich.importance_pooling import Pooling, Walks, largest, most_visited, pool
from enrich.job import JobReport
from enrich.snapshots import SnapshotSettings
from enrich.tables import BOARD_PINS, BOARDS, DELETIONS, PIN_GRAPH, PIN_TEXT_EMBEDDING
from enrich.workspace import Workspace

X, Y, Z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
# Board 1 holds a, b, c; board 2 holds c, d.
HOLDS = np.array([[1, 0], [1, 0], [1, 1], [0, 1]], dtype=float)


def walks(holds: np.ndarray) -> Walks:
    return Walks.of(sparse.csr_array(holds))


def fill(workspace: Workspace, saves: list[tuple[str, str, int]]) -> None:
    boards = sorted({board for board, _, _ in saves})
    write_rows(workspace, BOARDS, *({"board_id": b, "title": b, "created_at": day(1)} for b in boards))
    write_rows(workspace, BOARD_PINS, *({"board_id": b, "pin_id": p, "saved_at": day(d, 1)} for b, p, d in saves))


def embed(workspace: Workspace, vectors: dict[str, list[float]], on: int = 1, **more: Any) -> None:
    rows = [{"pin_id": p, "text_embedding": v, "event_timestamp": day(on)} | more for p, v in vectors.items()]
    write_rows(workspace, PIN_TEXT_EMBEDDING, *rows)


def run(workspace: Workspace, **settings: Any) -> JobReport:
    return run_graph(workspace, GraphSettings(snapshots=SnapshotSettings(cadence_days=1), pooling=Pooling(**settings)))


def latest(workspace: Workspace) -> dict[str, list[float] | None]:
    rows = parts.latest(workspace.folder(PIN_GRAPH), PIN_GRAPH)
    return dict(rows.select("pin_id", "graph_embedding").rows())


SAVES = [("1", "a", 1), ("1", "b", 1), ("1", "c", 1), ("2", "c", 1), ("2", "d", 1)]


def test_visits_by_hand() -> None:
    """From a one step leads to a, b, c with 1/3 each; from c, over either board, to a, b 1/6, c 5/12, d 1/4. A second,
    half as likely step from a: d by c alone, 1/3 * 1/4."""
    one = walks(HOLDS).visits(np.array([0, 2]), hops=1).toarray()
    np.testing.assert_allclose(one, [[1 / 3, 1 / 3, 1 / 3, 0], [1 / 6, 1 / 6, 1 / 6 + 1 / 4, 1 / 4]])
    two = walks(HOLDS).visits(np.array([0]), hops=2).toarray()
    assert two[0, 3] == pytest.approx(0.5 * 1 / 3 * 1 / 4)


def test_the_most_visited_are_kept_ties_by_order_without_self_or_textless() -> None:
    visited = sparse.csr_array(np.array([[0.5, 0.2, 0.2, 0.3], [0.1, 0.4, 0.1, 0.3]]))
    kept = most_visited(visited, np.array([True, True, True, False]), np.array([0, 1]), neighbours=1).toarray()
    np.testing.assert_allclose(kept, [[0, 1, 0, 0], [1, 0, 0, 0]])


def test_pooled_vectors_by_hand(workspace: Workspace) -> None:
    """One hop. a: half of its own x, and b and c by halves: (0.5, 0.5, 0.5). d has no text: it is its neighbour c's."""
    fill(workspace, SAVES)
    embed(workspace, {"a": X, "b": Y, "c": Z})
    run(workspace, hops=1)
    found = latest(workspace)
    assert found["a"] == pytest.approx([1 / sqrt(3)] * 3)
    assert found["d"] == pytest.approx(Z)
    assert found["c"] == pytest.approx([sqrt(1 / 3)] * 3)  # a and b by halves, d has no text; half of its own z


def test_a_new_pin_has_a_vector_from_its_first_board_on(workspace: Workspace) -> None:
    fill(workspace, [*SAVES, ("1", "new", 3)])
    embed(workspace, {"a": X, "b": X, "c": X})
    run(workspace)
    rows = parts.scan(workspace.folder(PIN_GRAPH)).collect()
    new = rows.filter(rows["pin_id"] == "new")
    assert new.select("event_timestamp", "graph_embedding").rows() == [(day(4), pytest.approx(X))]


def test_a_vector_made_later_is_invisible_at_an_earlier_snapshot(workspace: Workspace) -> None:
    fill(workspace, [*SAVES, ("2", "a", 3)])
    embed(workspace, {"c": Z}, on=3)
    run(workspace)
    rows = parts.scan(workspace.folder(PIN_GRAPH)).collect()
    assert rows["event_timestamp"].unique().to_list() == [day(4)]


def test_vectors_that_hardly_move_are_not_written_again(workspace: Workspace) -> None:
    fill(workspace, [*SAVES, ("2", "e", 3)])
    embed(workspace, {"a": X, "b": X, "c": X, "d": X, "e": X})
    assert run(workspace).made == 5
    rows = parts.scan(workspace.folder(PIN_GRAPH)).collect().sort("event_timestamp", "pin_id")
    assert rows.filter(rows["event_timestamp"] == day(4))["pin_id"].to_list() == ["e"]


def test_pins_without_board_or_text_have_no_row_and_the_latter_are_counted(workspace: Workspace) -> None:
    fill(workspace, [("1", "a", 1)])
    embed(workspace, {"alone": X})
    assert run(workspace) == JobReport("pin_graph", 0, 0, run(workspace).failed)
    assert run(workspace).failed == {"no-neighbour-with-text": 1}
    assert latest(workspace) == {}


def test_pins_without_a_row_before_any_text_vector_are_counted_as_such(workspace: Workspace) -> None:
    fill(workspace, [("1", "a", 1), ("1", "b", 1)])
    assert run(workspace).failed == {"no-text-vectors-yet": 2}


def test_content_dated_after_the_last_save_is_pooled_at_the_first_snapshot_that_sees_it(workspace: Workspace) -> None:
    """Saves without a time, or pins whose updated_at moves on: else no snapshot ever has a vector."""
    fill(workspace, SAVES)
    embed(workspace, {"a": X, "b": Y}, created_timestamp=day(5) + timedelta(seconds=0.7))
    assert run(workspace).made == 4
    rows = parts.scan(workspace.folder(PIN_GRAPH)).collect()
    assert rows["event_timestamp"].unique().to_list() == [day(6)]
    embed(workspace, {"a": X, "b": Y, "c": Z}, on=8)
    assert run(workspace).fresh == 4, "what earlier moments saw stays"


def test_content_of_pins_on_no_board_makes_no_snapshots(workspace: Workspace) -> None:
    fill(workspace, SAVES)
    embed(workspace, {"a": X, "b": Y, "c": Z})
    embed(workspace, {"alone": Z}, on=5)
    run(workspace)
    rows = parts.scan(workspace.folder(PIN_GRAPH)).collect()
    assert rows["event_timestamp"].unique().to_list() == [day(2)]


def test_content_of_before_the_saves_makes_no_snapshots_of_its_own(workspace: Workspace) -> None:
    fill(workspace, [(board, pin, 5) for board, pin, _ in SAVES])
    embed(workspace, {"a": X, "b": Y, "c": Z})
    run(workspace)
    rows = parts.scan(workspace.folder(PIN_GRAPH)).collect()
    assert rows["event_timestamp"].unique().to_list() == [day(6)]


def test_a_deleted_boards_neighbours_are_forgotten(workspace: Workspace) -> None:
    fill(workspace, SAVES)
    embed(workspace, {"a": X, "b": Y, "c": Z, "d": X})
    run(workspace)
    write_rows(workspace, DELETIONS, {"kind": "board", "id": "1", "deleted_at": day(9)})
    run(workspace)
    found = latest(workspace)
    assert (found["a"], found["b"]) == (None, None)
    assert found["d"] is not None and found["d"][1] == 0


def test_a_second_run_does_nothing(workspace: Workspace) -> None:
    fill(workspace, SAVES)
    embed(workspace, {"a": X, "b": Y, "c": Z})
    first, second = run(workspace), run(workspace)
    assert (first.made, second.made, second.fresh) == (4, 0, 4)


def test_no_boards_or_no_texts_are_no_work(workspace: Workspace) -> None:
    assert run(workspace) == JobReport("pin_graph", 0, 0)
    with pytest.raises(BadInput, match="neighbours and hops of at least 1"):
        Pooling(neighbours=0)


def random_graph(pins: int, boards: int, saves: int) -> sparse.csr_array:
    random = np.random.default_rng(4)
    holds = sparse.csr_array(
        (np.ones(saves), (random.integers(0, pins, saves), (random.random(saves) ** 3 * boards).astype(int))),
        shape=(pins, boards),
    )
    holds.sum_duplicates()
    holds.data[:] = 1
    return holds


def test_pieces_of_any_size_pool_to_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    holds = random_graph(300, 40, 1500)
    own = np.random.default_rng(5).standard_normal((300, 8)).astype(np.float32)
    whole = pool(holds, own, Pooling())
    monkeypatch.setattr(importance_pooling, "_ENTRIES_AT_ONCE", 2000)
    assert len(list(importance_pooling._slices(importance_pooling._Reach.of(holds), 2, 1000))) > 20
    np.testing.assert_allclose(pool(holds, own, Pooling()), whole, atol=1e-6)


def test_a_large_graph_has_a_smaller_frontier(monkeypatch: pytest.MonkeyPatch) -> None:
    reach = importance_pooling._Reach.of(random_graph(300, 40, 1500))
    assert importance_pooling._frontier(reach, 1000) == 1000
    monkeypatch.setattr(importance_pooling, "_PATHS", 50 * float(reach.next_step.sum()))
    assert importance_pooling._frontier(reach, 1000) == 50
    monkeypatch.setattr(importance_pooling, "_PATHS", 1.0)
    assert (importance_pooling._frontier(reach, 1000), importance_pooling._frontier(reach, 2)) == (10, 2)


def test_walks_go_on_from_the_most_visited_pins() -> None:
    """From c one step leads to c 5/12, d 1/4, a and b 1/6: with a frontier of 2 the second begins at c and d alone."""
    step = walks(HOLDS)
    found = step.visits(np.array([2]), hops=2, frontier=2).toarray()[0]
    one = step.visits(np.array([2]), hops=1).toarray()[0]
    second = np.array([0, 0, 5 / 12, 1 / 4]) @ step.to_board.toarray() @ step.to_pin.toarray()
    np.testing.assert_allclose(found, one + second / 2)


def test_a_frontier_that_all_fit_changes_nothing_and_a_small_one_little() -> None:
    holds = random_graph(300, 40, 1500)
    own = np.random.default_rng(5).standard_normal((300, 8)).astype(np.float32)
    exact = pool(holds, own, Pooling(frontier=300))
    near = pool(holds, own, Pooling(frontier=100))
    cosines = (exact * near).sum(axis=1)
    assert cosines.min() > 0.98 and cosines.mean() > 0.999


def test_the_largest_of_many_are_those_of_a_full_sort_ties_first() -> None:
    random = np.random.default_rng(6)
    dense = random.integers(0, 6, (40, 200)) / 7 + random.random((40, 200)) * 1e-14  # many ties, none to the last bit
    dense[3] = 0
    kept = largest(sparse.csr_array(dense), 9).toarray()
    for row, found in zip(dense, kept, strict=True):
        best = np.lexsort((np.arange(200), -row.round(10)))[:9]
        assert set(np.flatnonzero(found)) == set(best[row[best] > 0.01])
