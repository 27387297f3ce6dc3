"""The step of ../trace_from_c in Python, without torch-parity. NumPy computes it; struct and json
write the file in the format of docs/trace-format.md.

    python write_trace.py from_script.safetensors
"""

import json
import struct
import sys

import numpy as np

M, N, H, LR = 6, 3, 4, 0.5


def draws(seed):
    """Random numbers in [-1, 1) that a program in any language can reproduce."""
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield (seed >> 11) / 2**52 - 1


def begin():
    numbers = draws(2024)

    def draw(*shape):
        return np.array([next(numbers) for _ in range(np.prod(shape))]).reshape(shape)

    x, y = draw(M, N), (draw(M, 1) > 0).astype(float)
    return {"x": x, "y": y, "W1": draw(H, N), "b1": draw(H), "W2": draw(1, H), "b2": draw(1)}


def step(x, y, W1, b1, W2, b2):
    z1 = x @ W1.T + b1
    a1 = np.tanh(z1)
    z2 = a1 @ W2.T + b2
    a2 = 1 / (1 + np.exp(-z2))
    loss = -np.mean(y * np.log(a2) + (1 - y) * np.log(1 - a2))
    da2 = (a2 - y) / (a2 * (1 - a2)) / M
    dz2 = da2 * a2 * (1 - a2)
    da1, dW2, db2 = dz2 @ W2, dz2.T @ a1, dz2.sum(0)
    dz1 = da1 * (1 - a1**2)
    dW1, db1 = dz1.T @ x, dz1.sum(0)
    made = {"z1": z1, "a1": a1, "z2": z2, "a2": a2, "loss": loss, "da2": da2, "dz2": dz2}
    made |= {"da1": da1, "dW2": dW2, "db2": db2, "dz1": dz1, "dW1": dW1, "db1": db1}
    made |= {"W1": W1 - LR * dW1, "b1": b1 - LR * db1, "W2": W2 - LR * dW2, "b2": b2 - LR * db2}
    return made


MEAN = {"reduction": "mean"}
NODES = [
    ("linear", ["x", "W1", "b1"], ["z1"], {}, 1),
    ("tanh", ["z1"], ["a1"], {}, 1),
    ("linear", ["a1", "W2", "b2"], ["z2"], {}, 2),
    ("sigmoid", ["z2"], ["a2"], {}, 2),
    ("binary_cross_entropy", ["a2", "y"], ["loss"], MEAN, 0),
    ("binary_cross_entropy_backward", ["a2", "y"], ["da2"], MEAN, 0),
    ("sigmoid_backward", ["da2", "z2"], ["dz2"], {}, 2),
    ("linear_backward", ["dz2", "a1", "W2"], ["da1", "dW2", "db2"], {}, 2),
    ("tanh_backward", ["da1", "z1"], ["dz1"], {}, 1),
    ("linear_backward_parameters", ["dz1", "x"], ["dW1", "db1"], {}, 1),
    *(
        ("sgd", [name, f"d{name}"], [name], {"lr": LR}, int(name[1]))
        for name in ("W1", "b1", "W2", "b2")
    ),
]


def write(path, given, made):
    keys = ("operation", "inputs", "outputs", "options", "layer")
    nodes = [dict(zip(keys, node, strict=True)) for node in NODES]
    said = {"format": "torch-parity trace", "version": "1", "nodes": json.dumps(nodes)}
    header, data = {"__metadata__": said}, b""
    named = {f"given/{n}": a for n, a in given.items()} | {f"made/{n}": a for n, a in made.items()}
    for name, array in named.items():
        numbers = np.asarray(array, "<f8").tobytes()
        offsets = [len(data), len(data) + len(numbers)]
        header[name] = {"dtype": "F64", "shape": list(np.shape(array)), "data_offsets": offsets}
        data += numbers
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    start = begin()
    write(sys.argv[1], start, step(**start))
