"""The one door to the student: how an experiment teaches one and asks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from enrich.pin_packing import pack_pins
from enrich.pin_payload import unpack_pins
from relevance.learning.inputs import QueryEncoder, pin_columns, student_inputs
from relevance.learning.training import train_student
from relevance.metrics import Floats
from relevance.student import Student, StudentSettings


def teach(
    rows: pl.DataFrame,
    dev: pl.DataFrame,
    settings: StudentSettings,
    out: Path,
    encoder: QueryEncoder,
    service: str,
    peer: Path | None = None,
) -> None:
    """Train on student_v1 rows with labels, stop and calibrate by the judged rows of `dev`, write the folder `out`.

    The student in folder `peer`, which people alone taught, has a say in the soft labels.
    """
    train_student(rows, dev, settings, out, encoder, service, Student.load(peer) if peer else None)


def answer(folder: Path, frame: pl.DataFrame, encoder: QueryEncoder) -> Floats:
    """Probabilities [n, 5] of a student_v1 frame's pairs."""
    student = Student.load(folder)
    found = student.predict(student_inputs(frame, encoder).features(student.statistics))
    return found.astype(np.float64)


def request(folder: Path, rows: pl.DataFrame, encoder: QueryEncoder) -> Callable[[], object]:
    """One request about the rows' pins for the first row's query, from packed payloads on: what serving does after
    it has read the store. The query's vector is known, as of a query asked before."""
    student = Student.load(folder)
    pins = rows.unique("pin_id", keep="first", maintain_order=True).with_columns(query=pl.lit(rows["query"][0]))
    payloads = pack_pins(pin_columns(pins))
    query = student_inputs(pins.head(1), encoder).groups[0].query
    rates, known = query.rates_of(pins["pin_id"].to_list())

    def answer() -> object:
        return student.predict(student.features(query, unpack_pins(payloads), rates, known))

    return answer
