"""The same step on many ranks, started by torchrun."""
