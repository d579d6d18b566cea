"""Enrichment: sources in, enriched tables out. Never imports `relevance`."""

__version__ = "0.1.0"
