"""Losses and penalties: forward, and right below it backward."""
