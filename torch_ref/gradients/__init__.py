"""The gradient checks of manual/gradients/, as torch has them."""
