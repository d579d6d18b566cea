"""The HTTP service and its inspector page (`relevance serve`); app.py puts the parts together."""
