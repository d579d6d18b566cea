"""Accuracy against confidence, beside the diagonal on which a model means what it says. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from relevance.drawings.axes import Axis, svg
from relevance.reliability import ReliabilityBin

_SIDE, _MARGIN = 190, 42  # pixels of the plot, and left of it
_TICKS = (0, 0.5, 1)


def reliability(title: str, bins: Sequence[ReliabilityBin]) -> Markup:
    """Accuracy against confidence: a dot a bin, its area by rows, and the diagonal of perfect calibration."""
    x = Axis(0, 1, _MARGIN, _MARGIN + _SIDE, _TICKS)
    y = Axis(0, 1, 8 + _SIDE, 8, _TICKS)
    most = max((one.rows for one in bins), default=1)
    parts = [f'<line class="diagonal" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>']
    for value in _TICKS:
        parts.append(_tick(x(value), 8 + _SIDE, f"{value:g}"))
        parts.append(
            f'<line class="grid" x1="{x(0):.1f}" x2="{x(1):.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text class="tick" x="{_MARGIN - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    line = " ".join(f"{x(one.confidence):.1f},{y(one.accuracy):.1f}" for one in bins)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    for one in bins:
        radius = 2 + 5 * (one.rows / most) ** 0.5
        parts.append(
            f'<circle class="dot" cx="{x(one.confidence):.1f}" cy="{y(one.accuracy):.1f}" r="{radius:.1f}">'
            f"<title>confidence {one.confidence:.2f}, right {one.accuracy:.2f}, {one.rows} pairs</title></circle>"
        )
    parts.append(f'<text class="axis" x="{x(0.5):.1f}" y="{_SIDE + 42}" text-anchor="middle">confidence</text>')
    parts.append(
        f'<text class="axis" transform="translate(11 {y(0.5):.1f}) rotate(-90)" text-anchor="middle">share right</text>'
    )
    said = "; ".join(f"confidence {b.confidence:.2f}: right {b.accuracy:.2f} of {b.rows} pairs" for b in bins)
    return svg(_MARGIN + _SIDE + 12, _SIDE + 48, title, said, "".join(parts))


def _tick(x: float, bottom: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{bottom}"/>'
        f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{label}</text>'
    )
