"""Is the backward pass the derivative of the forward pass? By differences, and exactly."""
