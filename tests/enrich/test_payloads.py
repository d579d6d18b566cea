"""The packed payload: what goes in comes out, damage is found, and nothing is read that was not written."""

from __future__ import annotations

import hashlib
import sys
import zlib
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.normalise import signs, terms
from enrich.payload import NEVER, body_of, content_hash, widen
from enrich.pin_packing import pack_pins
from enrich.pin_payload import ENGAGEMENT_COLUMNS, TEXT_FIELDS, HeldVectors, Wanted, unpack_pins
from enrich.query_payload import MAX_PAIRS, PAIR_COLUMNS, QueryValues, pack_query, unpack_query
from enrich.term_ids import MAX_CHARACTERS, Terms, term_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PINS = pl.DataFrame({
    "title": ["Red shoes, red laces", None, ""],
    "description": ["Canvas", None, None],
    "link_title": ["Shop", None, None],
    "link_description": ["Red things", None, None],
    "board_titles": [["My shoes", "Red"], None, []],
    "engaged_queries": [None, None, ["red shoes"]],
    "text_embedding": [[0.6, 0.8], None, [1.0, 0.0]],
    "graph_embedding": [[0.5, 0.5, 0.5, 0.5], None, None],
    "impressions_30d": [7, None, None],
    "click_rate_30d": [0.25, None, None],
    "lang": ["en", None, "pt"],
    "shoe_size": [38, 39, 40],
})  # fmt: skip


def row(field: Terms, pin: int) -> dict[int, int]:
    span = slice(field.offsets[pin], field.offsets[pin + 1])
    return dict(zip(field.ids[span].tolist(), field.counts[span].tolist(), strict=True))


def test_a_pin_comes_back_as_it_went_in():
    pins = unpack_pins(pack_pins(PINS))
    fields = dict(zip(TEXT_FIELDS, pins.terms, strict=True))
    assert pins.present.all() and not pins.corrupt.any() and len(pins) == 3
    assert row(fields["title"], 0) == {term_id("red"): 2, term_id("shoes"): 1, term_id("laces"): 1}
    assert row(fields["link"], 0) == {term_id("shop"): 1, term_id("red"): 1, term_id("things"): 1}
    assert row(fields["boards"], 0) == {term_id("my"): 1, term_id("shoes"): 1, term_id("red"): 1}
    assert row(fields["queries"], 2) == {term_id("red"): 1, term_id("shoes"): 1}
    assert pins.lengths.tolist() == [[4, 1, 0, 3, 3, 0], [0] * 6, [0, 0, 0, 0, 0, 2]]
    assert pins.text_embedding == pytest.approx(np.array([[0.6, 0.8], [0, 0], [1, 0]]), abs=4e-3)
    assert pins.has_text_embedding.tolist() == [True, False, True]
    assert pins.graph_embedding.shape == (3, 4) and pins.visual_embedding.shape == (3, 0)
    assert pins.engagement[0, ENGAGEMENT_COLUMNS.index("impressions_30d")] == 7
    assert pins.engagement[0, ENGAGEMENT_COLUMNS.index("click_rate_30d")] == 0.25
    assert pins.has_engagement.tolist() == [True, False, False]
    assert pins.langs.tolist() == ["en", "", "pt"]


def test_trigrams_are_of_title_description_and_caption_with_blanks_around_terms():
    pins = unpack_pins(pack_pins(pl.DataFrame({"title": ["Été"], "caption": ["a"], "board_titles": [["xyz"]]})))
    trigrams = row(pins.trigrams, 0)
    assert set(trigrams) == {term_id("\0" + gram) for gram in (" et", "ete", "te ", " a ")}


def test_a_pin_is_read_the_same_alone_and_among_others():
    payloads = pack_pins(PINS)
    among = unpack_pins([None, payloads[2], b"", payloads[0]])
    alone = unpack_pins([payloads[0]])
    assert among.present.tolist() == [False, True, False, True]
    assert among.corrupt.tolist() == [False, False, True, False]
    for k in range(len(TEXT_FIELDS)):
        assert row(among.terms[k], 3) == row(alone.terms[k], 0)
    assert (among.text_embedding[3] == alone.text_embedding[0]).all()
    assert (among.engagement[3] == alone.engagement[0]).all() and among.lengths[3].tolist() == [4, 1, 0, 3, 3, 0]
    assert not among.lengths[0].any() and not among.has_engagement[[0, 1, 2]].any()


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_found(at: int, change: int):
    payload = bytearray(pack_pins(PINS)[0])
    payload[at % len(payload)] ^= change
    assert unpack_pins([bytes(payload)]).corrupt.tolist() == [True]


@given(st.integers(0, 10_000))
def test_any_truncation_is_found(at: int):
    payload = pack_pins(PINS)[0]
    assert unpack_pins([payload[: at % len(payload)]]).corrupt.tolist() == [True]


