"""Everyday porting mistakes, each planted in one of two otherwise equal models."""

from benchmarks.zoo.mistakes import attentions, gradients, layers, losses, norms, updates
from benchmarks.zoo.mistakes.planting import REGISTER, Mistake, architectures, mistake

PLANTERS = (norms, attentions, layers, gradients, losses, updates)  # imported to fill the register
KINDS: tuple[str, ...] = tuple(REGISTER)
CAUSES: tuple[str, ...] = tuple(sorted({k.cause for k in REGISTER.values() if k.cause}))

__all__ = ["CAUSES", "KINDS", "Mistake", "architectures", "mistake"]
