"""Which operation makes which tensor of a step, from which others."""
