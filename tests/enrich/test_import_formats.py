"""Each public format onto pins, engagements and judgments, on files to check by eye; Chorus and UBI for real."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from enrich import parts
from enrich.errors import BadInput
from enrich.importers import Format, ImportReport, import_catalogue, prose_and_levels
from enrich.judgments import run_judgments
from enrich.status import render, status
from enrich.tables import BOARD_PINS, BOARDS, ENGAGEMENTS, JUDGMENT, JUDGMENTS, PINS, Table
from enrich.workspace import Workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    folder.mkdir()
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "fresh")


def rows(workspace: Workspace, table: Table, *columns: str) -> list[tuple]:
    return sorted(parts.scan(workspace.folder(table)).select(columns).collect().rows(), key=repr)


def lines(*records: dict) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_prose_ends_each_text_with_one_stop_and_is_null_where_nothing_is_said():
    frame = pl.DataFrame(
        {"a": ["Toner.", None, " "], "b": [["x", ""], [], []]}, schema_overrides={"b": pl.List(pl.String)}
    )
    assert frame.select(prose_and_levels.prose(pl.col("a"), pl.col("b")))["a"].to_list() == ["Toner. x.", None, None]


@pytest.mark.parametrize(
    ("top", "levels"), [(1, [1, 1, 5]), (2, [1, 1, 3, 5]), (3, [1, 1, 2, 4, 5]), (4, [1, 1, 2, 3, 4, 5])]
)
def test_grades_of_any_scale_reach_from_level_1_to_5(top, levels):
    grades = pl.DataFrame({"grade": [float(grade) for grade in range(-1, top + 1)]})
    assert grades.select(level=prose_and_levels.level_of_grade(pl.col("grade"), top))["level"].to_list() == levels


def test_chorus_products_become_prose_and_ratings_votes(folder, fresh):
    (folder / "products.jsonl").write_text(
        lines(
            {
                "id": "1",
                "name": "006R9",
                "title": "Xerox toner",
                "short_description": "For the C65.",
                "supplier": "Xerox",
                "date_released": "2009-12-10T00:00:00Z",
                "img_500x500": "http://images.test/1.jpg",
                "attr_t_product_type": "Toner",
                "attr_t_printing_colours": "Black,Red",
                "attr_n_package_weight": 4,
                "attr_b_duplex": True,
                "attr_b_fax": False,
            },
            {"id": "2", "name": "Lamp", "title": "Lamp", "supplier": "NGS", "date_released": "2019-01-01T00:00:00Z"},
        )
        + "torn {\n"
    )
    (folder / "broad_query_set_individual_ratings.csv").write_text(
        "query,docid,name,agent_1_rating,agent_2_rating,agent_3_rating\ntoner,1,n,3,2,0\n"
    )
    (folder / "broad_query_set_rated.csv").write_text("query,docid,rating\ntoner,1,3\nlamp,2,2\nlamp,1,7\n")
    report = import_catalogue(Format.CHORUS, folder, fresh)
    assert rows(fresh, PINS, "pin_id", "title", "description", "category", "image_uri", "lang") == [
        (
            "1",
            "Xerox toner",
            "For the C65. 006R9. Product type: Toner. Supplier: Xerox. Printing colours: Black, Red. Features: duplex.",
            "Toner",
            None,
            "en",
        ),
        ("2", "Lamp", "Supplier: NGS.", None, None, "en"),
    ]
    assert rows(fresh, JUDGMENTS, "query", "pin_id", "level", "annotator_id") == [
        ("lamp", "2", 4.0, "rating"),
        ("toner", "1", 1.0, "agent_3_rating"),
        ("toner", "1", 1 + 8 / 3, "agent_2_rating"),
        ("toner", "1", 5.0, "agent_1_rating"),
    ]
    assert {table.table: dict(table.dropped) for table in report.tables} == {
        "pins": {"unreadable-line": 1},
        "judgments": {"missing-level": 1},
    }


@pytest.mark.parametrize("joined", [True, False])
def test_esci_labels_and_locales(joined, folder, fresh):
    products = pl.DataFrame(
        {
            "product_id": ["B1", "B2"],
            "product_title": ["Shoe", "靴"],
            "product_description": ["<b>Red</b>", None],
            "product_brand": ["Acme", None],
            "product_locale": ["us", "jp"],
        }
    )
    examples = pl.DataFrame(
        {
            "query": ["shoe", "shoe", "靴", "靴"],
            "product_id": ["B1", "B1", "B2", "B2"],
            "product_locale": ["us", "us", "jp", "jp"],
            "esci_label": ["E", "Substitute", "C", "i"],
        }
    )
    if joined:
        examples.join(products, on=["product_id", "product_locale"]).write_parquet(folder / "all.parquet")
    else:
        products.write_parquet(folder / "products.parquet")
        examples.write_csv(folder / "examples.csv")
    import_catalogue(Format.ESCI, folder, fresh)
    assert rows(fresh, PINS, "pin_id", "title", "description", "lang") == [
        ("B1@us", "Shoe", "<b>Red</b>. Brand: Acme.", "en"),
        ("B2@jp", "靴", None, "ja"),
    ]
    assert rows(fresh, JUDGMENTS, "query", "pin_id", "level") == [
        ("shoe", "B1@us", 4.0),
        ("shoe", "B1@us", 5.0),
        ("靴", "B2@jp", 1.0),
        ("靴", "B2@jp", 2.0),
    ]


def test_wands_is_separated_by_tabs(folder, fresh):
    (folder / "product.csv").write_text(
        "product_id\tproduct_name\tproduct_class\tcategory hierarchy\tproduct_description\tproduct_features\n"
        '7\tSolid bed\tBeds\tFurniture / Beds\tA 5" thick bed, oak\tcolor:brown|wood : oak\n'
    )
    (folder / "query.csv").write_text("query_id\tquery\tquery_class\n0\toak bed\tBeds\n")
    (folder / "label.csv").write_text(
        "id\tquery_id\tproduct_id\tlabel\n0\t0\t7\tPartial\n1\t5\t7\tExact\n2\t0\t7\tExact\n"
    )
    report = import_catalogue(Format.WANDS, folder, fresh)
    assert rows(fresh, PINS, "pin_id", "title", "description", "category") == [
        ("7", "Solid bed", 'A 5" thick bed, oak. Class: Beds. color: brown. wood: oak.', "Furniture / Beds")
    ]
    assert rows(fresh, JUDGMENTS, "query", "pin_id", "level") == [("oak bed", "7", 3.0), ("oak bed", "7", 5.0)]
    assert report.tables[1].dropped == {"missing-query": 1}


def ubi_event(action: str, pin: str, position: object, **rest: object) -> dict:
    attributes = {"object": {"object_id": pin, "description": f"a {pin}"}, "position": position}
    return {
        "action_name": action,
        "query_id": "q1",
        "timestamp": "2025-01-01T00:00:00Z",
        "event_attributes": attributes,
    } | rest


def test_ubi_events_take_their_query_by_id_and_a_position_of_either_shape(folder, fresh):
    (folder / "bulk.ndjson").write_text(
        lines(
            {"index": {"_index": "ubi_queries"}},
            {"query_id": "q1", "user_query": "shoe", "client_id": "c", "timestamp": 1735689600000},
            {"index": {"_index": "ubi_events"}},
            ubi_event("impression", "B1", {"ordinal": 0}),
            ubi_event("add_to_cart", "B2", 2, client_id="c9"),
            ubi_event("click", "B2", None, user_query="boot"),
            ubi_event("click", "B2", {"ordinal": 1}, query_id="unknown"),
            {"action_name": "search", "query_id": "q1", "timestamp": 1735689600000, "event_attributes": None},
        )
    )
    ratings = [{"docId": "B1", "rating": "100.000"}, {"docId": "B3", "rating": 1}]
    (folder / "labels.json").write_text(json.dumps({"judgmentRatings": [{"query": "shoe", "ratings": ratings}]}))
    report = import_catalogue(Format.UBI, folder, fresh)
    assert rows(fresh, ENGAGEMENTS, "query", "pin_id", "event", "position", "user_hash") == [
        ("boot", "B2", "click", None, "c"),
        ("shoe", "B1", "impression", 1, "c"),
        ("shoe", "B2", "save", 3, "c9"),
    ]
    assert rows(fresh, PINS, "pin_id", "title") == [("B1", "a B1"), ("B2", "a B2"), ("B3", None)]
    assert rows(fresh, JUDGMENTS, "query", "pin_id", "level") == [("shoe", "B1", 5.0), ("shoe", "B3", 2.0)]
    assert report.tables[1].dropped == {"missing-query": 1}
    assert report.notes[0] == "1 events are about no object and left out: search 1"


def test_a_session_stands_in_for_the_client_that_ubi_does_not_name(folder, fresh):
    """The event's own client, else the query's, else the session of either."""
    (folder / "bulk.ndjson").write_text(
        lines(
            {"query_id": "q1", "user_query": "shoe", "timestamp": 1735689600000},
            {"query_id": "q2", "user_query": "hat", "session_id": "s2", "timestamp": 1735689600000},
            {"query_id": "q3", "user_query": "cap", "session_id": "s3", "client_id": "c3", "timestamp": 1735689600000},
            ubi_event("click", "B1", 1, session_id="s1"),
            ubi_event("click", "B2", 1, query_id="q2"),
            ubi_event("click", "B3", 1, query_id="q3", session_id="s1"),
            ubi_event("click", "B4", 1),
        )
    )
    report = import_catalogue(Format.UBI, folder, fresh)
    assert sorted(rows(fresh, ENGAGEMENTS, "pin_id", "user_hash")) == [
        ("B1", "session:s1"), ("B2", "session:s2"), ("B3", "c3"), ("B4", None),
    ]  # fmt: skip
    assert report.notes[0] == "2 events name no client: their sessions stand in for users"


def test_an_unknown_action_about_an_object_is_an_unknown_event(folder, fresh):
    known = [ubi_event("click", f"B{nth}", 1, user_query="shoe") for nth in range(3)]
    (folder / "bulk.ndjson").write_text(lines(*known, ubi_event("Item Hover", "B9", 1)))
    report = import_catalogue(Format.UBI, folder, fresh)
    assert report.tables[1].dropped == {"unknown-event": 1}
    assert report.notes[0] == "1 events have an unknown action: Item Hover 1"
    assert [pin for (pin,) in rows(fresh, PINS, "pin_id")] == ["B0", "B1", "B2"]


def test_ubi_parquet_gives_what_ndjson_gives(folder, fresh):
    pl.DataFrame([ubi_event("click", "B1", {"ordinal": 4}, user_query="shoe")]).write_parquet(folder / "events.parquet")
    import_catalogue(Format.UBI, folder, fresh)
    assert rows(fresh, ENGAGEMENTS, "query", "pin_id", "event", "position") == [("shoe", "B1", "click", 4)]


def test_what_ubi_leaves_empty_is_not_said(folder, fresh):
    """No query, client or session is called "": of two that have none, neither is the other's."""
    said = {"timestamp": "2025-01-01T00:00:00Z"}
    (folder / "bulk.ndjson").write_text(
        lines(
            {"query_id": "", "user_query": "cats", "client_id": "c1"} | said,
            {"query_id": "", "user_query": "dogs", "client_id": "c2"} | said,
            {"query_id": "q1", "user_query": "shoe"} | said,
            ubi_event("click", "B1", 1, query_id=""),
            ubi_event("click", "B2", 1, client_id="", user_id="u9"),
            ubi_event("click", "B3", 1, client_id=" \t", session_id="s1"),
            ubi_event("click", "B4", "", user_query="", client_id="c4"),
            ubi_event("click", "B5", 1, client_id="", user_id=""),
        )
    )
    report = import_catalogue(Format.UBI, folder, fresh)
    assert sorted(rows(fresh, ENGAGEMENTS, "pin_id", "query", "position", "user_hash")) == [
        ("B2", "shoe", 1, "u9"), ("B3", "shoe", 1, "session:s1"), ("B4", "shoe", None, "c4"), ("B5", "shoe", 1, None),
    ]  # fmt: skip
    assert report.tables[1].dropped == {"missing-query": 1} and not report.tables[1].blanked
    assert report.notes[0] == "1 events name no client: their sessions stand in for users"
    assert "2 queries have no words or no query_id: no event finds them" in report.notes