def test_a_query_payload_is_no_pin_and_a_pin_payload_no_query():
    assert unpack_pins([pack_query(QueryValues())]).corrupt.tolist() == [True]
    assert not unpack_query(pack_pins(PINS)[0], "red").known


def test_a_vector_of_another_length_counts_as_absent():
    rows = pl.DataFrame({"text_embedding": [[1.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.8]]})
    pins = unpack_pins(pack_pins(rows))
    assert pins.text_embedding.shape == (3, 2)
    assert pins.has_text_embedding.tolist() == [True, False, True] and not pins.text_embedding[1].any()


def test_what_is_packed_of_a_long_text_is_bounded():
    long = " ".join(f"word{i}" for i in range(100_000))
    (payload,) = pack_pins(pl.DataFrame({"description": [long]}))
    assert len(payload) < 10 * MAX_CHARACTERS
    assert 0 < unpack_pins([payload]).lengths[0, 1] <= MAX_CHARACTERS


def test_no_pins_and_pins_without_any_column_are_fine():
    assert pack_pins(PINS.clear()) == [] and len(unpack_pins([])) == 0
    assert unpack_pins(pack_pins(PINS.select("shoe_size"))).present.all()
    nothing = unpack_pins([None] * 2)
    assert not nothing.present.any() and nothing.langs.tolist() == ["", ""]


def test_the_hash_is_of_what_is_said_not_of_when_it_could_be_known():
    times = pl.Series("created_timestamp", [1, 2, 3]).cast(pl.Datetime("us", "UTC"))
    now, later = pack_pins(PINS.with_columns(times)), pack_pins(PINS.with_columns(times + pl.duration(days=1)))
    assert now != later and [content_hash(p) for p in now] == [content_hash(p) for p in later]
    assert len({content_hash(p) for p in now}) == 3
    assert unpack_pins(now).created_us.tolist() == [1, 2, 3]


words = st.text(alphabet="abcé 你好ー,.", max_size=40)


@given(st.lists(st.tuples(st.none() | words, st.none() | st.lists(words, max_size=3)), max_size=5))
@settings(max_examples=50)
def test_counts_are_those_of_the_terms(rows: list[tuple[str | None, list[str] | None]]):
    frame = pl.DataFrame(rows, schema={"title": pl.String, "board_titles": pl.List(pl.String)}, orient="row")
    pins = unpack_pins(pack_pins(frame))
    for i, (title, boards) in enumerate(rows):
        for k, texts in ((0, [title or ""]), (4, boards or [])):
            found = [term for text in texts for term in (*terms(text), *signs(text))]
            assert row(pins.terms[k], i) == {term_id(term): found.count(term) for term in found}
            assert pins.lengths[i, k] == sum(len(terms(text)) for text in texts)


def test_texts_with_spaces_are_packed_as_before_there_were_signs():
    """The digest is of what version 3 wrote."""
    texts = ["Écharpe BLEUE, 2-ply", "Красная лампа", "빨간 의자 꽃", "طاولة خشب", "लकड़ी की मेज़", "a b 😀 №5", None]
    frame = pl.DataFrame({"title": texts, "caption": texts[::-1], "board_titles": [[text, "x"] for text in texts]})
    bodies = b"".join(map(body_of, pack_pins(frame)))
    assert hashlib.sha256(bodies).hexdigest()[:16] == "5e525a8ec7195a7f"


def test_a_query_comes_back_as_it_went_in():
    values = QueryValues([0.6, 0.8], ["shoes", "été"], 0.5, "en", 12)
    rates = np.arange(2 * len(PAIR_COLUMNS), dtype=np.float32).reshape(2, -1)
    query = unpack_query(pack_query(values, ["b", "a"], rates), "red shoes")
    assert query.known and query.interests == ("shoes", "été") and query.lang == "en" and query.frequency == 12
    assert query.embedding == pytest.approx(np.array([0.6, 0.8]), abs=1e-3) and query.shopping_intent == 0.5
    found, has = query.rates_of(["a", "unseen", "b"])
    assert has.tolist() == [True, False, True]
    assert (found[[0, 2]] == rates[[1, 0]]).all() and not found[1].any()
    assert set(query.terms) == {term_id("red"), term_id("shoes")}


def test_an_unknown_query_still_has_its_terms():
    query = unpack_query(None, "red")
    assert not query.known and query.embedding is None and query.terms.tolist() == [term_id("red")]
    assert not query.rates_of(["a"])[1].any() and query.rates_of([])[0].shape == (0, len(PAIR_COLUMNS))


