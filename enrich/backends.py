"""Where behaviour is aggregated: DuckDB on this machine, or Spark, by the same ibis expressions.

DuckDB keeps within `memory` and spills to W/.spill. Spark (`--engine spark`, the extra `spark` and a Java runtime)
takes its master and settings from its own configuration (spark-defaults.conf, or `spark-submit`), all cores of this
machine where there is none; every worker must see the workspace under the same path. What the two do differently is
here alone: how parquet is read and how an intermediate table is kept.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote
from uuid import uuid4

import polars as pl

from enrich import partitions
from enrich.engine import LogEngine
from enrich.errors import BadInput

if TYPE_CHECKING:
    import ibis.expr.types as ir  # ibis is loaded where a backend is opened, for the commands' --help does without

TextMap = Callable[[Iterable[str]], pl.DataFrame]  # a frame of any number of rows a text

MEMORY = "4GB"  # of DuckDB, where nothing else is asked for; what is more goes to W/.spill
FILE = "read_from_file"  # the column that says in which file a row lies, where that is asked for
_TEXTS_AT_ONCE = 100_000  # in Python


class BackendLimits(NamedTuple):
    """Which backend, and what it may use; None: as it pleases (DuckDB: every core, four fifths of the memory).

    Spark's memory and cores are its own configuration's; there these two are not looked at.
    """

    memory: str | None = None  # such as "2GB"; what is more goes to disk
    threads: int | None = None
    engine: LogEngine = LogEngine.LOCAL


BOUNDED = BackendLimits(MEMORY)


class Backend(ABC):
    """An ibis connection, and the few things that ibis does not do alike on all of them."""

    connection: Any

    @abstractmethod
    def read(self, paths: Sequence[str], hive: str | None = None, named: bool = False) -> ir.Table:
        """Parquet files or patterns as one table.

        With `hive`, a folder above them, the paths are files of the same columns, and folders between that are named
        `name=value` give columns that the files lack; else, and above it, no folder does. `named` adds the column
        `FILE`, in which file a row lies, as `path_of` reads it.
        """

    @abstractmethod
    def path_of(self, file: str) -> str:
        """The path that was asked for, of what stands in the column `FILE`."""

    @abstractmethod
    def instant(self, microseconds: ir.IntegerValue) -> ir.TimestampValue:
        """The UTC time so long after 1970."""

    @property
    @abstractmethod
    def misread(self) -> tuple[type[Exception], ...]:
        """What it raises of a file that is not what its footer says."""

    @abstractmethod
    def write(self, table: ir.Table, folder: Path, by: str | None = None) -> None:
        """`table` as parquet files in a new `folder`; with `by`, an integer column, in folders `by=value` there."""

    @abstractmethod
    def keep(self, name: str, table: ir.Table) -> ir.Table:
        """`table` computed once, under a `name` until `drop`."""

    @abstractmethod
    def map_texts(self, name: str, texts: ir.Table, function: TextMap) -> ir.Table:
        """`function` of the one column of `texts`, some at a time, kept under `name`; no text is null, or twice."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Forget what was kept."""


class DuckDBBackend(Backend):
    def __init__(self, spill: Path, limits: BackendLimits) -> None:
        import ibis

        self.connection = ibis.duckdb.connect(temp_directory=str(spill_under(spill)))
        self.connection.raw_sql("SET TimeZone = 'UTC'")
        self.connection.raw_sql("SET enable_progress_bar = false")  # on where Python has no script; jobs show their own
        if limits.memory is not None:
            self._limit(limits.memory)
        if limits.threads is not None:
            self.connection.raw_sql(f"SET threads = {limits.threads}")
        self._views = 0
        self._known_schemes = {"file"}  # that DuckDB reads already

    def _limit(self, memory: str) -> None:
        try:
            self.connection.raw_sql("SET memory_limit = '" + memory.replace("'", "") + "'")
        except Exception as error:  # ibis passes on whatever DuckDB says of a size
            raise BadInput(f"expected --memory as a size with a unit, found {memory!r}; write 4GB or 800MB") from error

    def read(self, paths: Sequence[str], hive: str | None = None, named: bool = False) -> ir.Table:
        for scheme in {path.partition("://")[0] for path in paths if "://" in path} - self._known_schemes:
            self.connection.register_filesystem(file_system(scheme))
            self._known_schemes.add(scheme)
        paths = [path.removeprefix("file://") for path in paths]
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        options = ", hive_partitioning = false"  # it takes columns from all folders above, and before the file's own
        options += ", union_by_name = true" if hive is not None else ""
        options += f", filename = '{FILE}'" if named or hive is not None else ""
        self._views += 1  # a view by hand: ibis would fetch an extension from the network for s3
        name = f"parquet_{self._views}"
        self.connection.raw_sql(f"CREATE TEMP VIEW {name} AS SELECT * FROM read_parquet([{quoted}]{options})")
        table = self.connection.table(name)
        if hive is None:
            return table
        table = _with_partitions(table, paths, hive.removeprefix("file://"))
        return table if named else table.drop(FILE)

    def path_of(self, file: str) -> str:
        return file

    def instant(self, microseconds: ir.IntegerValue) -> ir.TimestampValue:
        return _builtin("make_timestamp", microseconds)

    @property
    def misread(self) -> tuple[type[Exception], ...]:
        import duckdb

        return (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.InvalidTypeException)

    def write(self, table: ir.Table, folder: Path, by: str | None = None) -> None:
        folder.mkdir(parents=True)
        target, more = (folder / "rows.parquet", {}) if by is None else (folder, {"partition_by": by})
        self.connection.to_parquet(table, target, compression="zstd", **more)

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        return self.connection.create_table(name, table, temp=True)

    def map_texts(self, name: str, texts: ir.Table, function: TextMap) -> ir.Table:
        import ibis

        asked = self.keep(f"{name}_texts", texts)
        kept = self.keep(name, ibis.memtable(function([])))
        for start in range(0, int(asked.count().execute()), _TEXTS_AT_ONCE):
            some = asked.limit(_TEXTS_AT_ONCE, offset=start).to_polars().to_series()
            self.connection.insert(name, ibis.memtable(function(some)))
        self.drop(f"{name}_texts")
        return kept

    def drop(self, name: str) -> None:
        self.connection.raw_sql(f'DROP TABLE "{name}"')


