"""What a captions job loses by kills, full disks, bad checkpoints and unreadable files: nothing that was made.

More kills of one job, by the clock:  PYTHONPATH=. python tests/enrich/test_captions_faults.py [KILLS] [PICTURES]
"""

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from root_powers import modes_obeyed
from test_captions import add_pins, plain, rows
from tiny_captioner import copy, random_images, save_tiny

from enrich import job, parts
from enrich.captioning import once_each
from enrich.captioning.blip import Blip
from enrich.captions import run_captions
from enrich.errors import BadInput
from enrich.job import JobSettings
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING
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


# A process that has loaded all that is needed forks runs: one of the first workspace, then those of the second that are
# killed, and one that is not. A moment "s0.7" is a share of the time that the first run took, "0.7" of what
# it did to the tables' files, as Python tells an audit hook (listed, renamed, removed).
RUNS = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, "tests/enrich")
from enrich import job
job.PART_SECONDS = 0.0  # a part a batch, so that a kill finds work that is done and work that is not
from test_captions import plain
from transformers import AutoConfig, BlipForConditionalGeneration, BlipProcessor
from enrich.captioning import blip
from enrich.captions import run_captions
from enrich.workspace import Workspace

undisturbed, killed, checkpoint = map(Path, sys.argv[1:4])

def run(workspace, events):
    seen = 0
    def count(event, arguments):
        nonlocal seen
        named = (one for one in arguments if isinstance(one, str))
        seen += any("pin_caption" in one or "pin_visual" in one for one in named)
        if events and seen == events:
            seen = -1_000_000  # the kill is an event too
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    run_captions(Workspace.at(workspace), plain(checkpoint, batch_size=2))
    return seen

def forked(workspace, events=0, seconds=None):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, str(run(workspace, events)).encode())
        os._exit(0)
    os.close(writes)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, len(list(workspace.glob("enriched/pin_caption/part-*"))) - 1, flush=True)
    return int(os.read(reads, 20) or 0)

started = time.perf_counter()
events = forked(undisturbed)
lasts = time.perf_counter() - started
for moment in sys.argv[4:]:
    if moment[0] == "s":
        forked(killed, seconds=float(moment[1:]) * lasts)
    else:
        forked(killed, events=max(1, int(float(moment) * events)))
forked(killed)
"""


def runs(undisturbed: Workspace, killed: Workspace, checkpoint: Path, *moments: str) -> list[tuple[int, int]]:
    """Of the undisturbed run, of one killed at each moment, and of the last: exit status, and parts then."""
    command = [sys.executable, "-c", RUNS, str(undisturbed.root), str(killed.root), str(checkpoint), *moments]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout
    return [(int(status), int(kept)) for status, kept in (line.split() for line in said.splitlines())]


def test_kills_at_random_moments_end_in_the_rows_of_an_undisturbed_run(tmp_path, checkpoint):
    undisturbed, killed = (catalogue(tmp_path, 24, name) for name in ("undisturbed", "killed"))
    random_moments = random.Random(3)
    ended = runs(undisturbed, killed, checkpoint, *(f"{random_moments.uniform(0, 1):.3f}" for _ in range(10)))
    statuses, kept = zip(*ended[1:], strict=True)
    assert (ended[0][0], statuses[-1]) == (0, 0)
    assert statuses[:2] == (-signal.SIGKILL, -signal.SIGKILL)
    assert any(0 < parts < kept[-1] for parts in kept), "some were killed between two parts"
    assert list(kept) == sorted(kept), "none is lost"
    assert same_rows(killed, undisturbed)
    again = run_captions(killed, plain(checkpoint))
    assert (again.fresh, again.made, dict(again.failed)) == (25, 0, {})


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


def test_a_folder_or_a_pipe_in_place_of_a_picture_is_unreadable(tmp_path, checkpoint):
    workspace = catalogue(tmp_path, 2)
    os.mkfifo(tmp_path / "pipe.png")
    add_pins(workspace, folder=str(tmp_path), pipe=str(tmp_path / "pipe.png"))
    report = run_captions(workspace, plain(checkpoint))
    assert (report.made, dict(report.failed)) == (2, {"unreadable": 2, "not-found": 1})


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
        folder, moments = Path(name), random.Random(8)
        checkpoint = save_tiny(folder / "tiny")
        undisturbed, killed = (catalogue(folder, pictures, part) for part in ("undisturbed", "killed"))
        ended = runs(undisturbed, killed, checkpoint, *(f"s{moments.uniform(0.2, 1.0):.2f}" for _ in range(kills)))
        for number, (status, kept) in enumerate(ended):
            sys.stdout.write(f"run {number}: exit {status}, {kept} parts\n")
        same = same_rows(killed, undisturbed)
        sys.stdout.write("the rows of the undisturbed run\n" if same else "OTHER ROWS than the undisturbed run's\n")
        return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in (*sys.argv[1:], "20", "400")[:2])))