def test_of_too_many_pairs_the_most_shown_are_kept():
    n = MAX_PAIRS + 2
    rates = np.zeros((n, len(PAIR_COLUMNS)), np.float32)
    rates[:, 0] = np.arange(n)
    pins = [str(i) for i in range(n)]
    assert (
        unpack_query(pack_query(QueryValues(), pins, rates), "q").rates_of(pins)[1].tolist()
        == [False] * 2 + [True] * MAX_PAIRS
    )


def resealed(version: int, body: bytes, payload: bytes) -> bytes:
    """The payload as that version would have sealed that body."""
    whole = payload[:2] + bytes([version]) + payload[3:12] + body
    return whole + zlib.crc32(whole).to_bytes(4, "little")


def version_2(pin: bytes, vectors: list[list[float] | None]) -> bytes:
    """A pin as version 2 wrote it: no scales and key (20 bytes after two expiries), the vectors in float16."""
    halves = b"".join(np.array(vector or [], "<f2").tobytes() for vector in vectors)
    head, entries = pin[12 + 16 + 20 : 12 + 74], sum(len(vector or []) for vector in vectors)
    return resealed(2, pin[12:28] + head + halves + pin[12 + 74 + entries : -4], pin)


def version_1(version_2: bytes, expiries: int) -> bytes:
    """A payload without pairs as version 1 wrote it: no expiry (8 bytes each) before the rest of its head."""
    return resealed(1, version_2[12 + 8 * expiries : -4], version_2)


def test_payloads_of_versions_before_are_read_beside_new_ones():
    new = pack_pins(PINS)
    columns = (PINS["text_embedding"].to_list(), [None] * 3, PINS["graph_embedding"].to_list())
    before = [version_2(payload, list(vectors)) for payload, *vectors in zip(new, *columns, strict=True)]
    for head, old in ((54, before), (38, [version_1(payload, 2) for payload in before])):
        mixed, plain = unpack_pins([old[0], *new[1:], old[1][:-1]]), unpack_pins([*new, b"?"])
        assert mixed.present.tolist() == plain.present.tolist() and mixed.corrupt.tolist() == plain.corrupt.tolist()
        assert np.array_equal(mixed.engagement, plain.engagement) and np.array_equal(mixed.langs, plain.langs)
        assert all(np.array_equal(a.ids, b.ids) for a, b in zip(mixed.terms, plain.terms, strict=True))
        assert mixed.text_embedding == pytest.approx(plain.text_embedding, abs=1e-3)
        assert mixed.graph_embedding == pytest.approx(plain.graph_embedding, abs=1e-3)
        assert unpack_pins(old, now=datetime(2200, 1, 1, tzinfo=UTC)).present.all()  # nothing in it expires
        assert content_hash(old[0]) != content_hash(new[0])
        for size in (0, head + 6):  # nothing; half of the vectors
            assert unpack_pins([resealed(old[0][2], old[0][12 : 12 + size], old[0])]).corrupt.tolist() == [True]
    values = QueryValues(embedding=[0.5, 0.5], interests=["home"], lang="en", frequency=3)
    packed = pack_query(values)
    for old_query in (resealed(2, packed[12:-4], packed), version_1(packed, 1)):
        query = unpack_query(old_query, "red")
        assert (query.known, query.interests, query.lang, query.frequency) == (True, ("home",), "en", 3)


def test_a_payload_of_version_3_is_read_as_it_stands():
    """A text's signs are not to be told from its bigrams' ids; those that stand alone were there."""
    payloads = pack_pins(pl.DataFrame({"title": ["red 猫"]})) + pack_pins(PINS)
    for payload in payloads:
        old = resealed(3, payload[12:-4], payload)
        assert row(unpack_pins([old]).terms[0], 0) == row(unpack_pins([payload]).terms[0], 0)
        assert content_hash(old) != content_hash(payload)  # so that it is packed again
        assert unpack_pins([resealed(3, payload[12:20], payload)]).corrupt.tolist() == [True]
    query = pack_query(QueryValues(lang="en"))
    assert unpack_query(resealed(3, query[12:-4], query), "red").lang == "en"
    assert not unpack_query(resealed(3, query[12:20], query), "red").known


def test_a_vectors_entries_are_rounded_to_255_steps_of_its_own():
    vectors = [[0.6, -0.8, 0.1], [1e-3, 2.1e-3, -4e-3], [0.0, 0.0, 0.0], [1e-44, 0.0, 0.0]]
    pins = unpack_pins(pack_pins(pl.DataFrame({"visual_embedding": vectors})))
    expected = [
        [round(0.6 / 0.8 * 127) * 0.8 / 127, -0.8, 16 * 0.8 / 127],  # .1 is 15.9 steps
        [32 * 4e-3 / 127, 67 * 4e-3 / 127, -4e-3],
        [0, 0, 0],
        [0, 0, 0],
    ]
    assert pins.visual_embedding == pytest.approx(np.array(expected), rel=1e-6) and pins.has_visual_embedding.all()


