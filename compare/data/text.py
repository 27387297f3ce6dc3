"""Text as sequences of symbols: sums from a seeded grammar, or the user's own .txt file.

A text is cut into pieces of the same length that do not overlap. The label of each character is
the one after it, so that a model learns to go on writing.
"""

from pathlib import Path

import numpy as np

from torch_parity.compare.data.raw import Raw
from torch_parity.compare.errors import InputError

MOST_SYMBOLS = 1024  # different characters of a text
LARGEST = 50  # number in a sum


def sums(samples: int, length: int, rng: np.random.Generator) -> Raw:
    """Lines such as 17+25=42, so many of them, of numbers below LARGEST."""
    pairs = rng.integers(0, LARGEST, (samples, 2))
    return cut("".join(f"{a}+{b}={a + b}\n" for a, b in pairs), length, "sums")


def read_text(path: str, length: int) -> Raw:
    """A .txt file in UTF-8.

    Raises:
        InputError: it cannot be read as text, is too short, or has too many different characters.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read; expected a text file in UTF-8") from None
    return cut(text, length, path)


def cut(text: str, length: int, name: str) -> Raw:
    """The text in pieces of that length, each with the same piece one character on.

    Raises:
        InputError: the text is too short, or has too few or too many different characters.
    """
    pieces = (len(text) - 1) // length
    if pieces < 2:
        raise InputError(
            f"{name}: {len(text)} characters are too few for two sequences of {length} and the one "
            "after them; give a longer text, or a smaller --length"
        )
    alphabet = "".join(sorted(set(text)))
    if not 2 <= len(alphabet) <= MOST_SYMBOLS:
        raise InputError(
            f"{name} has {len(alphabet)} different characters, expected 2 to {MOST_SYMBOLS}"
        )
    symbols = encode(text[: pieces * length + 1], alphabet)
    x, after = (s.reshape(pieces, length) for s in (symbols[:-1], symbols[1:]))
    return Raw(x.copy(), after.copy(), alphabet=alphabet)


def encode(text: str, alphabet: str) -> np.ndarray:
    """The place of each character in the alphabet.             # -> [len(text)]"""
    places = {character: i for i, character in enumerate(alphabet)}
    return np.array([places[character] for character in text], np.int64)


def decode(symbols: np.ndarray, alphabet: str) -> str:
    """The characters of these places."""
    return "".join(alphabet[i] for i in symbols)
