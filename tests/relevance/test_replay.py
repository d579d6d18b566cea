"""Logged requests come out the same, to the last bit; what was rewritten since is told apart from what differs."""

from __future__ import annotations

import json
import resource
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from table_rows import day, write_rows

from enrich import parts
from enrich.errors import BadInput
from enrich.serving import ServingSettings, pin_payloads, run_serving
from enrich.tables import PIN_BOARDS, PIN_CAPTION, PIN_SERVING, PIN_TEXT, PINS, QUERY_FEATURES
from enrich.workspace import Workspace
from relevance.feature_store import materialize
from relevance.learning.network import NetworkSettings, Size
from relevance.learning.training import train_student
from relevance.online import Scorer
from relevance.serving.lookup import OnlineFeatures
from relevance.serving.packed_again import ANOTHER_LAYOUT, NOT_KEPT, REWRITTEN, PackedAgain, Served
from relevance.serving.replay import (
    ANOTHER_MODEL,
    FEATURES,
    NOT_ENCODED,
    SCORES,
    UNCOMPARED,
    UNENCODED,
    render,
    replay,
)
from relevance.serving.request_log import RequestLog, append_line, folder_of, read_entries, recorded_share
from relevance.student import Student, StudentSettings
from tests.relevance.students import MemoryStore, WordEncoder, labelled_frame

PIN_IDS = ["a", "b", "c", "unseen"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    torch.set_num_threads(1)
    settings = StudentSettings(network=NetworkSettings(Size.S), epochs=2, batch_size=64)
    folder = tmp_path_factory.mktemp("models") / "student"
    return train_student(labelled_frame(5, 8, 1), labelled_frame(3, 8, 2), settings, folder, WordEncoder())


@pytest.fixture
def logged(workspace: Workspace, student: Student) -> Workspace:
    """Three pins packed and served, scored for a known query, and for an unknown one after one of them changed."""
    at = {"event_timestamp": day(1)}
    write_rows(workspace, PINS, *({"pin_id": pin, "created_at": day(1)} for pin in "abc"))
    write_rows(workspace, PIN_TEXT, *({"pin_id": p, "title": f"red chair {p}", "lang": "en", **at} for p in "abc"))
    write_rows(workspace, PIN_CAPTION, {"pin_id": "a", "caption": "a chair", **at})
    write_rows(workspace, QUERY_FEATURES, {"query": "red chair", "interests": ["home"], "lang": "en", **at})
    run_serving(workspace, ServingSettings())
    materialize(workspace)
    scorer = Scorer(student, OnlineFeatures.open(workspace), WordEncoder(), RequestLog(workspace, share=1.0))
    scorer.score("Red  Chair", PIN_IDS)
    late = {"event_timestamp": day(2), "written_at": datetime.now(UTC)}  # true before the first packing, made after it
    write_rows(workspace, PIN_BOARDS, {"pin_id": "b", "board_titles": ["chairs"], **late})
    run_serving(workspace, ServingSettings())
    materialize(workspace)
    scorer.score("lamp", PIN_IDS)
    return workspace


def test_every_logged_request_comes_out_the_same(logged: Workspace, student: Student):
    found = replay(logged, student=student, encoder=WordEncoder())
    assert (found.requests, found.pins, found.equal) == (2, 8, 8) and found.exact
    assert found.left_out == {} and "8 of 8 pins equal" in render(found)
    assert replay(logged, limit=1, student=student, encoder=WordEncoder()).requests == 1


def test_a_score_or_a_feature_that_differs_is_shown(logged: Workspace, student: Student):
    (path,) = folder_of(logged).glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["probabilities"][1][0] += 1e-7
    lines[1]["features"][2] = "0" * 16
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = replay(logged, student=student, encoder=WordEncoder())
    assert found.differing == {SCORES: 1, FEATURES: 1} and found.equal == 6 and not found.exact
    assert [example.split()[-3:] for example in found.examples] == [
        ["b:", "scores", "differ"],
        ["c:", "features", "differ"],
    ]


def test_what_cannot_be_computed_again_has_a_reason(logged: Workspace, student: Student):
    (path,) = folder_of(logged).glob("*.jsonl")
    parts.replace(logged.folder(PIN_CAPTION), PIN_CAPTION, PIN_CAPTION.schema.empty_table())  # erased
    found = replay(logged, student=student, encoder=WordEncoder())
    assert found.left_out == {REWRITTEN: 2} and found.equal == 6
    table = parts.read(logged.folder(PIN_SERVING), PIN_SERVING)
    older = table.set_column(table.column_names.index("producer"), "producer", [["before"] * table.num_rows])
    parts.replace(logged.folder(PIN_SERVING), PIN_SERVING, older)
    found = replay(logged, student=student, encoder=WordEncoder())
    assert found.left_out == {ANOTHER_LAYOUT: 6}
    parts.replace(logged.folder(PIN_SERVING), PIN_SERVING, PIN_SERVING.schema.empty_table())
    found = replay(logged, student=student, encoder=WordEncoder())
    assert found.left_out == {NOT_KEPT: 6} and found.equal == 2  # the unseen pin had no payload
    path.write_text(path.read_text().replace(student.record.fingerprint, "another"))
    found = replay(logged, student=student, encoder=WordEncoder())
    assert found.left_out == {ANOTHER_MODEL: 8} and not found.exact  # nothing was compared, so nothing is proved


class Unloaded(WordEncoder):
    """Whose weights are not there."""

    def encode(self, texts):
        raise BadInput("no weights")


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        ({"encoder": Unloaded()}, WordEncoder(), UNENCODED),
        ({"encoder": WordEncoder(), "text_vectors": False}, WordEncoder(), UNCOMPARED),
        ({"encoder": WordEncoder()}, Unloaded(), NOT_ENCODED),
    ],
)
def test_an_answer_without_vectors_that_are_there_at_the_replay_is_left_out_or_the_other_way_round(
    workspace: Workspace, student: Student, then: dict[str, Any], now: WordEncoder, reason: str
):
    Scorer(student, MemoryStore({}, {}), log=RequestLog(workspace, share=1.0), **then).score("red lamp", PIN_IDS)
    found = replay(workspace, student=student, encoder=now)
    assert found.left_out == {reason: len(PIN_IDS)} and found.differing == {}


