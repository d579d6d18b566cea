"""An experiment as one HTML page that needs nothing else, and its JSON; a few lines of it for the terminal.

Reads a `Result`; writes W/reports/experiment-NAME/index.html and experiment.json. What comes from outside is escaped by
the template; the page runs no script and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from enrich import parts
from relevance.experiments.budget import Plan
from relevance.experiments.figures import COMPARED, MEASURES
from relevance.experiments.records import ArmFigures, Compared, Found, Result, Value
from relevance.intervals import LEAST_QUERIES, Difference, Estimate, p_text
from relevance.judging.figures import Measure

PAGE, JSON = "index.html", "experiment.json"
_TEMPLATES = Path(__file__).parent.parent / "templates"
_SIGNIFICANT = 0.05
_TERMINAL = (Measure.ACCURACY, Measure.AUROC_3, Measure.AUROC_4, Measure.AUROC_5, Measure.NDCG)


class Cell(NamedTuple):
    """What stands in a table, and, smaller, below it."""

    text: str
    small: str = ""
    p: str = ""  # of a difference, corrected


class Row(NamedTuple):
    """A comparison as the table shows it."""

    arm: str
    rival: str
    accuracy: Cell
    p: str
    word: str
    others: list[Cell]


class Shown(NamedTuple):
    title: str
    said: str
    svg: Markup
    wide: bool


class ShownTable(NamedTuple):
    title: str
    said: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]


def write_page(folder: Path, result: Result) -> Path:
    """Write the page and its JSON into `folder`; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    parts.write_text(folder / JSON, result.to_json())
    parts.write_text(folder / PAGE, render(result))
    return folder / PAGE


def render(result: Result) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    found = result.found
    measures = [m for m in MEASURES if any(not isnan(one.estimate(m).value) for one in found.arms)]
    return environment.get_template("experiment.html.j2").render(
        result=result,
        tested=_tested(found),
        plan_lines=result.plan.lines(),
        left_out=found.left_out,
        notes=found.notes,
        drawings=[Shown(d.title, d.said, d.svg, d.wide) for d in found.drawings if d.svg],
        tables=[
            ShownTable(t.title, t.said, t.columns, [[_cell(v) for v in row] for row in t.rows])
            for t in found.tables
            if t.rows
        ],
        seeds=max((one.seeds for one in found.arms), default=1),
        measures=measures,
        arms=[(one.arm, [_cell(one.estimate(m)) for m in measures]) for one in found.arms],
        comparisons=list(_rows(found.comparisons)),
        other_measures=[m.value for m in _others(found.comparisons)],
        few_queries=bool(found.arms) and found.arms[0].queries < LEAST_QUERIES,
        scale=_scale(result.plan),
        rates=_rates(result.plan),
        data_file=JSON,
    )


def lines(result: Result, page: Path) -> list[str]:
    """What a terminal is told: what was cut, the arms, the differences in accuracy, the page's place."""
    found = result.found
    said = [*result.plan.lines(), _tested(found)]
    if found.left_out:
        said.append(f"left out, since the time was over (run again to add them): {'; '.join(found.left_out)}")
    width = max([len(one.arm) for one in found.arms] + [8])
    said.append(f"{'arm':<{width}}" + "".join(f"{measure.value:>24}" for measure in _TERMINAL))
    said += [f"{one.arm:<{width}}" + "".join(f"{_plain(one, m):>24}" for m in _TERMINAL) for one in found.arms]
    for one in found.comparisons:
        if one.measure is Measure.ACCURACY and not isnan(one.difference.value):
            cell = _cell(one.difference)
            said.append(f"{one.arm} - {one.rival}: accuracy {cell.text} [{cell.small}], p {p_text(one.holm_p)} (Holm)")
    return [*said, *(f"note: {note}" for note in found.notes), f"report: {page}"]


def _plain(arm: ArmFigures, measure: Measure) -> str:
    e = arm.estimate(measure)
    if isnan(e.value):
        return "–"
    return f"{e.value:.3f} [no interval]" if isnan(e.low) else f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"


def _tested(found: Found) -> str:
    if not found.arms:
        return "Nothing was tested."
    first = found.arms[0]
    return f"{first.pairs:,} judged pairs of {first.queries:,} held-out queries."


def _cell(value: Value) -> Cell:
    match value:
        case None:
            return Cell("–")
        case Estimate():
            return _numbers(value.value, value.low, value.high, ".3f")
        case Difference():
            return _numbers(value.value, value.low, value.high, "+.3f")
        case float():
            return Cell("–" if isnan(value) else f"{value:,.4g}")
        case int():
            return Cell(f"{value:,}")
    return Cell(value)


def _numbers(value: float, low: float, high: float, form: str) -> Cell:
    if isnan(value):
        return Cell("–")
    return Cell(f"{value:{form}}", "no interval" if isnan(low) else f"{low:{form}} – {high:{form}}")


def _rows(comparisons: Sequence[Compared]) -> Iterator[Row]:
    """A row each two arms, accuracy first."""
    by_pair: dict[tuple[str, str], dict[Measure, Compared]] = {}
    for one in comparisons:
        by_pair.setdefault((one.arm, one.rival), {})[one.measure] = one
    for (arm, rival), told in by_pair.items():
        first = told[Measure.ACCURACY]
        others = [_with_p(told[m]) if m in told else Cell("–") for m in _others(comparisons)]
        yield Row(arm, rival, _cell(first.difference), p_text(first.holm_p), _word(first), others)


def _with_p(one: Compared) -> Cell:
    return _cell(one.difference)._replace(p="" if isnan(one.holm_p) else p_text(one.holm_p))


def _others(comparisons: Sequence[Compared]) -> list[Measure]:
    """What was compared beside accuracy; a column of nothing is none."""
    there = {one.measure for one in comparisons if not isnan(one.difference.value)}
    return [measure for measure in COMPARED if measure in there and measure is not Measure.ACCURACY]


def _word(one: Compared) -> str:
    if isnan(one.holm_p):
        return "too few queries"
    if one.holm_p >= _SIGNIFICANT:
        return "not separated"
    return "better" if one.difference.value > 0 else "worse"


def _scale(plan: Plan) -> str:
    s = plan.scale
    return (
        f"{s.seeds} seed(s), {s.folds} fold(s), at most {s.train_pairs:,} judged pairs a model, {s.weak_pairs:,} of "
        f"the log before them, {s.epochs} epoch(s), {s.soft_pairs:,} soft labels, {s.dev_pairs:,} dev pairs and "
        f"{s.test_pairs:,} test pairs a fold" + (f", {s.other_pairs:,} of other languages" if s.other_pairs else "")
    )


def _rates(plan: Plan) -> str:
    rates = plan.rates
    teachers = "; ".join(
        f"a teacher{f' of {name}' if name else ''} is taught {rates.taught[name]:,.0f} and answers "
        f"{rates.asked[name]:,.0f} pairs a second"
        for name in rates.taught
    )
    return f"{teachers}; a student is taught {rates.student:,.0f} rows a second"
