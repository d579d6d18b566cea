"""Field dropout: never all of a pin's fields, never the query, the same again in a resumed run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relevance.teaching.field_dropout import drop_fields, without
from relevance.text import PairText, PinText, TextSettings
from relevance.text_fields import Field

FULL = PinText("a vase", "tall", "a red vase", "shop", "vases", ("home",), ("red vase",))
TEXT = TextSettings()


def present(pin: PinText, text: TextSettings = TEXT) -> set[Field]:
    return {budget.field for budget in text.fields if pin.of(budget.field)}


def test_a_dropped_field_is_as_if_the_pin_had_none() -> None:
    for field in Field:
        assert present(without(FULL, {field})) == set(Field) - {field}
    assert without(FULL, set()) == FULL


@given(chance=st.floats(0, 0.99), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_something_is_left_of_every_pin_that_had_something(chance: float, seed: int, epoch: int) -> None:
    pins = [FULL, PinText(title="bare"), PinText(), FULL._replace(title=None)]
    kept = drop_fields([PairText("red vase", pin) for pin in pins], TEXT, chance, seed, epoch)
    assert [pair.query for pair in kept] == ["red vase"] * 4
    assert [bool(present(pair.pin)) for pair in kept] == [True, True, False, True]
    assert kept[1].pin == pins[1]
    assert all(present(pair.pin) <= present(pin) for pair, pin in zip(kept, pins, strict=True))


def test_a_field_that_is_not_read_cannot_be_the_one_that_stays() -> None:
    titles = TEXT.selecting(Field.TITLE)
    assert all(pair.pin == FULL for pair in drop_fields([PairText("q", FULL)] * 50, titles, 0.99, 0, 0))


def test_fields_go_at_the_chance_given_and_anew_each_epoch() -> None:
    pairs = [PairText("q", FULL)] * 2_000
    first, again, second = (drop_fields(pairs, TEXT, 0.3, 0, epoch) for epoch in (0, 0, 1))
    assert first == again != second
    share = 1 - sum(len(present(pair.pin)) for pair in first) / (len(pairs) * len(Field))
    assert abs(share - 0.3) < 0.02
    assert drop_fields(pairs, TEXT, 0.0, 0, 0) == pairs
