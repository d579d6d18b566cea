"""What `enrich captions` has to show for itself: coverage, reasons, reuse, the captions as texts, and alarms.

Reads pins, deletions, pin_caption and W/picture_twins.db; writes nothing (`enrich status captions`). Of each live pin
that has a picture its newest row counts. A run is what one producer wrote without a pause of an hour; drift compares
the latest run that made at least so many captions as `caption_quality.FEWEST` with the one before it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import polars as pl

from enrich import parts
from enrich.caption_quality import (
    FEWEST,
    Run,
    TextFigures,
    cut_alarms,
    drift_alarms,
    failure_alarms,
    figures,
    text_alarms,
)
from enrich.captioning.loops import LOOP_CUT
from enrich.live_pins import live_pins
from enrich.picture_twins import copied_pictures
from enrich.tables import PIN_CAPTION
from enrich.workspace import Workspace

PAUSE = timedelta(hours=1)  # between two runs
_MOST = 200_000  # captions of a run looked at, spread evenly
_SHOWN = 3  # pictures that failed, of each reason


class FailedPicture(NamedTuple):
    """One of those that a reason stands for, to look at."""

    reason: str
    pin_id: str
    image_uri: str


@dataclass(frozen=True, slots=True)
class CaptionStatus:
    """Of the live pins that have a picture: what their newest rows say."""

    pictured: int  # pins
    captioned: int
    failed: Counter[str]
    examples: tuple[FailedPicture, ...]  # some of each reason
    untried: int  # without a row
    same_bytes: int  # pins whose caption was made of another pin's picture of the same bytes (on the web: the same URI)
    twins: int  # ... of a picture that looks the same
    producers: Counter[str]  # of the captions
    rules: Counter[str]  # what was done to captions, where the captioner says so
    texts: TextFigures
    before: Run | None
    latest: Run | None
    alarms: tuple[str, ...]


def caption_status(workspace: Workspace) -> CaptionStatus:
    """The state of the workspace's captions."""
    newest = _newest(workspace)
    tried = newest.filter(pl.col("producer").is_not_null())
    failed = Counter(tried["reason"].drop_nulls().to_list())
    made = tried.filter(pl.col("reason").is_null()).with_columns(pl.col("caption").fill_null(""))
    producers = Counter(made["producer"].to_list())
    original = pl.coalesce("original", "input_hash")
    texts = figures(made["caption"].to_list(), made.select(original)["original"].to_list())
    before, latest = _last_two_runs(workspace)
    rules = Counter(made["caption_rule"].drop_nulls().to_list())
    own = [*failure_alarms(failed, tried.height), *text_alarms(texts), *cut_alarms(rules[LOOP_CUT], made.height)]
    drifted = drift_alarms(before, latest) if before and latest else []
    return CaptionStatus(
        pictured=newest.height,
        captioned=texts.captions,
        failed=failed,
        examples=_examples(workspace, tried),
        untried=newest.height - tried.height,
        same_bytes=made.height - made.select("producer", "input_hash").n_unique(),
        twins=made.filter(pl.col("original").is_not_null()).select("producer", "input_hash").n_unique(),
        producers=producers,
        rules=rules,
        texts=texts,
        before=before,
        latest=latest,
        alarms=(*own, *_mixed(producers), *drifted),
    )


def _examples(workspace: Workspace, tried: pl.DataFrame) -> tuple[FailedPicture, ...]:
    failed = tried.select("reason", "pin_id").drop_nulls().sort("reason", "pin_id")
    some = failed.group_by("reason", maintain_order=True).head(_SHOWN).lazy()
    named = some.join(live_pins(workspace), on="pin_id", how="inner").select(FailedPicture._fields)
    return tuple(FailedPicture(*row) for row in named.sort("reason", "pin_id").collect().iter_rows())


def _newest(workspace: Workspace) -> pl.DataFrame:
    """Of each pin with a picture its newest row, and whose caption it took over; nulls where it has no row."""
    pictured = live_pins(workspace).filter(pl.col("image_uri").str.strip_chars().str.len_bytes() > 0).select("pin_id")
    columns = ["pin_id", "caption", "reason", "producer", "input_hash"]
    rows = parts.scan(workspace.folder(PIN_CAPTION))
    told = pl.col("caption_rule") if "caption_rule" in rows.collect_schema() else pl.lit(None, pl.String)
    rows = rows.select(*columns, *PIN_CAPTION.recency, caption_rule=told)
    last = parts.newest(rows, PIN_CAPTION).select(*columns, "caption_rule")
    copied = copied_pictures(workspace).lazy()
    return (
        pictured.join(last, on="pin_id", how="left").join(copied, on=["producer", "input_hash"], how="left").collect()
    )