def test_judgments_of_an_empty_document_are_of_none(folder, fresh):
    ratings = [{"docId": pin, "rating": "100"} for pin in ("B1", "B2", "B3", " ")]
    (folder / "labels.json").write_text(json.dumps({"judgmentRatings": [{"query": "shoe", "ratings": ratings}]}))
    report = import_catalogue(Format.UBI, folder, fresh)
    assert [table.dropped for table in report.tables] == [{}, {}, {"missing-pin_id": 1}]


def test_each_bad_line_of_ubi_is_counted(folder, fresh):
    """Bulk's own lines, and a query without words, are no bad ones."""
    known = [ubi_event("click", f"B{nth}", 1, user_query="shoe") for nth in range(12)]
    bad = [[1, 2], {"x": 1}, {}, None, "click", {"index": 3}, {"event_attributes": {"position": 1}, "query_id": "q1"}]
    (folder / "bulk.ndjson").write_text(
        lines(
            {"index": {"_index": "ubi_events"}},
            {"create": {}},
            {"query_id": "q7", "user_query": "", "timestamp": 1735689600000},
            *known,
            ubi_event(None, "B9", 1),
            ubi_event(" ", "B9", 1, user_query="shoe"),
            *bad,
        )
        + "{cut"
    )
    report = import_catalogue(Format.UBI, folder, fresh)
    assert report.tables[1].dropped == {"missing-event": 2, "unreadable-line": len(bad) + 1}
    assert report.tables[1].kept == 12
    assert {pin for (pin,) in rows(fresh, PINS, "pin_id")} == {f"B{nth}" for nth in range(12)}
    assert "1 queries have no words or no query_id: no event finds them" in report.notes


