"""What `relevance evaluate` does: predictions, figures with intervals, comparisons, and what its page shows."""
