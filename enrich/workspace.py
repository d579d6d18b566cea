"""Where everything of one catalogue lives. What is private, may be removed or is to be kept: docs/operations.md.

W/workspace.json        which catalogue this is (written by the first import); workspace.importing.json while one runs
W/feature_store.yaml    Feast's configuration of this workspace (absolute paths)
W/sources/TABLE/        parquet parts, written by the importers
W/enriched/TABLE/       parquet parts, written by the jobs
W/visits/               what became of each linked page (`enrich links`)
W/registry.db, online.db   Feast's registry and embedded online store
W/feature_store_state.json   what was applied and loaded into them (`relevance`)
W/import.json           what the last import brought, and what it left out
W/captioner.json        the captioner last named (`captioner_choice.py`)
W/text_encoder.json     the text encoder last named (`encoder_choice.py`)
W/.spill/               what engines hold on disk while they run
W/image_hashes.parquet  which pictures were read as they are now (`image_hashes.py`); image_hashes/, while a run reads
W/picture_twins.db      which pictures look like one described before (`picture_twins.py`)
W/log.json              where the log lies, if it was left there (`log_in_place.py`)
W/log_days/             what each day of the log says, counted once (`log_days.py`), and sums of them (`window_sums.py`)
W/merging/              what merging engaged queries goes on from (`query_merge.py`)
W/erased.json           what was last taken out because it was deleted (`erasure.py`)
W/owed_online/          what an online store that did not answer still has to lose (`stores/online_erasure.py`)
W/models/, W/reports/   what `relevance` makes; experiments/, audit/ too
W/requests/, W/shadow/  what the service was asked, where it was told to keep that
W/.WRITING.lock         held by the command that writes it: tables, models, store, index
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from enrich import parts
from enrich.errors import BadInput, CorkboardError
from enrich.tables import TABLES, Kind, Table

ENVIRONMENT_VARIABLE = "CORKBOARD_WORKSPACE"
REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT = REPOSITORY / "data" / "workspace"
FEATURE_REPO = REPOSITORY / "feature_repo"

_UNFIT = set('*?[]{}$"\\\n')  # what a pattern of files, or feature_store.yaml, would read as something else
_FEATURE_STORE = """\
# Feast's configuration of this workspace, written by `enrich import`.
# CORKBOARD_WORKSPACE={root} feast -c {feature_repo} -f {root}/feature_store.yaml apply
project: corkboard
provider: local
registry:
  registry_store_type: enrich.stores.safe_registry.SafeFileRegistryStore
  path: "{root}/registry.db"
  serve_features_while_materializing: true
offline_store:
  type: enrich.stores.late_duckdb.LateDuckDBOfflineStore
online_store:
  type: enrich.stores.safe_sqlite.SafeSqliteOnlineStore
  path: "{root}/online.db"
batch_engine:
  type: enrich.stores.streaming_engine.StreamingComputeEngine
  overlap_minutes: 60
materialization:
  pull_latest_features: true
  online_write_batch_size: 2000
entity_key_serialization_version: 3
"""
_WRITTEN = {  # digests of _FEATURE_STORE as it is and as it was: files of these are nobody's own
    "f0731c2bc2ff0a6b",
    "7069af79b82c9c8f",
    "b129d6a1237230e9",
    "89087520a842b854",
}
_NAMED = re.compile(r"^# CORKBOARD_WORKSPACE=(.+) feast -c (.+) -f \1/feature_store\.yaml apply$", re.MULTILINE)

SYNTHETIC = "sample"  # the one format whose catalogues nobody has: data/make_sample.py draws them


class Writing(StrEnum):
    """What one command at a time writes of a workspace."""

    TABLES = "tables"  # sources and enriched
    MODELS = "models"  # and predictions and reports
    STORE = "store"  # the registry, the online store and what was loaded into it
    INDEX = "index"  # of candidates


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the workspace holds: the importer's format and the path it read."""

    format: str
    origin: str

    @property
    def title(self) -> str:
        """As reports call it: the format, and the folder or file where its name says more."""
        folder = Path(self.origin).name
        title = self.format if folder in ("", self.format) else f"{self.format}: {folder}"
        return f"{title} (synthetic)" if self.format == SYNTHETIC else title


