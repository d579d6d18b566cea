"""The checked-in sample: as large and as hard as its README says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data.sample_check import engaged_queries, exact_agreement, gold, position_curve
from data.sample_maker.settings import SampleSettings
from data.sample_maker.vocabulary import LANGUAGES
from data.sample_maker.writer import TRUTH
from enrich.tables import ENGAGEMENTS, SOURCES

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


@pytest.fixture(scope="module")
def read() -> dict[str, pl.DataFrame]:
    return {table.name: pl.read_parquet(SAMPLE / f"{table.name}.parquet") for table in SOURCES}


def test_its_size(read):
    assert read["pins"].height >= 1_200
    assert read["interests"].height >= 12
    assert set(read["judgments"]["lang"]) == set(LANGUAGES)
    assert read["boards"].height >= 150
    assert read["engagements"]["query"].n_unique() >= 400
    assert read["engagements"].height >= 60_000
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= 25 * 2**20
    assert len(list((SAMPLE / "pages").glob("*.html"))) >= 300


def test_every_pin_has_its_picture(read):
    assert {f"images/{path.name}" for path in (SAMPLE / "images").iterdir()} == set(read["pins"]["image_uri"])


def test_it_is_what_the_script_makes_by_default():
    assert json.loads((SAMPLE / "sample.json").read_text()) == {
        "made_by": "data/make_sample.py",
        "seed": SampleSettings().seed,
        "pins": SampleSettings().pins,
    }


def test_three_annotators_a_pair_agree_on_about_two_in_three(read):
    pairs = gold(read["judgments"])
    assert pairs.height >= 3_000
    assert set(pairs["votes"].list.len()) == {3}
    assert 0.58 < exact_agreement(pairs["votes"].to_list()) < 0.72
    assert read["judgments"]["annotator_id"].n_unique() == 25


def test_every_level_has_a_fair_share(read):
    shares = gold(read["judgments"])["level"].value_counts(normalize=True)
    assert set(shares["level"]) == {1, 2, 3, 4, 5}
    assert shares["proportion"].min() > 0.12
    assert shares["proportion"].max() < 0.30


def test_coverage_follows_the_paper(read):
    pins = read["pins"]
    assert 0.68 < pins["title"].is_not_null().mean() < 0.75
    assert 0.90 < read["board_pins"]["pin_id"].n_unique() / pins.height < 0.97
    assert 0.60 < engaged_queries(read["engagements"])["pin_id"].n_unique() / pins.height < 0.72


def test_lower_results_are_clicked_less(read):
    rates = position_curve(read["engagements"])
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 3 * rates[4]


def test_people_click_what_is_relevant_more(read):
    truth = pl.read_parquet(SAMPLE / TRUTH / "judged_pairs.parquet")
    log = read["engagements"].join(truth, on=["query", "pin_id"])
    by_level = log.group_by("true_level").agg(
        rate=(pl.col("event") == "click").sum() / (pl.col("event") == "impression").sum()
    )
    rate = dict(by_level.iter_rows())
    assert rate[5] > rate[3] > rate[1]


def test_the_readme_says_that_it_is_synthetic():
    assert "**This catalogue is synthetic.**" in (SAMPLE / "README.md").read_text()


def test_both_arms_of_the_experiment_searched(read):
    requests = read["experiment_log"].group_by("arm").agg(pl.col("request_id").n_unique())
    assert dict(requests.iter_rows()).keys() == {"control", "treatment"}
    assert requests["request_id"].min() > 300
    assert read["experiment_log"].group_by("user_hash").agg(pl.col("arm").n_unique())["arm"].max() == 1


def test_the_web_is_as_imperfect_as_it_is():
    index = json.loads((SAMPLE / "pages" / "index.json").read_text())["pages"]
    statuses = {entry["status"] for entry in index.values()}
    assert statuses >= {200, 301, 404}
    types = {entry["content_type"] for entry in index.values() if "content_type" in entry}
    assert {"text/html", "application/pdf", "text/html; charset=utf-8"} <= types
    bodies = [path.read_bytes() for path in (SAMPLE / "pages").glob("*.html")]
    assert 0.4 < np.mean([b"og:title" in body for body in bodies]) < 0.9
    assert any(b"<body>" in body and b"</html>" not in body for body in bodies), "none is cut off"


def test_the_engagement_key_is_declared(read):
    assert read["engagements"].columns == ENGAGEMENTS.schema.names
