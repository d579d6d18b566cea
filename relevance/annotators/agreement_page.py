"""The annotators' agreement in words and columns, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan

from relevance.annotators.agreement import Agreement
from relevance.annotators.coincidences import Scale
from relevance.intervals import Estimate

_ANNOTATORS, _COUPLES = 40, 10  # of which a terminal is told; --json has all


def render(found: Agreement) -> str:
    return "\n".join([*_totals(found), "", *_levels(found), "", *_annotators(found), *_couples(found)])


def _totals(found: Agreement) -> Iterator[str]:
    unnamed = f", {found.anonymous:,} without a name" if found.anonymous else ""
    yield (
        f"{found.votes:,} votes{unnamed} on {found.pairs:,} pairs of {found.queries:,} queries, "
        f"{found.shared_pairs:,} of them with two votes or more"
    )
    for scale in Scale:
        yield f"Krippendorff's α, {scale.value:<9}      {_figure(found.alpha[scale])}"
    yield f"Fleiss' κ                         {_figure(found.fleiss_kappa)}"
    yield f"two votes are the same            {_figure(found.same)}"
    yield f"two votes are at most a level off {_figure(found.within_one)}"
    yield f"a vote is the gold of the others  {_figure(found.accuracy)}"


def _levels(found: Agreement) -> Iterator[str]:
    yield f"{'level':>8}{'votes':>10}   others' votes on the pair that are for it too"
    for one in found.levels:
        yield f"{one.level:>8.3g}{one.votes:>10,}   {_figure(one.agreement)}"


def _annotators(found: Agreement) -> Iterator[str]:
    if not found.annotators:
        yield "no vote names its annotator: nothing to say of each"
        return
    days = f"drift in {found.settings.drift_days:g} days"
    yield f"{'annotator':<16}{'votes':>8}{'shared':>8}  {'above the others':<26}{'distance':<24}{days}"
    for one in found.annotators[:_ANNOTATORS]:
        name = one.annotator if len(one.annotator) <= 15 else one.annotator[:14] + "…"
        figures = f"{_figure(one.bias, '+.3f'):<26}{_figure(one.distance):<24}{_figure(one.drift, '+.3f')}"
        yield f"{name:<16}{one.votes:>8,}{one.shared:>8,}  {figures}"
    if len(found.annotators) > _ANNOTATORS:
        yield f"... and {len(found.annotators) - _ANNOTATORS:,} more (--json)"


def _couples(found: Agreement) -> Iterator[str]:
    if not found.couples:
        return
    yield ""
    yield f"{'two of them':<32}{'pairs':>7}  {'same':<24}{'κ':<24}quadratic κ"
    for one in sorted(found.couples, key=lambda couple: -couple.pairs)[:_COUPLES]:
        names = f"{one.one}, {one.other}"
        figures = f"{_figure(one.same):<24}{_figure(one.kappa):<24}{_figure(one.quadratic_kappa)}"
        yield f"{names[:31]:<32}{one.pairs:>7,}  {figures}"
    if len(found.couples) > _COUPLES:
        yield f"... and {len(found.couples) - _COUPLES:,} more with fewer pairs (--json)"


def _figure(one: Estimate, form: str = ".3f") -> str:
    if isnan(one.value):
        return "-"
    if isnan(one.low):
        return f"{one.value:{form}}"
    return f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"
