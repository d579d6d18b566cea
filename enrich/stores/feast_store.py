"""The workspace's Feast store opened, without the remarks of which a user can make nothing.

Reads W/feature_store.yaml and the registry that it names. Feast takes seconds to import: what may do without imports
this module where it is needed.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from feast import FeatureStore
from feast.repo_config import FeastConfigError
from google.protobuf.message import DecodeError
from yaml import YAMLError

from enrich.errors import BadInput, CorkboardError
from enrich.workspace import FEATURE_REPO, Workspace

logging.getLogger("feast.repo_config").addFilter(  # it holds for file registries too (feast/infra/registry/registry.py)
    lambda record: "`serve_features_while_materializing` is enabled" not in record.getMessage()
)
# Feast, imported above, shows every deprecation once, whatever the command line has silenced; this is ibis' of its own.
warnings.filterwarnings("ignore", r"fetch_arrow_table\(\) is deprecated", DeprecationWarning)


def open_store(workspace: Workspace) -> FeatureStore:
    """The store of W/feature_store.yaml.

    Raises BadInput where that file is missing or cannot be read, CorkboardError where the registry is damaged.
    """
    if not workspace.feature_store_yaml.is_file():
        raise BadInput(
            f"expected Feast's configuration at {workspace.feature_store_yaml}, found none; "
            "run `enrich import` for this workspace first"
        )
    try:
        with quiet():
            store = FeatureStore(repo_path=str(FEATURE_REPO), fs_yaml_file=workspace.feature_store_yaml)
            _ = store.registry  # read here, not at its first use
            return store
    except (FeastConfigError, YAMLError, TypeError, AttributeError) as error:
        raise BadInput(
            f"expected Feast's configuration in {workspace.feature_store_yaml}, found one it cannot read "
            f"({(str(error).strip() or type(error).__name__).splitlines()[0]}); correct it, or "
            "remove it and import again"
        ) from error
    except DecodeError as error:
        raise CorkboardError(
            f"expected Feast's registry where {workspace.feature_store_yaml} names it, found a file that is none "
            f"({error}); remove it: the next command makes it again"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Feast's prints swallowed (callers report what was done), and its warning that on-demand views are slow."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature", RuntimeWarning)
        yield
