"""The people behind the judgments: how far they agree, and each of them with the rest."""
