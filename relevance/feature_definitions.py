"""What feature_repo/ defines for a workspace: entities, views, services, as Feast's own `apply` finds them.

Imports the modules of feature_repo/ with their sources in the workspace, and leaves the interpreter as it was.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import feast
from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView, RequestSource

from enrich.tables import ENRICHED
from enrich.workspace import ENVIRONMENT_VARIABLE, FEATURE_REPO, Workspace

_MODULES = ("entities", "sources", "views", "services", "on_demand")  # of feature_repo/, imported as Feast imports them
_LOADING = threading.Lock()


def definitions(workspace: Workspace) -> list[Any]:
    """The objects that feature_repo/ defines for this workspace, by kind and name."""
    found: dict[int, Any] = {}
    with _LOADING, _importing(workspace):
        for name in _MODULES:
            for o in vars(importlib.import_module(name)).values():
                if isinstance(o, (Entity, FeatureView, FeatureService, OnDemandFeatureView, RequestSource)):
                    found[id(o)] = o
                if isinstance(o, FeatureView) and o.batch_source is not None:
                    found[id(o.batch_source)] = o.batch_source
    return sorted(found.values(), key=lambda o: (type(o).__name__, o.name))


@contextmanager
def _importing(workspace: Workspace) -> Iterator[None]:
    """feature_repo/ on the import path, its modules fresh and its sources in `workspace`; all restored afterwards."""
    before = {name: sys.modules.pop(name) for name in _MODULES if name in sys.modules}
    variable = os.environ.get(ENVIRONMENT_VARIABLE)
    os.environ[ENVIRONMENT_VARIABLE] = str(workspace.root)
    sys.path.insert(0, str(FEATURE_REPO))
    try:
        yield
    finally:
        sys.path.remove(str(FEATURE_REPO))
        for name in _MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(before)
        if variable is None:
            del os.environ[ENVIRONMENT_VARIABLE]
        else:
            os.environ[ENVIRONMENT_VARIABLE] = variable


def digest_of(workspace: Workspace) -> str:
    """A hash of all that the definitions depend on: their code, the tables, Feast's version and its configuration."""
    code = [path.read_text() for path in sorted(FEATURE_REPO.glob("*.py"))]
    configuration = workspace.feature_store_yaml.read_text()
    return digest(*code, repr(ENRICHED), feast.__version__, configuration, str(workspace.root))


def digest(*texts: str) -> str:
    """A short stable hash of the texts, in their order."""
    return hashlib.blake2b(json.dumps(texts).encode(), digest_size=16).hexdigest()
