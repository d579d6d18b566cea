"""An evaluation as one HTML page that needs nothing else: tables, drawings, and queries shown with their pins.

Reads an `Evaluation` and the examples of `judging/showcase.py`; writes W/reports/NAME/index.html and evaluation.json,
run by `relevance evaluate`. Everything from outside (queries, texts) is escaped by the template; the page runs no
script and fetches nothing.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from enrich import parts
from enrich.tables import LEVELS
from relevance.intervals import Difference, Estimate, p_text
from relevance.judging import charts
from relevance.judging.charts import Series
from relevance.judging.figures import Comparison, Evaluation, Measure, ModelFigures
from relevance.judging.showcase import Example
from relevance.reliability import CUMULATIVE

PAGE, JSON = "index.html", "evaluation.json"
LEVEL_NAMES = ("highly irrelevant", "irrelevant", "marginally relevant", "relevant", "highly relevant")
_DRAWN = (Measure.ACCURACY, Measure.NDCG)
_COMPARED_FIRST = (Measure.ACCURACY, Measure.KAPPA, Measure.NDCG)  # the other differences unfold
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Heading:
    """What the page is about."""

    title: str  # for instance the catalogue's name
    made: str  # when and by which command


class Cell(NamedTuple):
    """A figure of a table; `best` is of its column."""

    text: str
    interval: str
    best: bool
    reason: str


class Verdict(NamedTuple):
    """A difference as the table shows it."""

    measure: Measure
    difference: str
    interval: str
    ratio: str
    p_value: str
    word: str  # better, worse, not separated, or too few queries


class Segment(NamedTuple):
    """A segment's rows: a model and its figures each."""

    column: str
    value: str
    pairs: int
    queries: int
    models: list[tuple[str, list[Cell]]]


class LevelCount(NamedTuple):
    level: int
    name: str
    pairs: int
    share: float


def write_report(folder: Path, evaluation: Evaluation, examples: Sequence[Example], heading: Heading) -> Path:
    """Write the page and its JSON into `folder`; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    parts.write_text(folder / JSON, evaluation.to_json())
    parts.write_text(folder / PAGE, render(evaluation, examples, heading))
    return folder / PAGE


def render(evaluation: Evaluation, examples: Sequence[Example], heading: Heading) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"picture": _picture, "percent": _percent, "count": _count, "breakable": _breakable}
    measures = [m for m in Measure if any(_said(one.estimate(m)) for one in evaluation.models)]
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        heading=heading,
        examples=examples,
        measures=measures,
        headline=[(one, [_cell(one, m, evaluation.models) for m in measures]) for one in evaluation.models],
        drawings=[_drawing(m, evaluation) for m in _DRAWN if m in measures],
        comparisons=_by_rival([one for one in evaluation.comparisons if one.measure in _COMPARED_FIRST]),
        all_comparisons=_by_rival(evaluation.comparisons),
        calibrated=[(one, charts.reliability(f"Calibration of {one.model}", one.reliability))
                    for one in evaluation.models if one.reliability],
        level_errors=_level_errors(evaluation.models),
        cumulative=CUMULATIVE,
        confusions=[(one, _shares(one)) for one in evaluation.models if one.confusion],
        segments=_segments(evaluation),
        segment_measures=_DRAWN,
        levels=_levels(evaluation),
        percent_confidence=f"{evaluation.settings.bootstrap.confidence:.0%}",
        data_file=JSON,
    )  # fmt: skip


def _said(estimate: Estimate | None) -> bool:
    """Whether a column has anything to say: no AUROC 5+ where nothing was judged so high."""
    return estimate is not None and not isnan(estimate.value)


def _drawing(measure: Measure, evaluation: Evaluation) -> tuple[Measure, Markup]:
    series = [
        Series(one.model, estimate) for one in evaluation.models if (estimate := one.estimate(measure)) is not None
    ]
    return measure, charts.intervals(f"{measure} by model", series)


def _cell(model: ModelFigures, measure: Measure, models: Sequence[ModelFigures]) -> Cell:
    estimate = model.estimate(measure)
    if estimate is None or not _said(estimate):
        reason = "this model gives scores, not levels" if estimate is None else estimate.reason or ""
        return Cell("–", "", False, reason)
    interval, reason = _interval(estimate) or "no interval", estimate.reason or ""
    return Cell(_number(estimate.value), interval, _is_best(estimate, measure, models), reason)


def _level_errors(models: Sequence[ModelFigures]) -> list[tuple[str, list[Cell]]]:
    """Each model's calibration errors of the five levels, then of 3 and of 4 or more; the rest says nothing new."""
    found = []
    for one in models:
        exactly = [errors.exactly for errors in one.level_errors]
        at_least = [errors.at_least for errors in one.level_errors if errors.at_least and errors.level in CUMULATIVE]
        if exactly:
            cells = [Cell(_number(e.value), _interval(e), False, e.reason or "") for e in [*exactly, *at_least]]
            found.append((one.model, cells))
    return found


