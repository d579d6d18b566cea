"""Make the sample catalogue: pins with pictures, boards, a search log, judgments and link pages, all synthetic.

    python data/make_sample.py [--seed N] [--out DIR] [--pins N]      (default: remakes data/sample)

Writes DIR/TABLE.parquet for every source table (enrich/tables.py), DIR/images/PIN.jpg, DIR/pages/ (link pages and
index.json: what each URL answers), DIR/sample.json (how it was made) and DIR/README.md. DIR/latent_truth/ holds what the
world really is, for simulations; no importer reads it. The same seed, number of pins and library versions give the same
bytes. The folder is made aside and then takes the old one's place.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script: the packages stand beside this folder
    sys.path.insert(0, str(ROOT))

from data.sample_boards import Board, Save, make_boards, make_saves  # noqa: E402
from data.sample_html import respond  # noqa: E402
from data.sample_judgments import JudgedPair, choose_pairs, make_judgments  # noqa: E402
from data.sample_log import Engine, Event, ExperimentEvent, make_engagements, make_experiment  # noqa: E402
from data.sample_pages import Web, make_web  # noqa: E402
from data.sample_queries import Query, make_queries  # noqa: E402
from data.sample_random import Floats, choose, happens, stream  # noqa: E402
from data.sample_ranker import legacy_scores, text_match  # noqa: E402
from data.sample_texts import PinTexts, make_texts  # noqa: E402
from data.sample_users import User, make_users  # noqa: E402
from data.sample_vocabulary import words  # noqa: E402
from data.sample_world import END, Pin, make_pins, relevance_matrix, true_level  # noqa: E402
from data.scenes import INTERESTS, SAMPLE_SEEDS, render  # noqa: E402
from enrich import tables  # noqa: E402
from enrich.errors import BadInput  # noqa: E402
from enrich.tables import Table, validate  # noqa: E402

DEFAULT_OUT = Path(__file__).resolve().parent / "sample"
MANIFEST = "sample.json"
TRUTH = "latent_truth"
_JPEG_QUALITY = 82
_SHOPPING = ("kitchen", "home_decor", "furniture", "fashion", "accessories", "shoes", "music", "fitness", "stationery")
_DEPARTMENTS = {
    "Home & Garden": ("kitchen", "home_decor", "furniture", "gardening"),
    "Food": ("baking",),
    "Style": ("fashion", "accessories", "shoes"),
    "Outdoors & Animals": ("travel", "pets", "fitness"),
    "Hobbies": ("crafts", "music", "stationery"),
}


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How much of everything, per pin; `seed` names the world."""

    seed: int = 2024
    pins: int = 1_400
    image_size: int = 96  # pixels a side
    boards_per_pin: float = 0.26
    users_per_pin: float = 2.15
    queries_per_pin: float = 0.38
    judged_share: float = 0.82  # of the queries
    searches_per_pin: float = 6.9
    experiment_sessions_per_pin: float = 0.6

    def __post_init__(self) -> None:
        if self.pins < 20:
            raise BadInput(f"expected --pins of at least 20, found {self.pins}; a smaller world has no queries")
        if self.seed < 0:
            raise BadInput(f"expected a --seed of 0 or more, found {self.seed}; name another")

    def number(self, per_pin: float) -> int:
        return max(1, round(self.pins * per_pin))


_DEFAULTS = SampleSettings()


class World(NamedTuple):
    """Everything of one sample before it is written."""

    pins: list[Pin]
    texts: list[PinTexts]
    users: list[User]
    boards: list[Board]
    saves: list[Save]
    queries: list[Query]
    engine: Engine
    log: list[Event]
    experiment: list[ExperimentEvent]
    judged: list[JudgedPair]
    web: Web


def make_world(settings: SampleSettings) -> World:
    """The whole of it but for the pictures, the same for the same settings."""
    seed = settings.seed
    pins = make_pins(seed, settings.pins)
    texts = make_texts(seed, pins)
    users = make_users(seed, settings.number(settings.users_per_pin))
    boards = make_boards(seed, users, settings.number(settings.boards_per_pin))
    saves = make_saves(seed, boards, pins)
    queries = make_queries(seed, pins, settings.number(settings.queries_per_pin))
    relevance = relevance_matrix(seed, [query.want for query in queries], pins)
    scores = _legacy_scores(seed, pins, texts, boards, saves, queries, relevance)
    engine = Engine.of(pins, queries, scores, relevance)
    return World(
        pins,
        texts,
        users,
        boards,
        saves,
        queries,
        engine,
        make_engagements(seed, engine, users, settings.number(settings.searches_per_pin)),
        make_experiment(seed, engine, users, settings.number(settings.experiment_sessions_per_pin)),
        choose_pairs(seed, pins, queries, round(settings.judged_share * len(queries)), relevance, scores),
        make_web(seed, pins),
    )


