"""Batches on every core: in order, one thread each, nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from enrich.core_threads import on_every_core


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_results_are_in_order_and_each_has_one_thread() -> None:
    assert on_every_core(lambda n: (n, torch.get_num_threads()), range(20)) == [(n, 1) for n in range(20)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_one_item_has_all_threads_and_none_are_none() -> None:
    assert on_every_core(lambda n: torch.get_num_threads(), [1]) == [2]
    assert on_every_core(lambda n: n, []) == []


@pytest.mark.usefixtures("two_threads")
def test_an_exception_is_raised_and_the_threads_are_as_before() -> None:
    with pytest.raises(ZeroDivisionError):
        on_every_core(lambda n: 1 / (n - 3), range(6))
    assert torch.get_num_threads() == 2
