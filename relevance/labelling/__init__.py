"""Which pairs the teacher is asked about, its answers as a table, and whether they are fit to learn from."""
