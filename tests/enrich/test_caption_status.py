"""`enrich status captions`: figures to count by hand, one line an alarm, and none of captions as they should be."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image
from table_rows import day, write_rows

from data.pictures import scenes
from enrich.caption_quality import FEWEST, figures, languages_moved, loops, text_alarms
from enrich.caption_status import caption_status, render
from enrich.captioning.loops import LOOP_CUT
from enrich.cli import enrich as command
from enrich.picture_prints import picture_print
from enrich.picture_twins import FILE, PictureTwins
from enrich.tables import DELETIONS, PIN_CAPTION, PINS
from enrich.workspace import Workspace

COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"]
THINGS = ["vase", "lamp", "chair", "shoe", "guitar", "cake", "kite", "boat", "clock", "bottle", "kettle", "teapot"]
SENTENCES = [f"a {colour} {thing} on a wooden table" for thing in THINGS for colour in COLOURS]  # 120, of 7 words


def pins(workspace: Workspace, count: int, **changed: object) -> None:
    write_rows(workspace, PINS, *({**_pin(number), **changed} for number in range(count)))


def _pin(number: int) -> dict[str, object]:
    return {"pin_id": f"p{number:04}", "image_uri": f"{number}.jpg", "created_at": day(1)}


def captions(workspace: Workspace, texts: list[str | None], **changed: object) -> None:
    """One row a pin, in the order of `pins`; of a picture of its own."""
    base = {"event_timestamp": day(1), "producer": "blip@1", "written_at": day(3)}
    rows = [{"pin_id": f"p{n:04}", "input_hash": f"h{n:04}", "caption": text} for n, text in enumerate(texts)]
    write_rows(workspace, PIN_CAPTION, *({**base, **row, **changed} for row in rows))


def alarms(workspace: Workspace) -> str:
    return "\n".join(caption_status(workspace).alarms)


# ---- the figures of a handful


def test_a_handful_of_captions_is_counted():
    found = figures(
        ["a red shoe", "a red shoe", "two hats", "", " ", "a shoe on a shoe on a shoe", "a red shoe"],
        ["1", "2", "3", "4", "5", "6", "1"],
    )
    assert (found.captions, found.empty, found.pictures, found.sentences) == (5, 2, 4, 3)
    assert found.words == (2, 2, 3, 8, 8)
    assert found.mean_words == (3 + 3 + 2 + 8 + 3) / 5
    assert found.shared == 2 / 4
    assert found.commonest[0] == ("a red shoe", 2)
    assert found.looping == 1 / 5


@pytest.mark.parametrize(
    ("caption", "looping"),
    [
        ("a close up of a close up of a dog", True),
        ("a shoe shoe shoe", True),
        ("a very very red shoe", False),
        ("the man and the woman and the man and the woman and the", True),
        ("two red vases on a red table", False),
        ("a dog and a cat and a bird", False),
        ("", False),
        ("红色红色花瓶", False),
    ],
)
def test_a_run_of_words_said_twice_in_a_row_is_a_loop(caption, looping):
    assert loops(caption) == looping


def test_the_share_of_captions_that_changed_their_language_is_half_of_what_the_shares_differ_by():
    assert languages_moved(Counter(en=3, de=1), Counter(en=1, de=1)) == 0.25
    assert languages_moved(Counter(en=3), Counter(de=5)) == 1.0
    assert languages_moved(Counter(en=3), Counter()) == 0.0


# ---- the workspace


def test_pins_with_pictures_are_counted_by_what_their_newest_row_says(workspace):
    pins(workspace, 6)
    write_rows(workspace, PINS, {"pin_id": "bare", "created_at": day(1)}, {**_pin(7), "image_uri": " "})
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "p0005", "deleted_at": day(9)})
    captions(workspace, ["old words", "a hat", "a hat", None, None, "of a deleted pin"])
    base = {"event_timestamp": day(2), "producer": "blip@1"}
    write_rows(
        workspace,
        PIN_CAPTION,
        {**base, "pin_id": "p0000", "input_hash": "h0001", "caption": "a hat"},  # now of the same bytes as p0001
        {**base, "pin_id": "p0003", "input_hash": "h0003", "reason": "not-found"},
        {**base, "pin_id": "p0004", "input_hash": "h0004", "reason": "corrupt"},
    )
    found = caption_status(workspace)
    assert (found.pictured, found.captioned, found.untried) == (5, 3, 0)
    assert found.failed == {"not-found": 1, "corrupt": 1}
    assert (found.same_bytes, found.twins, found.texts.pictures, found.texts.sentences) == (1, 0, 2, 1)
    assert found.producers == {"blip@1": 3}
    assert found.alarms == ()


def test_captions_taken_over_from_a_picture_that_looks_the_same_are_told(workspace):
    pins(workspace, 3)
    captions(workspace, ["a hat", "a hat", "a shoe"])
    picture = picture_print(Image.radial_gradient("L").convert("RGB"))
    with PictureTwins(workspace.root / FILE, "blip@1", pl.Series(["h0000", "h0001"])) as twins:
        assert [twins.original(name, picture) for name in ("h0000", "h0001")] == ["h0000", "h0000"]
        twins.commit()
    found = caption_status(workspace)
    assert (found.twins, found.texts.pictures, found.texts.shared) == (1, 2, 0.0)


def test_captions_as_they_should_be_raise_no_alarm(workspace):
    """What a captioner says of scenes, run after run; a catalogue without pictures; one of a few."""
    described = [scenes.reference_caption(scenes.draw_scene(rng)) for rng in map(np.random.default_rng, range(400))]
    pins(workspace, 400)
    captions(workspace, [*described[:250]])
    rest = [{"pin_id": f"p{n:04}", "input_hash": f"h{n:04}", "caption": described[n]} for n in range(250, 400)]
    later = {"event_timestamp": day(1), "producer": "blip@1", "written_at": day(9)}
    write_rows(workspace, PIN_CAPTION, *({**later, **row} for row in rest))
    found = caption_status(workspace)
    assert found.alarms == ()
    assert found.before and found.latest
    assert (found.before.figures.captions, found.latest.figures.captions) == (250, 150)
    assert found.texts.languages.most_common(1)[0][0] == "en"
    assert "no alarms" in render(found)


def test_a_catalogue_without_pictures_has_nothing_to_tell(workspace):
    write_rows(workspace, PINS, {"pin_id": "1", "title": "a product", "created_at": day(1)})
    found = caption_status(workspace)
    assert found.alarms == ()
    assert render(found) == "no pin has a picture: nothing to caption"


def test_few_captions_raise_no_alarm_whatever_they_are(workspace):
    pins(workspace, FEWEST - 1)
    captions(workspace, ["a a"] * (FEWEST - 1))
    assert caption_status(workspace).alarms == ()


@pytest.mark.parametrize(
    ("texts", "alarm"),
    [
        ([*SENTENCES[:83], *["a man"] * 37], "31% of the pictures have one caption, 'a man': the model does not know"),
        ([*SENTENCES[:60], *[""] * 60], "50% of captions are empty"),
        ([*SENTENCES[:20] * 6], "120 different pictures share 20 captions"),
        ([*SENTENCES[:108], *[f"{s} {s}" for s in SENTENCES[108:]]], "10% of captions repeat themselves"),
        ([f"{s.split()[1]} {s.split()[2]}" for s in SENTENCES], "half of the captions have fewer than 3 words"),
    ],
    ids=["one sentence", "empty", "few sentences", "loops", "short"],
)
def test_each_fault_is_one_line_with_its_figure(workspace, texts, alarm):
    pins(workspace, len(texts))
    captions(workspace, texts)
    assert [line[: len(alarm)] for line in caption_status(workspace).alarms] == [alarm]


def test_pictures_that_could_not_be_captioned_are_an_alarm_past_a_tenth(workspace):
    pins(workspace, 240)
    captions(workspace, SENTENCES)
    for reason, numbers in (("not-found", range(120, 150)), ("corrupt", range(150, 160))):
        rows = [{"pin_id": f"p{n:04}", "input_hash": f"h{n:04}", "reason": reason} for n in numbers]
        write_rows(workspace, PIN_CAPTION, *({"event_timestamp": day(1), "producer": "blip@1", **row} for row in rows))
    assert alarms(workspace) == "25% of the pictures could not be captioned, 30 of them not-found"
    assert "80 were not tried" in render(caption_status(workspace))


def test_captions_of_two_models_are_an_alarm(workspace):
    pins(workspace, 120)
    captions(workspace, SENTENCES)
    captions(workspace, SENTENCES[:30], producer="blip@2", event_timestamp=day(2))
    assert alarms(workspace).startswith("25% of the captions are not of blip@1")


@pytest.mark.parametrize(
    ("texts", "alarm"),
    [
        (
            [f"a {s.split()[1]} {s.split()[2]}" for s in SENTENCES],
            "mean length fell from 7.0 to 3.0 words since 2025-01-09",
        ),
        (
            [f"eine Vase steht mit der Nummer {n} auf dem alten Tisch" for n in range(120)],
            "language changed from en 100% to de 100% since 2025-01-09",
        ),
        (SENTENCES[:40] * 3, "pictures that share a caption rose from 0% to 100% since 2025-01-09"),
    ],
    ids=["length", "language", "sameness"],
)
def test_what_changed_since_the_run_before_is_one_line(workspace, texts, alarm):
    pins(workspace, 120)
    captions(workspace, SENTENCES)
    captions(workspace, texts, written_at=day(9), event_timestamp=day(2))
    assert [line[: len(alarm)] for line in caption_status(workspace).alarms] == [alarm]


def test_a_run_cut_off_and_gone_on_with_is_one_run(workspace):
    pins(workspace, 120)
    captions(workspace, SENTENCES[:70], written_at=day(3))
    rest = [{"pin_id": f"p{n:04}", "input_hash": f"h{n:04}", "caption": SENTENCES[n]} for n in range(70, 120)]
    base = {"event_timestamp": day(1), "producer": "blip@1", "written_at": day(3).replace(minute=40)}
    write_rows(workspace, PIN_CAPTION, *({**base, **row} for row in rest))
    found = caption_status(workspace)
    assert found.before is None
    assert found.latest
    assert found.latest.figures.captions == 120


def test_the_change_of_model_is_named_in_the_alarm(workspace):
    pins(workspace, 120)
    captions(workspace, SENTENCES)
    captions(
        workspace, ["red shoe here"] * 60 + SENTENCES[:60], written_at=day(9), producer="git@2", event_timestamp=day(2)
    )
    assert "since 2025-01-09, with git@2 after blip@1" in alarms(workspace)


def test_the_command_shows_the_text_or_the_record(workspace):
    pins(workspace, 120)
    captions(workspace, [*SENTENCES[:83], *["a man"] * 37])
    shown = CliRunner().invoke(command, ["status", "captions", "--workspace", str(workspace.root)])
    assert shown.exit_code == 0
    assert "alarm: 31% of the pictures have one caption, 'a man'" in shown.output
    record = CliRunner().invoke(command, ["status", "captions", "--workspace", str(workspace.root), "--json"])
    told = json.loads(record.output.splitlines()[-1])
    assert (told["captioned"], told["texts"]["commonest"][0], len(told["alarms"])) == (120, ["a man", 37], 1)


def test_of_each_reason_some_pictures_are_named(workspace):
    pins(workspace, 6)
    base = {"event_timestamp": day(1), "producer": "blip@1"}
    reasons = {0: "not-found", 1: "corrupt", 2: "not-found", 3: "not-found", 4: "not-found"}
    rows = [{"pin_id": f"p{n:04}", "input_hash": f"h{n:04}", "reason": reason} for n, reason in reasons.items()]
    write_rows(workspace, PIN_CAPTION, *({**base, **row} for row in rows))
    found = caption_status(workspace)
    assert [(one.reason, one.pin_id) for one in found.examples] == [
        ("corrupt", "p0001"),
        *(("not-found", f"p000{n}") for n in (0, 2, 3)),
    ]
    assert "1  corrupt           p0001: " in render(found)


def test_few_captions_are_said_to_be_too_few_to_judge(workspace):
    pins(workspace, FEWEST)
    captions(workspace, SENTENCES[: FEWEST - 1])
    assert "no alarms: of fewer than 100 captions" in render(caption_status(workspace))


def test_many_captions_that_had_to_be_cut_are_an_alarm(workspace):
    pins(workspace, 120)
    captions(workspace, SENTENCES)
    loops = [{"pin_id": f"p{n:04}", "input_hash": f"h{n:04}", "caption": SENTENCES[n]} for n in range(13)]
    cut = {"event_timestamp": day(1), "producer": "blip@1", "written_at": day(3), "caption_rule": LOOP_CUT}
    write_rows(workspace, PIN_CAPTION, *({**cut, "created_timestamp": day(3), **row} for row in loops))
    assert alarms(workspace) == "11% of captions went round in circles and were cut: the model loops"


def test_captions_of_other_scripts_are_shown_as_they_are(workspace):
    pins(workspace, 1)
    captions(workspace, ["桌子上的花瓶"])
    assert "1  桌子上的花瓶" in render(caption_status(workspace))


def test_no_text_of_a_caption_can_write_to_the_terminal(workspace):
    pins(workspace, 1)
    captions(workspace, ["\x1b[2Ja shoe\u202e"])
    assert not {"\x1b", "\u202e"} & set(render(caption_status(workspace)))


def test_no_captions_have_figures_too():
    assert text_alarms(figures([], [])) == []
    assert figures([], []).words == (0, 0, 0, 0, 0)
