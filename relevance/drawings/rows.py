"""Figures in rows: a dot and its interval each, beside a line at zero where they are held against it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, isnan
from typing import NamedTuple

from markupsafe import Markup, escape

from relevance.drawings.axes import Axis, round_ticks, svg
from relevance.drawings.marks import mark
from relevance.intervals import Difference, Estimate


class Layout(NamedTuple):
    """Pixels of a row, of the names, of the plot and of what is said beside it."""

    row: int
    names: int
    plot: int
    values: int
    longest_name: int  # characters that fit
    intervals: bool  # whether a value's interval is said beside it


WIDE = Layout(26, 310, 570, 190, 46, True)  # a row of the page for itself
NARROW = Layout(30, 172, 380, 62, 21, False)  # two beside each other


def estimates(title: str, rows: Sequence[tuple[str, Estimate]], zero: bool = False, layout: Layout = WIDE) -> Markup:
    """A dot and its interval a row; beside a line at zero where that is what they are held against."""
    plain = [(name, e.value, e.low, e.high) for name, e in rows]
    return _in_rows(title, plain, lambda value: f"{value:+.3f}" if zero else f"{value:.3f}", zero, layout)


def differences(title: str, rows: Sequence[tuple[str, Difference]]) -> Markup:
    """A difference and its interval a row, beside a line at zero."""
    plain = [(name, d.value, d.low, d.high) for name, d in rows]
    return _in_rows(title, plain, lambda value: f"{value:+.3f}", True, WIDE)


def _in_rows(
    title: str,
    rows: Sequence[tuple[str, float, float, float]],
    form: Callable[[float], str],
    zero: bool,
    layout: Layout,
) -> Markup:
    bounds = [b for _, *values in rows for b in values if isfinite(b)] + ([0.0] if zero else [])
    if not bounds:
        return Markup("")
    ticks = round_ticks(min(bounds), max(bounds))
    height = layout.row * len(rows) + 34
    x = Axis(ticks[0], ticks[-1], layout.names, layout.names + layout.plot, tuple(ticks))
    parts = [
        f'<line class="{"zero" if zero and abs(t) < 1e-9 else "grid"}" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="4" '
        f'y2="{height - 26}"/>'
        f'<text class="tick" x="{x(t):.1f}" y="{height - 10}" text-anchor="middle">{t:.2f}</text>'
        for t in ticks
    ]
    parts += [_row(row, x, 6 + layout.row * (place + 0.5), form, layout) for place, row in enumerate(rows)]
    said = "; ".join(f"{name} {_told(values, form)}" for name, *values in rows)
    return svg(layout.names + layout.plot + layout.values, height, title, said, "".join(parts), "wide")


def _row(row: tuple[str, float, float, float], x: Axis, y: float, form: Callable[[float], str], layout: Layout) -> str:
    name, value, low, high = row
    shown = name if len(name) <= layout.longest_name else name[: layout.longest_name - 1] + "…"
    parts = [
        f'<text class="name" x="{layout.names - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(shown)}'
        f"<title>{escape(name)}</title></text>"
    ]
    if isnan(value):
        return parts[0] + f'<text class="tick" x="{x.first + 4}" y="{y + 4:.1f}">not defined</text>'
    if not isnan(low):
        parts.append(f'<line class="whisker c0" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
    told = _told((value, low, high), form)
    parts.append(mark(x(value), y, 0, f"{name}: {told}"))
    beside = told if layout.intervals else form(value)
    parts.append(f'<text class="value" x="{x.last + 10}" y="{y + 4:.1f}">{escape(beside)}</text>')
    return "".join(parts)


def _told(values: Sequence[float], form: Callable[[float], str]) -> str:
    value, low, high = values
    if isnan(value):
        return "not defined"
    return form(value) if isnan(low) else f"{form(value)}  [{form(low)}, {form(high)}]"