@pytest.mark.parametrize(
    ("suffix", "bad", "said"),
    [
        ("ndjson", [1, 2], "unreadable-line 3"),
        ("ndjson", {"sku": 1, "title": "shoe"}, "unreadable-line 3"),
        ("ndjson", ubi_event(None, "B9", 1), "missing-event 3"),
        ("parquet", {"sku": 1, "title": "shoe"}, "unreadable-line 3"),
        ("parquet", ubi_event(None, "B9", 1), "missing-event 3"),
    ],
)
def test_a_file_of_ubi_that_is_mostly_bad_is_named(suffix, bad, said, folder, fresh):
    """However many good lines the files beside it have."""
    good = [ubi_event("click", f"B{nth}", 1, user_query="shoe") for nth in range(9)]
    (folder / "events.ndjson").write_text(lines(*good))
    if suffix == "ndjson":
        (folder / "other.ndjson").write_text(lines(good[0], bad, bad, bad))
    else:
        pl.DataFrame([good[0], bad, bad, bad], infer_schema_length=None).write_parquet(folder / "other.parquet")
    with pytest.raises(BadInput, match=rf"other\.{suffix}: .* found 3 of 4 rows bad .{said}.; is this") as raised:
        import_catalogue(Format.UBI, folder, fresh)
    assert "\n" not in str(raised.value)


