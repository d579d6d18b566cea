"""Every match feature by hand or by a slow second implementation; a pin's features do not depend on its neighbours."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.normalise import signs, terms
from enrich.pin_packing import pack_pins
from enrich.pin_payload import unpack_pins
from enrich.query_payload import PAIR_COLUMNS, QueryValues, pack_query, unpack_query
from relevance import features as f
from relevance import pin_rows

PINS = pl.DataFrame(
    {
        "title": ["Blue chair", "Chair", None],
        "description": [None, "A blue blue sofa and a chair", None],
        "board_titles": [["blue room", "chairs"], None, None],
        "lang": ["en", None, "es"],
        "text_embedding": [[1.0, 0.0], [0.6, 0.8], None],
        "impressions_30d": [0, 3, None],
    }
)


def _pins(rows: pl.DataFrame = PINS):
    return unpack_pins(pack_pins(rows))


def _query(text: str = "blue chair", **values):
    return unpack_query(pack_query(QueryValues(**values)), text)


def _of(query, pins, statistics=None) -> dict[str, np.ndarray]:
    statistics = statistics or f.Statistics.of(pins, ("decor",), 2)
    rates, has = query.rates_of([str(i) for i in range(len(pins))])
    found = f.features(query, pins, rates, has, statistics)
    assert found.numbers.shape == (len(pins), len(f.PAIR_FEATURES)) and found.numbers.dtype == np.float32
    return dict(zip(f.PAIR_FEATURES, found.numbers.T, strict=True))


def test_shares_matched_by_hand():
    found = _of(_query(), _pins())
    assert found["terms_matched_title"].tolist() == [1.0, 0.5, 0.0]
    assert found["terms_matched_boards"].tolist() == [0.5, 0.0, 0.0]
    assert found["terms_matched_anywhere"].tolist() == [1.0, 1.0, 0.0]
    assert found["density_description"].tolist() == pytest.approx([0.0, 3 / 7, 0.0])
    assert found["missing_title"].tolist() == [0.0, 0.0, 1.0]
    assert found["log_length_description"].tolist() == pytest.approx([0.0, math.log(8), 0.0])


def test_bm25_by_hand():
    """Title: 'chair' in 2 of 3 pins; 'blue' in 1 title. Average title length 1.5 tokens."""
    pins = _pins()
    found = _of(_query("chair"), pins)
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    one = idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 1 / 1.5))
    two = idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 1.5))
    assert found["bm25_title"].tolist() == pytest.approx([two, one, 0.0], rel=1e-5)
    assert found["bm25_share_title"].tolist() == pytest.approx([two / idf / 2.2, one / idf / 2.2, 0.0], rel=1e-5)


def test_vectors_languages_and_engagement():
    query = _query(embedding=[0.0, 1.0], lang="en")
    found = _of(query, _pins())
    assert found["cosine_text_embedding"].tolist() == pytest.approx([0.0, 0.8, 0.0], abs=1e-3)
    assert found["missing_text_embedding"].tolist() == [0.0, 0.0, 1.0]
    assert found["same_language"].tolist() == [1.0, 0.0, 0.0]
    assert found["other_language"].tolist() == [0.0, 0.0, 1.0]
    assert found["missing_engagement"].tolist() == [0.0, 0.0, 1.0]
    assert found["impressions_30d"].tolist() == pytest.approx([0.0, math.log(4), 0.0])


def test_the_querys_own_rates_of_a_pin():
    rates = np.zeros((1, len(PAIR_COLUMNS)), np.float32)
    rates[0, PAIR_COLUMNS.index("impressions_365d")] = 7
    rates[0, PAIR_COLUMNS.index("click_rate_365d")] = 0.25
    query = unpack_query(pack_query(QueryValues(), ["1"], rates), "blue chair")
    found = _of(query, _pins())
    assert found["missing_pair"].tolist() == [1.0, 0.0, 1.0]
    assert found["pair_impressions_365d"].tolist() == pytest.approx([0.0, math.log(8), 0.0])
    assert found["pair_click_rate_365d"].tolist() == pytest.approx([0.0, 0.25, 0.0])


def test_trigrams_match_a_misspelt_word_and_a_language_without_spaces():
    pins = _pins(pl.DataFrame({"title": ["accommodation", "北欧インテリア", "zzz"]}))
    misspelt = _of(_query("acommodation"), pins)["trigrams_matched"]
    assert misspelt[0] > 0.7 and misspelt[1] == misspelt[2] == 0.0
    unspaced = _of(_query("インテリア"), pins)
    assert unspaced["trigrams_matched"].argmax() == 1
    assert unspaced["terms_matched_title"].tolist() == [0.0, 1.0, 0.0]


UNSPACED = ["黑猫的照片", "お茶", "赤い車", "猫", "กาแฟ", "red toy 猫", "꽃병"]


@pytest.mark.parametrize(
    ("query", "matched"),
    [
        ("猫", [1, 0, 0, 1, 0, 1, 0]),
        ("茶", [0, 1, 0, 0, 0, 0, 0]),
        ("車", [0, 0, 1, 0, 0, 0, 0]),
        ("猫 toy", [0.5, 0, 0, 0.5, 0, 1, 0]),
        ("ก", [0, 0, 0, 0, 1, 0, 0]),
        ("กี", [0, 0, 0, 0, 0, 0, 0]),  # another vowel on the letter is another sign
        ("꽃", [0, 0, 0, 0, 0, 0, 0]),  # Korean has spaces: a part of a word is none
        ("黑猫", [1, 0, 0, 0, 0, 0, 0]),
        ("猫的", [1, 0, 0, 0, 0, 0, 0]),
        ("黑的", [0, 0, 0, 0, 0, 0, 0]),  # two signs, but not side by side
    ],
)
def test_a_query_of_one_sign_finds_texts_that_hold_it(query, matched):
    found = _of(_query(query), _pins(pl.DataFrame({"title": UNSPACED, "caption": [*UNSPACED[:-1], None]})))
    for name in ("terms_matched_title", "terms_matched_anywhere"):
        assert found[name].tolist() == matched
    for name in ("bm25_title", "density_title", "trigrams_matched", "trigram_overlap"):
        assert (found[name] > 0).tolist() == [share > 0 for share in matched], name
        assert name == "bm25_title" or (found[name] <= 1).all()


def test_queries_of_two_and_more_signs_match_as_if_each_bigram_were_a_word():
    word = {"黑猫": "blackcat", "猫的": "catof", "的照": "ofpho", "照片": "photo", "红猫": "redcat", "的": "of"}
    texts, queries = ["黑猫的照片", "红猫 toy", "照片 黑猫 的", "toy"], ["黑猫", "黑猫的照片 toy", "红猫的", "照片"]
    unspaced, spaced = (
        _pins(pl.DataFrame({"title": said}))
        for said in (texts, [" ".join(word.get(t, t) for t in terms(x)) for x in texts])
    )
    for query in queries:
        found = _of(_query(query), unspaced)
        expected = _of(_query(" ".join(word.get(term, term) for term in terms(query))), spaced)
        for feature in f.PAIR_FEATURES:
            if "trigram" not in feature:  # of bigrams they are others, and none of a sign
                assert found[feature].tolist() == pytest.approx(expected[feature].tolist(), rel=1e-6), (query, feature)


def test_signs_are_counted_and_lengthen_nothing():
    """猫 stands twice in a text of four bigrams, and in 2 of 3 titles, which are of 4, 1 and 1 tokens."""
    pins = _pins(pl.DataFrame({"title": ["黑猫和猫咪", "猫", "red"]}))
    found = _of(_query("猫"), pins)
    assert found["log_length_title"].tolist() == pytest.approx([math.log(5), math.log(2), math.log(2)])
    assert found["density_title"].tolist() == pytest.approx([2 / 4, 1, 0])
    idf, norms = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5)), [1.2 * (0.25 + 0.75 * n / 2) for n in (4, 1)]
    by_hand = [idf * count * 2.2 / (count + norm) for count, norm in zip((2, 1), norms, strict=True)]
    assert found["bm25_title"].tolist() == pytest.approx([*by_hand, 0.0], rel=1e-5)
    assert found["trigram_overlap"].tolist() == pytest.approx([1 / 8, 1, 0])


def test_query_numbers_and_interests():
    statistics = f.Statistics.of(_pins(), ("garden", "decor"), 2)
    query = _query(interests=("garden", "unheard of"), shopping_intent=0.5, frequency=9)
    rates, has = query.rates_of(["0", "1", "2"])
    found = f.features(query, _pins(), rates, has, statistics)
    assert found.interests.tolist() == [[2, 0, 0]]
    numbers = dict(zip(f.QUERY_FEATURES, found.query_numbers[0].tolist(), strict=True))
    assert numbers["log_frequency"] == pytest.approx(math.log(10))
    assert (numbers["shopping_intent"], numbers["unknown_query"], numbers["missing_embedding"]) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("text", ["", "!!!", "never seen", "blue " * 100])
def test_any_query_and_absent_pins_give_finite_numbers(text):
    statistics = f.Statistics.of(_pins(), (), 2)
    for pins in (_pins(), unpack_pins([None] * 3), unpack_pins([])):
        for column in _of(unpack_query(None, text), pins, statistics).values():
            assert np.isfinite(column).all()


def test_a_vector_of_another_length_counts_as_absent_and_not_as_an_error():
    statistics = f.Statistics.of(_pins(), (), 2)
    other = _pins(pl.DataFrame({"title": ["Blue chair"], "text_embedding": [[1.0, 0.0, 0.0]]}))
    query = _query(embedding=[1.0])
    rates, has = query.rates_of(["0"])
    found = f.features(query, other, rates, has, statistics)
    assert found.text.tolist() == [[0.0, 0.0]] and found.query_vector.tolist() == [[0.0, 0.0]]


WORDS = st.lists(st.sampled_from(["blue", "chair", "青い", "青い椅子", "子", "chaise"]), max_size=6).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6), WORDS)
@settings(max_examples=60, deadline=None)
def test_counts_equal_a_loop_over_the_texts(texts, query):
    pins = _pins(pl.DataFrame({"title": [t for t, _ in texts], "caption": [c for _, c in texts]}))
    found = _of(_query(query), pins, f.Statistics.of(pins, (), 0))
    wanted = set(terms(query))
    for i, (title, caption) in enumerate(texts):
        for name, text in (("title", title), ("caption", caption)):
            have, length = [*terms(text), *signs(text)], len(terms(text))
            share = len(wanted & set(have)) / max(1, len(wanted))
            assert found[f"terms_matched_{name}"][i] == pytest.approx(share)
            density = min(1, sum(term in wanted for term in have) / max(1, length))
            assert found[f"density_{name}"][i] == pytest.approx(density)


@given(st.permutations(range(3)))
@settings(max_examples=10, deadline=None)
def test_a_pins_features_do_not_depend_on_its_neighbours(order):
    pins, query = _pins(), _query(embedding=[0.6, 0.8])
    statistics = f.Statistics.of(pins, (), 2)
    together = _of(query, pins, statistics)
    for place, i in enumerate(order):
        alone = _of(query, pin_rows.take(pins, np.array(order)), statistics)
        for name in f.PAIR_FEATURES:
            if not name.startswith("pair_"):
                assert alone[name][place] == together[name][i], name


def test_dropping_an_input_equals_its_never_having_been_made():
    pins, query = _pins(), _query(embedding=[0.6, 0.8])
    statistics = f.Statistics.of(pins, (), 2)
    columns = {"boards": "board_titles", "description": "description", "text_embedding": "text_embedding"}
    for name, column in columns.items():
        dropped = np.zeros((3, len(pin_rows.PIN_INPUTS)), bool)
        dropped[:, pin_rows.PIN_INPUTS.index(name)] = True
        left_out = _of(query, pin_rows.without(pins, dropped), statistics)
        never_made = _of(query, _pins(PINS.drop(column)), statistics)
        for feature in f.PAIR_FEATURES:
            if "trigram" not in feature:
                assert left_out[feature].tolist() == never_made[feature].tolist(), (name, feature)


def test_concatenated_queries_keep_their_pins():
    pins = _pins()
    statistics = f.Statistics.of(pins, (), 2)
    batches = [
        f.features(query, pins, *query.rates_of(["0", "1", "2"]), statistics)
        for query in (_query("blue"), _query("chair"))
    ]
    joined = f.concatenate(batches)
    assert joined.query_of.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(joined.numbers, np.concatenate([batch.numbers for batch in batches]))
