"""Board titles: what is dropped, what is merged, how they are ordered, and that no snapshot sees a later save."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
from table_rows import day, write_rows

from enrich import parts
from enrich.board_titles import read_title
from enrich.boards import BoardSettings, run_boards
from enrich.job import JobReport
from enrich.snapshots import SnapshotSettings
from enrich.tables import BOARD_PINS, BOARDS, DELETIONS, PIN_BOARDS
from enrich.workspace import Catalogue, Workspace

Save = tuple[str, str, int]  # board, pin, day of January


def write_boards(workspace: Workspace, titles: dict[str, str], saves: list[Save]) -> None:
    boards = [{"board_id": b, "title": t, "owner_hash": f"owner-{b}", "created_at": day(1)} for b, t in titles.items()]
    write_rows(workspace, BOARDS, *boards)
    write_rows(workspace, BOARD_PINS, *({"board_id": b, "pin_id": p, "saved_at": day(d, 1)} for b, p, d in saves))


def run(workspace: Workspace, titles: int = 10) -> JobReport:
    return run_boards(workspace, BoardSettings(titles, SnapshotSettings(cadence_days=1)))


def latest(workspace: Workspace) -> dict[str, tuple[list[str] | None, int | None]]:
    rows = parts.latest(workspace.folder(PIN_BOARDS), PIN_BOARDS)
    return {pin: (titles, count) for pin, titles, count in rows.select("pin_id", "board_titles", "board_count").rows()}


def test_a_save_is_seen_by_the_first_snapshot_after_it(workspace: Workspace) -> None:
    write_boards(workspace, {"1": "oak tables", "2": "garden"}, [("1", "a", 1), ("2", "a", 3)])
    run(workspace)
    rows = parts.scan(workspace.folder(PIN_BOARDS)).collect().sort("event_timestamp")
    assert rows.select("event_timestamp", "board_titles", "board_count").rows() == [
        (day(2), ["oak tables"], 1),
        (day(4), ["oak tables", "garden"], 2),
    ]


def test_near_duplicates_are_one_title_in_its_commonest_spelling(workspace: Workspace) -> None:
    titles = {"1": "Décor Ideas", "2": "ideas decor ❤️", "3": "Décor Ideas", "4": "DECOR, ideas!"}
    write_boards(workspace, titles, [(board, "a", 1) for board in titles])
    run(workspace)
    assert latest(workspace) == {"a": (["Décor Ideas"], 4)}


@pytest.mark.parametrize(
    "title",
    ["my pins", "Stuff", "❤️", "misc.", "to sort", "Board 3", "2024", "Mis cosas", "Mes idées", "Meine Sachen", "Coisas",
     "お気に入り", "Le mie cose", "favoritos", "Épinglés", "私の", "jane@example.com", "my p\u200bins", ""],
)  # fmt: skip
def test_generic_titles_say_nothing(title: str) -> None:
    assert read_title(title).words == ()


@pytest.mark.parametrize(
    "title",
    [
        "Garden ideas",
        "Mes recettes",
        "北欧インテリア",
        "猫",
        "Wohnzimmer",
        "Love Letters",
        "ห้องนอน",
        "C++",
        "C#",
        "D&D",
    ],
)
def test_titles_that_name_something_are_kept(title: str) -> None:
    assert read_title(title).words and read_title(title).text == title


def test_a_letter_and_its_sign_are_one_word() -> None:
    """C, C++ and C# are three titles; a bare letter is none, and D & D is D&D."""
    words = {title: read_title(title).words for title in ["C", "C++", "c# basics", "C/C++", "D & D", "d&d", "#1 dad"]}
    assert words == {
        "C": (), "C++": ("c++",), "c# basics": ("basics", "c#"), "C/C++": ("c", "c++"), "D & D": ("d&d",),
        "d&d": ("d&d",), "#1 dad": ("1", "dad"),
    }  # fmt: skip


def test_a_title_of_private_pieces_alone_is_counted_as_private_only(workspace: Workspace) -> None:
    write_boards(workspace, {"1": "4111 1111 1111 1111", "2": "my jane@example.com"}, [("1", "a", 1), ("2", "a", 1)])
    assert run(workspace).failed == {"private-card-number": 1, "private-email": 1, "generic-title": 1}
    assert latest(workspace) == {"a": ([], 2)}


def test_a_pin_on_generic_boards_alone_has_a_count_and_no_titles(workspace: Workspace) -> None:
    write_boards(workspace, {"1": "my pins", "2": "stuff", "3": "call 555-123-4567"}, [("1", "a", 1), ("2", "a", 1)])
    report = run(workspace)
    assert latest(workspace) == {"a": ([], 2)}
    assert report.failed == {"generic-title": 2}


def test_private_pieces_are_taken_out_of_titles_and_counted(workspace: Workspace) -> None:
    write_boards(workspace, {"1": "Lamps by jane@example.com"}, [("1", "a", 1)])
    assert run(workspace).failed == {"private-email": 1}
    assert latest(workspace) == {"a": (["Lamps by"], 1)}