def _last_two_runs(workspace: Workspace) -> tuple[Run | None, Run | None]:
    """The run before the latest, and the latest, of those that made enough captions to compare."""
    rows = parts.scan(workspace.folder(PIN_CAPTION)).filter(pl.col("reason").is_null())
    written = rows.group_by("producer", "written_at").agg(pl.len()).sort("written_at", "producer").collect()
    begins = (pl.col("producer") != pl.col("producer").shift()) | (pl.col("written_at").diff() > PAUSE)
    runs = (
        written.with_columns(run=begins.fill_null(True).cum_sum())
        .group_by("run", maintain_order=True)
        .agg(pl.col("producer").first(), pl.col("len").sum(), began=pl.min("written_at"), ended=pl.max("written_at"))
        .filter(pl.col("len") >= FEWEST)
        .tail(2)
    )
    found = [_run(rows, row["producer"], row["began"], row["ended"]) for row in runs.iter_rows(named=True)]
    return (found[-2] if len(found) > 1 else None, found[-1] if found else None)


def _run(rows: pl.LazyFrame, producer: str, began: object, ended: object) -> Run:
    inside = (pl.col("producer") == producer) & pl.col("written_at").is_between(pl.lit(began), pl.lit(ended))
    of_run = rows.filter(inside).select(pl.col("caption").fill_null(""), "input_hash", "written_at").collect()
    some = of_run.gather_every(max(1, -(-of_run.height // _MOST)))
    first, last = of_run["written_at"].sort()[[0, -1]].to_list()
    return Run(producer, first, last, figures(some["caption"].to_list(), some["input_hash"].to_list()))


def _mixed(producers: Counter[str]) -> list[str]:
    if len(producers) < 2:
        return []
    main, count = producers.most_common(1)[0]
    other = producers.total() - count
    share = f"{other / producers.total():.0%} of the captions are not of {main}"
    return [f"{share}: words and vectors of two models do not compare; `enrich captions` makes them anew"]


# ---- shown


def render(found: CaptionStatus) -> str:
    """The status as plain text, for a terminal or a file."""
    if not found.pictured:
        return "no pin has a picture: nothing to caption"
    share = f"{found.captioned:,} have a caption ({found.captioned / found.pictured:.1%})"
    lines = [f"{found.pictured:,} pins have a picture; {share}, {found.untried:,} were not tried"]
    lines.append(f"captions of another pin's picture: {found.same_bytes:,} of the same bytes, {found.twins:,} alike")
    lines += [f"    by {producer} ({count:,})" for producer, count in found.producers.most_common()]
    lines += [f"    {rule} ({count:,})" for rule, count in found.rules.most_common()]
    lines += _block("not captioned, and some of these", _failure_lines(found))
    lines += _text_lines(found.texts) if found.captioned or found.texts.empty else []
    lines += _run_lines(found.before, found.latest)
    lines += ["", *(f"alarm: {alarm}" for alarm in found.alarms)] if found.alarms else ["", _no_alarms(found)]
    return "\n".join(lines)


def _failure_lines(found: CaptionStatus) -> list[tuple[int, str]]:
    some = {reason: [one for one in found.examples if one.reason == reason] for reason in found.failed}
    shown = {
        reason: ", ".join(f"{_printable(one.pin_id)[:40]}: {_printable(one.image_uri)[:60]}" for one in ones)
        for reason, ones in some.items()
    }
    return [(count, f"{reason:<17} {shown[reason]}") for reason, count in found.failed.most_common()]


def _no_alarms(found: CaptionStatus) -> str:
    few = found.texts.captions < FEWEST
    return "no alarms" + (f": of fewer than {FEWEST} captions, shares say too little to worry by" if few else "")


def _printable(text: str) -> str:
    """Outside text as it is, but what would move a terminal's cursor or turn its writing round, escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _text_lines(texts: TextFigures) -> list[str]:
    fewest, tenth, half, most_of, most = texts.words
    told = texts.languages.total()
    languages = ", ".join(f"{name} {count / told:.0%}" for name, count in texts.languages.most_common(5))
    spread = f"fewest {fewest}, 10 % {tenth}, half {half}, 90 % {most_of}, most {most}"
    shared = f"{texts.shared:.0%} have one that others have"
    return [
        "",
        f"words       {texts.mean_words:.1f} on average; {spread}",
        f"languages   {languages or 'too short to tell'}",
        f"different   {texts.sentences:,} captions of {texts.pictures:,} pictures; {shared}",
        f"repeating   {texts.looping:.1%} say a run of words twice in a row",
        f"empty       {texts.empty:,}",
        *_block("commonest, and of how many pictures", [(n, _printable(text)[:90]) for text, n in texts.commonest]),
    ]


def _run_lines(before: Run | None, latest: Run | None) -> list[str]:
    heads = f"{'run':18}{'captions':>10}{'words':>8}{'shared':>8}{'repeating':>11}  languages, producer"
    lines = ["", heads] if latest else []
    for run in (before, latest):
        if run:
            shown = run.figures
            languages = ",".join(name for name, _ in shown.languages.most_common(2))
            figures = f"{shown.captions:>10,}{shown.mean_words:>8.1f}{shown.shared:>8.0%}{shown.looping:>11.1%}"
            lines.append(f"{run.began:%Y-%m-%d %H:%M}  {figures}  {languages}, {run.producer}")
    return lines


def _block(head: str, counted: list[tuple[int, str]]) -> list[str]:
    return ["", head, *(f"{count:>12,}  {what}" for count, what in counted)] if counted else []
