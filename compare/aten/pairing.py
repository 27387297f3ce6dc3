"""Where the entries of one given tensor of b are in a."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pairing:
    """Where the entries of one tensor of b come from: the entry at flat position i of b's is at
    flat position `positions[i]` of a's tensor `names[sources[i]]`.

    rivals are the other places where a has the very same numbers, which may be meant as well.
    """

    names: tuple[str, ...]
    sources: np.ndarray
    positions: np.ndarray
    rivals: "tuple[Pairing, ...]" = ()

    @property
    def place(self) -> tuple[str, int]:
        """Where in a it begins."""
        first = int(self.sources[0]) if self.sources.size else 0
        return self.names[first], int(self.positions[0]) if self.positions.size else 0

    @property
    def straight(self) -> bool:
        """b's tensor is one of a's as it is."""
        in_order = np.array_equal(self.positions, np.arange(self.positions.size))
        return len(self.names) == 1 and in_order

    def taken_from(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """b's tensor with a's numbers. The tensors have the shapes of those that were paired."""
        flat = [np.asarray(tensors[name]).reshape(-1) for name in self.names]
        made = np.empty(self.positions.size, np.result_type(*flat))
        for i, numbers in enumerate(flat):
            here = self.sources == i
            made[here] = numbers[self.positions[here]]
        return made.reshape(shape)
