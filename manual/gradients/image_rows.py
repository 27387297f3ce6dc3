"""Operations on images as functions of rows: each place of the output reads a row of numbers, which
are gathered from the image, and knows of no others.

So a convolution is a linear layer on what its windows see, and a pooling a function of each row.
The way back adds every number's gradient up where it was gathered. Which number stands where is
found by arranging the numbers' places themselves, so nothing here depends on a hand-written
backward.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from torch_parity.manual.gradients.tangents import Uncertain
from torch_parity.manual.operations import find
from torch_parity.manual.recording import Call
from torch_parity.manual.windows import padded, pair, windows

CONVOLUTIONS = ("conv2d", "conv2d_no_bias")
POOLINGS = ("max_pool2d", "avg_pool2d")


@dataclass(frozen=True)
class ImageRows:
    """gathered [rows, n] are places in the flat image, -1 for padding, which is 0; made [rows, k]
    those in the flat output that the row's k results have."""

    shape: tuple[int, ...]
    gathered: np.ndarray
    made: np.ndarray
    out_shape: tuple[int, ...]

    def read(self, image: Uncertain) -> Uncertain:
        """What each row reads of an image                          # [m, c, h, w] -> [rows, n]"""
        return image.arranged(lambda a: np.append(a, 0.0)[self.gathered])

    def spread(self, rows: Uncertain) -> Uncertain:
        """Each number's gradient added up where it was gathered    # [rows, n] -> [m, c, h, w]"""
        rounded = Uncertain(rows.value, rows.rounded(self.gathered.shape[1]), rows.jump)
        return rounded.arranged(self._added)

    def of_output(self, out: Uncertain) -> Uncertain:
        """The results of each row                                # [m, c', h', w'] -> [rows, k]"""
        return out.arranged(lambda a: a.ravel()[self.made])

    def output(self, results: np.ndarray) -> np.ndarray:
        """The other way round                                    # [rows, k] -> [m, c', h', w']"""
        out = np.empty(math.prod(self.out_shape))
        out[self.made] = results
        return out.reshape(self.out_shape)

    def _added(self, rows: np.ndarray) -> np.ndarray:
        size = math.prod(self.shape)
        places = np.where(self.gathered < 0, size, self.gathered).ravel()
        sums = np.bincount(places, weights=rows.ravel(), minlength=size)
        return sums[:size].reshape(self.shape)


def image_rows(call: Call) -> ImageRows | None:
    """How a call's first input is read, where the call is a convolution in one group, a pooling
    without padding, a mean of each channel, a change of shape or a linear layer of sequences; None
    for any other."""
    (x, *others), (out, *_) = call.inputs, call.outputs
    places, made = (np.arange(a.size).reshape(a.shape) for a in (x, out))
    options = call.options
    if call.operation == "linear" and x.ndim > 2:
        by_row = made.reshape(-1, out.shape[-1])
        return ImageRows(x.shape, places.reshape(-1, x.shape[-1]), by_row, out.shape)
    if call.operation == "reshape":
        return ImageRows(x.shape, places.reshape(-1, 1), made.reshape(-1, 1), out.shape)
    if call.operation == "adaptive_avg_pool2d" and out.shape[2:] == (1, 1):
        gathered = places.reshape(x.shape[0] * x.shape[1], -1)
        return ImageRows(x.shape, gathered, made.reshape(-1, 1), out.shape)
    if call.operation in POOLINGS and pair(options["padding"]) == (0, 0):
        stride = options["kernel_size"] if options["stride"] is None else options["stride"]
        seen = windows(places, options["kernel_size"], stride, options.get("dilation", 1))
        n = math.prod(seen.shape[2:4])
        gathered = seen.transpose(0, 1, 4, 5, 2, 3).reshape(-1, n)
        return ImageRows(x.shape, gathered, made.reshape(-1, 1), out.shape)
    if call.operation in CONVOLUTIONS and options["groups"] == 1:
        kernel = others[0]
        framed = padded(places, options["padding"], -1)
        seen = windows(framed, kernel.shape[2:], options["stride"], options["dilation"])
        gathered = seen.transpose(0, 4, 5, 1, 2, 3).reshape(-1, math.prod(kernel.shape[1:]))
        by_place = made.transpose(0, 2, 3, 1).reshape(-1, len(kernel))
        return ImageRows(x.shape, gathered, by_place, out.shape)
    return None


def of_each_row(call: Call) -> Callable[[np.ndarray], np.ndarray]:
    """A pooling, a mean or a change of shape as a function of its rows  # [rows, n] -> [rows, 1]"""
    forward, _ = find(call.operation)
    if call.operation == "reshape":
        return lambda rows: rows
    how: dict[str, Any] = {"output_size": 1}
    if call.operation in POOLINGS:
        how = {"kernel_size": pair(call.options["kernel_size"])}
    size = how.get("kernel_size", (1, -1))
    return lambda rows: forward(rows.reshape(len(rows), 1, *size), **how).reshape(-1, 1)


def at_ties(slopes: Uncertain, rows: np.ndarray, reach: np.ndarray) -> Uncertain:
    """The slopes of the greatest number of each row, [rows, n, 1]: where several may be it, within
    the reach of rounding, any of them may have the slope 1."""
    near = rows >= rows.max(axis=1, keepdims=True) - reach
    tied = (near & (near.sum(axis=1, keepdims=True) > 1))[..., None]
    shared = tied.any(axis=1, keepdims=True)
    return Uncertain(
        np.where(tied, 0.5, np.where(shared, 0.0, slopes.value)),
        np.where(shared, 0.0, slopes.variance),
        np.where(tied, 0.5, slopes.jumps),
    )
