"""The gradient checks of manual/gradients/ in torch."""
