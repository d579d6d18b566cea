"""What was read or computed shortly before, kept in memory: bounded in number and in age, cheap to fill.

`LastGood` holds the payloads that stand in while the online store is lost; `CachedStore` spares a store the pins that
it gave seconds ago (off unless asked for). Neither writes anything. Both keep two generations of a dictionary: the
older one is dropped whole when the younger is full or of age, so that keeping a thousand values is one `dict.update`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Generic, Protocol, TypeVar

from enrich.payload import all_whole, is_whole
from relevance.serving.lookup import Pins, Presence

Value = TypeVar("Value")
Clock = Callable[[], float]  # seconds, monotonic


class Generations(Generic[Value]):
    """At most `size` values by key, none kept longer than `seconds` after it was put in; for any number of threads."""

    def __init__(self, size: int, seconds: float = inf, clock: Clock = time.monotonic) -> None:
        self._half, self._span, self._clock = max(1, size // 2), seconds / 2, clock
        self._young: dict[str, Value] = {}
        self._old: dict[str, Value] = {}
        self._turned = clock()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def keep(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        """Of more keys than a generation holds the first ones."""
        with self._lock:
            self._turn(len(keys))
            self._young.update(zip(keys[: self._half], values, strict=False))

    def forget(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                self._young.pop(key, None)
                self._old.pop(key, None)

    def get(self, key: str) -> Value | None:
        young, old = self._young, self._old
        value = young.get(key)
        return old.get(key) if value is None else value

    def of_age(self) -> None:
        """Drop what is too old now, without anything new coming in."""
        with self._lock:
            self._turn(0)

    def _turn(self, coming: int) -> None:
        now = self._clock()
        late = now - self._turned
        if late > self._span or (coming and len(self._young) + coming > self._half):
            self._old = {} if late > 2 * self._span else self._young
            # A turn that comes late begins where it was due: what is old then leaves no later for it.
            self._young, self._turned = {}, self._turned + self._span if self._span < late <= 2 * self._span else now


class LastGood:
    """Whole payloads as a working store last gave them; a pin that it has no more is forgotten, one that it now gives
    damaged is not.

    What was read more than `seconds` before the first question of an outage is dropped then; in the outage nothing
    ages but by the expiry that payloads carry themselves. 20,000 pins of three vectors of 384 entries are 48 MB.
    """

    def __init__(
        self, pins: int = 20_000, queries: int = 5_000, seconds: float = 3600.0, clock: Clock = time.monotonic
    ) -> None:
        self._pins: Generations[bytes] = Generations(pins, seconds, clock)
        self._queries: Generations[bytes] = Generations(queries, seconds, clock)
        self._lost = False  # since the last pins that a store gave

    def keep_pins(self, pin_ids: Sequence[str], payloads: Sequence[bytes | None], whole: bool = False) -> None:
        """`whole` says that none is damaged; else that is looked at here."""
        if not whole and not all_whole(payloads):
            rows = [(pin, payload) for pin, payload in zip(pin_ids, payloads, strict=True) if _is_good(payload)]
            pin_ids, payloads = [pin for pin, _ in rows], [payload for _, payload in rows]
        if pin_ids:  # asked for none, a lost store answers too
            self._lost = False
            _keep(self._pins, pin_ids, payloads)

    def keep_query(self, query: str, payload: bytes | None) -> None:
        if _is_good(payload):
            _keep(self._queries, [query], [payload])

    def pins(self, pin_ids: Sequence[str]) -> Pins:
        self._begin_outage()
        payloads = [self._pins.get(pin) for pin in pin_ids]
        return Pins(payloads, [Presence.MISSING if payload is None else Presence.FOUND for payload in payloads])

    def query(self, query: str) -> bytes | None:
        self._begin_outage()
        return self._queries.get(query)

    def _begin_outage(self) -> None:
        if not self._lost:
            self._lost = True
            self._pins.of_age()
            self._queries.of_age()


class PayloadStore(Protocol):
    """As `lookup.OnlineFeatures`; both raise StoreUnavailable."""

    def read_pins(self, pin_ids: Sequence[str]) -> Pins: ...

    def query(self, query: str) -> bytes | None: ...


class CachedStore:
    """A store of which pins are read again only `seconds` after they were read; raises what the store raises."""

    def __init__(self, store: PayloadStore, seconds: float, pins: int = 100_000, clock: Clock = time.monotonic) -> None:
        self._store = store
        self._kept: Generations[bytes] = Generations(pins, seconds, clock)

    def read_pins(self, pin_ids: Sequence[str]) -> Pins:
        """As the store's; `Pins.cached` counts those that were not asked for."""
        self._kept.of_age()
        payloads = [self._kept.get(pin) for pin in pin_ids]
        wanted = [pin for pin, payload in zip(pin_ids, payloads, strict=True) if payload is None]
        if not wanted:
            return Pins(payloads, [Presence.FOUND] * len(payloads), whole=True, cached=len(payloads))
        read = self._store.read_pins(wanted)
        if read.whole:
            _keep(self._kept, wanted, read.payloads)
        found = iter(zip(read.payloads, read.presence, strict=True))
        rows = [(payload, Presence.FOUND) if payload is not None else next(found) for payload in payloads]
        return Pins(
            [payload for payload, _ in rows],
            [presence for _, presence in rows],
            read.never_materialized,
            read.whole,
            len(pin_ids) - len(wanted),
        )

    def query(self, query: str) -> bytes | None:
        return self._store.query(query)


def _is_good(payload: bytes | None) -> bool:
    return payload is None or is_whole(payload)


def _keep(kept: Generations[bytes], keys: Sequence[str], payloads: Sequence[bytes | None]) -> None:
    there = [payload for payload in payloads if payload is not None]
    if len(there) == len(keys):
        kept.keep(keys, there)
        return
    kept.forget(key for key, payload in zip(keys, payloads, strict=True) if payload is None)
    kept.keep([key for key, payload in zip(keys, payloads, strict=True) if payload is not None], there)
