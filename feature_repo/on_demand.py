"""What is computed when a request brings its query: how the query's words meet the pin's texts.

Joined from the text views at request time, or in a training frame from each row's own moment, by the same function. The
scorer does not use it (its payload holds term ids and `relevance/features.py` says more of the match); it is for who
asks Feast directly: `get_online_features(["query_pin_match:title_share", ...], [{"pin_id": ..., "query_text": ...}])`.
"""

from typing import Any

from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, String
from views import pin_boards, pin_caption, pin_text

from enrich.normalise import terms

query_text = RequestSource(
    name="query_text",
    schema=[Field(name="query_text", dtype=String, description="the query as typed")],
    description="what the request brings",
    owner="relevance",
)


@on_demand_feature_view(
    name="query_pin_match",
    sources=[query_text, pin_text[["title"]], pin_caption[["caption"]], pin_boards[["board_titles"]]],
    schema=[
        Field(name="title_share", dtype=Float32, description="share of the query's terms in the title"),
        Field(name="caption_share", dtype=Float32, description="share of the query's terms in the caption"),
        Field(name="boards_share", dtype=Float32, description="share of the query's terms in the board titles"),
    ],
    mode="python",
    description="how the words of the request's query meet the pin's texts",
    owner="relevance",
    tags={"kind": "on demand", "signal": "text"},
)
def query_pin_match(inputs: dict[str, Any]) -> dict[str, Any]:
    def shares(texts: list[Any]) -> list[float]:
        found = []
        for query, text in zip(inputs["query_text"], texts, strict=True):
            wanted = set(terms(query or ""))
            said = text if isinstance(text, str) else "\n".join(part for part in (text if text is not None else ()))
            found.append(len(wanted & set(terms(said or ""))) / len(wanted) if wanted else 0.0)
        return found

    return {
        "title_share": shares(inputs["title"]),
        "caption_share": shares(inputs["caption"]),
        "boards_share": shares(inputs["board_titles"]),
    }