class SparkBackend(Backend):
    def __init__(self) -> None:
        import ibis

        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise BadInput(
                "expected pyspark for --engine spark, found none; install it with `pip install 'corkboard[spark]'`"
            ) from error
        builder = SparkSession.builder.appName("corkboard").config("spark.sql.session.timeZone", "UTC")
        builder = builder.config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")  # 007 stays 007
        self._session = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
        self.connection = ibis.pyspark.connect(self._session)
        self._kept: dict[str, tuple[str, Any]] = {}  # its view, unique in the session, and its rows

    def read(self, paths: Sequence[str], hive: str | None = None, named: bool = False) -> ir.Table:
        if hive is None:  # Spark logs an error for each pattern
            frame = self._parquet([path.removesuffix("/*.parquet") for path in paths], named)
        else:
            frame = self._partitioned(paths, hive, named)
        name = f"parquet_{uuid4().hex}"  # the session is one for all backends of a process
        frame.createOrReplaceTempView(name)
        return self.connection.table(name)

    def _parquet(self, paths: Sequence[str], named: bool, **options: str) -> Any:
        reader = self._session.read.options(pathGlobFilter="*.parquet", **options)
        frame = reader.parquet(*map(_for_hadoop, paths))
        return frame.selectExpr("*", f"_metadata.file_path AS {FILE}") if named else frame

    def _partitioned(self, paths: Sequence[str], hive: str, named: bool) -> Any:
        """By Spark's own partitions, whose values go before the file's column; where there is one, a read for each
        value of the other folders.
        """
        from pyspark.sql import functions

        given = [partitions.named(partitions.below(path, hive).split("/")[:-1]) for path in paths]
        own = set()
        if any(given):
            own = {name.lower() for name in self._parquet(paths, False, recursiveFileLookup="true").columns}
        if not any(name.lower() in own for values in given for name in values):
            return self._parquet(paths, named, mergeSchema="true", basePath=_for_hadoop(hive))
        alike: dict[tuple[tuple[str, str | None], ...], list[str]] = {}
        for path, values in zip(paths, given, strict=True):
            lacking = tuple((name, value) for name, value in values.items() if name.lower() not in own)
            alike.setdefault(lacking, []).append(path)
        frames = []
        for lacking, files in alike.items():
            columns = {name: functions.lit(value).cast("string") for name, value in lacking}
            frame = self._parquet(files, named, mergeSchema="true", recursiveFileLookup="true")
            frames.append(frame.withColumns(columns) if columns else frame)
        return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)

    def path_of(self, file: str) -> str:
        """Spark's own spelling is a URI with escapes: file:///a%20b, s3a://bucket/a."""
        scheme, _, path = file.partition(":")
        if scheme == "file":
            return unquote("/" + path.lstrip("/"))
        return unquote(file.replace("s3a://", "s3://", 1))

    def instant(self, microseconds: ir.IntegerValue) -> ir.TimestampValue:
        return _builtin("timestamp_micros", microseconds)

    @property
    def misread(self) -> tuple[type[Exception], ...]:
        from pyarrow import ArrowException
        from pyspark.errors import PySparkException

        return (PySparkException, ArrowException)

    def write(self, table: ir.Table, folder: Path, by: str | None = None) -> None:
        writer = self._frame(table).write.option("compression", "zstd")
        (writer if by is None else writer.partitionBy(by)).parquet(str(folder))

    def _frame(self, table: ir.Table) -> Any:
        self.connection._run_pre_execute_hooks(table)  # registers tables in memory
        return self._session.sql(self.connection.compile(table))

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        frame = self._frame(table).persist()
        view = f"{name}_{uuid4().hex}"
        frame.createOrReplaceTempView(view)
        self._kept[name] = (view, frame)
        return self.connection.table(view)

    def map_texts(self, name: str, texts: ir.Table, function: TextMap) -> ir.Table:
        """Through the driver: the distinct texts and what is made of them fit in its memory."""
        import ibis

        slices = texts.to_polars().iter_slices(_TEXTS_AT_ONCE)
        found = [function(some.to_series()) for some in slices]
        return self.keep(name, ibis.memtable(pl.concat([function([]), *found])))

    def drop(self, name: str) -> None:
        view, frame = self._kept.pop(name)
        frame.unpersist()
        self._session.catalog.dropTempView(view)