def _legacy_scores(
    seed: int,
    pins: Sequence[Pin],
    texts: Sequence[PinTexts],
    boards: Sequence[Board],
    saves: Sequence[Save],
    queries: Sequence[Query],
    relevance: Floats,
) -> Floats:
    title_of = {board.board_id: board.title for board in boards}
    saved_under: dict[str, list[str]] = defaultdict(list)
    for save in saves:
        saved_under[save.pin_id].append(title_of[save.board_id])
    documents = [
        " ".join([text.title or "", text.description or "", *saved_under[pin.pin_id]])
        for pin, text in zip(pins, texts, strict=True)
    ]
    matched = text_match([query.text for query in queries], documents)
    return legacy_scores(stream(seed, "ranker"), matched, relevance, pins, [query.lang for query in queries])


def source_tables(settings: SampleSettings, world: World) -> dict[Table, pa.Table]:
    """Every source table of the world, exactly as enrich/tables.py declares it. image_uri is relative to the folder."""
    judgments = make_judgments(settings.seed, world.pins, world.queries, world.judged, world.engine.relevance)
    rows: dict[Table, list[dict[str, object]]] = {
        tables.PINS: _pin_rows(settings.seed, world),
        tables.BOARDS: [board._asdict() for board in world.boards],
        tables.BOARD_PINS: [save._asdict() for save in world.saves],
        tables.ENGAGEMENTS: [event._asdict() for event in world.log],
        tables.JUDGMENTS: [judgment._asdict() for judgment in judgments],
        tables.INTERESTS: _interest_rows(),
        tables.DELETIONS: _deletion_rows(settings.seed, world),
        tables.EXPERIMENT_LOG: [event._asdict() for event in world.experiment],
    }
    return {
        table: validate(table, _arrow(table, found), origin=f"sample {table.name}") for table, found in rows.items()
    }


def _arrow(table: Table, rows: list[dict[str, object]]) -> pa.Table:
    """The declared columns of the rows."""
    columns = {field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in table.schema}
    return pa.table(columns, schema=table.schema)


def _pin_rows(seed: int, world: World) -> list[dict[str, object]]:
    rng = stream(seed, "pin columns")
    rows: list[dict[str, object]] = []
    for pin, text in zip(world.pins, world.texts, strict=True):
        department = next(name for name, interests in _DEPARTMENTS.items() if pin.interest in interests)
        filed = choose(rng, list(_DEPARTMENTS)) if happens(rng, 0.04) else department
        edited = pin.created_at + timedelta(days=30 * float(rng.random()))
        rows.append(
            {
                "pin_id": pin.pin_id,
                "title": text.title,
                "description": text.description,
                "image_uri": f"images/{pin.pin_id}.jpg",
                "link_url": world.web.link_of.get(pin.pin_id),
                "lang": pin.lang if happens(rng, 0.8) and (text.title or text.description) else None,
                "category": filed if happens(rng, 0.45) else None,
                "created_at": pin.created_at,
                "updated_at": edited if happens(rng, 0.1) and edited < END else None,
            }
        )
    return rows


def _interest_rows() -> list[dict[str, object]]:
    english = words("en")
    return [
        {
            "interest_id": interest,
            "name": english.interests_of(interest)[0].capitalize(),
            "is_shopping": interest in _SHOPPING,
        }
        for interest in INTERESTS
    ]


def _deletion_rows(seed: int, world: World) -> list[dict[str, object]]:
    """A few of each kind, in the log's last days; never a pin that was judged."""
    rng = stream(seed, "deletions")
    judged = {pair.pin for pair in world.judged}
    pins = [pin.pin_id for i, pin in enumerate(world.pins) if i not in judged]
    groups = {
        "pin": pins,
        "board": [board.board_id for board in world.boards],
        "user": [user.user_hash for user in world.users],
    }
    return [
        {"kind": kind, "id": str(chosen), "deleted_at": END - timedelta(days=1 + 9 * float(rng.random()))}
        for kind, ids in groups.items()
        for chosen in sorted(rng.choice(ids, min(3, len(ids)), replace=False))
    ]


