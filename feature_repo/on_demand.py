"""What is computed when a request brings its query: how the query's words meet the pin's texts.

Joined from the text views at request time, or in a training frame from each row's own moment, by the same function. The
scorer does not use it (its payload holds term ids and `relevance/features.py` says more of the match); it is for who
asks Feast directly, once pin_text, pin_caption and pin_boards are materialized:
`get_online_features(["query_pin_match:title_share", ...], [{"pin_id": ..., "query_text": ...}])`.
"""

from typing import Any

from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, String
from views import pin_boards, pin_caption, pin_text

query_text = RequestSource(
    name="query_text",
    schema=[Field(name="query_text", dtype=String, description="the query as typed")],
    description="what the request brings",
    owner="relevance",
)


@on_demand_feature_view(
    name="query_pin_match",
    sources=[query_text, pin_text[["title"]], pin_caption[["caption"]], pin_boards[["board_titles"]]],
    # no descriptions of fields here: Feast looks for each field, description and all, among those it inferred
    schema=[Field(name=f"{field}_share", dtype=Float64) for field in ("title", "caption", "boards")],
    mode="python",
    description="share of the query's terms that stand in the pin's title, in its caption, in its boards' titles",
    owner="relevance",
    tags={"kind": "on demand", "signal": "text"},
)
def query_pin_match(inputs: dict[str, Any]) -> dict[str, Any]:
    from enrich.normalise import signs, terms  # here: Feast keeps the function's own source, not its module's names

    def shares(texts: list[Any]) -> list[float]:
        found = []
        for query, text in zip(inputs["query_text"], texts, strict=True):
            wanted = set(terms(query or ""))
            said = text if isinstance(text, str) else "\n".join(text if text is not None else ())
            there = {*terms(said), *signs(said)}
            found.append(len(wanted & there) / len(wanted) if wanted else 0.0)
        return found

    return {
        "title_share": shares(inputs["title"]),
        "caption_share": shares(inputs["caption"]),
        "boards_share": shares(inputs["board_titles"]),
    }
