"""Gradient checks: the exact one, the course's, torch's, once or while training."""
