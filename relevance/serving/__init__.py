"""Scoring at a request: payloads out of the online store, and what was answered, kept and computed again."""
