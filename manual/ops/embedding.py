"""Embedding: a table with a row of numbers for each symbol, which are learned like any weight.

It is a linear layer on one-hot vectors, without the multiplications by 0.

Source: course 5 week 2, "embedding matrix"; torch.nn.Embedding.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def embedding(
    input: np.ndarray,  # noqa: A002  (torch's name)
    weight: np.ndarray,
    *,
    padding_idx: int | None = None,
) -> np.ndarray:
    """out[..., :] = weight[input[...]]                         # [...], [symbols, n] -> [..., n]

    padding_idx is the symbol that only fills up short sequences: its row is read like any other,
    but gets no gradient.

    Raises:
        ValueError: input holds no whole numbers, or a number that is no row of weight.
    """
    if input.dtype.kind not in "iu":
        raise ValueError(f"embedding: input is {input.dtype}, expected whole numbers")
    if input.size and not 0 <= input.min() <= input.max() < len(weight):
        raise ValueError(
            f"embedding: input has symbols {input.min()}..{input.max()}, expected "
            f"0..{len(weight) - 1}"
        )
    out = weight[input]
    if padding_idx is not None:  # a constant: a complex step of weight does not show in it
        padding = padding_idx % len(weight)
        out[input == padding] = weight.real[padding]
    return out


def embedding_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    weight: np.ndarray,
    *,
    padding_idx: int | None = None,
) -> np.ndarray:
    """dweight[s] = sum of dout over all places that hold s; 0 for padding_idx

    A symbol that occurs twice gets both gradients: dweight[input] += dout would keep only one.
    """
    dweight = np.zeros_like(dout, shape=weight.shape)
    if padding_idx is None:
        np.add.at(dweight, input, dout)
    else:
        used = input != padding_idx % len(weight)
        np.add.at(dweight, input[used], dout[used])
    return dweight
