"""The distribution of a layer's numbers: one TensorBoard histogram per tensor.

Thirty bins by numpy cost some 0.1 ms a tensor; SummaryWriter.add_histogram takes 1.5 ms, for bins
that reach to 1e20.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np
from tensorboard.compat.proto.summary_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import Summary as Event

SECTIONS = {
    "W": "weights",
    "b": "weights",
    "dW": "gradients",
    "db": "gradients",
    "a": "activations",
}
BINS = 30


def histograms(trace: Mapping[str, np.ndarray]) -> Iterator[Event.Value]:
    """weights/W1, gradients/dW1, activations/a1... of one side's step, all entries of each."""
    for name, tensor in trace.items():
        if (kind := re.sub(r"\d+$", "", name)) in SECTIONS:
            yield Event.Value(tag=f"{SECTIONS[kind]}/{name}", histo=histogram(tensor))


def histogram(tensor: np.ndarray) -> HistogramProto:
    """bucket[i] entries lie in (bucket_limit[i-1], bucket_limit[i]]; TensorBoard needs the empty
    bucket below the first edge as well."""
    flat = tensor.ravel().astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            counts, edges = np.histogram(flat, bins=BINS)
        except ValueError:  # no 30 bins between numbers a few ulps, or 1e308, apart
            counts, edges = np.array([flat.size]), np.array([flat.min(), flat.max()])
        total, squares = flat.sum(), float(flat @ flat)
    return HistogramProto(
        min=flat.min(),
        max=flat.max(),
        num=flat.size,
        sum=total,
        sum_squares=squares,
        bucket_limit=edges.tolist(),
        bucket=[0.0, *counts.tolist()],
    )
