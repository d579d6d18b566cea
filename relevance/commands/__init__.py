"""The commands of `relevance`, by what they are for, and their flags."""