def write_sample(settings: SampleSettings, out: Path) -> None:
    """Make the sample in `out`. Raises BadInput when `out` holds something that this script did not make."""
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise BadInput(f"expected {out} to be empty or an earlier sample, found other files; name another with --out")
    aside = out.with_name(f".{out.name}.making")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    world = make_world(settings)
    made = source_tables(settings, world)
    for table, rows in made.items():
        pq.write_table(rows, aside / f"{table.name}.parquet", compression="zstd")
    _write_truth(aside / TRUTH, world)
    _write_images(aside / "images", settings, world.pins)
    _write_pages(aside / "pages", settings.seed, world.web)
    manifest = {"seed": settings.seed, "pins": settings.pins, "made_by": "data/make_sample.py"}
    (aside / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    (aside / "README.md").write_text(_readme(settings, world, made), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)


def _write_truth(folder: Path, world: World) -> None:
    """What pins show, what queries want, how relevant the judged pairs truly are. Only for simulations."""
    folder.mkdir()
    pins = [
        {"pin_id": pin.pin_id, **pin.scene._asdict(), "interest": pin.interest, "styles": list(pin.styles)}
        | {"lang": pin.lang, "quality": pin.quality, "popularity": pin.popularity}
        for pin in world.pins
    ]
    queries = [{"query": query.text, "lang": query.lang, **query.want._asdict()} for query in world.queries]
    values = [float(world.engine.relevance[pair.query, pair.pin]) for pair in world.judged]
    pairs = [
        {"query": world.queries[pair.query].text, "pin_id": world.pins[pair.pin].pin_id, "relevance": value}
        | {"true_level": int(true_level(value))}
        for pair, value in zip(world.judged, values, strict=True)
    ]
    for name, rows in (("pins", pins), ("queries", queries), ("judged_pairs", pairs)):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet", compression="zstd")


def _write_images(folder: Path, settings: SampleSettings, pins: Sequence[Pin]) -> None:
    folder.mkdir()
    for i, pin in enumerate(pins):
        image = render(pin.scene, SAMPLE_SEEDS[(settings.seed * 9973 + i) % len(SAMPLE_SEEDS)], settings.image_size)
        image.save(folder / f"{pin.pin_id}.jpg", quality=_JPEG_QUALITY, optimize=True)


def _write_pages(folder: Path, seed: int, web: Web) -> None:
    """A file a page, and index.json: {"pages": {url: status, file, content_type | location}, "robots": {host: text}}."""
    folder.mkdir()
    pages: dict[str, dict[str, object]] = {}
    for address in web.addresses:
        entry: dict[str, object] = {"status": address.status}
        if address.page is not None:
            response = respond(seed, address.page)
            name = f"{len(pages):04d}.html"
            (folder / name).write_bytes(response.body)
            entry |= {"file": name, "content_type": response.content_type}
        if address.location:
            entry["location"] = address.location
        pages[address.url] = entry
    index = {"pages": pages, "robots": web.robots}
    (folder / "index.json").write_text(json.dumps(index, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


def _readme(settings: SampleSettings, world: World, made: dict[Table, pa.Table]) -> str:
    languages = Counter(pin.lang for pin in world.pins)
    pages = sum(address.page is not None for address in world.web.addresses)
    arguments = "" if settings == _DEFAULTS else f" --seed {settings.seed} --pins {settings.pins}"
    counts = "\n".join(f"| {table.name} | {rows.num_rows:,} |" for table, rows in made.items())
    return _README.format(
        command=f"python data/make_sample.py{arguments}",
        languages=", ".join(f"{lang} {n}" for lang, n in languages.most_common()),
        queries=len(world.queries),
        judged_queries=len({pair.query for pair in world.judged}),
        pairs=len(world.judged),
        pages=pages,
        counts=counts,
    )


_README = """\
# The sample catalogue

**This catalogue is synthetic.** No person wrote, searched, clicked or judged anything in it: `{command}` made all of it
from hand-written words (data/sample_words/), painted scenes (data/scenes.py) and chance, the same bytes for the same
seed and library versions. Figures measured on it say that the system works, not how well it would do on a real
catalogue.

Behind it stands a latent truth: what each picture shows (object, colour, material, setting, how many), what style or
occasion it is for, what each query wants. Levels follow from how much of the wish holds. Each field tells a part: most
titles say neither object nor colour, the picture shows object, colour, material and setting, boards and link pages tell
style and occasion, the log tells what people took the pin for. Users see the results of a mediocre ranker, look less at
lower ones, click, save and hide with noise. Twenty-five annotators, each with a leaning and slips, agree on about two
pairs in three. The truth itself is in latent_truth/, which no importer reads; it is there for simulations.

| table | rows |
|---|---|
{counts}

Pins by language: {languages}. {queries} distinct queries, {judged_queries} of them judged on {pairs:,} pairs by three
annotators each. {pages} link pages (pages/index.json says what each URL answers; `python data/serve_pages.py` serves
them on 127.0.0.1), some redirected, gone, forbidden by robots.txt, in legacy charsets or broken, as on the web.
`python data/sample_check.py` measures coverage, agreement and how much each field tells.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the synthetic sample catalogue.")
    parser.add_argument("--seed", type=int, default=_DEFAULTS.seed, help="names the world (default %(default)s)")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to make (default data/sample)")
    parser.add_argument("--pins", type=int, default=_DEFAULTS.pins, help="how many pins (default %(default)s)")
    arguments = parser.parse_args()
    try:
        write_sample(SampleSettings(seed=arguments.seed, pins=arguments.pins), arguments.out.resolve())
    except BadInput as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return 2
    print(f"made {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
