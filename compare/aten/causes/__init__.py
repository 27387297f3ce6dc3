"""Known mistakes of everyday porting, as interventions: what explains where two models part."""

from torch_parity.compare.aten.causes.diagnosis import Options, causes_of, told
from torch_parity.compare.aten.causes.registry import CATALOGUE, Cause

__all__ = ["CATALOGUE", "Cause", "Options", "causes_of", "told"]
