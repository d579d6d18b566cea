"""Captions on Ray: the rows of this process, on a part of the sample; a worker's refusal is ours; not loaded here."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from faulty_server import faulty_server
from test_captions import add_pins
from tiny_captioner import save_tiny

from enrich import parts
from enrich.captioning.describing import Saying
from enrich.captioning.on_ray import _Worker
from enrich.captioning.working import Work
from enrich.captions import CaptionSettings, run_captions
from enrich.engine import Engine
from enrich.errors import BadInput
from enrich.fetch import FetchSettings
from enrich.job import JobSettings
from enrich.tables import PIN_CAPTION, PIN_VISUAL_EMBEDDING
from enrich.workspace import REPOSITORY, Catalogue, Workspace


def test_ray_and_torch_are_not_loaded_where_pictures_are_described_here():
    code = "import sys, enrich.captions; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_worker_remembers_over_its_batches_what_a_host_asked_for(tmp_path):
    (tmp_path / "blip").mkdir()
    model = save_tiny(tmp_path / "blip" / "tiny")
    with faulty_server() as server:
        fetch = FetchSettings(host_delay=0.0, connect_to=server.address, attempts=1)
        work = Work(str(model), "cpu", torch.float32, Saying(), None, False, tmp_path, fetch)
        worker, reasons = _Worker(work), []
        with worker._web.session:
            for page in ("patience", "good"):
                batch = pl.DataFrame({"place": [0], "image_uri": [f"http://busy.example/{page}"], "input_hash": [page]})
                reasons += [reason for made in worker(batch.to_arrow()) for reason in made["reason"].to_pylist()]
    assert reasons == ["status-429", "asked-to-wait"]
    assert server.requests == ["busy.example/robots.txt", "busy.example/patience"]


def rows(workspace: Workspace) -> tuple[pl.DataFrame, np.ndarray]:
    kept = ["pin_id", "caption", "caption_rule", "reason", "producer", "input_hash", "event_timestamp"]
    captions = parts.latest(workspace.folder(PIN_CAPTION), PIN_CAPTION).select(kept).sort("pin_id")
    vectors = parts.latest(workspace.folder(PIN_VISUAL_EMBEDDING), PIN_VISUAL_EMBEDDING).sort("pin_id")
    return captions, np.stack(vectors["visual_embedding"].drop_nulls().to_list())


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray")  # its own of its own parts
def test_ray_describes_what_this_process_describes(tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    pictures = sorted((REPOSITORY / "data" / "sample" / "images").glob("*"))[:40]
    (tmp_path / "page.png").write_bytes(b"<html>404</html>")
    found = {}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        for engine in Engine:
            workspace = Workspace.at(tmp_path / engine)
            workspace.create(Catalogue("sample", "inline"))
            add_pins(workspace, **{f"p{i:02}": str(path) for i, path in enumerate(pictures)}, twin=str(pictures[0]))
            add_pins(workspace, page=str(tmp_path / "page.png"))
            workers = 2 if engine is Engine.RAY else None
            settings = CaptionSettings(engine=engine, workers=workers, job=JobSettings(batch_size=16))
            report = run_captions(workspace, settings)
            assert (report.made, dict(report.failed)) == (len(pictures) + 1, {"not-an-image": 1})
            found[engine] = rows(workspace)
        with pytest.raises(BadInput, match="--gpus"):
            run_captions(workspace, CaptionSettings(engine=Engine.RAY, gpus=1))
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "config.json").write_text('{"model_type": "blip"}')
        with pytest.raises(BadInput, match="does not load") as refused:
            run_captions(workspace, CaptionSettings(str(broken), engine=Engine.RAY))
        assert "\n" not in str(refused.value)
    finally:
        ray.shutdown()
    (ours, vectors), (theirs, their_vectors) = found[Engine.LOCAL], found[Engine.RAY]
    assert theirs.equals(ours)
    np.testing.assert_allclose(their_vectors, vectors, atol=1e-6)
