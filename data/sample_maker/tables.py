"""The sample catalogue as source tables (enrich/tables.py), and, apart from them, the truth behind it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pyarrow as pa

from data.pictures.scenes import INTERESTS
from data.sample_maker.chance import choose, happens, stream
from data.sample_maker.pins import END
from data.sample_maker.relevance import true_level
from data.sample_maker.vocabulary import words
from data.sample_maker.world import World
from enrich import tables
from enrich.tables import Table, validate

_SHOPPING = ("kitchen", "home_decor", "furniture", "fashion", "accessories", "shoes", "music", "fitness", "stationery")
_DEPARTMENTS = {
    "Home & Garden": ("kitchen", "home_decor", "furniture", "gardening"),
    "Food": ("baking",),
    "Style": ("fashion", "accessories", "shoes"),
    "Outdoors & Animals": ("travel", "pets", "fitness"),
    "Hobbies": ("crafts", "music", "stationery"),
}
_CATEGORISED, _MISFILED = 0.45, 0.04
_LANG_SAID = 0.8  # of pins with a text
_EDITED = 0.1  # of pins, within thirty days: before anything is judged
_DELETED_OF_A_KIND = 3

Row = dict[str, object]


def source_tables(seed: int, world: World) -> dict[Table, pa.Table]:
    """Every source table of the world, exactly as declared. image_uri is relative to the sample's folder."""
    rows: dict[Table, list[Row]] = {
        tables.PINS: _pin_rows(seed, world),
        tables.BOARDS: [board._asdict() for board in world.boards],
        tables.BOARD_PINS: [save._asdict() for save in world.saves],
        tables.ENGAGEMENTS: [event._asdict() for event in world.log],
        tables.JUDGMENTS: [judgment._asdict() for judgment in world.judgments],
        tables.INTERESTS: _interest_rows(),
        tables.DELETIONS: _deletion_rows(seed, world),
        tables.EXPERIMENT_LOG: [event._asdict() for event in world.experiment],
    }
    return {table: _arrow(table, found) for table, found in rows.items()}


def _arrow(table: Table, rows: list[Row]) -> pa.Table:
    """The declared columns of the rows; whatever else a row holds is latent and left out."""
    columns = {field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in table.schema}
    return validate(table, pa.table(columns), origin=f"sample {table.name}")


def _pin_rows(seed: int, world: World) -> list[Row]:
    rng = stream(seed, "pin columns")
    rows: list[Row] = []
    for pin, text in zip(world.pins, world.texts, strict=True):
        department = next(name for name, interests in _DEPARTMENTS.items() if pin.interest in interests)
        filed = choose(rng, list(_DEPARTMENTS)) if happens(rng, _MISFILED) else department
        edited = pin.created_at + timedelta(days=30 * float(rng.random()))
        rows.append(
            {
                "pin_id": pin.pin_id,
                "title": text.title,
                "description": text.description,
                "image_uri": f"images/{pin.pin_id}.jpg",
                "link_url": world.web.link_of.get(pin.pin_id),
                "lang": pin.lang if happens(rng, _LANG_SAID) and (text.title or text.description) else None,
                "category": filed if happens(rng, _CATEGORISED) else None,
                "created_at": pin.created_at,
                "updated_at": edited if happens(rng, _EDITED) and edited < END else None,
            }
        )
    return rows


def _interest_rows() -> list[Row]:
    english = words("en")
    return [
        {
            "interest_id": interest,
            "name": english.interests_of(interest)[0].capitalize(),
            "is_shopping": interest in _SHOPPING,
        }
        for interest in INTERESTS
    ]


def _deletion_rows(seed: int, world: World) -> list[Row]:
    """A few of each kind, in the log's last days; never a pin that was judged."""
    rng = stream(seed, "deletions")
    judged = {pair.pin for pair in world.judged}
    groups = {
        "pin": [pin.pin_id for i, pin in enumerate(world.pins) if i not in judged],
        "board": [board.board_id for board in world.boards],
        "user": [user.user_hash for user in world.users],
    }
    return [
        {"kind": kind, "id": str(chosen), "deleted_at": END - timedelta(days=1 + 9 * float(rng.random()))}
        for kind, ids in groups.items()
        for chosen in sorted(rng.choice(ids, min(_DELETED_OF_A_KIND, len(ids)), replace=False))
    ]


def truth_tables(world: World) -> dict[str, pa.Table]:
    """What pins show, what queries want, how relevant the judged pairs truly are. Only for simulations."""
    pins: list[Row] = [
        {"pin_id": pin.pin_id, **pin.scene._asdict(), "interest": pin.interest, "styles": list(pin.styles)}
        | {"lang": pin.lang, "quality": pin.quality, "popularity": pin.popularity}
        for pin in world.pins
    ]
    queries: list[Row] = [{"query": query.text, "lang": query.lang, **asdict(query.want)} for query in world.queries]
    levels = true_level(world.engine.relevance)
    pairs: list[Row] = [
        {
            "query": world.queries[pair.query].text,
            "pin_id": world.pins[pair.pin].pin_id,
            "relevance": float(world.engine.relevance[pair.query, pair.pin]),
            "true_level": int(levels[pair.query, pair.pin]),
        }
        for pair in world.judged
    ]
    found = {"pins": pins, "queries": queries, "judged_pairs": pairs}
    return {name: pa.Table.from_pylist(rows) for name, rows in found.items()}
