"""Relevance: features in through Feast services, a graded teacher, a distilled student, scores and reports out."""
