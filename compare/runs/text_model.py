"""What a model of text shows of itself: the text that it writes, and the gates of its LSTM."""

from collections.abc import Callable, Mapping

import numpy as np

from torch_parity.compare.data.text import decode
from torch_parity.compare.flow.nodes import Node
from torch_parity.manual.ops.lstm import states
from torch_parity.manual.ops.softmax import softmax

WRITTEN = 48  # characters


def written(
    scores: Callable[[np.ndarray], np.ndarray], begin: np.ndarray, alphabet: str, seed: int
) -> str:
    """The text that a model writes after these symbols, each drawn by its probability.

    scores(x) are those of [m, t] symbols, [m, symbols, t]. The draws depend on the seed alone, so
    that two right sides write the same, unless a draw lies between their roundings.
    """
    draws = np.random.default_rng([seed, 4]).random(WRITTEN)
    text = [int(symbol) for symbol in begin]
    for draw in draws:
        read = np.array([text[-len(begin) :]])
        probabilities = softmax(scores(read)[:, :, -1].astype(np.float64))[0]
        text.append(min(int((probabilities.cumsum() <= draw).sum()), len(alphabet) - 1))
    return decode(np.array(text[len(begin) :]), alphabet)


def gates(
    node: Node, params: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The gates i, f, g and o, and the memory c, of the first sample, each [t, n]: from what the
    LSTM read and made."""
    read, made = outputs[node.inputs[0]][:1], outputs[node.outputs[0]][:1]
    weights = [params[name] for name in node.inputs[3:]]
    start = np.zeros_like(made[:, 0])
    _, of, c = states(read, start, start, *weights, made)
    return {name: a[0] for name, a in zip("ifgoc", (*of, c), strict=True)}