def test_threads_that_split_sums_otherwise_are_the_ones_that_answered(workspace: Workspace, student: Student):
    """MiniLM's vector of a text of several words has other last bits on two threads than on one."""

    class OfThreads(WordEncoder):
        def encode(self, texts):
            return super().encode(texts) + np.float32(torch.get_num_threads() / 8)

    before, log = torch.get_num_threads(), RequestLog(workspace, share=1.0)
    try:
        for threads in (3, 1):
            torch.set_num_threads(threads)
            Scorer(student, MemoryStore({}, {}), OfThreads(), log).score("red lamp", PIN_IDS)
        torch.set_num_threads(2)
        assert replay(workspace, student=student, encoder=OfThreads()).equal == 2 * len(PIN_IDS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_payloads_are_packed_some_requests_at_a_time_and_each_once(logged: Workspace, student: Student):
    packed: list[str] = []

    def pack(workspace, keys, now, written):
        packed.extend(keys["pin_id"])
        return pin_payloads(workspace, keys, now, written)

    (path,) = folder_of(logged).glob("*.jsonl")
    lines = path.read_text()
    path.write_text(lines * 3)  # the payload of "b" changes and changes back
    again = PackedAgain(logged, PIN_SERVING, pack)
    entries = list(read_entries(path))
    served = [
        [Served(pin, said, datetime.fromisoformat(e.at)) for pin, said in zip(e.pins, e.payloads, strict=True) if said]
        for e in entries
    ]
    answers = [again.of(some) for some in served]
    assert all(one.payload is not None for some in answers for one in some)
    assert sorted(packed) == ["a", "b", "b", "b", "b", "b", "b", "c"]  # known from the request before, or not
    for at_once in (1, 5, 1_000):
        found = replay(logged, student=student, encoder=WordEncoder(), pins_at_once=at_once)
        assert (found.requests, found.pins, found.equal) == (6, 24, 24)


def test_a_line_that_is_none_is_passed_over_and_counted(logged: Workspace, student: Student):
    (path,) = folder_of(logged).glob("*.jsonl")
    first, second = path.read_text().splitlines()
    path.write_text("\n".join([first, second[: len(second) // 2], '{"at": 3}', second]) + "\n")
    found = replay(logged, student=student, encoder=WordEncoder())
    assert (found.requests, found.equal, found.broken_lines) == (2, 8, 2)
    assert found.first_broken.startswith(f"line 2 of {path}") and "2 lines that are no logged request" in render(found)
    (path.parent / "2999-01-01.jsonl").write_text(second + "\n" + first + "\n")
    newest = replay(logged, limit=3, student=student, encoder=WordEncoder())
    assert (newest.requests, newest.equal, newest.broken_lines) == (3, 12, 0)
    path.write_text(second[:99])
    with pytest.raises(BadInput, match="line 1 of"):
        replay(logged, logs=[path], student=student, encoder=WordEncoder())


def test_of_a_line_that_does_not_fit_nothing_is_left(tmp_path: Path):
    path = tmp_path / "log"
    append_line(path, b"whole\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python has it
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))  # as a full disk: part of a line fits
        with pytest.raises(OSError, match="only part of a line"):
            append_line(path, b"too long\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    append_line(path, b"next\n")
    assert path.read_text() == "whole\nnext\n"


def test_an_answer_that_cannot_be_logged_is_an_answer(
    workspace: Workspace, student: Student, caplog: pytest.LogCaptureFixture
):
    folder_of(workspace).write_text("a file where the folder would be")
    scorer = Scorer(student, MemoryStore({}, {}), WordEncoder(), RequestLog(workspace, share=1.0))
    assert len(scorer.score("lamp", PIN_IDS)) == len(PIN_IDS)
    assert "not logged" in caplog.text


def test_a_log_that_is_none_and_a_share_that_is_none_are_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(BadInput, match="CORKBOARD_RECORD"):
        replay(workspace)
    broken = workspace.root / "broken.jsonl"
    broken.write_text('{"at": "2025"}\n')
    with pytest.raises(BadInput, match="line 1 of"):
        list(read_entries(broken))
    with pytest.raises(BadInput, match="from 0 to 1"):
        RequestLog(workspace, 2)
    monkeypatch.setenv("CORKBOARD_RECORD", "often")
    with pytest.raises(BadInput, match="'often'"):
        recorded_share(None)
    assert recorded_share(0.5) == 0.5
