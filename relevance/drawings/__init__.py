"""Figures drawn as SVG text for the pages of `relevance evaluate` and `relevance experiment`."""
