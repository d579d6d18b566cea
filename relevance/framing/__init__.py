"""Training frames: what models read of them, a check of their join, a report of what they know."""
