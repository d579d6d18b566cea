"""`relevance experiment transfer`: how good models are in languages that nobody judged.

Trained on the judgments of one language (--train-lang), tested on each other; a language's queries are halved, and
each half is tested by models that may have learned from the other:

    teacher, EN alone         judgments and log of the language
    teacher, all languages    also the judgments of the other halves, and the whole log
    student, EN alone         judgments of the language
    student, + labels in EN   and its teacher's labels of pairs in that language
    student, + labels in all  as many of its teacher's labels, of pairs in all languages
    student, all languages    judgments of all

The teacher that labels is the one that knows the language alone: what its labels carry elsewhere is what is asked. Of
each language the report gives how many of its query tokens the backbone's tokenizer does not know, and how many are
single letters; where queries or pins fall apart so, the backbone cannot read the script, and its figures are a floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import polars as pl
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from enrich import checkpoints
from enrich.errors import BadInput
from enrich.job import input_hash
from enrich.text_encoder import default_model_path
from relevance.drawings.rows import estimates
from relevance.experiments.arms import Arm, Gathered, Model, Scored
from relevance.experiments.budget import Demand, Scale
from relevance.experiments.figures import Figures
from relevance.experiments.ground import Ground, subset, thinned
from relevance.experiments.reading import Reading, reading
from relevance.experiments.records import Drawing, Found, Table, Value
from relevance.experiments.site import Experiment, Fields, Site, Wanted, languages, runs
from relevance.intervals import holm, p_text
from relevance.judging.figures import Measure, Versus
from relevance.splits import WHOLE_LOG, Split, primary_language, split_by_language
from relevance.text import pin_texts_from_frame, plain_text

_HALVES = 2
_COMPARED = (Measure.ACCURACY, Measure.AUROC_4)  # in each language
_DEV_EVERY = 10  # of the other languages' training queries one in so many stops training


def splits(judged: pl.DataFrame, wanted: Wanted) -> list[tuple[str, Split]]:
    """Train and dev in one language; test a half of the other languages' queries, then the other."""
    _refuse_one_language(judged, wanted)
    base = split_by_language(judged, wanted.train_lang, wanted.seed)
    by_language = judged.with_columns(languages(judged).alias("lang")).filter(pl.col("query").is_in(sorted(base.test)))
    queries = by_language.group_by("query").agg(pl.col("lang").drop_nulls().mode().min()).sort("query")
    order = [input_hash(str(wanted.seed), query) for query in queries["query"]]
    placed = queries.with_columns(order=pl.Series(order)).sort("lang", "order")["query"].to_list()
    halves = [frozenset(placed[start::_HALVES]) for start in range(_HALVES)]
    return [
        (f"half {number}", Split(base.train, base.dev, half, base.left_out, base.log))
        for number, half in enumerate(halves, 1)
        if half
    ]


def _refuse_one_language(judged: pl.DataFrame, wanted: Wanted) -> None:
    counts = judged.with_columns(languages(judged).alias("lang")).group_by("lang").agg(pl.col("query").n_unique())
    found = dict(counts.sort("lang").iter_rows())
    others = sum(count for lang, count in found.items() if lang not in (None, primary_language(wanted.train_lang)))
    if found.get(primary_language(wanted.train_lang), 0) < 2 or not others:
        told = ", ".join(f"{count} in {lang}" if lang else f"{count} without one" for lang, count in found.items())
        raise BadInput(
            f"expected judged queries in {wanted.train_lang}, two or more, and in other languages, found {told}; name "
            "another --train-lang, or give judgments their lang"
        )


def demand(scale: Scale, wanted: Wanted, _: Fields = ()) -> Demand:
    each, own = runs(scale), scale.seeds  # the teacher of the language alone serves both halves
    backbone = wanted.backbones[0] if wanted.backbones else ""
    stops = scale.other_pairs / _DEV_EVERY
    asked = each * (2.0 * scale.test_pairs + scale.soft_pairs + (scale.epochs + 1) * stops)
    rows = each * (6.0 * scale.train_pairs + scale.other_pairs + scale.soft_pairs)
    more = {backbone: each * (scale.other_pairs - stops)}
    return Demand({backbone: float(each + own)}, {backbone: asked}, rows, seconds=30, more_rows=more)


def others(judged: pl.DataFrame, split: Split, wanted: Wanted) -> pl.DataFrame:
    """The rows of the other halves' queries: of no side of the split, and none in the language itself."""
    known = split.train | split.dev | split.test | split.left_out
    own = judged.filter(languages(judged) == primary_language(wanted.train_lang))["query"]
    return judged.filter(~pl.col("query").is_in(sorted(known | set(own))))


