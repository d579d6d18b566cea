"""What a captions job loses by kills, full disks, bad checkpoints and unreadable files: nothing that was made.

More kills of one job, by the clock:  PYTHONPATH=. python tests/enrich/test_captions_faults.py [KILLS] [PICTURES]
"""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from PIL import Image
from root_powers import modes_obeyed
from test_captions import add_pins, plain, rows
from tiny_captioner import copy, random_images, save_tiny

from enrich import cli, console, job, parts
from enrich.captioning import once_each
from enrich.captioning.blip import Blip
from enrich.captions import run_captions
from enrich.errors import BadInput
from enrich.job import JobSettings
from enrich.picture_twins import copied_pictures
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING, PINS
from enrich.workspace import Catalogue, Workspace


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("blip") / "tiny")


def catalogue(folder: Path, pictures: int, name: str = "workspace") -> Workspace:
    """So many pins: two of each picture in `folder`, and one whose picture is missing."""
    workspace = Workspace.at(folder / name)
    workspace.create(Catalogue("native", "inline"))
    named = {}
    for number, image in enumerate(random_images(pictures // 2)):
        image.save(folder / f"{number}.png")
        named |= {f"p{number:03}": str(folder / f"{number}.png"), f"q{number:03}": str(folder / f"{number}.png")}
    add_pins(workspace, **named, missing=str(folder / "none.png"))
    return workspace


def with_twins(folder: Path, pictures: int, name: str) -> Workspace:
    """As `catalogue`, and every fifth picture twice as large, which is the same to look at."""
    workspace, larger = catalogue(folder, pictures, name), {}
    for number in range(0, pictures // 2, 5):
        with Image.open(folder / f"{number}.png") as image:
            image.resize((2 * image.width, 2 * image.height), 0).save(folder / f"{number}-large.png")
        larger[f"r{number:03}"] = str(folder / f"{number}-large.png")
    add_pins(workspace, **larger)
    return workspace


def same_rows(ours: Workspace, theirs: Workspace) -> bool:
    """Whether both tables have the same rows, but for when they were written, and the last bits of vectors."""
    captions = [table(one, PIN_CAPTION) for one in (ours, theirs)]
    vectors = [table(one, PIN_VISUAL_EMBEDDING) for one in (ours, theirs)]
    alike = captions[0].equals(captions[1])
    alike &= vectors[0].drop("visual_embedding").equals(vectors[1].drop("visual_embedding"))
    one, other = (np.stack(frame["visual_embedding"].drop_nulls().to_list()) for frame in vectors)
    return alike and np.allclose(one, other, atol=1e-5)


def table(workspace: Workspace, one) -> pl.DataFrame:
    """All rows, none twice."""
    frame = parts.scan(workspace.folder(one)).drop("written_at").collect().sort("pin_id", "created_timestamp")
    assert not frame.select("pin_id", "created_timestamp").is_duplicated().any()
    return frame


class Run(NamedTuple):
    """What `killed_captions` says of one."""

    moment: str
    status: int
    rows: int  # of pin_caption, afterwards


def runs(undisturbed: Workspace, killed: Workspace, checkpoint: Path, kills: int, unit: str, seed: int) -> list[Run]:
    """The undisturbed one, those killed, one killed in closing, and the last."""
    told = [str(undisturbed.root), str(killed.root), str(checkpoint), str(kills), unit, str(seed)]
    program = [sys.executable, str(Path(__file__).with_name("killed_captions.py")), *told]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True, env=paths)
    lines = (line.split() for line in said.stdout.splitlines())
    return [Run(moment, int(status), int(rows)) for moment, status, rows in lines]


def killed_with_work_left(ended: Sequence[Run]) -> bool:
    """Whether each but the first and last died by the kill before all was done, and what was made grew over them."""
    whole, *killed, last = ended
    rows = [run.rows for run in killed]
    grew = rows == sorted(rows) and len(set(rows)) >= len(rows) // 4
    by_kill = all(run.status == -signal.SIGKILL for run in killed) and all(kept < whole.rows for kept in rows[:-1])
    return by_kill and grew and (whole.status, last.status) == (0, 0) and last.rows == whole.rows


def test_kills_at_random_moments_end_in_the_rows_of_an_undisturbed_run(tmp_path, checkpoint):
    undisturbed, killed = (with_twins(tmp_path, 24, name) for name in ("undisturbed", "killed"))
    ended = runs(undisturbed, killed, checkpoint, 4, "events", seed=3)
    assert len(ended) == 7
    assert killed_with_work_left(ended), ended
    assert same_rows(killed, undisturbed)
    assert copied_pictures(killed).sort("input_hash").equals(copied_pictures(undisturbed).sort("input_hash"))
    again = run_captions(killed, plain(checkpoint, twins=True))
    assert (again.fresh, again.made, dict(again.failed)) == (ended[0].rows, 0, {})


@pytest.mark.parametrize("one", [PINS, PIN_CAPTION, PIN_VISUAL_EMBEDDING])
def test_a_damaged_part_is_named_in_one_line_and_without_it_the_job_makes_good_what_it_held(
    tmp_path, checkpoint, capsys, one
):
    workspace = catalogue(tmp_path, 4)
    run_captions(workspace, plain(checkpoint))
    before = rows(workspace)
    damaged = workspace.folder(one) / "part-damaged.parquet"
    for part in [part for part in workspace.folder(one).glob("part-*") if "schema" not in part.name]:
        (damaged if one is PINS else part).write_bytes(part.read_bytes()[:-20])
        damaged = damaged if one is PINS else part
    command = ["captions", "--workspace", str(workspace.root), "--model", str(checkpoint), "--dtype", "float32"]
    assert console.run(cli.enrich, [*command, "--keep-loops", "--no-twins"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error", "Traceback"))]
    assert len(said) == 1
    assert f"expected a whole parquet file at {damaged}, found it damaged" in said[0]
    damaged.unlink()
    assert console.run(cli.enrich, [*command, "--keep-loops", "--no-twins"]) == 0
    assert rows(workspace) == before


def test_failures_are_written_while_no_picture_can_be_had(tmp_path, checkpoint):
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.create(Catalogue("native", "inline"))
    add_pins(workspace, **{f"p{number:04}": str(tmp_path / f"{number}.png") for number in range(2_500)})
    seen: list[int] = []
    described = once_each.described

    def watched(*arguments):
        for outcome in described(*arguments):
            seen.append(outcome.height)
            yield outcome

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(once_each, "described", watched)
        report = run_captions(workspace, plain(checkpoint))
    assert dict(report.failed) == {"not-found": 2_500}
    assert max(seen) <= 1_000


def test_a_full_disk_is_one_error_and_what_was_written_before_stays(tmp_path, checkpoint):
    workspace = catalogue(tmp_path, 12)
    write, written = parts._write, []

    def full(path, table):
        if path.name.startswith("part-") and len(written) >= 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        write(path, table)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parts, "_write", full)
        patched.setattr(job, "PART_SECONDS", 0.0)
        with pytest.raises(OSError, match="No space left"):
            run_captions(workspace, plain(checkpoint, batch_size=2))
    kept = rows(workspace)
    assert 0 < len(kept) < 13
    assert not list(workspace.folder(PIN_CAPTION).glob(".part-*"))
    run_captions(workspace, plain(checkpoint, batch_size=2))
    assert len(rows(workspace)) == 13
    assert {pin: row for pin, row in rows(workspace).items() if pin in kept} == kept


def test_a_corrupt_checkpoint_is_one_line_and_the_rows_of_the_last_run_stay(tmp_path, checkpoint):
    workspace = catalogue(tmp_path, 4)
    run_captions(workspace, plain(checkpoint))
    before = [table(workspace, one) for one in (PIN_CAPTION, PIN_VISUAL_EMBEDDING)]
    cut = copy(checkpoint, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(BadInput, match="does not load") as refused:
        run_captions(workspace, plain(cut))
    assert "\n" not in str(refused.value)
    assert table(workspace, PIN_CAPTION).equals(before[0])
    assert table(workspace, PIN_VISUAL_EMBEDDING).equals(before[1])


def test_a_folder_that_cannot_be_read_gives_its_pictures_a_reason_and_the_others_their_captions(tmp_path, checkpoint):
    workspace = catalogue(tmp_path, 4)
    closed = tmp_path / "closed"
    closed.mkdir()
    random_images(1)[0].save(closed / "a.png")
    add_pins(workspace, a=str(closed / "a.png"))
    closed.chmod(0)
    try:
        with modes_obeyed():
            report = run_captions(workspace, plain(checkpoint))
    finally:
        closed.chmod(0o755)
    assert (report.made, dict(report.failed)) == (4, {"unreadable": 1, "not-found": 1})
    assert run_captions(workspace, plain(checkpoint)).made == 1


def test_a_picture_of_more_pixels_than_are_decoded_whole_is_described_from_a_smaller_copy(tmp_path, checkpoint):
    workspace = catalogue(tmp_path, 2)
    Image.new("L", (8_000, 6_400), 90).save(tmp_path / "large.jpg", quality=50)
    add_pins(workspace, large=str(tmp_path / "large.jpg"))
    report = run_captions(workspace, plain(checkpoint))
    assert (report.made, dict(report.failed)) == (3, {"not-found": 1})


def test_a_folder_or_a_pipe_in_place_of_a_picture_is_unreadable(tmp_path, checkpoint):
    workspace = catalogue(tmp_path, 2)
    os.mkfifo(tmp_path / "pipe.png")
    add_pins(workspace, folder=str(tmp_path), pipe=str(tmp_path / "pipe.png"))
    report = run_captions(workspace, plain(checkpoint))
    assert (report.made, dict(report.failed)) == (2, {"unreadable": 2, "not-found": 1})


def test_a_picture_that_is_replaced_before_it_is_described_says_nothing_under_the_old_ones_hash(tmp_path, checkpoint):
    workspace, described = catalogue(tmp_path, 4), once_each.described

    def replaced(*arguments):
        for late in ("0.png", "none.png"):
            (tmp_path / late).write_bytes((tmp_path / "1.png").read_bytes())
        yield from described(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(once_each, "described", replaced)
        report = run_captions(workspace, plain(checkpoint))
    assert (report.made, dict(report.failed)) == (2, {"changed": 3})
    report = run_captions(workspace, plain(checkpoint))
    assert (report.made, report.fresh, dict(report.failed)) == (3, 2, {})
    assert len(set(rows(workspace).values())) == 1, "the same picture now, for all pins"


def test_a_model_that_is_replaced_before_it_is_loaded_says_nothing_under_the_old_ones_name(tmp_path, checkpoint):
    workspace, model = catalogue(tmp_path, 4), copy(checkpoint, tmp_path / "model")
    described = once_each.described

    def replaced(*arguments):
        (model / "generation_config.json").write_text('{"bos_token_id": 1, "note": "another"}')
        yield from described(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(once_each, "described", replaced)
        with pytest.raises(BadInput, match="that the run began with"):
            run_captions(workspace, plain(model))
    assert rows(workspace) == {}


def test_an_error_in_the_middle_writes_what_was_made_before_it(tmp_path, checkpoint):
    workspace, calls, describe = catalogue(tmp_path, 12), [], Blip.describe

    def fails(self: Blip, prepared):
        calls.append(len(prepared))
        if len(calls) > 3:
            raise RuntimeError("the chip is gone")
        return describe(self, prepared)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Blip, "describe", fails)
        with pytest.raises(RuntimeError, match="the chip is gone"):
            run_captions(workspace, plain(checkpoint, batch_size=1, job=JobSettings(batch_size=4)))
    said = [caption for caption, _ in rows(workspace).values() if caption]
    assert len(said) == 6, "three pictures, two pins each"


def main(kills: int, pictures: int) -> int:
    """Kill one job so often by the clock, then run it to the end and hold it against an undisturbed one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = save_tiny(folder / "tiny")
        undisturbed, killed = (with_twins(folder, pictures, part) for part in ("undisturbed", "killed"))
        ended = runs(undisturbed, killed, checkpoint, kills, "seconds", seed=8)
        for run in ended:
            sys.stdout.write(f"{run.moment:>8} s: exit {run.status}, {run.rows} rows\n")
        landed, same = killed_with_work_left(ended), same_rows(killed, undisturbed)
        sys.stdout.write("each kill landed while work was left\n" if landed else "KILLS that found nothing to do\n")
        sys.stdout.write("the rows of the undisturbed run\n" if same else "OTHER ROWS than the undisturbed run's\n")
        return 0 if landed and same else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in (*sys.argv[1:], "20", "400")[:2])))
