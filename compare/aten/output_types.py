"""Outputs of two models that hold the same numbers in other types."""

from collections.abc import Iterator, Sequence

import torch

from torch_parity.compare.aten.doubled import precisions
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import TensorRef


def output_types_differ(own: Sequence[Record], called: tuple[str, str]) -> Iterator[str]:
    """A sentence for each output that is of another type: truths for whole numbers, float64 for
    float32. own are the records in the models' own precision. A single number may be read into
    Python, where it has no such type."""
    a, b = own
    if precisions(a) != precisions(b):
        return
    for name, ref in b.results.items():
        other = a.results.get(name)
        if name.partition(".")[0] != "output" or name.endswith(".grad") or other is None:
            continue
        types = [_called(r) for r in (other, ref)]
        if types[0] != types[1] and ref.shape and name not in a.outside | b.outside:
            yield f"{name} is {types[0]} in {called[0]} and {types[1]} in {called[1]}."


def _called(ref: TensorRef) -> str:
    """float32, or complex64 of two of these."""
    if ref.complex:
        return {torch.float32: "complex64", torch.float64: "complex128"}[ref.dtype]
    return str(ref.dtype).removeprefix("torch.")
