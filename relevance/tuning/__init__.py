"""The ranking's weights, tuned on what was logged (`relevance tune-ranking`)."""
