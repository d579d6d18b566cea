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
from relevance.drawings.reliability_curve import reliability
from relevance.drawings.rows import NARROW, estimates
from relevance.intervals import Difference, Estimate, p_text
from relevance.judging.figures import (
    Comparison,
    Distribution,
    Evaluation,
    Fidelity,
    Measure,
    ModelFigures,
    SegmentFigures,
)
from relevance.judging.showcase import Example
from relevance.reliability import CUMULATIVE
from relevance.text_fields import Field

PAGE, JSON = "index.html", "evaluation.json"
LEVEL_NAMES = ("highly irrelevant", "irrelevant", "marginally relevant", "relevant", "highly relevant")
_LEVELS_SAID = (Measure.ACCURACY, Measure.WITHIN_ONE, Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5)
_DRAWN = (Measure.ACCURACY, Measure.NDCG)
_HEADLINES = (  # a table of more columns is not read
    ("Levels", (*_LEVELS_SAID, Measure.KAPPA, Measure.TAU, Measure.ECE)),
    ("Ranking", (Measure.NDCG, Measure.SDCG, Measure.PRECISION, Measure.TAU_BY_QUERY, Measure.JUDGED)),
)
_COLUMN_NAMES = {  # of segments, as a reader calls them
    "lang": "language",
    "words": "query length",
    "source": "who judged",
    "country": "country of most searches",
    "category": "the pin's category",
    **{str(field): f"the pin's {field}" for field in Field},
}
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
    p_holm: str
    word: str  # better, worse, not separated, or too few queries


class Row(NamedTuple):
    """A segment's cells, in the order of the table's heads."""

    value: str
    pairs: int
    queries: int
    cells: list[Cell]


class SegmentTable(NamedTuple):
    """One measure in the segments of one column, a model a column."""

    title: str
    heads: list[str]
    rows: list[Row]


class SegmentGroup(NamedTuple):
    """All that is said of one column's segments."""

    column: str
    segments: int
    figures: list[SegmentTable]
    fidelity: list[SegmentTable]
    distributions: Sequence[Distribution]


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
    level = 1 - evaluation.settings.bootstrap.confidence
    environment.filters |= {"picture": _picture, "percent": _percent, "count": _count, "breakable": _breakable}
    measures = [m for m in Measure if _worth_a_column(m, evaluation.models)]
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        heading=heading,
        examples=examples,
        headlines=[
            (title, kept, [(one, [_cell(one, m, evaluation.models) for m in kept]) for one in evaluation.models])
            for title, chosen in _HEADLINES
            if (kept := [m for m in measures if m in chosen])
        ],
        drawings=[_drawing(m, evaluation) for m in _DRAWN if m in measures],
        comparisons=_by_rival([one for one in evaluation.comparisons if one.measure in _COMPARED_FIRST], level),
        all_comparisons=_by_rival(evaluation.comparisons, level),
        calibrated=[(one, reliability(f"Calibration of {one.model}", one.reliability))
                    for one in evaluation.models if one.reliability],
        level_errors=_level_errors(evaluation.models),
        level_drawings=[
            (one, [reliability(f"Level {level}: {one.model}", bins)
                   for level, bins in zip(LEVELS, one.level_reliability, strict=True)])
            for one in evaluation.models if one.level_reliability
        ],
        cumulative=CUMULATIVE,
        confusions=[(one, _shares(one)) for one in evaluation.models if one.confusion],
        groups=_groups(evaluation),
        overall=_fidelity([one for one in evaluation.fidelity if not one.column], by_value=False),
        whole=next(iter(evaluation.distributions), None),
        names=_COLUMN_NAMES,
        ndcg=Measure.NDCG,
        sdcg=Measure.SDCG,
        precision=Measure.PRECISION,
        judged=Measure.JUDGED,
        levels=_levels(evaluation),
        percent_confidence=f"{evaluation.settings.bootstrap.confidence:.0%}",
        data_file=JSON,
    )  # fmt: skip


def _said(estimate: Estimate | None) -> bool:
    """Whether a column has anything to say: no AUROC 5+ where nothing was judged so high."""
    return estimate is not None and not isnan(estimate.value)


def _worth_a_column(measure: Measure, models: Sequence[ModelFigures]) -> bool:
    """Whether a model has the measure; how much of a ranking is judged only where that is not all."""
    found = [e.value for one in models if (e := one.estimate(measure)) is not None and _said(e)]
    return bool(found) and (measure is not Measure.JUDGED or min(found) < 1)


