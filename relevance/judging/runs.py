"""A TREC run from elsewhere as predictions, to be judged beside the models: `relevance evaluate --run FILE=NAME`.

Reads the file (qid, Q0, document, rank, score, tag between blanks; gzipped or not) and, where its query ids are neither
ours (exporting/ids.py) nor the queries' own texts, topics: id, tab, query. The rank is not read; as in trec_eval the
score orders, and ties go by document id. Raises BadInput, one line with the line's number, for what is no run.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import polars as pl

from enrich.errors import BadInput
from enrich.normalise import normalise_query
from relevance.exporting.ids import document_id, query_id
from relevance.judging.gold import Predictions

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_COLUMNS = 6
_JUDGED_ONLY = "judged only"
_UTF8 = "utf-8-sig"  # with or without the mark that Windows puts first
_LONGEST = 10_000_000  # lines, some GB of rows: what is longer is no run of judged queries


class RunFile(NamedTuple):
    """A run to judge, and what the report calls it."""

    path: Path
    name: str

    @classmethod
    def parse(cls, given: str) -> RunFile:
        """FILE or FILE=NAME; without a name the file's own."""
        file, _, name = given.rpartition("=") if "=" in given else (given, "", "")
        path = Path(file).expanduser()
        name = name or re.sub(r"[^A-Za-z0-9._+-]+", "_", path.name.removesuffix(".gz").rsplit(".", 1)[0]) or "run"
        if not _NAME.fullmatch(name):
            raise BadInput(f"expected --run FILE=NAME, the name of letters, digits and . _ + -, found {name!r}")
        return cls(path, name)


@dataclass(frozen=True, slots=True)
class Run:
    """`rows`: query, pin_id, score, of the queries that are judged. The rest counts what was not known."""

    name: str
    rows: pl.DataFrame
    unknown_queries: int  # that are not among those asked for
    unknown_pins: int  # rows whose document the catalogue lacks; they keep their places

    def note(self) -> str | None:
        """What a reader must know of it; None where all was known."""
        said = []
        if self.unknown_pins:
            said.append(f"{self.unknown_pins:,} of its rows name pins that the catalogue does not have")
        if self.unknown_queries:
            said.append(f"{self.unknown_queries:,} of its queries are not held-out judged ones, and were left out")
        return f"{self.name}: {'; '.join(said)}" if said else None

    def predictions(self, gold: pl.DataFrame) -> list[Predictions]:
        """The run beside the gold pairs (query, pin_id, level): as it is and, where it ranks others too, without those.

        The second is what models that were asked about judged pins alone can be held against (Sakai 2007).
        """
        rows = self.rows.join(gold.select("query", "pin_id", "level"), on=["query", "pin_id"], how="left")
        found = [Predictions(self.name, rows)]
        judged = rows.filter(pl.col("level").is_not_null())
        if judged.height < rows.height:
            found.append(Predictions(f"{self.name} ({_JUDGED_ONLY})", judged))
        return found


def read_run(file: RunFile, queries: Sequence[str], pins: pl.Series, topics: Path | None = None) -> Run:
    """The run's rows of `queries`; `pins` are the catalogue's.

    Raises BadInput for a line that is none of a run, a score that is no number, a document twice in a query, and where
    no query, or no pin, is known.
    """
    rows = _rows(file.path)
    texts = _known_queries(rows["qid"].unique(), queries, topics)
    asked = rows.join(texts, on="qid")
    if asked.is_empty():
        raise BadInput(
            f"expected queries that are judged in {file.path}, found {rows['qid'].n_unique():,} others, such as "
            f"{rows['qid'][0]!r}; give their texts with --topics, or export topics with `relevance export trec`"
        )
    odd = [pin for pin in pins if document_id(pin) != pin]
    names = pl.DataFrame(
        {"document": [document_id(pin) for pin in odd], "pin_id": odd},
        schema={"document": pl.String, "pin_id": pl.String},
    )
    named = asked.join(names, on="document", how="left").select(
        "query", pin_id=pl.coalesce("pin_id", "document"), score="score"
    )
    unknown = named.filter(~pl.col("pin_id").is_in(pins.to_list()))
    if unknown.height == named.height:
        raise BadInput(
            f"expected pins of the catalogue in {file.path}, found {unknown['pin_id'].n_unique():,} others, such as "
            f"{unknown['pin_id'][0]!r}; is this a run over this catalogue?"
        )
    twice = named.filter(named.select("query", "pin_id").is_duplicated())
    if twice.height:
        raise BadInput(
            f"expected each document once a query in {file.path}, found {twice['pin_id'][0]!r} again for "
            f"{twice['query'][0]!r}; keep one"
        )
    return Run(file.name, named, rows["qid"].n_unique() - texts.height, unknown.height)


def _known_queries(ids: pl.Series, queries: Sequence[str], topics: Path | None) -> pl.DataFrame:
    """qid, query of the run's query ids that are of `queries`; by topics, by our own ids, or as texts."""
    of_id = {query_id(query): query for query in queries}
    known, named = set(queries), _topics(topics) if topics else {}
    found = [(one, named[one] if one in named else of_id.get(one, normalise_query(one))) for one in ids]
    return pl.DataFrame(
        [pair for pair in found if pair[1] in known], schema={"qid": pl.String, "query": pl.String}, orient="row"
    )


def _topics(path: Path) -> dict[str, str]:
    found = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        one, tab, query = line.partition("\t")
        if not tab:
            raise BadInput(f"expected id, tab, query in line {number} of {path}, found {line[:80]!r}")
        found[one.strip()] = normalise_query(query)
    return found


def _rows(path: Path) -> pl.DataFrame:
    """qid, document, score of every line."""
    qids, documents, scores = list[str](), list[str](), list[float]()
    for number, line in enumerate(_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != _COLUMNS:
            raise BadInput(
                f"expected {_COLUMNS} columns (qid Q0 document rank score tag) in line {number} of {path}, found "
                f"{len(fields)}; is this a TREC run?"
            )
        if number > _LONGEST:
            raise BadInput(f"expected a run of at most {_LONGEST:,} lines, found more in {path}; keep the first 1,000")
        qids.append(fields[0])
        documents.append(fields[2])
        scores.append(_score(fields[4], number, path))
    if not qids:
        raise BadInput(f"expected a TREC run in {path}, found no lines; name another file")
    return pl.DataFrame({"qid": qids, "document": documents, "score": scores})


def _score(text: str, number: int, path: Path) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not isfinite(score):
        raise BadInput(f"expected a finite score in line {number} of {path}, found {text[:40]!r}; mend the run")
    return score


def _lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise BadInput(f"expected a file at {path}, found nothing; check the path")
    try:
        packed = path.suffix == ".gz"
        with gzip.open(path, "rt", encoding=_UTF8) if packed else path.open(encoding=_UTF8) as file:
            yield from (line.rstrip("\r\n") for line in file)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadInput(f"expected {path} to be readable text, found: {error}; export it again") from error
