"""What several formats share: text fields put into one description, grades of any scale put onto the five levels."""

from __future__ import annotations

import polars as pl

# Amazon's ESCI labels. A substitute serves the need (relevant), a complement only goes with what does (irrelevant).
LEVEL_OF_ESCI = {"E": 5.0, "S": 4.0, "C": 2.0, "I": 1.0}


def prose(*sentences: pl.Expr) -> pl.Expr:
    """The given texts (or lists of texts) as sentences, each ended by a stop; null where there is none."""
    parts = pl.concat_list(*sentences)
    said = parts.list.eval(pl.element().str.strip_chars().str.strip_chars_end("."))
    filled = said.list.eval(pl.element().filter(pl.element().str.len_bytes() > 0))
    return pl.when(filled.list.len() > 0).then(filled.list.join(". ") + ".")


def level_of_grade(grade: pl.Expr, top: float) -> pl.Expr:
    """Grade 0 is level 1, the top grade level 5, those between evenly: 1 + floor(4·grade/top + ½); below 0 is level 1.

    So 0, 1, 2, 3 become 1, 2, 4, 5, and 0, 1, 2 become 1, 3, 5.
    """
    return 1 + (4 * grade.clip(0, top) / top + 0.5).floor()