def run(site: Site) -> Found:
    arms = _Arms(site)
    gathered = site.gather(arms.all())
    figures = Figures(gathered.answers)
    names = arms.names
    versus = [
        Versus(names["teacher_all"], names["teacher_one"]),
        Versus(names["soft_all"], names["soft_one"]),
        Versus(names["soft_one"], names["student_one"]),
        Versus(names["soft_all"], names["student_one"]),
        Versus(names["student_all"], names["student_one"]),
        Versus(names["soft_all"], names["student_all"]),
    ]
    tested = _languages(gathered)
    read = {lang: arms.read(lang) for lang in tested}
    by_language = {lang: _figures_in(gathered, lang) for lang in tested}
    table, drawings = _by_language(by_language, {lang: queries for lang, (queries, _) in read.items()})
    asked = [Versus(names[f"{kind}_all"], names[f"{kind}_one"]) for kind in ("teacher", "student", "soft")]
    compared = _compared(by_language, asked)
    notes = arms.notes(read)
    return Found(
        figures.arms(arms.numbers),
        figures.compare(versus),
        (table, compared),
        drawings,
        tuple(notes),
        gathered.left_out,
    )


class _Arms:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._lang = primary_language(site.wanted.train_lang) or ""
        here = self._lang.upper()
        self.names = {
            "teacher_one": f"teacher, {here} alone",
            "teacher_all": "teacher, all languages",
            "student_one": f"student, {here} alone",
            "soft_one": f"student, + labels in {here}",
            "soft_all": "student, + labels in all languages",
            "student_all": "student, all languages",
        }
        self.numbers: dict[str, dict[str, float]] = {}

    def all(self) -> list[Arm]:
        kinds = ("teacher_one", "student_one", "soft_all", "soft_one", "student_all", "teacher_all")
        return [
            Arm(self.names[kind], partial(self._answer, kind), essential=kind in ("teacher_one", "student_one"))
            for kind in kinds
        ]

    def _answer(self, kind: str, ground: Ground, seed: int) -> Scored:
        bench = self._site.bench
        settings = replace(bench.student_settings, seed=seed)
        whole = self._with_all(ground)
        if kind == "teacher_one":
            model = self._teacher(ground, seed)
        elif kind == "teacher_all":
            model = self._site.teacher(whole, seed)
        elif kind == "student_one":
            model = bench.student(ground.train, ground.dev, settings=settings)
        elif kind == "student_all":
            model = bench.student(whole.train, whole.dev, settings=settings)
        else:
            model = self._with_labels(ground, seed, kind == "soft_all")
        rows = whole if kind.endswith("_all") and kind != "soft_all" else ground
        self.numbers.setdefault(self.names[kind], {})[f"judged rows, {ground.name}"] = float(rows.train.height)
        return bench.answered(model, ground.test)

    def _teacher(self, ground: Ground, seed: int) -> Model:
        """Of the language alone, every other judged query held out: one and the same for both halves."""
        known = ground.split.train | ground.split.dev
        others = frozenset(self._site.judged["query"].unique()) - known
        split = replace(ground.split, test=others, left_out=frozenset())
        return self._site.teacher(ground._replace(split=split), seed)

    def _with_labels(self, ground: Ground, seed: int, everywhere: bool) -> Model:
        """A student of the language's judgments and its teacher's labels, of as many pairs in either case."""
        site = self._site
        soft = self._soft(ground)
        own = soft.filter(languages(soft).eq_missing(self._lang))
        chosen = thinned(soft, own.height, site.wanted.seed) if everywhere else own
        labelled = site.bench.labelled(self._teacher(ground, seed), chosen) if chosen.height else None
        settings = replace(site.bench.student_settings, seed=seed)
        return site.bench.student(ground.train, ground.dev, labelled, settings)

    def _soft(self, ground: Ground) -> pl.DataFrame:
        """Pairs to label, of all languages."""
        scope = ground._replace(split=replace(ground.split, log=WHOLE_LOG))
        return self._site.bench.soft(scope, self._site.scale.soft_pairs)

    def _with_all(self, ground: Ground) -> Ground:
        """The ground, learning from the other halves' queries too, one in ten of which goes to dev.

        Not from those of the language itself that the plan cut: all arms have as many of these.
        """
        site = self._site
        rows = subset(others(site.judged, ground.split, site.wanted), site.scale.other_pairs, site.wanted.seed)
        rest = rows["query"].unique().sort().to_list()
        dev, train = frozenset(rest[::_DEV_EVERY]), frozenset(rest) - frozenset(rest[::_DEV_EVERY])
        split = replace(ground.split, train=ground.split.train | train, dev=ground.split.dev | dev, log=WHOLE_LOG)
        more = [rows.filter(pl.col("query").is_in(sorted(side))) for side in (train, dev)]
        return ground._replace(
            name=f"{ground.name}, all",
            train=pl.concat([ground.train, more[0]]),
            dev=pl.concat([ground.dev, more[1]]),
            split=split,
        )

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        backbone = self._site.bench.teacher_settings.backbone
        folder = checkpoints.locate(backbone, "a backbone").folder if backbone else default_model_path()
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)

    def read(self, lang: str) -> tuple[Reading, Reading]:
        """How the backbone reads the language's tested queries, and the pins they are tested with."""
        test = pl.concat([ground.test for ground in self._site.grounds])
        rows = test.filter(languages(test).eq_missing(lang))
        pins = [plain_text(pin) for pin in pin_texts_from_frame(rows.unique("pin_id", maintain_order=True))]
        queries = rows["query"].unique().sort().to_list()
        return reading(self._tokenizer, queries), reading(self._tokenizer, pins)

    def notes(self, read: Mapping[str, tuple[Reading, Reading]]) -> list[str]:
        floors = [f"{lang} (queries: {queries}; pins: {pins})" for lang, (queries, pins) in read.items()
                  if queries.fails or pins.fails]  # fmt: skip
        found = []
        if floors:
            found.append(
                f"The backbone's tokenizer cannot read {', '.join(floors)}: what is measured there is a floor, of a "
                "model that sees no words of the script."
            )
        return [*found, *self._of_labels()]

    def _of_labels(self) -> list[str]:
        """What the labels carry is not shown where there are none, or none in another language."""
        soft = [languages(self._soft(ground)) for ground in self._site.grounds]
        pairs, own = sum(len(one) for one in soft), sum(int((one == self._lang).sum()) for one in soft)
        if not pairs:
            return ["There were no pairs for the teacher to label: what its labels carry cannot be shown."]
        said = [f"Of {pairs:,} pairs that it could label {pairs - own:,} are in other languages than {self._lang}."]
        if not own or own == pairs:
            said.append("So labels in one language and in all cannot be told apart here.")
        return said


