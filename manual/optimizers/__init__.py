"""What a step does with the gradients."""
