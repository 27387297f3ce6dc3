"""Training side by side, and what a run leaves on disk."""
