"""Measure a sample catalogue: coverage, levels, agreement, position bias, and how much each field tells of relevance.

    python data/sample_check.py [DIR]      (default data/sample)

How much a field tells: a logistic regression of the gold level on the words that query and field share, and on which
query word met which field's words, over query-wise folds. A bag of words, not a model of this project: it only shows
that titles alone do not suffice and that no field is idle. Captions are the reference captions, board titles and
engaged queries those before the judgments.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script: the packages stand beside this folder
    sys.path.insert(0, str(ROOT))

from data.pictures.scenes import Scene, reference_caption  # noqa: E402
from data.serve_pages import read_index  # noqa: E402
from enrich.normalise import normalise_query, terms  # noqa: E402

FIELDS = ("title", "description", "caption", "link", "boards", "queries")
GAP_DAYS = 15
MIN_USERS = 5
_ENGAGED = ("click", "long_click", "save")


def gold(judgments: pl.DataFrame) -> pl.DataFrame:
    """query, pin_id, votes, level (their mean, half up), judged_at."""
    votes = judgments.group_by("query", "pin_id", maintain_order=True).agg(
        votes=pl.col("level"), judged_at=pl.col("judged_at").min()
    )
    return votes.with_columns(level=(pl.col("votes").list.mean() + 0.5).floor().cast(pl.Int64))


def exact_agreement(votes: list[list[int]]) -> float:
    """Share of pairs of annotators of one pair who gave the same level."""
    return float(np.mean([a == b for vote in votes for a, b in combinations(vote, 2)]))


def engaged_queries(log: pl.DataFrame) -> pl.DataFrame:
    """pin_id, query: of clicks and saves, for queries that MIN_USERS users or more issued."""
    users = log.group_by("query").agg(users=pl.col("user_hash").n_unique())
    known = users.filter(pl.col("users") >= MIN_USERS).select("query")
    engaged = log.filter(pl.col("event").is_in(_ENGAGED)).join(known, on="query")
    return engaged.select("pin_id", "query", "event_timestamp")


def position_curve(log: pl.DataFrame) -> list[float]:
    """Clicks per impression at ranks 1..6."""
    shown = log.group_by("position").agg(
        clicks=(pl.col("event") == "click").sum(), impressions=(pl.col("event") == "impression").sum()
    )
    rates = shown.sort("position").head(6)
    return (rates["clicks"] / rates["impressions"]).to_list()


def field_texts(folder: Path) -> pl.DataFrame:
    """pin_id and a list of texts a field; boards and queries up to GAP_DAYS before the first judgment."""
    pins = pl.read_parquet(folder / "pins.parquet").select("pin_id", "title", "description", "link_url")
    cut = pl.read_parquet(folder / "judgments.parquet")["judged_at"].min() - pl.duration(days=GAP_DAYS)
    titles = pl.read_parquet(folder / "boards.parquet").select("board_id", boards="title")
    saved = pl.read_parquet(folder / "board_pins.parquet").filter(pl.col("saved_at") < cut).join(titles, on="board_id")
    boards = saved.group_by("pin_id").agg(pl.col("boards").unique(maintain_order=True).str.join(" "))
    asked = engaged_queries(pl.read_parquet(folder / "engagements.parquet").filter(pl.col("event_timestamp") < cut))
    queries = asked.group_by("pin_id").agg(queries=pl.col("query").unique(maintain_order=True).str.join(" "))
    truth = pl.read_parquet(folder / "latent_truth" / "pins.parquet").select("pin_id", *Scene._fields)
    captions = [(pin, reference_caption(Scene(*scene))) for pin, *scene in truth.iter_rows()]
    said = pl.DataFrame(captions, schema=["pin_id", "caption"], orient="row")
    links = pl.DataFrame(list(_page_titles(folder / "pages").items()), schema=["link_url", "link"], orient="row")
    frame = pins.join(links, on="link_url", how="left").join(said, on="pin_id", how="left")
    return frame.join(boards, on="pin_id", how="left").join(queries, on="pin_id", how="left")


def _page_titles(pages: Path) -> dict[str, str]:
    """The <title> and meta description of each page, roughly."""
    found = {}
    for url, answer in read_index(pages).items():
        if answer.file and answer.content_type.startswith("text/html"):
            text = (pages / answer.file).read_bytes().decode("utf-8", errors="replace")
            title = text.partition("<title>")[2].partition("</title>")[0]
            described = text.partition('"description" content="')[2].partition('"')[0]
            found[url] = f"{title} {described}"
    return found


def features(pairs: pl.DataFrame, texts: pl.DataFrame, fields: tuple[str, ...]) -> csr_matrix:
    """A row a pair: for each field, is it there, the share of the query's terms it has, which of them it has."""
    rows = []
    by_pin = {row["pin_id"]: row for row in texts.iter_rows(named=True)}
    for query, pin_id in pairs.select("query", "pin_id").iter_rows():
        asked = terms(normalise_query(query))
        row: dict[str, float] = {"terms": len(asked)}
        matched: set[str] = set()
        for field in fields:
            found = set(terms(by_pin[pin_id][field] or ""))
            hits = [term for term in asked if term in found]
            matched.update(hits)
            row[f"{field} there"] = float(bool(found))
            row[f"{field} share"] = len(hits) / max(1, len(asked))
            row.update({f"{field} has {term}": 1.0 for term in hits})
        row.update({f"lacks {term}": 1.0 for term in asked if term not in matched})
        row["share"] = len(matched) / max(1, len(asked))
        rows.append(row)
    return DictVectorizer().fit_transform(rows)


