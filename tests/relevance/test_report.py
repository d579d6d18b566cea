"""The page says every figure, escapes what came from outside, needs nothing else, and shows queries worth seeing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from PIL import Image

from enrich import parts
from enrich.tables import PIN_TEXT, PINS
from relevance import report
from relevance.drawings.rows import NARROW, estimates
from relevance.evaluation import Versus, evaluate
from relevance.intervals import BootstrapSettings, Estimate
from relevance.judging.figures import PEOPLE, EvaluationSettings, FieldCoverage, Measure
from relevance.judging.gold import Predictions
from relevance.judging.showcase import Example, ExamplePin, FieldText, Opinion, ShowcaseSettings, showcase
from relevance.report import Heading, write_report

HOSTILE = "<script>alert('q')</script>"
SETTINGS = EvaluationSettings(BootstrapSettings(draws=100), segment_pairs=5)
AT = datetime(2025, 1, 1, tzinfo=UTC)


def _predictions(model: str, skill: float) -> Predictions:
    rng, levels = np.random.default_rng(len(model)), np.random.default_rng(0).integers(1, 6, 60)
    probabilities = skill * np.eye(5)[levels - 1] + (1 - skill) * rng.dirichlet(np.ones(5), 60)
    columns = {
        "query": [f"{HOSTILE} {i // 4}" for i in range(60)],
        "pin_id": [f"p{i}" for i in range(60)],
        "level": levels,
        "lang": ["en", "fr"] * 30,
        "probabilities": probabilities.tolist(),
    }
    return Predictions(model, pl.DataFrame(columns))


MODELS = [_predictions("teacher", 0.5), _predictions("bm25", 0.1)]


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(
        MODELS, [Versus("teacher", "bm25")], [FieldCoverage("title", 71, 100)], [f"synthetic {HOSTILE}"], SETTINGS
    )


@pytest.fixture(scope="module")
def page(evaluation, tmp_path_factory) -> str:
    pin = ExamplePin(
        1, "p1", f"A chair {HOSTILE}", _jpeg(), 5, (Opinion("teacher", 4, (0.0, 0.0, 0.1, 0.6, 0.3)),),
        (FieldText("title", HOSTILE),),
    )  # fmt: skip
    bare = ExamplePin(2, "p2", "", None, 1, (), ())
    example = Example(HOSTILE, "en", "best", 0.5, "teacher", (pin, bare))
    folder = tmp_path_factory.mktemp("report")
    path = write_report(folder, evaluation, [example], Heading(f"Catalogue {HOSTILE}", "Made today."))
    assert json.loads((folder / "evaluation.json").read_text())["pairs"] == 60
    return path.read_text()


def _jpeg() -> bytes:
    out = BytesIO()
    Image.new("RGB", (40, 30), "teal").save(out, "JPEG")
    return out.getvalue()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_outside_text_is_escaped_and_tags_balance(page):
    parsed = _Tags()
    parsed.feed(page)
    assert parsed.open == []
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert HOSTILE not in page and "&lt;script&gt;" in page


def test_the_page_needs_nothing_else(page):
    parsed = _Tags()
    parsed.feed(page)
    for tag, attributes in parsed.tags:
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("#", "data:image/jpeg;base64,")) or value == "evaluation.json", tag
    assert "url(" not in page and "@import" not in page


def test_every_figure_and_interval_is_there(page, evaluation):
    for model in evaluation.models:
        for figure in model.figures:
            if figure.measure is Measure.JUDGED:  # all is judged: no column
                continue
            assert f"{figure.estimate.value:.3f}" in page
            assert f"{figure.estimate.low:.3f} – {figure.estimate.high:.3f}" in page
        for one in model.level_errors:
            for estimate in (one.exactly, one.at_least):
                shown = estimate is not None and (estimate is one.exactly or one.level in (3, 4))
                assert not shown or f"<td>{estimate.value:.3f}<small>{estimate.low:.3f} – " in page
    for measure in Measure:
        assert measure in page
    assert "71%" in page and evaluation.gains in page


def test_segments_have_a_table_a_column_and_fidelity_is_said(tmp_path):
    """Two languages: accuracy and nDCG in each, whom the models follow, and how often each level is said."""
    asked = [Versus("teacher", PEOPLE), Versus("teacher", "bm25")]
    rows = [Predictions(one.model, one.rows.with_columns(words=pl.lit("2"))) for one in MODELS]
    chosen = replace(SETTINGS, segments=("lang", "words"))
    found = evaluate(rows, settings=chosen, faithful=asked)
    page = write_report(tmp_path, found, [], Heading("Segments", "Made today.")).read_text()
    assert "By language" in page and "By query length" not in page  # all have two words
    assert "<caption>teacher – people</caption>" in page and "<caption>teacher – bm25</caption>" in page
    for one in found.fidelity:
        assert f"<td>{one.same.value:.3f}<small>" in page and f"<td>{one.lean.value:+.2f}<small>" in page
    shares = found.distributions[0].shares[0].levels
    assert f'title="level 5: {report._percent(shares[4])}"' in page


def test_a_run_that_ranks_unjudged_pins_has_its_judged_share_shown(tmp_path):
    scored = MODELS[0].rows.with_columns(score=pl.int_range(pl.len()).cast(pl.Float64)).drop("probabilities")
    others = scored.with_columns(pin_id=pl.col("pin_id") + "x", level=pl.lit(None, pl.Int64))
    found = evaluate([Predictions("run", pl.concat([scored, others]))], settings=SETTINGS)
    page = write_report(tmp_path, found, [], Heading("A run", "Made today.")).read_text()
    assert '<th scope="col">Judged@10</th>' in page and "0.500" in page  # by turns with judged ones


def test_pictures_have_words_and_bars_have_labels(page):
    parsed = _Tags()
    parsed.feed(page)
    assert all(attributes.get("alt") for tag, attributes in parsed.tags if tag == "img")
    assert all(a.get("aria-label") for _, a in parsed.tags if a.get("role") == "img" and "viewbox" not in a)
    assert page.count("<title>") > 1 and "<desc>" in page


def test_a_page_of_one_model_of_scores_and_no_extras(tmp_path):
    rows = MODELS[0].rows.with_columns(score=pl.int_range(pl.len()).cast(pl.Float64)).drop("probabilities", "lang")
    found = evaluate([Predictions("run", rows)], settings=SETTINGS)
    page = write_report(tmp_path, found, [], Heading("A run", "Made today.")).read_text()
    assert "Differences" not in page and "Calibration" not in page and "nDCG@20" in page


def test_a_measure_that_nothing_can_have_is_no_column(tmp_path):
    low = [Predictions(one.model, one.rows.filter(pl.col("level") < 5)) for one in MODELS]
    page = write_report(tmp_path, evaluate(low, settings=SETTINGS), [], Heading("No fives", "Made today.")).read_text()
    assert "AUROC 4+" in page and "AUROC 5+" not in page


def test_what_is_nearly_all_is_not_called_all():
    assert [report._percent(share) for share in (0, 0.001, 0.5, 0.9975, 1)] == ["0%", "<1%", "50%", ">99%", "100%"]


def test_one_query_gives_figures_without_intervals_and_no_verdict(tmp_path):
    single = [Predictions(one.model, one.rows.with_columns(query=pl.lit("lamp"))) for one in MODELS]
    found = evaluate(single, [Versus("teacher", "bm25")], settings=SETTINGS)
    page = write_report(tmp_path, found, [], Heading("One query", "Made today.")).read_text()
    assert "no interval" in page and "too few queries" in page
    assert "nan" not in page and '"left better"' not in page and '"left worse"' not in page


def test_a_model_that_left_pairs_out_is_shown_with_how_many(tmp_path):
    gaps = Predictions("gaps", MODELS[0].rows[6:])
    found = evaluate([MODELS[0], gaps], settings=SETTINGS)
    page = write_report(tmp_path, found, [], Heading("Gaps", "Made today.")).read_text()
    assert "<td>54<small>of 60</small></td>" in page and "<td>60</td>" in page


def test_long_names_are_cut_in_drawings_and_may_break_in_tables(tmp_path):
    found = evaluate([Predictions("teacher_without_captions_boards", MODELS[0].rows)], settings=SETTINGS)
    page = write_report(tmp_path, found, [], Heading("Names", "Made today.")).read_text()
    assert "teacher_<wbr>without_<wbr>captions_<wbr>boards" in page
    assert ">teacher_without_capt…<title>teacher_without_captions_boards</title>" in page


def test_an_axis_holds_every_interval():
    rows = [("a", Estimate(0.5, 0.31, 0.62)), ("b", Estimate(*[float("nan")] * 3, "why"))]
    drawing = estimates("accuracy", rows, layout=NARROW)
    x1, x2 = (float(v) for v in re.search(r'whisker c0" x1="([\d.]+)" x2="([\d.]+)"', drawing).groups())
    assert NARROW.names <= x1 < x2 <= NARROW.names + NARROW.plot
    assert "not defined" in drawing


def test_equal_values_still_have_an_axis():
    assert "nan" not in estimates("accuracy", [("a", Estimate(1.0, 1.0, 1.0))], layout=NARROW)


def test_the_showcase_picks_best_usual_and_worst_with_texts_and_pictures(workspace):
    picture = workspace.root.parent / "chair.jpg"
    picture.write_bytes(_jpeg())
    pins = pl.DataFrame(
        {"pin_id": [f"p{i}" for i in range(60)], "title": [f"Pin {i}" for i in range(60)], "created_at": [AT] * 60}
    )
    uris = [str(picture) if i % 3 == 0 else "http://example.test/x.jpg" if i % 3 == 1 else None for i in range(60)]
    source = pins.with_columns(pl.Series("image_uri", uris))
    parts.append(workspace.folder(PINS), PINS, source.to_arrow())
    clocks = {name: pl.lit(AT) for name in ("event_timestamp", "created_timestamp", "written_at")}
    words = {name: pl.lit("x") for name in ("producer", "code_version", "input_hash")}
    rows = pins.drop("created_at").with_columns(**clocks, **words, backfilled=pl.lit(False))
    parts.append(workspace.folder(PIN_TEXT), PIN_TEXT, rows.to_arrow())
    examples = showcase(workspace, MODELS, ShowcaseSettings(queries=1, worst=1, pins=4))
    assert [example.kind for example in examples] == ["best", "usual", "worst"]
    assert examples[0].ndcg >= examples[1].ndcg >= examples[2].ndcg
    for example in examples:
        assert [pin.rank for pin in example.pins] == [1, 2, 3, 4]
        for pin in example.pins:
            assert pin.title == f"Pin {pin.pin_id[1:]}" and pin.texts[0].field == "title"
            assert (pin.picture is not None) == (int(pin.pin_id[1:]) % 3 == 0)
            assert [said.model for said in pin.opinions] == ["teacher", "bm25"]


def test_no_query_worth_showing_shows_none(workspace):
    rows = MODELS[0].rows.with_columns(level=pl.lit(3))
    assert showcase(workspace, [Predictions("teacher", rows)]) == ()
