"""The optimizers of manual/optimizers/ in torch."""
