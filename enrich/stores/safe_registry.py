"""Feast's file registry, written aside and renamed.

Named in feature_store.yaml. Feast's writes over the file in place: a reader in that moment finds it empty or cut, and a
kill leaves it so for good. Two writers still count as one: the later one's registry stands, and what the other one
loaded is loaded again.
"""

from __future__ import annotations

import os
import uuid

from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.utils import _utc_now


class SafeFileRegistryStore(FileRegistryStore):
    """Feast's FileRegistryStore; the file is whole at every moment."""

    def _write_registry(self, registry_proto: Registry) -> None:
        registry_proto.version_id = str(uuid.uuid4())
        registry_proto.last_updated.FromDatetime(_utc_now())
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        aside = self._filepath.with_name(f".{self._filepath.name}.{os.getpid()}.{uuid.uuid4().hex}")
        try:
            with aside.open("wb") as file:
                file.write(registry_proto.SerializeToString())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._filepath)
        finally:
            aside.unlink(missing_ok=True)
