"""A model of text, character by character: it reads some, and says what may come next.

    e = embedding(x);  h = lstm(e), from a state of zeros;  scores = head(dropout(h))

Tensors are called by torch's module paths: lstm is the output of the module lstm, whose last states
are lstm.h_n and lstm.c_n.

Source: Graves 2013, "Generating sequences with recurrent neural networks"; course 5 week 1,
"character-level language model"; Karpathy 2015, char-rnn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from torch_parity.manual.losses.reduction import Reduction
from torch_parity.manual.models.step import Tensors, gradients_of_the_cost, loss_gradient
from torch_parity.manual.names import MODULE_PATHS, Names
from torch_parity.manual.ops.dropout import dropout, dropout_backward
from torch_parity.manual.ops.embedding import embedding, embedding_backward
from torch_parity.manual.ops.identity import identity, identity_backward
from torch_parity.manual.ops.linear import linear, linear_backward
from torch_parity.manual.ops.lstm import lstm, lstm_backward
from torch_parity.manual.ops.permute import permute, permute_backward
from torch_parity.manual.ops.zero_state import zero_state

CLASSES_SECOND = (0, 2, 1)  # [m, t, symbols] -> [m, symbols, t], as the loss wants them


@dataclass(frozen=True)
class CharLSTM:
    """sizes is (t, width of the embedding, width of the LSTM, symbols), t the steps of a training
    sequence. For loss, reduction, l1, l2 and m see Model (step.py)."""

    sizes: tuple[int, ...]
    loss: str = "cross_entropy"
    reduction: Reduction = "mean"
    l1: float = 0.0
    l2: float = 0.0
    m: float = 1
    share: float = 1.0
    names: ClassVar[Names] = MODULE_PATHS
    result: ClassVar[str] = "output"
    usual: ClassVar[Mapping[str, Any]] = {"hidden": (16, 64), "data": "sums"}

    def __post_init__(self) -> None:
        if len(self.sizes) != 4:
            raise ValueError(
                f"CharLSTM: sizes are {self.sizes}, expected (t, embedding, lstm, symbols): two "
                "hidden widths"
            )

    @property
    def description(self) -> str:
        """The model in words, for the first line of a report."""
        t, embedding, units, symbols = self.sizes
        return (
            f"LSTM of {units} units: sequences of {t} characters, {symbols} different ones, "
            f"embedding of width {embedding}"
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """embedding.weight: (symbols, e), lstm.weight_ih_l0: (4n, e), ..., head.bias: (symbols,)"""
        _, e, n, symbols = self.sizes
        return {
            "embedding.weight": (symbols, e),
            "lstm.weight_ih_l0": (4 * n, e),
            "lstm.weight_hh_l0": (4 * n, n),
            "lstm.bias_ih_l0": (4 * n,),
            "lstm.bias_hh_l0": (4 * n,),
            "head.weight": (symbols, n),
            "head.bias": (symbols,),
        }

    def example(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """x: (m, t) of symbols, and the symbol after each."""
        t, *_, symbols = self.sizes
        text = rng.integers(0, symbols, (samples, t + 1))
        return text[:, :-1].copy(), text[:, 1:].copy()

    def shapes_of_masks(self, samples: int) -> dict[str, tuple[int, ...]]:
        """drop.mask: (m, t, n)"""
        t, _, n, _ = self.sizes
        return {"drop.mask": (samples, t, n)}

    def _weights(self, params: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return [params[name] for name in self.shapes() if name.startswith("lstm.")]

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        """[m, t] -> input, embedding, lstm, ..., head, output [m, symbols, t]"""
        p, t, n = params, Tensors(), self.sizes[2]
        mask = masks.get("drop.mask")

        t["input"] = identity(x)
        t["embedding"] = e = embedding(t["input"], p["embedding.weight"])
        h_0, c_0 = zero_state(e, width=n), zero_state(e, width=n)
        t["lstm"], t["lstm.h_n"], t["lstm.c_n"] = lstm(e, h_0, c_0, *self._weights(p))
        t["drop"] = identity(t["lstm"]) if mask is None else dropout(t["lstm"], mask)
        t["head"] = linear(t["drop"], p["head.weight"], p["head.bias"])  # [m, t, symbols]
        t["output"] = permute(t["head"], dims=CLASSES_SECOND)
        return t

    def backward(
        self,
        params: Mapping[str, np.ndarray],
        t: Mapping[str, np.ndarray],
        y: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> Tensors:
        """From the output back to the embedding. g[name] is d cost / d name; it is called
        name.grad. Nothing reads the last states, so their gradients are 0."""
        p, g = params, Tensors()
        mask = masks.get("drop.mask")

        g["output"] = loss_gradient(self, t["output"], y)
        g["head"] = permute_backward(g["output"], dims=CLASSES_SECOND)
        g["drop"], g["head.weight"], g["head.bias"] = linear_backward(
            g["head"], t["drop"], p["head.weight"]
        )
        g["lstm"] = (
            identity_backward(g["drop"], t["lstm"])
            if mask is None
            else dropout_backward(g["drop"], mask)
        )
        zeros = np.zeros_like(t["lstm.h_n"])
        given = (g["lstm"], zeros, zeros, t["embedding"], zeros, zeros)
        g["embedding"], _, _, *of_weights = lstm_backward(*[*given, *self._weights(p), t["lstm"]])
        names = (name for name in self.shapes() if name.startswith("lstm."))
        g |= dict(zip(names, of_weights, strict=True))
        g["embedding.weight"] = embedding_backward(
            g["embedding"], t["input"], p["embedding.weight"]
        )
        return gradients_of_the_cost(self, params, g)