def _languages(gathered: Gathered) -> list[str]:
    """Those tested, most pairs first."""
    rows = next(iter(gathered.answers.values()))[0]
    counts = rows.with_columns(languages(rows).alias("lang")).group_by("lang").agg(pl.len(), pl.col("query").n_unique())
    known = counts.filter(pl.col("lang").is_not_null())
    return known.sort("len", "lang", descending=[True, False])["lang"].to_list()


def _figures_in(gathered: Gathered, lang: str) -> Figures:
    """Of the language's pairs alone."""
    return Figures(
        {
            arm: [frame.filter(languages(frame).eq_missing(lang)) for frame in frames]
            for arm, frames in gathered.answers.items()
        }
    )


def _by_language(by_language: Mapping[str, Figures], read: Mapping[str, Reading]) -> tuple[Table, tuple[Drawing, ...]]:
    rows: list[tuple[Value, ...]] = []
    drawn = []
    arms: list[str] = []
    for lang, of_lang in by_language.items():
        figures = of_lang.arms()
        first, arms = figures[0], [one.arm for one in figures]
        told = (first.queries, first.pairs, f"{read[lang].unknown:.1%}", f"{read[lang].letters:.1%}")
        shown = [(one.arm, one.estimate(Measure.ACCURACY)) for one in figures]
        rows.append((lang, *told, *(estimate for _, estimate in shown)))
        drawn.append(
            Drawing(
                f"Accuracy in {lang}",
                estimates(f"Accuracy in {lang}", shown),
                f"{first.pairs:,} pairs of {first.queries:,} queries; query tokens: {read[lang]}.",
                True,
            )
        )
    columns = ("language", "queries", "pairs", "unknown tokens", "single letters", *arms)
    said = "Accuracy in each other language; with fewer than ten tested queries there is no interval."
    return Table("By language", said, columns, tuple(rows)), tuple(drawn)


def _compared(by_language: Mapping[str, Figures], versus: Sequence[Versus]) -> Table:
    """What the other languages' judgments and labels add in each; p of a measure corrected over the whole table."""
    told = [
        (lang, pair, [figures.compare([pair], (measure,)) for measure in _COMPARED])
        for lang, figures in by_language.items()
        for pair in versus
    ]
    told = [(lang, pair, found) for lang, pair, found in told if all(found)]
    p_values = [holm([found[place][0].difference.p_value for *_, found in told]) for place in range(len(_COMPARED))]
    rows: list[tuple[Value, ...]] = []
    for row, (lang, pair, found) in enumerate(told):
        cells = [(one.difference, p_text(p[row])) for (one,), p in zip(found, p_values, strict=True)]
        rows.append((f"{lang}: {pair.model} - {pair.rival}", *(value for cell in cells for value in cell)))
    said = "Differences by language, paired by query; p of each measure Holm-corrected over all rows."
    columns = [name for measure in _COMPARED for name in (measure.value, "p")]
    return Table("What all languages add, by language", said, ("comparison", *columns), tuple(rows))


TRANSFER = Experiment(demand, run, splits=splits, others=others)
