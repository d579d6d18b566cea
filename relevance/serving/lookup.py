"""Online lookup: the packed payloads of a thousand pins, and of a query, from whatever online store Feast is set to.

Reads the views of the feature service scoring_v1, one trip to the store a view and call (`payload_readers.py`). Feast's
get_online_features does the same and spends most of its time on a protobuf a cell; here a pin is one cell.

A pin without a payload is one of three things, told apart: nobody wrote it (MISSING; a pin taken back is the same), its
row is older than the view's time to live, which Feast does not apply online (STALE), or the view was never materialized
at all (`Pins.never_materialized`), which is a fault of operation and not of the pin. A store that lost all that was
loaded into it is a StoreUnavailable.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

import polars as pl
from feast import FeatureStore, FeatureView
from feast.errors import FeastObjectNotFoundException

from enrich import parts
from enrich.errors import BadInput, CorkboardError
from enrich.tables import PIN_SERVING, QUERY_SERVING
from enrich.workspace import Workspace
from relevance.feature_store import SCORING_SERVICE, open_store, quiet
from relevance.serving.payload_readers import PayloadReader, Rows, reader_of

_REST_SECONDS = 1.0  # after a failed read, in which nothing is asked; then one thread asks, the others rest on
_KNOWN = 64  # loaded pins by which an emptied store is told from one that was asked for unknown pins alone
_ASK_AGAIN_SECONDS = 5.0  # between looks into the registry for a view's first materialization


class StoreUnavailable(CorkboardError):
    """The online store could not be read; the caller answers without features, or not at all."""


class Presence(Enum):
    """What the online store has of a key."""

    FOUND = "found"
    MISSING = "missing"
    STALE = "stale"


class Pins(NamedTuple):
    """What a read found, in the order asked."""

    payloads: list[bytes | None]  # None where `presence` is not FOUND
    presence: list[Presence]
    never_materialized: bool = False  # nothing was ever loaded into the view
    whole: bool = False  # every payload's checksum was found right as it was read; False says nothing
    cached: int = 0  # of the payloads, those that were read before (kept.py)


class OnlineFeatures:
    """Payloads by key, for any number of threads."""

    def __init__(self, store: FeatureStore, pins: FeatureView, queries: FeatureView, known: Sequence[str] = ()) -> None:
        """`known` are some pins that were loaded: a store that has none of them lost what it held."""
        self._store, self._known = store, list(known)
        online = store._get_provider().online_store
        rest = _Rest()
        self._pins, self._queries = (_View(store, v, reader_of(store.config, online, v), rest) for v in (pins, queries))

    @classmethod
    def open(cls, workspace: Workspace) -> OnlineFeatures:
        """The store of the workspace. Raises BadInput when `feast apply` was not run there."""
        store = open_store(workspace)
        try:
            with quiet():
                store.get_feature_service(SCORING_SERVICE)
                pins, queries = (store.get_feature_view(table.name) for table in (PIN_SERVING, QUERY_SERVING))
        except FeastObjectNotFoundException as error:
            raise BadInput(
                f"expected the feature service {SCORING_SERVICE} in the registry of {workspace.root}, found none; "
                "run `relevance run`, or `feast apply` and `feast materialize`, first"
            ) from error
        return cls(store, pins, queries, _packed_pins(workspace))

    def read_pins(self, pin_ids: Sequence[str], now: datetime | None = None) -> Pins:
        """The payload of each pin, and where there is none, why.

        Raises StoreUnavailable, also for a store that answers but was emptied since it was loaded.
        """
        read = self._pins.read(pin_ids, now or datetime.now(UTC))
        if read.payloads and not read.never_materialized and not any(read.payloads):
            self._refuse_emptied(now or datetime.now(UTC))
        return read

    def pins(self, pin_ids: Sequence[str]) -> list[bytes | None]:
        """The payload of each pin, in the order asked; None where there is none. Raises StoreUnavailable."""
        return self.read_pins(pin_ids).payloads

    def query(self, query: str) -> bytes | None:
        """The payload of a normalised query; None for an unknown or stale one. Raises StoreUnavailable."""
        return self._queries.read([query], datetime.now(UTC)).payloads[0]

    def _refuse_emptied(self, now: datetime) -> None:
        """A Redis started anew without its file, flushed, or failed over says of every pin that nobody wrote it."""
        if self._known and set(self._pins.read(self._known, now).presence) == {Presence.MISSING}:
            raise StoreUnavailable(
                f"expected some of {len(self._known)} loaded pins in the online store "
                f"({self._store.config.online_store.type}), found none: it was emptied; load it again "
                "(any `relevance` command does, or `feast materialize` from 1970)"
            )


def _packed_pins(workspace: Workspace) -> list[str]:
    """Some of the pins that were packed and not taken back since."""
    rows = parts.scan(workspace.folder(PIN_SERVING)).select("pin_id", "reason")
    gone = rows.filter(pl.col("reason").is_not_null()).select("pin_id").unique()
    packed = rows.filter(pl.col("reason").is_null()).join(gone, on="pin_id", how="anti")
    return packed.select("pin_id").head(_KNOWN).collect()["pin_id"].unique().to_list()


class _Rest:
    """What is known of a store that failed and was not read since; shared by the views of one store."""

    def __init__(self) -> None:
        self._until, self._fault = 0.0, ""
        self._lock = threading.Lock()

    def begin(self, fault: str) -> None:
        with self._lock:
            self._until, self._fault = time.monotonic() + _REST_SECONDS, fault

    def end(self) -> None:
        if self._fault:
            with self._lock:
                self._fault = ""

    def fault(self) -> str | None:
        """Why not to ask the store now; None to ask it. Of the callers at the end of a rest one is told to, and the
        others have another one, until it says what it found or seems to hang.
        """
        if not self._fault:
            return None
        with self._lock:
            if not self._fault:
                return None
            if (now := time.monotonic()) < self._until:
                return self._fault
            self._until = now + _REST_SECONDS
            return None


class _View:
    """One view, with its time to live."""

    def __init__(self, store: FeatureStore, view: FeatureView, reader: PayloadReader, rest: _Rest) -> None:
        self._store, self._view, self._reader, self._rest = store, view, reader, rest
        self._materialized = bool(view.materialization_intervals)
        self._asked = time.monotonic()

    def read(self, keys: Sequence[str], now: datetime) -> Pins:
        asked = list(map(str, keys))  # NumPy's own strings are no keys to a store
        distinct = list(dict.fromkeys(asked))
        rows = self._rows(distinct)
        payloads, presence = self._judged(rows, now)
        never = bool(distinct) and not any(payloads) and self._was_never_materialized()
        if len(distinct) < len(asked):
            place = {key: i for i, key in enumerate(distinct)}
            payloads = [payloads[place[key]] for key in asked]
            presence = [presence[place[key]] for key in asked]
        return Pins(payloads, presence, never, rows.whole)

    def _rows(self, keys: list[str]) -> Rows:
        if (known := self._rest.fault()) is not None:
            raise StoreUnavailable(known)
        try:
            rows = self._reader.read(keys)
            self._rest.end()
            return rows
        except Exception as error:  # each kind of store has errors of its own, and all mean the same to a scorer
            fault = (
                f"expected to read {self._view.name} from the online store ({self._store.config.online_store.type}), "
                f"found {type(error).__name__}: {error}; check that it runs and holds `feast materialize`'s rows"
            )
            self._rest.begin(fault)
            raise StoreUnavailable(fault) from error

    def _judged(self, rows: Rows, now: datetime) -> tuple[list[bytes | None], list[Presence]]:
        """The payloads that may be used, and what became of each."""
        presence = [Presence.MISSING if payload is None else Presence.FOUND for payload in rows.payloads]
        if not self._view.ttl:
            return rows.payloads, presence
        payloads = list(rows.payloads)
        for i, time_of_row in enumerate(rows.times):
            if payloads[i] is not None and time_of_row is not None and time_of_row + self._view.ttl < now:
                payloads[i], presence[i] = None, Presence.STALE
        return payloads, presence

    def _was_never_materialized(self) -> bool:
        """Whether the registry knows of no materialization; it is asked again now and then until it does."""
        if not self._materialized and time.monotonic() - self._asked > _ASK_AGAIN_SECONDS:
            self._asked = time.monotonic()
            with suppress(Exception):  # of the registry's own kind; what was last known of it holds
                view = self._store.registry.get_feature_view(self._view.name, self._store.project, allow_cache=False)
                self._materialized = bool(view.materialization_intervals)
        return not self._materialized
