"""Robustness per model: verdicts summarised, corruptions, a table of the user's own in their place."""
