"""Measured claims: `python -m benchmarks.NAME [--json]`, each a ratio against a named rival in the same run."""
