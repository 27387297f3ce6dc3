"""The optimizers of manual/optimizers/, as torch has them."""