def open_backend(spill: Path, limits: BackendLimits) -> Backend:
    """The backend that `limits` names. Raises BadInput where it is not installed."""
    return SparkBackend() if limits.engine is LogEngine.SPARK else DuckDBBackend(spill, limits)


def lists(rows: pl.DataFrame, key: str, order: str) -> pl.DataFrame:
    """`rows` (key, order, values) as one row a key, each value column a list in that order.

    Here and not in the backend, for Spark orders no aggregate.
    """
    return rows.sort(key, order).group_by(key, maintain_order=True).agg(pl.exclude(key, order))


def file_system(scheme: str) -> Any:
    """fsspec's file system of that name. Raises BadInput where it is not installed."""
    import fsspec

    try:
        return fsspec.filesystem(scheme)
    except (ImportError, ValueError) as error:
        raise BadInput(f"expected a file system for {scheme}:, found none ({error}); install it") from error


def spill_under(spill: Path) -> Path:
    """A folder for what one engine spills, which the engine makes; what killed processes had left beside it goes: it
    fills the disk, and is as private as the log.
    """
    _sweep(spill)
    with suppress(OSError):  # who only reads a workspace that cannot be written does without
        spill.mkdir(parents=True, exist_ok=True)
    return spill / f"{os.getpid()}-{uuid4().hex}"


def spill_of_user() -> Path:
    """Where engines spill that work for no workspace yet, below the system's folder for temporary files."""
    return Path(tempfile.gettempdir()) / f"corkboard-{getpass.getuser()}"


def _sweep(spill: Path) -> None:
    for left in spill.glob("*"):
        owner = left.name.partition("-")[0]
        if left.is_dir() and owner.isdecimal() and not _lives(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)  # asks, and ends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _with_partitions(table: ir.Table, paths: Sequence[str], hive: str) -> ir.Table:
    """With the columns that folders below `hive` give and the files lack, of what stands in `FILE`."""
    own = {name.lower() for name in table.columns}
    below = [partitions.below(path, hive) for path in paths]
    names = {name: None for path in below for name in partitions.named(path.split("/")[:-1]) if name.lower() not in own}
    within = table[FILE].substr(len(paths[0]) - len(below[0]))
    escaped = any("%" in path for path in below)
    columns = {}
    for name in names:
        written = within.re_extract(f"^(?:.*/)?{re.escape(name)}=([^/]*)/", 1).nullif(partitions.NO_VALUE)
        columns[name] = _unescaped(written) if escaped else written
    return table.mutate(**columns)


def _unescaped(text: ir.StringValue) -> ir.StringValue:
    import ibis
    import ibis.expr.datatypes as dt

    def url_decode(text: str) -> Any: ...

    function: Any = ibis.udf.scalar.builtin(url_decode, signature=((dt.string,), dt.string))
    value: ir.StringValue = function(text)
    return value


def _builtin(name: str, microseconds: ir.IntegerValue) -> ir.TimestampValue:
    """A function of the engine that ibis does not know: it makes times of microseconds on none of the two."""
    import ibis
    import ibis.expr.datatypes as dt

    def made(microseconds: int) -> Any: ...

    function: Any = ibis.udf.scalar.builtin(made, name=name, signature=((dt.int64,), dt.timestamp))
    time: ir.TimestampValue = function(microseconds).cast("timestamp('UTC')")
    return time


def _for_hadoop(path: str) -> str:
    """Spark's S3 is s3a."""
    return "s3a://" + path.removeprefix("s3://") if path.startswith("s3://") else path
