"""Labels made wrong, votes taken away, and labels found to be suspect: tables worked out by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from relevance.audit.confident import confident_joint, suspects
from relevance.experiments import wrong_labels
from tests.relevance.students import labelled_frame

ROWS = labelled_frame(20, 10, 3)


def test_so_many_labels_become_another_one_and_take_their_votes_along() -> None:
    made = wrong_labels.with_noise(ROWS, 0.3, seed=1)
    wrong = made["level"] != ROWS["level"]
    assert 0.2 < wrong.mean() < 0.4
    assert made.filter(wrong)["votes"].to_list() == [[level] for level in made.filter(wrong)["level"]]
    assert made.filter(~wrong).equals(ROWS.filter(~wrong))
    assert made["level"].is_between(1, 5).all() and made.schema == ROWS.schema


def test_no_noise_changes_nothing_and_all_noise_everything() -> None:
    assert wrong_labels.with_noise(ROWS, 0, 1).equals(ROWS)
    assert (wrong_labels.with_noise(ROWS, 1, 1)["level"] != ROWS["level"]).all()


def test_more_noise_adds_to_less() -> None:
    less, more = (wrong_labels.with_noise(ROWS, rate, 1)["level"] for rate in (0.15, 0.5))
    wrong = less != ROWS["level"]
    assert more.filter(wrong).equals(less.filter(wrong))


def pairs(*rows: tuple[str, int, list[int]]) -> pl.DataFrame:
    return pl.DataFrame(
        [{"query": "oak", "pin_id": pin, "level": level, "votes": votes} for pin, level, votes in rows],
        schema={"query": pl.String, "pin_id": pl.String, "level": pl.Int64, "votes": pl.List(pl.Int64)},
    )


def test_annotators_that_go_take_their_votes_and_their_own_pairs_along() -> None:
    judged = pairs(("p", 3, [1, 5]), ("q", 5, [5]))
    votes = pl.DataFrame(
        {"query": ["oak"] * 3, "pin_id": ["p", "p", "q"], "annotator_id": ["ann", "bob", "bob"], "level": [1, 5, 5]}
    )
    made = wrong_labels.without_annotators(judged, votes, 1, seed=0)
    kept = {"ann": [("p", 1, [1])], "bob": [("p", 5, [5]), ("q", 5, [5])]}
    assert made.select("pin_id", "level", "votes").rows() in list(kept.values())


def test_without_names_no_annotator_can_go() -> None:
    judged = pairs(("p", 3, [1, 5]))
    votes = pl.DataFrame({"query": ["oak"], "pin_id": ["p"], "annotator_id": [None], "level": [3]})
    assert wrong_labels.without_annotators(judged, votes, 1, seed=0).equals(judged)


def test_one_vote_a_pair_is_one_of_its_own() -> None:
    made = wrong_labels.with_one_vote(pairs(("p", 3, [1, 5]), ("q", 4, [4, 4]), ("r", 2, [])), 0)
    assert made["level"][0] in (1, 5) and made["level"].to_list()[1:] == [4, 2]
    assert made["votes"].to_list() == [[level] for level in made["level"]]


def sure_of(level: int, chance: float = 0.8) -> list[float]:
    return [chance if k == level else (1 - chance) / 4 for k in range(1, 6)]


def test_a_row_that_looks_like_another_level_is_suspect() -> None:
    # of four rows given 1, one looks like a 5; the rows given 5 look like it: of level 1, one of four is truly 5
    levels = np.array([1, 1, 1, 1, 5, 5])
    probabilities = np.array([sure_of(1)] * 3 + [sure_of(5)] + [sure_of(5)] * 2)
    joint = confident_joint(levels, probabilities)
    assert joint[0].tolist() == pytest.approx([3, 0, 0, 0, 1]) and joint[4].tolist() == pytest.approx([0, 0, 0, 0, 2])
    suspect, better = suspects(levels, probabilities)
    assert suspect.tolist() == [False, False, False, True, False, False] and better[3] == 5


def test_rows_are_counted_in_full_however_few_are_sure() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(1, 6, 200)
    joint = confident_joint(levels, rng.dirichlet(np.ones(5), 200))
    assert joint.sum(axis=1).tolist() == pytest.approx(np.bincount(levels, minlength=6)[1:].tolist())


def test_labels_that_agree_are_not_suspect() -> None:
    levels = np.array([1, 2, 3, 4, 5] * 4)
    suspect, better = suspects(levels, np.array([sure_of(int(level)) for level in levels]))
    assert not suspect.any() and (better == levels).all()


def test_confident_learning_finds_what_was_made_wrong() -> None:
    noisy = wrong_labels.with_noise(ROWS, 0.2, 1)
    said = np.array([sure_of(level, 0.6) for level in ROWS["level"]])
    assert wrong_labels.relabelled(noisy, said)["level"].equals(ROWS["level"])
    assert wrong_labels.pruned(noisy, said).height == ROWS.height - int((noisy["level"] != ROWS["level"]).sum())


def test_no_row_is_asked_of_a_model_that_saw_its_query() -> None:
    def ask(taught: pl.DataFrame, asked: pl.DataFrame) -> np.ndarray:
        assert not set(taught["query"]) & set(asked["query"])
        return np.array([sure_of(level) for level in asked["level"]])

    crossed = wrong_labels.crossed(ROWS, 3, 0, ask)
    assert (crossed.argmax(axis=1) + 1 == ROWS["level"].to_numpy()).all()


def test_pairs_are_asked_once_more_with_slips() -> None:
    made = wrong_labels.augmented(ROWS, 0)
    assert made.height == 2 * ROWS.height and made.head(ROWS.height).equals(ROWS)
    assert not set(made.tail(ROWS.height)["query"]) & set(ROWS["query"])
    assert made.tail(ROWS.height)["level"].equals(ROWS["level"])