def test_a_vector_that_is_not_finite_counts_as_absent():
    vectors = [[1.0, 2.0], [float("nan"), 1.0], None, [float("-inf"), 1.0], [3.0, 4.0]]
    pins = unpack_pins(pack_pins(pl.DataFrame({"visual_embedding": vectors})))
    assert pins.has_visual_embedding.tolist() == [True, False, False, False, True] and pins.present.all()
    assert pins.visual_embedding[[0, 4]] == pytest.approx(np.array([[1, 2], [3, 4]]), abs=0.02)


def test_vectors_are_the_same_floats_with_torch_and_without(monkeypatch):
    """Also where they lie at any step from each other."""
    table = np.zeros(5, [("scales", "<f4", (3,)), ("values", "i1", (9,))])
    table["scales"], table["values"] = np.random.default_rng(0).random((5, 3)), np.arange(45).reshape(5, 9) - 20
    found = widen(table["values"][:, 2:7], table["scales"][:, 1])
    monkeypatch.setitem(sys.modules, "torch", None)
    assert np.array_equal(widen(table["values"][:, 2:7], table["scales"][:, 1]), found) and found.any()


def test_a_pin_is_found_among_a_querys_pairs_by_its_payload_or_by_its_id():
    told = pack_pins(pl.DataFrame({"pin_id": ["a", "b"], "title": ["x", "y"]}))
    (untold,) = pack_pins(pl.DataFrame({"title": ["z"]}))
    rates = np.arange(2 * len(PAIR_COLUMNS), dtype=np.float32).reshape(2, -1)
    query = unpack_query(pack_query(QueryValues(), ["b", "c"], rates), "red")
    ids = ["a", "b", "c", "d"]
    found, has = query.rates_of(ids, unpack_pins([*told, untold, None]).keys)
    assert has.tolist() == [False, True, True, False] and np.array_equal(found, query.rates_of(ids)[0])
    assert found[1].tolist() == rates[0].tolist() and found[2].tolist() == rates[1].tolist()


def test_vectors_are_held_as_they_are_unpacked():
    payloads = [*pack_pins(PINS), None, b"?", *pack_pins(pl.DataFrame({"text_embedding": [[1.0, 2.0, 3.0]]}))]
    held = HeldVectors.of(payloads, (2, 0, 4)).wide((2, 0, 4))
    pins = unpack_pins(payloads, wanted=Wanted(dimensions=(2, 0, 4)))
    for found, expected in zip(held, (pins.text_embedding, pins.visual_embedding, pins.graph_embedding), strict=True):
        assert np.array_equal(found, expected)


def test_a_version_that_nobody_wrote_is_corrupt():
    for version in (0, 5, 255):
        whole = b"CP" + bytes([version]) + pack_pins(PINS)[0][3:-4]
        payload = whole + zlib.crc32(whole).to_bytes(4, "little")
        assert unpack_pins([payload]).corrupt.tolist() == [True]
    bare = b"CP\x01" + bytes(9)
    assert unpack_pins([bare + zlib.crc32(bare).to_bytes(4, "little")]).corrupt.tolist() == [True]


def test_what_the_log_said_is_left_out_once_it_expired():
    until = datetime(2028, 1, 1, tzinfo=UTC)
    row = {"title": ["chair"], "engaged_queries": [["red chair"]], "saves_30d": [3], "queries_until": [until]}
    payload = pack_pins(pl.DataFrame({**row, "engagement_until": [until + timedelta(days=1)]}))
    for now, lengths, engaged in (
        (until, 2, True),
        (until + timedelta(hours=1), 0, True),
        (until + timedelta(days=2), 0, False),
    ):
        pins = unpack_pins(payload, now)
        assert (pins.lengths[0, -1], pins.has_engagement[0], pins.engagement.any()) == (lengths, engaged, engaged)
        assert len(pins.terms[-1].ids) == lengths and pins.lengths[0, 0] == 1
    rates = np.ones((2, len(PAIR_COLUMNS)), np.float32)
    ends = [(until - EPOCH) // timedelta(microseconds=1), NEVER]
    query = pack_query(QueryValues(lang="en", frequency=2, until_us=ends[0]), ["a", "b"], rates, ends)
    before, after = (unpack_query(query, "q", until + timedelta(hours=h)) for h in (-1, 1))
    assert (before.lang, before.frequency, before.rates_of(["a", "b"])[1].tolist()) == ("en", 2, [True, True])
    assert (after.lang, after.frequency, after.rates_of(["a", "b"])[1].tolist()) == (None, 0, [False, True])
    assert after.known and not unpack_query(pack_query(QueryValues(until_us=ends[0])), "q", until + timedelta(1)).known
