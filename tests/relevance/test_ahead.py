"""What is made ahead comes in its order, once, and no more of it than was asked for waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relevance.ahead import made_ahead


@pytest.mark.parametrize("most", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_every_item_comes_once_and_at_most_so_many_wait(count: int, most: int) -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(count):
            made.append(item)
            yield item

    used = 0
    for item in made_ahead(items(), most):
        assert item == used
        used += 1
        assert len(made) <= used + most
    assert used == count


def test_a_fault_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[str]:
        yield "first"
        raise ValueError("second")

    found = made_ahead(items(), 3)
    assert next(found) == "first"
    with pytest.raises(ValueError, match="second"):
        next(found)
