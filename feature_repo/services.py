"""What each model reads, by name: `relevance` reaches features through these services alone."""

from feast import FeatureService
from views import (
    pin_boards,
    pin_caption,
    pin_engagement,
    pin_graph,
    pin_link,
    pin_queries,
    pin_serving,
    pin_text,
    pin_text_embedding,
    pin_visual_embedding,
    query_features,
    query_pin_engagement,
    query_serving,
)

teacher_v1 = FeatureService(
    name="teacher_v1",
    features=[
        pin_text[["title", "description", "lang"]],
        pin_caption[["caption"]],
        pin_link[["link_title", "link_description"]],
        pin_boards[["board_titles"]],
        pin_queries[["engaged_queries"]],
    ],
    description="the texts that the cross-encoder reads",
    owner="relevance",
    tags={"model": "teacher"},
)
student_v1 = FeatureService(
    name="student_v1",
    features=[
        pin_text[["title", "description", "lang"]],
        pin_caption[["caption"]],
        pin_link[["link_title", "link_description"]],
        pin_boards[["board_titles"]],
        pin_queries[["engaged_queries"]],
        pin_text_embedding,
        pin_visual_embedding,
        pin_graph,
        pin_engagement,
        query_features,
        query_pin_engagement,
    ],
    description="what the student's features are computed from, before packing",
    owner="relevance",
    tags={"model": "student"},
)
scoring_v1 = FeatureService(
    name="scoring_v1",
    features=[pin_serving, query_serving],
    description="the same as student_v1, packed: one row a pin and one a known query",
    owner="relevance",
    tags={"model": "student"},
)