@dataclass(frozen=True, slots=True)
class Workspace:
    root: Path

    @classmethod
    def at(cls, path: str | Path | None = None) -> Workspace:
        """The workspace at `path`, else at $CORKBOARD_WORKSPACE, else data/workspace. It need not exist yet."""
        return cls(Path(path or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT).expanduser().resolve())

    @classmethod
    def open(cls, path: str | Path | None = None) -> Workspace:
        """As `at`, but the workspace must hold a catalogue. Raises BadInput when it does not."""
        workspace = cls.at(path)
        if not workspace._manifest.is_file():
            found = "an import that was cut off" if workspace._importing.is_file() else "none"
            raise BadInput(
                f"expected a workspace with a catalogue at {workspace.root}, found {found}; "
                "run `enrich import FORMAT PATH` first, or name another with --workspace"
            )
        return workspace

    @property
    def _manifest(self) -> Path:
        return self.root / "workspace.json"

    @property
    def _importing(self) -> Path:
        return self.root / "workspace.importing.json"

    @property
    def catalogue(self) -> Catalogue:
        return _catalogue(self._manifest)

    @property
    def feature_store_yaml(self) -> Path:
        return self.root / "feature_store.yaml"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def folder(self, table: Table) -> Path:
        """The folder of the table's parts. It exists, with at least one part, once the workspace was created."""
        return self.root / ("sources" if table.kind is Kind.SOURCE else "enriched") / table.name

    @contextmanager
    def alone(self, writing: Writing, wait: float = 0) -> Iterator[None]:
        """Keep other commands from writing the same; it ends with the process, whatever ends that.

        Raises CorkboardError where another is at it for longer than `wait` seconds.
        """
        lock = FileLock(self.lock(writing))
        try:
            lock.acquire(timeout=wait)
        except Timeout as error:
            raise CorkboardError(
                f"expected to be alone in writing the {writing} of {self.root}, found another command at it; "
                "wait for it to end and run this again"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def lock(self, writing: Writing) -> Path:
        """The file that whoever writes holds; empty."""
        return self.root / f".{writing}.lock"

    def admit(self, catalogue: Catalogue) -> None:
        """Raises BadInput when the workspace already holds another catalogue, or Feast could not find its way there."""
        unfit = sorted(_UNFIT & set(str(self.root)))
        if unfit:
            raise BadInput(
                f"expected a workspace whose path is read as it stands, found {' '.join(map(repr, unfit))} in "
                f"{self.root}, a sign of patterns or settings; name another with --workspace"
            )
        for manifest in (self._manifest, self._importing):
            held = _catalogue(manifest) if manifest.is_file() else catalogue
            if held != catalogue:
                raise BadInput(
                    f"expected {self.root} to be empty or to hold {catalogue.format} from {catalogue.origin}, found "
                    f"{held.format} from {held.origin}; name another with --workspace or remove it"
                )

    def _has_own_configuration(self) -> bool:
        """Whether feature_store.yaml is not one that was written here: edited, or another one copied over it."""
        return self.feature_store_yaml.is_file() and not _was_written_here(self.feature_store_yaml.read_text())

    def begin_import(self) -> None:
        """Close the workspace until `create`: its tables, replaced one after another, do not belong together."""
        if self._manifest.is_file():
            self._manifest.replace(self._importing)

    def create(self, catalogue: Catalogue) -> None:
        """Make every table (typed, empty where nothing was written) and the Feast configuration; manifest last.

        A feature_store.yaml that somebody edited, or put there instead of the one written here, stays.

        Raises BadInput when the workspace already holds another catalogue.
        """
        self.admit(catalogue)
        for table in TABLES:
            parts.create(self.folder(table), table)
        for folder in (self.models, self.reports):
            folder.mkdir(parents=True, exist_ok=True)
        if not self._has_own_configuration():
            parts.write_text(self.feature_store_yaml, _FEATURE_STORE.format(root=self.root, feature_repo=FEATURE_REPO))
        parts.write_text(self._manifest, json.dumps(asdict(catalogue), indent=1) + "\n")
        self._importing.unlink(missing_ok=True)


def _was_written_here(configuration: str) -> bool:
    """By whatever version of this code, for a workspace wherever it was then."""
    named = _NAMED.search(configuration)
    if named is None:
        return False
    root, feature_repo = named.groups()
    template = configuration.replace(f" -c {feature_repo} -f ", " -c {feature_repo} -f ").replace(root, "{root}")
    return hashlib.blake2b(template.encode(), digest_size=8).hexdigest() in _WRITTEN


def _catalogue(manifest: Path) -> Catalogue:
    try:
        stored = json.loads(manifest.read_text())
        return Catalogue(str(stored["format"]), str(stored["origin"]))
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(
            f'expected {manifest} as {{"format": ..., "origin": ...}}, found it damaged; put it back, or import the '
            "catalogue into another workspace"
        ) from error
