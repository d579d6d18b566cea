"""Online lookup: the packed payloads of a thousand pins, and of a query, from whatever online store Feast is set to.

Reads the views of the feature service scoring_v1 through Feast's own online store object (SQLite or Redis, as
feature_store.yaml says), one read a view and call. Feast's get_online_features does the same and spends most of its
time on a protobuf a cell; here a pin is one cell.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from feast import FeatureStore, FeatureView
from feast.errors import FeastObjectNotFoundException
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from enrich.errors import BadInput, CorkboardError
from enrich.tables import PIN_SERVING, QUERY_SERVING, Table
from enrich.workspace import Workspace
from relevance.feature_store import SCORING_SERVICE, open_store, quiet

_PAYLOAD = "payload"
_KEYS_AT_ONCE = 10_000  # in one read; SQLite takes at most 32,766


class StoreUnavailable(CorkboardError):
    """The online store could not be read; the caller answers without features, or not at all."""


class OnlineFeatures:
    """Payloads by key, for any number of threads."""

    def __init__(self, store: FeatureStore, pins: FeatureView, queries: FeatureView) -> None:
        self._config = store.config
        self._online_store = store._get_provider().online_store
        self._pins, self._queries = pins, queries
        self._one_at_a_time = threading.Lock()  # Feast's stores keep one connection, opened at the first read

    @classmethod
    def open(cls, workspace: Workspace) -> OnlineFeatures:
        """The store of the workspace. Raises BadInput when `feast apply` was not run there."""
        store = open_store(workspace)
        try:
            with quiet():
                store.get_feature_service(SCORING_SERVICE)
                views = [store.get_feature_view(table.name) for table in (PIN_SERVING, QUERY_SERVING)]
        except FeastObjectNotFoundException as error:
            raise BadInput(
                f"expected the feature service {SCORING_SERVICE} in the registry of {workspace.root}, found none; "
                "run `relevance run`, or `feast apply` and `feast materialize`, first"
            ) from error
        return cls(store, *views)

    def pins(self, pin_ids: Sequence[str]) -> list[bytes | None]:
        """The payload of each pin, in the order asked; None for an unknown one. Raises StoreUnavailable."""
        return self._read(PIN_SERVING, self._pins, pin_ids)

    def query(self, query: str) -> bytes | None:
        """The payload of a normalised query; None for an unknown one. Raises StoreUnavailable."""
        return self._read(QUERY_SERVING, self._queries, [query])[0]

    def _read(self, table: Table, view: FeatureView, keys: Sequence[str]) -> list[bytes | None]:
        distinct = list(dict.fromkeys(str(key) for key in keys))  # str: NumPy's own strings are not taken by protobuf
        found: dict[str, bytes | None] = {}
        for first in range(0, len(distinct), _KEYS_AT_ONCE):
            some = distinct[first : first + _KEYS_AT_ONCE]
            entities = [EntityKey(join_keys=table.key, entity_values=[Value(string_val=key)]) for key in some]
            found.update(zip(some, self._payloads(view, entities), strict=True))
        return [found[str(key)] for key in keys]

    def _payloads(self, view: FeatureView, entities: list[EntityKey]) -> list[bytes | None]:
        try:
            with self._one_at_a_time:
                rows = self._online_store.online_read(self._config, view, entities, [_PAYLOAD])
        except Exception as error:  # each kind of store has errors of its own, and all mean the same to a scorer
            raise StoreUnavailable(
                f"expected to read {view.name} from the online store ({self._config.online_store.type}), "
                f"found {type(error).__name__}: {error}; check that it runs and holds `feast materialize`'s rows"
            ) from error
        return [_payload(values) for _, values in rows]


def _payload(values: dict[str, Value] | None) -> bytes | None:
    """The payload of a store's row; SQLite has no row, Redis a row without a value, where nothing was written."""
    value = values.get(_PAYLOAD) if values else None
    return value.bytes_val if value is not None and value.HasField("bytes_val") else None