def test_a_position_that_says_nothing_hides_no_zero(folder, fresh):
    """Some logs write -1 where they know none: ordinals still count from 0."""
    events = [ubi_event("click", f"B{n}", {"ordinal": n}, user_query="shoe") for n in (-1, 0, 1)]
    (folder / "bulk.ndjson").write_text(lines(*events))
    report = import_catalogue(Format.UBI, folder, fresh)
    assert sorted(rows(fresh, ENGAGEMENTS, "pin_id", "position")) == [("B-1", None), ("B0", 1), ("B1", 2)]
    assert report.tables[1].blanked == {"impossible-position": 1}


def test_what_hides_in_a_folder_of_ubi_is_not_read(folder, fresh):
    (folder / "bulk.ndjson").write_text(lines(ubi_event("click", "B1", 1, user_query="shoe")))
    ratings = json.dumps({"judgmentRatings": [{"query": "shoe", "ratings": [{"docId": "B2", "rating": "100"}]}]})
    for name in ("_temporary/0/labels.json", ".trash/labels.json", "._labels.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(ratings)
    import_catalogue(Format.UBI, folder, fresh)
    assert rows(fresh, PINS, "pin_id") == [("B1",)]


TREC_TOPICS = "<top>\n<num> Number: 301\n<title> steel bridge \n<desc> Description:\n</top>\n<top><num>302</num></top>"


@pytest.mark.parametrize(("name", "text"), [("topics.txt", TREC_TOPICS), ("queries.tsv", '301\tsteel bridge\n9\t"a\n')])
@pytest.mark.parametrize("corpus", ["jsonl", "tsv"])
def test_trec_topics_qrels_and_corpus(name, text, corpus, folder, fresh):
    if corpus == "jsonl":
        (folder / "corpus.jsonl").write_text(lines({"docno": "D1", "text": 'a "bridge'}, {"docno": "D2", "text": "b"}))
    else:
        (folder / "collection.tsv").write_text('D1\ta "bridge\nD2\tb\n')
    (folder / name).write_text(text)
    (folder / "qrels.txt").write_text("301 0 D1 2\n301\t0\tD2  1\n301 0 D2 -2\n999 0 D1 1\nbroken\n")
    report = import_catalogue(Format.TREC, folder, fresh)
    assert rows(fresh, PINS, "pin_id", "description") == [("D1", 'a "bridge'), ("D2", "b")]
    assert rows(fresh, JUDGMENTS, "query", "pin_id", "level") == [
        ("steel bridge", "D1", 5.0),
        ("steel bridge", "D2", 1.0),
        ("steel bridge", "D2", 3.0),
    ]
    judged = report.tables[1]
    assert judged.dropped["missing-query"] == 2
    assert "grade 2 (the highest found) is 5" in report.notes[0]


def test_esci_examples_of_a_locale_without_products_are_of_no_product(folder, fresh):
    """jp's B1 is another thing than the B1 of us, the only locale that products are of; without one it may be."""
    (folder / "products.csv").write_text("product_id,product_title,product_locale\nB1,Red lamp,us\n")
    (folder / "examples.csv").write_text(
        "query,product_id,esci_label,product_locale\nlamp,B1,E,us\nランプ,B1,I,jp\ntorch,B1,S,\n"
    )
    report = import_catalogue(Format.ESCI, folder, fresh)
    assert rows(fresh, JUDGMENTS, "query", "pin_id", "level") == [("lamp", "B1", 5.0), ("torch", "B1", 4.0)]
    assert "judgments: 1 are of locales that no product is of, and were left out" in report.notes


@pytest.mark.parametrize("more", ["", "\n", "  \n\n", "1\n"])
def test_a_blank_or_broken_line_leaves_trec_levels_as_they_are(more, folder, fresh):
    (folder / "corpus.jsonl").write_text(lines({"_id": "d1", "text": "a"}, {"_id": "d2", "text": "b"}))
    (folder / "topics.tsv").write_text("1\toak table\n")
    (folder / "qrels.txt").write_text(f"1 level d1 1\n{more}1 level d2 4\n")
    report = import_catalogue("trec", folder, fresh)
    assert rows(fresh, JUDGMENTS, "pin_id", "level") == [("d1", 1.0), ("d2", 4.0)]
    assert report.tables[1].dropped.total() == more.count("1")


def test_beir_qrels_of_every_split(folder, fresh):
    (folder / "corpus.jsonl").write_text(lines({"_id": "d1", "title": "t", "text": "x", "metadata": {}}))
    (folder / "queries.jsonl").write_text(lines({"_id": "q1", "text": "bridge"}))
    (folder / "qrels").mkdir()
    for split, grade in (("test", 1), ("train", 0)):
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\nq1\td1\t{grade}\n")
    import_catalogue(Format.BEIR, folder, fresh)
    assert rows(fresh, PINS, "pin_id", "title", "description") == [("d1", "t", "x")]
    assert rows(fresh, JUDGMENTS, "query", "pin_id", "level") == [("bridge", "d1", 1.0), ("bridge", "d1", 5.0)]


@pytest.mark.parametrize("format", [f for f in Format if f not in (Format.SAMPLE, Format.NATIVE)])
def test_a_folder_without_the_formats_files_says_what_it_needs(format, folder, fresh):
    (folder / "notes.md").write_text("nothing to import")
    with pytest.raises(BadInput, match=r"expected .*, found .*check the path"):
        import_catalogue(format, folder, fresh)
    assert not fresh.root.exists()


def test_the_real_chorus_catalogue_has_the_levels_its_readme_says(shared_data, fresh):
    report = import_catalogue(Format.CHORUS, shared_data / "chorus", fresh)
    assert {table.table: (table.kept, dict(table.dropped)) for table in report.tables} == {
        "pins": (19_406, {}),
        "judgments": (3 * 3_188 + 480, {}),
    }
    run_judgments(fresh)
    pairs = parts.latest(fresh.folder(JUDGMENT), JUDGMENT)
    rated_by_three = pairs.filter(pl.col("votes").list.len() == 3)
    histogram = rated_by_three.group_by("level").len().sort("level")["len"].to_list()
    assert (pairs.height, histogram) == (3_668, [1_300, 312, 114, 234, 1_228])
    assert ImportReport.load(fresh) == report


def test_real_ubi_events_and_labels(shared_data, fresh):
    report = import_catalogue(Format.UBI, shared_data / "ubi", fresh)
    counts = {table.table: (table.kept, dict(table.dropped)) for table in report.tables}
    assert counts["engagements"] == (2_406, {"missing-query": 136, "unknown-event": 196})
    assert counts["judgments"] == (6_678, {})


def test_titled_lists_are_boards_and_their_links_pins(folder, fresh):
    (folder / "books.jsonl").write_text(
        lines(
            {
                "file": "en.md",
                "lang": "en",
                "board": "Python",
                "title": "Dive in",
                "url": "http://a.test",
                "note": "PDF",
            },
            {"file": "en.md", "lang": "en", "board": "Python", "title": "Dive in again", "url": "http://a.test"},
            {"file": "en.md", "lang": "en", "board": "Beginners", "title": "Dive in", "url": "http://a.test"},
            {"file": "ja.md", "lang": "ja", "board": "Python", "title": "入門", "url": "http://b.test"},
            {"file": "ja.md", "lang": "ja", "board": "Python", "title": "no link"},
        )
        + "torn {\n"
    )
    (folder / "apps.jsonl").write_text(
        lines(
            {
                "name": "Wiki",
                "website_url": "http://w.test",
                "description": "Notes.",
                "tags": ["Wikis", "Notes", "Wikis"],
            },
            {"name": "Alone", "website_url": "http://x.test", "tags": []},
            {"name": "[Odd", "website_url": "http://y.test", "board": "[sic"},
        )
    )
    report = import_catalogue(Format.LISTS, folder, fresh)
    assert rows(fresh, BOARDS, "title") == [("Beginners",), ("Notes",), ("Python",), ("Python",), ("Wikis",), ("[sic",)]
    titles = parts.scan(fresh.folder(PINS)).select("pin_id", pin="title", link="link_url")
    named = parts.scan(fresh.folder(BOARDS)).select("board_id", board="title")
    saves = parts.scan(fresh.folder(BOARD_PINS)).join(titles, on="pin_id").join(named, on="board_id").collect()
    assert sorted(saves.select("board", "pin").rows()) == [
        ("Beginners", "Dive in"), ("Notes", "Wiki"), ("Python", "Dive in"), ("Python", "入門"), ("Wikis", "Wiki"),
        ("[sic", "[Odd"),
    ]  # fmt: skip
    assert rows(fresh, PINS, "title", "description", "lang") == [
        ("Alone", None, None), ("Dive in", "PDF", "en"), ("Wiki", "Notes.", None), ("[Odd", None, None),
        ("入門", None, "ja"),
    ]  # fmt: skip
    counted = {table.table: dict(table.dropped) for table in report.tables}
    assert counted == {
        "pins": {"missing-pin_id": 1, "unreadable-line": 1}, "boards": {},
        "board_pins": {"missing-pin_id": 1, "duplicate": 1},
    }  # fmt: skip
    assert report.notes[0] == "1 entries are on no list"


def test_markdowns_backslashes_are_no_part_of_a_list(folder, fresh):
    (folder / "books.jsonl").write_text(
        lines(
            {"board": r"C\#", "title": r"Rust \| Book \[PDF\]", "url": "http://a.test", "note": r"C:\dir"},
            {"tags": [r"C\#", "C#", 'say "C"'], "title": "Dive in", "url": "http://b.test"},
        )
    )
    import_catalogue(Format.LISTS, folder, fresh)
    assert rows(fresh, BOARDS, "title") == [("C#",), ('say "C"',)]
    assert rows(fresh, PINS, "title", "description") == [("Dive in", None), ("Rust | Book [PDF]", r"C:\dir")]


def test_the_real_lists_have_the_boards_their_readme_says(shared_data, fresh):
    report = import_catalogue(Format.LISTS, shared_data / "lists", fresh)
    kept = {table.table: table.kept for table in report.tables}
    assert kept["boards"] == 2_274 + 84
    assert (kept["pins"], kept["board_pins"]) == (11_875, 10_707 + 1_419)
    shown = render(status(fresh))
    for table in report.tables:
        assert f"{table.kept:,}" in shown and all(
            f"dropped {reason}: {n:,}" in shown for reason, n in table.dropped.items()
        )


@pytest.mark.parametrize(
    ("qrels", "words"),
    [
        ("1 0 d1\n1 0 d2\n", "grades above 0"),
        ("1 0 d1 good\n1 0 d2 bad\n", "grades above 0"),
        ("1 0 d1 0\n1 0 d2 0\n", "grades above 0"),
        ("1 0 d1 2\n1 0 d2\n1 0\n", "2 of 3 rows bad"),
        ("9 0 d1 2\n9 0 d2 1\n", "missing-query 2"),
        ("1 level d1 7\n1 level d2 9\n", "outside-1-5-level 2"),
        ("1 level d1 1\n1 0 d2 5\n", "'level' in all lines of .* found it in 1 of 2"),
        ("", "grades above 0"),
    ],
)
def test_malformed_qrels_are_one_line(folder, fresh, qrels, words):
    (folder / "corpus.jsonl").write_text(lines({"_id": "d1", "text": "a"}, {"_id": "d2", "text": "b"}))
    (folder / "topics.tsv").write_text("1\toak table\n")
    (folder / "qrels.txt").write_text(qrels)
    with pytest.raises(BadInput, match=words) as caught:
        import_catalogue("trec", folder, fresh)
    assert "\n" not in str(caught.value)
    assert not (fresh.root / "workspace.json").exists()