def accuracy(pairs: pl.DataFrame, texts: pl.DataFrame, fields: tuple[str, ...]) -> float:
    """Five-level accuracy over five query-wise folds."""
    levels: NDArray[np.int64] = pairs["level"].to_numpy()
    model = LogisticRegression(max_iter=2000, C=0.5)
    predicted = cross_val_predict(
        model,
        hstack([features(pairs, texts, fields)]).tocsr(),
        levels,
        groups=pairs["query"].to_list(),
        cv=GroupKFold(5),
    )
    return float((predicted == levels).mean())


def report(folder: Path) -> None:
    read = {path.stem: pl.read_parquet(path) for path in folder.glob("*.parquet")}
    pins, log, judgments = read["pins"], read["engagements"], read["judgments"]
    for name in sorted(read):
        print(f"{name:16} {read[name].height:7,} rows")
    saved, asked = read["board_pins"]["pin_id"].n_unique(), engaged_queries(log)["pin_id"].n_unique()
    print(f"coverage: titles {pins['title'].is_not_null().mean():.2f}", end=", ")
    print(f"descriptions {pins['description'].is_not_null().mean():.2f}", end=", ")
    print(f"links {pins['link_url'].is_not_null().mean():.2f}", end=", ")
    print(f"boards {saved / pins.height:.2f}, engaged queries {asked / pins.height:.2f}")
    pairs = gold(judgments)
    shares = pairs["level"].value_counts(normalize=True).sort("level")["proportion"]
    print(f"levels 1..5 of {pairs.height:,} pairs: {' '.join(f'{share:.2f}' for share in shares)}")
    votes = pairs["votes"].to_list()
    same = np.mean([v == level for level, vs in zip(pairs["level"], votes, strict=True) for v in vs])
    print(f"annotators: exact agreement of two {exact_agreement(votes):.3f}, of one with gold {same:.3f}")
    truth = pairs.join(pl.read_parquet(folder / "latent_truth" / "judged_pairs.parquet"), on=["query", "pin_id"])
    print(f"the truth itself agrees with gold: {(truth['level'] == truth['true_level']).mean():.3f}")
    print(f"clicks per impression at ranks 1..6: {' '.join(f'{rate:.3f}' for rate in position_curve(log))}")
    texts = field_texts(folder)
    for fields in ((), *((field,) for field in FIELDS), FIELDS):
        print(f"bag of words, {'+'.join(fields) or 'no field':52} accuracy {accuracy(pairs, texts, fields):.3f}")


if __name__ == "__main__":
    report(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "data" / "sample")