def test_titles_are_scored_by_agreement_against_prevalence(workspace: Workspace) -> None:
    """Of 4 boards "garden" is on 3 and "oak" on 2; of the boards that hold pin a, each is on 2."""
    titles = {"1": "garden", "2": "oak garden", "3": "oak", "4": "garden"}
    write_boards(workspace, titles, [("1", "a", 1), ("2", "a", 1), ("3", "a", 1), ("4", "b", 1)])
    run(workspace)
    garden, oak = 2 * log(1 + 4 / 3), 2 * log(1 + 4 / 2)
    assert (round(oak, 1), round((oak + garden) / 2, 1), round(garden, 1)) == (2.2, 1.9, 1.7)
    assert latest(workspace) == {"a": (["oak", "oak garden", "garden"], 3), "b": (["garden"], 1)}


def test_equal_scores_are_ordered_by_word_count_then_length(workspace: Workspace) -> None:
    titles = {"1": "lamps", "2": "red brick", "3": "bookcases"}
    write_boards(workspace, titles, [(board, "a", 1) for board in titles])
    run(workspace)
    assert latest(workspace) == {"a": (["red brick", "bookcases", "lamps"], 3)}


def test_at_most_the_wanted_number_of_titles(workspace: Workspace) -> None:
    titles = {str(number): f"subject{chr(97 + number)}" for number in range(12)}
    write_boards(workspace, titles, [(board, "a", 1) for board in titles])
    run(workspace)
    found, count = latest(workspace)["a"]
    assert found is not None and (len(found), count) == (10, 12)


@pytest.mark.parametrize(("kind", "gone"), [("board", "1"), ("user", "owner-1")])
def test_what_was_deleted_is_in_no_snapshot_after_the_next_run(workspace: Workspace, kind: str, gone: str) -> None:
    write_boards(workspace, {"1": "secret garden plans", "2": "oak"}, [("1", "a", 1), ("2", "a", 1), ("1", "b", 1)])
    run(workspace)
    write_rows(workspace, DELETIONS, {"kind": kind, "id": gone, "deleted_at": day(20)})
    run(workspace)
    assert "secret garden plans" not in str(parts.scan(workspace.folder(PIN_BOARDS)).collect().to_dicts())
    assert latest(workspace) == {"a": (["oak"], 1), "b": (None, None)}


def test_no_boards_is_no_work(workspace: Workspace) -> None:
    assert run(workspace) == JobReport("pin_boards", 0, 0)
    assert parts.count(workspace.folder(PIN_BOARDS)) == 0


def test_a_run_as_of_a_day_then_one_of_today_make_the_rows_of_one_run(tmp_path: Path) -> None:
    found = []
    for name, moments in (("steps", (day(3), day(4), None)), ("once", (None,))):
        workspace = Workspace.at(tmp_path / name)
        workspace.create(Catalogue("native", "inline"))
        write_boards(workspace, {"1": "oak", "2": "garden"}, [("1", "a", 1), ("2", "a", 2), ("2", "b", 4)])
        for moment in moments:
            cadence = SnapshotSettings(cadence_days=1, as_of=moment)
            run_boards(workspace, BoardSettings(snapshots=cadence))
            rows = parts.scan(workspace.folder(PIN_BOARDS)).drop("written_at").collect()
            assert moment is None or rows["event_timestamp"].max() <= moment
        found.append(rows.sort("event_timestamp", "pin_id"))
    assert found[0].equals(found[1]) and found[0].height == 3


@pytest.mark.parametrize(
    "title",
    ["我的收藏", "其他", "未分類", "อื่น ๆ", "ของฉัน", "รายการโปรด", "المفضلة", "صُوَري", "منوّعات", "मेरी पसंद", "मेरे पिन",
     "मेरी चीज़ें", "Мои пины", "Разное", "좋아하는 것들", "기타"],
)  # fmt: skip
def test_generic_titles_say_nothing_in_other_scripts_either(title: str) -> None:
    assert read_title(title).words == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("طاولة خشب", "خَشَب طاولة"),  # vowel signs and word order
        ("أفكار المطبخ", "افكار المطبخ"),  # hamza
        ("रसोई के विचार", "विचार रसोई के"),
        ("सब्ज़ी", "सब्जी"),  # nukta
        ("ﾏﾌﾗｰ", "マフラー"),  # half width
        ("ソファ 北欧", "北欧・ソファ"),
    ],
)
def test_near_duplicates_meet_in_other_scripts(one: str, other: str) -> None:
    assert read_title(one).key == read_title(other).key != ""


@pytest.mark.parametrize("letter", ["ที่", "कि", "한"])
def test_a_long_title_is_cut_between_letters_never_inside_one(letter: str) -> None:
    assert read_title(letter * 150).text == letter * 100
