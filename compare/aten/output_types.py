"""Outputs of two models that hold the same numbers in other types."""

from collections.abc import Iterator, Sequence

from torch_parity.compare.aten.doubled import precisions
from torch_parity.compare.aten.record import Record


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
        if ref.dtype != other.dtype and ref.shape and name not in a.outside | b.outside:
            types = [str(r.dtype).removeprefix("torch.") for r in (other, ref)]
            yield f"{name} is {types[0]} in {called[0]} and {types[1]} in {called[1]}."
