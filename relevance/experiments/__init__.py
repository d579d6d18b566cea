"""What each part is worth: `relevance experiment NAME`."""
