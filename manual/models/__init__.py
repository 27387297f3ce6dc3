"""Whole networks: forward and backward, line by line."""
