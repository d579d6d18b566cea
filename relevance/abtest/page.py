"""An experiment's analysis, and a plan of what to judge, in words and columns for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan

from enrich.normalise import collapse_space
from relevance.abtest.analysis import Analysis, Result
from relevance.abtest.effects import LOOK_USERS
from relevance.abtest.judging_plan import JudgingPlan
from relevance.abtest.outcomes import PRECISION_CUTOFF
from relevance.intervals import p_text


def render(found: Analysis) -> str:
    lines = [*_log(found)]
    for result in found.results:
        lines += ["", *_result(found, result)]
    return "\n".join(lines)


def render_plan(plan: JudgingPlan) -> str:
    head = f"{'asked':<8}{'lang':<10}{'searches':>10}{'queries':>10}{'judged':>8}{'spread':>8}{'to judge':>10}"
    rows = [
        f"{one.popularity:<8}{one.lang:<10}{one.searches:>10,}{one.queries:>10,}{one.judged:>8,}{one.spread:>8.3f}"
        f"{one.searches_to_judge:>10,}"
        for one in plan.strata
    ]
    total = sum(one.searches_to_judge for one in plan.strata)
    tail = (
        f"judge {total:,} searches, each of another query; standard error of the mean nDCG then: "
        f"{plan.error:.4f} as planned, {plan.proportional_error:.4f} in proportion to the strata, "
        f"{plan.simple_random_error:.4f} drawn at random"
    )
    return "\n".join([head, *rows, tail])


def _log(found: Analysis) -> Iterator[str]:
    arms = ", ".join(f"{collapse_space(arm)} {users:,}" for arm, users in found.users.items())
    yield f"{found.events:,} events, {found.start:%F %H:%M} to {found.end:%F %H:%M} UTC; users: {arms}"
    if found.sessions:
        of = "" if found.sessions == sum(found.users.values()) else f"{found.sessions:,} "
        yield f"{of}sessions stand for users: the log does not say whose they are"
    if found.crossed:
        yield f"left out: {found.crossed:,} users who were in two arms"
    for reason, count in found.dropped.items():
        yield f"left out: {count:,} rows, {reason}"
    verdict = "BROKEN: do not compare the arms" if found.ratio_is_broken else "as planned"
    yield f"sample ratio: {verdict} (χ² p {found.sample_ratio_p:.3g})"
    if found.unplaced:
        ranked = f"no nDCG and no P@{PRECISION_CUTOFF} of searches with"
        yield f"{ranked} an impression of no position: {found.unplaced:,} such"
    yield f"judged: {found.judged_share:.1%} of the impressions"


def _result(found: Analysis, result: Result) -> Iterator[str]:
    better = " (lower is better)" if result.outcome.lower_is_better else ""
    arms = f"{collapse_space(result.treatment)} - {collapse_space(found.settings.control)}"
    yield f"{result.outcome.value}{better}: {arms}"
    if result.reason:
        yield f"  not to be had: {result.reason}"
        return
    effect = result.effect
    yield f"  {effect.control:.4f} -> {effect.treatment:.4f}, users {effect.users[0]:,} and {effect.users[1]:,}"
    p_values = f"p {p_text(effect.p_value)}, {p_text(result.p_holm)} (Holm)"
    yield f"  difference      {_interval(effect.difference, effect.low, effect.high)}, {p_values}"
    yield f"  lift            {_interval(effect.lift, effect.lift_low, effect.lift_high, '+.1%')}"
    if result.adjusted is not None:
        own, removed = result.adjusted.effect, result.adjusted.variance_removed
        told = _interval(own.difference, own.low, own.high)
        yield f"  with CUPED      {told}, p {p_text(own.p_value)}; variance removed {removed:.1%}"
    looked = f"however often it was looked at, from {LOOK_USERS} users an arm on"
    yield f"  always valid    p {p_text(result.always_valid_p)}, {looked}"
    least = "-" if isnan(result.least_detectable) else f"{result.least_detectable:.1%}"
    yield f"  least effect that {found.settings.power:.0%} of such experiments find: {least}"
    for week in result.weeks if len(result.weeks) > 1 else ():
        one = week.effect
        name = f"week {week.number}" + (f", {week.days} d" if week.days < 7 else "")
        yield f"  {name:<15} {_interval(one.difference, one.low, one.high)}"
    if result.fading is not None:
        fading = result.fading
        told = _interval(fading.difference, fading.low, fading.high)
        yield f"  last - first    {told}, p {p_text(fading.p_value)}"
    for part in result.segments:
        one = part.effect
        told = _interval(one.difference, one.low, one.high)
        yield f"  {part.column + ' ' + part.value:<15} {told}, p {p_text(part.p_value)} (Holm)"


def _interval(value: float, low: float, high: float, form: str = "+.4f") -> str:
    if isnan(value):
        return "-"
    return f"{value:{form}} [no interval]" if isnan(low) else f"{value:{form}} [{low:{form}}, {high:{form}}]"
