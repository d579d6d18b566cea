"""Pictures' hashes: equal to reading every file each time, while only files that were written since are read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from enrich.image_hashes import content_hash, content_hashes

HOUR = 3_600 * 10**9


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "hashes.parquet"


def hashes(uris: list[str], base: Path, memory: Path, later: int = HOUR) -> list[str]:
    """As of an hour from now, when the files written just now are settled."""
    return content_hashes(uris, base, memory, now=time.time_ns() + later)


def doctor(memory: Path) -> None:
    """Whatever is remembered gives itself away."""
    pl.read_parquet(memory).with_columns(hash=pl.lit("remembered")).write_parquet(memory)


def test_what_is_remembered_is_what_reading_gives(tmp_path: Path, memory: Path) -> None:
    uris = ["a.png", "b.png", "gone.png", "https://site.example/c.png", "gopher://d"]
    for name in uris[:2]:
        (tmp_path / name).write_bytes(name.encode())
    plain = [content_hash(uri, tmp_path) for uri in uris]
    assert hashes(uris, tmp_path, memory) == plain
    assert hashes(uris, tmp_path, memory) == plain
    doctor(memory)
    assert hashes(uris, tmp_path, memory) == ["remembered", "remembered", *plain[2:]]


def test_a_file_replaced_by_one_of_its_size_and_date_is_read_anew(tmp_path: Path, memory: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"one")
    written = picture.stat()
    hashes(["a.png"], tmp_path, memory)
    replacement = tmp_path / "b.png"
    replacement.write_bytes(b"two")
    os.utime(replacement, ns=(written.st_atime_ns, written.st_mtime_ns))
    replacement.replace(picture)
    assert picture.stat().st_mtime_ns == written.st_mtime_ns
    assert hashes(["a.png"], tmp_path, memory) == [content_hash("a.png", tmp_path)]


def test_nothing_is_remembered_of_a_file_written_just_now(tmp_path: Path, memory: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    hashes(["a.png"], tmp_path, memory, later=0)
    assert not memory.exists()


def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path, memory: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    memory.write_bytes(b"PAR1 or so")
    assert hashes(["a.png"], tmp_path, memory) == [content_hash("a.png", tmp_path)]
    assert pl.read_parquet(memory).height == 1


def test_files_that_left_the_catalogue_are_forgotten(tmp_path: Path, memory: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    hashes(["a.png", "b.png"], tmp_path, memory)
    hashes(["b.png"], tmp_path, memory)
    assert pl.read_parquet(memory)["uri"].to_list() == ["b.png"]


def test_many_pins_of_one_picture_have_its_hash(tmp_path: Path, memory: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"two")
    uris = ["a.png", "b.png", "a.png", "./a.png", "a.png"]
    assert hashes(uris, tmp_path, memory) == [content_hash(uri, tmp_path) for uri in uris]
    assert sorted(pl.read_parquet(memory)["uri"]) == ["./a.png", "a.png", "b.png"]


_KILLED_WITH_ITS_SECOND_PIECE = """
import os, sys
from pathlib import Path
from enrich import image_hashes
renamed = []
def hear(event, arguments):
    if event == "os.rename":
        renamed.append(arguments)
        if len(renamed) == 2:
            os.kill(os.getpid(), 9)
sys.addaudithook(hear)
image_hashes.PIECE_SECONDS = 0.0  # a piece a picture
image_hashes.content_hashes(["a.png", "b.png", "c.png"], Path(sys.argv[1]), Path(sys.argv[2]), now=2**62)
"""


def test_what_a_killed_run_had_read_is_not_read_again(tmp_path: Path, memory: Path) -> None:
    uris = ["a.png", "b.png", "c.png"]
    for name in uris:
        (tmp_path / name).write_bytes(name.encode())
    told = [sys.executable, "-c", _KILLED_WITH_ITS_SECOND_PIECE, str(tmp_path), str(memory)]
    assert subprocess.run(told, capture_output=True, check=False).returncode == -signal.SIGKILL
    (piece,) = memory.with_suffix("").glob("*.parquet")
    doctor(piece)
    wanted = ["remembered", *(content_hash(uri, tmp_path) for uri in uris[1:])]
    assert hashes(uris, tmp_path, memory) == wanted
    assert pl.read_parquet(memory)["hash"].to_list() == wanted
    assert not memory.with_suffix("").exists()


_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from enrich.image_hashes import content_hashes
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # bytes of a file: what is past them cannot be written
try:
    content_hashes(["a.png"], Path(sys.argv[1]), Path(sys.argv[2]), now=2**62)
except OSError as error:
    sys.exit("refused" if error.errno else 1)
"""


def test_a_disk_without_room_for_the_memory_is_an_os_error_and_leaves_nothing_aside(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    told = [sys.executable, "-c", _ON_A_FULL_DISK, str(tmp_path), str(tmp_path / "hashes.parquet")]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "refused"
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
