"""What other tools read of a workspace: TREC and BEIR files, data sets and models for the Hugging Face hub."""