def _drawing(measure: Measure, evaluation: Evaluation) -> tuple[Measure, Markup]:
    known = [(one.model, e) for one in evaluation.models if (e := one.estimate(measure)) is not None]
    return measure, estimates(f"{measure} by model", known, layout=NARROW)


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
    return len(values) > 1 and estimate.value == best and measure is not Measure.JUDGED


def _by_rival(comparisons: Sequence[Comparison], level: float) -> list[tuple[str, str, list[Verdict]]]:
    """Model, rival and their verdicts, in the order given."""
    grouped: dict[tuple[str, str], list[Verdict]] = {}
    for one in comparisons:
        grouped.setdefault((one.model, one.rival), []).append(_verdict(one, level))
    return [(model, rival, verdicts) for (model, rival), verdicts in grouped.items()]


def _verdict(one: Comparison, level: float) -> Verdict:
    d = one.difference
    return Verdict(
        measure=one.measure,
        difference=f"{d.value:+.3f}" if not isnan(d.value) else "–",
        interval=f"{d.low:+.3f} … {d.high:+.3f}" if not isnan(d.low) else "",
        ratio=_ratio(d) if one.measure.has_ratio else "–",
        p_value=p_text(d.p_value),
        p_holm=p_text(one.p_holm),
        word=_word(one, level),
    )


def _ratio(d: Difference) -> str:
    return "–" if isnan(d.ratio_low) else f"{d.ratio:.1%} ({d.ratio_low:.1%} … {d.ratio_high:.1%})"


def _word(one: Comparison, level: float) -> str:
    if isnan(one.difference.low):
        return "too few queries"
    if not one.p_holm < level:
        return "not separated"
    return "better" if (one.difference.value > 0) != one.measure.lower_is_better else "worse"


def _shares(model: ModelFigures) -> list[list[tuple[int, float]]]:
    """Each cell of the confusion with its share of the gold level's pairs."""
    return [[(cell, cell / max(1, sum(row))) for cell in row] for row in model.confusion]


def _groups(evaluation: Evaluation) -> list[SegmentGroup]:
    """By column, in the columns' order."""
    found = []
    for column in dict.fromkeys(one.column for one in evaluation.segments):
        segments = [one for one in evaluation.segments if one.column == column]
        faithful = [one for one in evaluation.fidelity if one.column == column]
        shares = [one for one in evaluation.distributions if one.column == column]
        figures = [_segment_table(measure, segments) for measure in _DRAWN]
        found.append(
            SegmentGroup(_COLUMN_NAMES.get(column, column), len(segments), figures, _fidelity(faithful), shares)
        )
    return found


def _segment_table(measure: Measure, segments: Sequence[SegmentFigures]) -> SegmentTable:
    """Of the models that have the measure in any segment."""
    heads = [
        one.model
        for one in segments[0].models
        if any(_said(part.model(one.model).estimate(measure)) for part in segments)
    ]
    rows = [
        Row(one.value, one.pairs, one.queries, [_cell(one.model(name), measure, one.models) for name in heads])
        for one in segments
    ]
    return SegmentTable(str(measure), heads, rows)


def _fidelity(found: Sequence[Fidelity], by_value: bool = True) -> list[SegmentTable]:
    """A table for each pair of whom is compared; of all pairs one table, a row for each of these."""
    heads = ["same level", "within one", "quadratic κ", "lean"]
    named = [(f"{one.model} – {one.rival}", one) for one in found]
    if not by_value:
        return [SegmentTable("", heads, [_fidelity_row(name, one) for name, one in named])] if named else []
    return [
        SegmentTable(title, heads, [_fidelity_row(one.value, one) for name, one in named if name == title])
        for title in dict.fromkeys(name for name, _ in named)
    ]


def _fidelity_row(value: str, one: Fidelity) -> Row:
    cells = [Cell(_number(e.value), _interval(e), False, e.reason or "") for e in (one.same, one.within_one, one.kappa)]
    lean = one.lean
    interval = "" if isnan(lean.low) else f"{lean.low:+.2f} … {lean.high:+.2f}"
    return Row(value, one.pairs, one.queries, [*cells, Cell(f"{lean.value:+.2f}", interval, False, lean.reason or "")])


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
