"""A convolution in three ways: by loops over places, as one matrix product, and as it is used."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from torch_parity.compare.judge.judge import Side
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.tensors import to_torch
from torch_parity.lessons.lesson import gap


def conv_by_loops(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """One place at a time, without padding  # [m, c, h, w], [o, c, k, k], [o] -> [m, o, h', w']"""
    k = weight.shape[2]
    out = np.zeros((len(x), len(weight), x.shape[2] - k + 1, x.shape[3] - k + 1))
    for i, o, y, z in np.ndindex(out.shape):
        window = x[i, :, y : y + k, z : z + k]
        out[i, o, y, z] = (window * weight[o]).sum() + bias[o]
    return out


def conv_backward_by_loops(
    dout: np.ndarray, x: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each place hands its share back  # -> like x, like weight, [o]"""
    k = weight.shape[2]
    dx, dweight, dbias = np.zeros_like(x), np.zeros_like(weight), np.zeros(len(weight))
    for i, o, y, z in np.ndindex(dout.shape):
        rows, columns = slice(y, y + k), slice(z, z + k)
        dx[i, :, rows, columns] += dout[i, o, y, z] * weight[o]
        dweight[o] += dout[i, o, y, z] * x[i, :, rows, columns]
        dbias[o] += dout[i, o, y, z]
    return dx, dweight, dbias


def convolved(side: Side, x: np.ndarray, weight: np.ndarray, **options: int) -> np.ndarray:
    """A convolution without a bias."""
    given = (x, weight, np.zeros(len(weight)))
    row = OPERATIONS["conv2d"]
    if side == "manual":
        return row.forward(*given, **options)
    out: Tensor = row.twin(**options)(*(to_torch(a) for a in given))
    return out.numpy()


def convolution_matrix(side: Side, weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """M with out = M image: what the convolution makes of each image with a single 1 in it.

    # [o, c, k, k], (c, h, w) -> [o * h * w, c * h * w]
    """
    ones = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    made = convolved(side, ones, weight, padding=1)
    return made.reshape(len(ones), -1).T


def ways(
    given: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray], side: Side
) -> dict[str, float]:
    """How far this side's step is from the loops, and from the product with one matrix."""
    x, weight = given["x"], given["weight"]
    padded, bare = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), slice(1, -1)
    dpadded, dweight, dbias = conv_backward_by_loops(t["dz"], padded, weight)
    shares = {"dx": dpadded[:, :, bare, bare], "dweight": dweight, "dbias": dbias}
    looped = [gap(t["z"], conv_by_loops(padded, weight, given["bias"]))]

    matrix = convolution_matrix(side, weight, x.shape[1:])
    z = (x.reshape(len(x), -1) @ matrix.T).reshape(t["z"].shape) + given["bias"].reshape(-1, 1, 1)
    dx = (t["dz"].reshape(len(x), -1) @ matrix).reshape(x.shape)
    return {
        f"loops/{side}": max(looped + [gap(t[n], shares[n]) for n in shares]),
        f"matrix/{side}": gap(t["z"], z),
        f"transposed/{side}": gap(t["dx"], dx),
        "zeros": float(np.mean(matrix == 0)),
        "entries": matrix.size,
        "weights": weight.size,
        "different": len(np.unique(matrix)) - 1,
    }
