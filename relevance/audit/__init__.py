"""`relevance audit`: pairs where a person's time is worth most, a sheet and a page to label them, and back."""
