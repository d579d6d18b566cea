"""Reads the Chorus electronics catalogue: products of Open Icecat, and queries rated 0..3 by people.

    enrich import chorus DIR

reads products.jsonl and, where they are, broad_query_set_individual_ratings.csv (three raters) and
broad_query_set_rated.csv (their verdict).

Levels: a rater's rating r becomes the vote 1 + 4r/3 (1, 2⅓, 3⅔, 5), so that the gold level, the votes' mean half up, is
1 + floor(4m/3 + ½) of the raters' mean m. Where only the final rating is known, 0 → 1, 1 → 2, 2 → 4, 3 → 5.
Image addresses are left out: the pictures are not part of the data, and nothing is to be fetched for each product.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl

from enrich.importers import columns, files, prose_and_levels
from enrich.importers.raw import RawCatalogue, RawTable
from enrich.tables import JUDGMENTS, PINS

RATERS = ("agent_1_rating", "agent_2_rating", "agent_3_rating")
LEVEL_OF_RATING = {0.0: 1.0, 1.0: 2.0, 2.0: 4.0, 3.0: 5.0}
MAX_ATTRIBUTES = 24
MAX_FEATURES = 12
MAX_VALUE = 200  # characters

# Attributes of the parcel, the paperwork and the climate, which nobody searches for.
_BESIDE_THE_POINT = (
    "package|packag|pallet|master_|shipping|temperature|humidity|altitude|dimensions|certif|compliance|country_of_origin|"
    "customs|commodity|voltage|status|stepping|codename|intel_|warranty|manual|guide|drivers"
)
_DESCRIPTION = rf"""
WITH products AS (
    SELECT CASE WHEN json_type(json) = 'OBJECT' THEN CAST(json AS MAP(VARCHAR, VARCHAR)) END AS fields
    FROM read_ndjson_objects($path, ignore_errors=true)
),
attributes AS (
    SELECT fields, list_transform(
        list_filter(map_entries(fields), lambda e: e.value IS NOT NULL AND NOT regexp_matches(e.key, $skip)
            AND e.key != 'attr_t_product_type' AND e.value NOT IN ('Not available', 'Not supported', 'N', 'Y', '')),
        lambda e: {{
            'kind': e.key[1:6],
            'name': replace(regexp_replace(replace(regexp_replace(e.key[8:], '__[a-z0-9_]*_$', ''), '__', '_'),
                    '_(\d)$', ' \1'), '_', ' '),
            'value': left(replace(replace(replace(e.value, '\n', ','), ', ', ','), ',', ', '), {MAX_VALUE})}}
    ) AS found
    FROM products
)
SELECT
    fields IS NULL AS unreadable, fields['id'] AS pin_id, fields['title'] AS title, fields['name'] AS name,
    fields['supplier'] AS supplier, fields['short_description'] AS short_description,
    fields['attr_t_product_type'] AS category,
    fields['date_released'] AS created_at,
    list_transform(list_filter(found, lambda a: a.kind = 'attr_t')[1:{MAX_ATTRIBUTES}],
        lambda a: upper(a.name[1]) || a.name[2:] || ': ' || a.value) AS attributes,
    list_transform(list_filter(found, lambda a: a.kind = 'attr_b' AND a.value = 'true')[1:{MAX_FEATURES}],
        lambda a: a.name) AS features
FROM attributes
"""


def load(path: Path) -> RawCatalogue:
    """Pins and judgments. Raises BadInput when products.jsonl is missing or a file cannot be read."""
    products = files.file_in(path, ["products.jsonl"], "the products")
    pins, unreadable = _pins(products)
    tables = [RawTable(PINS, pins, str(products), unreadable)]
    individual, rated = path / "broad_query_set_individual_ratings.csv", path / "broad_query_set_rated.csv"
    if individual.is_file() or rated.is_file():
        tables.append(_judgments(individual, rated))
    return RawCatalogue(
        tuple(tables),
        (
            "no images: the products' image addresses are left out, for the pictures are not part of the data",
            "levels: a rating r of 0..3 is the vote 1 + 4r/3; where only a final rating is, 0, 1, 2, 3 are 1, 2, 4, 5",
        ),
    )


def _pins(products: Path) -> tuple[pl.LazyFrame, int]:
    connection = duckdb.connect()
    try:
        rows = connection.sql(_DESCRIPTION, params={"path": str(products), "skip": _BESIDE_THE_POINT}).pl()
    except duckdb.Error as error:
        raise files.unreadable(products, "JSON lines of products", error) from error
    told = pl.concat_str("title", "short_description", separator=" ", ignore_nulls=True)
    name = pl.when(~told.str.contains(pl.col("name"), literal=True)).then(pl.col("name"))
    features = pl.when(pl.col("features").list.len() > 0).then(
        pl.lit("Features: ") + pl.col("features").list.join(", ")
    )
    described = prose_and_levels.prose(
        pl.col("short_description"),
        name,
        pl.lit("Product type: ") + pl.col("category"),
        pl.lit("Supplier: ") + pl.col("supplier"),
        pl.col("attributes"),
        features,
    )
    pins = (
        rows.lazy()
        .filter(~pl.col("unreadable"))
        .select("pin_id", "title", "category", "created_at", description=described, lang=pl.lit("en"))
    )
    return pins, int(rows["unreadable"].sum())


def _judgments(individual: Path, rated: Path) -> RawTable:
    pair = ["query", "docid"]
    frames, unreadable = [], 0
    if individual.is_file():
        scanned = files.scan(individual)
        unreadable += scanned.unreadable
        votes = files.need(scanned, individual, [*pair, *RATERS]).unpivot(
            RATERS, index=pair, variable_name="annotator_id", value_name="rating"
        )
        frames.append(votes.with_columns(level=1 + 4 * _rating() / 3))
    if rated.is_file():
        scanned = files.scan(rated)
        unreadable += scanned.unreadable
        single = files.need(scanned, rated, [*pair, "rating"])
        if frames:
            single = single.join(frames[0].select(pair).unique(), on=pair, how="anti")
        level = _rating().replace_strict(LEVEL_OF_RATING, default=None, return_dtype=pl.Float64)
        frames.append(single.select(*pair, "rating", annotator_id=pl.lit("rating"), level=level))
    wanted = [pl.col("query"), pl.col("docid").alias("pin_id"), "level", "annotator_id", pl.lit("en").alias("lang")]
    return RawTable(JUDGMENTS, pl.concat([f.select(wanted) for f in frames]), str(individual.parent), unreadable)


def _rating() -> pl.Expr:
    return columns.number(pl.col("rating"), pl.String())
