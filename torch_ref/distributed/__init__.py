"""The same step on many ranks: what torchrun starts."""
