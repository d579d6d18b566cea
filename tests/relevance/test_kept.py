"""What is kept is bounded in number and age, and a cache gives what the store gave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from enrich.payload import seal
from relevance.serving.kept import CachedStore, Generations, LastGood
from relevance.serving.lookup import Pins, Presence


def sealed(body: bytes) -> bytes:
    return seal(b"PN", 0, body)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class CountingStore:
    """Gives every pin of `there` its own name; counts what it was asked for."""

    def __init__(self, *there: str) -> None:
        self.there, self.asked = set(there), []

    def read_pins(self, pin_ids):
        self.asked.append(list(pin_ids))
        found = [pin.encode() if pin in self.there else None for pin in pin_ids]
        return Pins(found, [Presence.FOUND if value else Presence.MISSING for value in found], whole=True)

    def query(self, query):
        return None


@given(st.lists(st.lists(st.text(max_size=2), max_size=12), max_size=20), st.integers(2, 10))
def test_never_more_than_the_size_and_the_newest_is_there(batches, size):
    kept = Generations(size)
    for batch in batches:
        kept.keep(batch, [key.upper() for key in batch])
        assert len(kept) <= size
        assert all(kept.get(key) == key.upper() for key in batch[: size // 2])


def test_nothing_is_older_than_was_said():
    clock = Clock()
    kept = Generations(100, seconds=10.0, clock=clock)
    kept.keep(["a"], ["1"])
    clock.now = 4.9
    kept.of_age()
    assert kept.get("a") == "1"
    clock.now = 10.1
    kept.of_age()
    kept.of_age()
    assert kept.get("a") is None
    kept.keep(["b"], ["2"])
    clock.now = 100.0
    kept.of_age()
    assert kept.get("b") is None


def test_a_turn_that_comes_late_keeps_nothing_longer():
    clock = Clock()
    kept = Generations(100, seconds=10.0, clock=clock)
    kept.keep(["a"], ["1"])
    for clock.now in (9.9, 10.1):
        kept.of_age()
    assert kept.get("a") is None


def test_last_good_forgets_what_is_there_no_more():
    kept = LastGood()
    kept.keep_pins(["a", "b"], [b"1", b"2"], whole=True)
    kept.keep_pins(["a", "b"], [b"3", None], whole=True)
    assert kept.pins(["b", "a"]).payloads == [None, b"3"]
    kept.keep_query("q", sealed(b"x"))
    kept.keep_query("q", None)
    assert kept.query("q") is None


def test_a_damaged_payload_leaves_the_good_one_that_was_kept():
    kept, good = LastGood(), [sealed(b"1"), sealed(b"2")]
    kept.keep_pins(["a", "b"], good)
    kept.keep_pins(["a", "b"], [good[0][:-1], sealed(b"3")])
    assert kept.pins(["a", "b"]).payloads == [good[0], sealed(b"3")]
    kept.keep_query("q", good[0])
    kept.keep_query("q", good[0][:-1])
    assert kept.query("q") == good[0]


def test_what_is_too_old_when_an_outage_begins_is_dropped_and_in_it_nothing_ages():
    clock = Clock()
    kept = LastGood(seconds=10.0, clock=clock)
    kept.keep_pins(["old"], [sealed(b"1")])
    clock.now = 30.0
    assert kept.pins(["old"]).payloads == [None]
    kept.keep_pins(["a"], [sealed(b"1")])
    for clock.now in (31.0, 50.0, 1000.0):
        kept.keep_pins([], [])  # as a store gives it that is never asked: no sign that the outage is over
        assert kept.pins(["a"]).payloads == [sealed(b"1")]


def test_a_cached_store_asks_for_what_it_does_not_have_and_again_when_that_is_old():
    clock, store = Clock(), CountingStore("a", "b")
    cached = CachedStore(store, seconds=10.0, clock=clock)
    assert cached.read_pins(["a", "x"]).payloads == [b"a", None]
    again = cached.read_pins(["b", "a", "x", "a"])
    assert again.payloads == [b"b", b"a", None, b"a"] and again.cached == 2
    assert again.presence == [Presence.FOUND, Presence.FOUND, Presence.MISSING, Presence.FOUND]
    assert store.asked == [["a", "x"], ["b", "x"]]
    assert cached.read_pins(["a", "b"]).cached == 2 and len(store.asked) == 2
    clock.now = 10.1
    store.there = {"b"}
    assert cached.read_pins(["a"]).payloads == [None] and store.asked[-1] == ["a"]