def _is_best(estimate: Estimate, measure: Measure, models: Sequence[ModelFigures]) -> bool:
    values = [e.value for one in models if (e := one.estimate(measure)) is not None and not isnan(e.value)]
    best = min(values) if measure.lower_is_better else max(values)
    return len(values) > 1 and estimate.value == best


def _by_rival(comparisons: Sequence[Comparison]) -> list[tuple[str, str, list[Verdict]]]:
    """Model, rival and their verdicts, in the order given."""
    grouped: dict[tuple[str, str], list[Verdict]] = {}
    for one in comparisons:
        grouped.setdefault((one.model, one.rival), []).append(_verdict(one))
    return [(model, rival, verdicts) for (model, rival), verdicts in grouped.items()]


def _verdict(one: Comparison) -> Verdict:
    d = one.difference
    return Verdict(
        measure=one.measure,
        difference=f"{d.value:+.3f}" if not isnan(d.value) else "–",
        interval=f"{d.low:+.3f} … {d.high:+.3f}" if not isnan(d.low) else "",
        ratio=_ratio(d) if one.measure.has_ratio else "–",
        p_value=p_text(d.p_value),
        word=_word(d, one.measure),
    )


def _ratio(d: Difference) -> str:
    return "–" if isnan(d.ratio_low) else f"{d.ratio:.1%} ({d.ratio_low:.1%} … {d.ratio_high:.1%})"


def _word(d: Difference, measure: Measure) -> str:
    if isnan(d.low):
        return "too few queries"
    if d.low <= 0 <= d.high:
        return "not separated"
    return "better" if (d.value > 0) != measure.lower_is_better else "worse"


def _shares(model: ModelFigures) -> list[list[tuple[int, float]]]:
    """Each cell of the confusion with its share of the gold level's pairs."""
    return [[(cell, cell / max(1, sum(row))) for cell in row] for row in model.confusion]


def _segments(evaluation: Evaluation) -> list[Segment]:
    return [
        Segment(
            segment.column,
            segment.value,
            segment.pairs,
            segment.queries,
            [(one.model, [_cell(one, measure, segment.models) for measure in _DRAWN]) for one in segment.models],
        )
        for segment in evaluation.segments
    ]


def _levels(evaluation: Evaluation) -> list[LevelCount]:
    counts = evaluation.level_counts
    return [
        LevelCount(level, name, count, count / evaluation.pairs)
        for level, name, count in zip(LEVELS, LEVEL_NAMES, counts, strict=True)
    ]


def _number(value: float) -> str:
    return f"{value:.3f}"


def _interval(estimate: Estimate) -> str:
    return "" if isnan(estimate.low) else f"{estimate.low:.3f} – {estimate.high:.3f}"


def _percent(share: float) -> str:
    """In whole per cent; all and nothing are said only where they are so."""
    if isnan(share):
        return "–"
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _count(number: int) -> str:
    return f"{number:,}"


def _breakable(name: str) -> Markup:
    """A model's name that may go on in a new line after each underscore."""
    return escape(name).replace("_", Markup("_<wbr>"))


def _picture(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + b64encode(jpeg).decode()
