"""A student's training step with three mistakes. The last line prints the judge's report on it."""

import numpy as np

from torch_parity import COURSE, Case, check, given

KEEP_PROB = 0.8
LAMBD = 0.7


def step(start):
    W1, b1, W2, b2 = (start[name] for name in ("W1", "b1", "W2", "b2"))
    X, Y, D1 = start["x"], start["y"], start["mask1"] > 0
    m = X.shape[1]

    Z1 = W1 @ X + b1
    A1 = np.tanh(Z1)
    A1 = A1 * D1  # mistake 1: not divided by keep_prob
    Z2 = W2 @ A1 + b2
    A2 = 1 / (1 + np.exp(-Z2))

    dZ2 = A2 - Y
    dW2 = dZ2 @ A1.T / m + LAMBD * W2  # mistake 2: not divided by m, the size of the training set
    db2 = dZ2.sum(axis=1, keepdims=True) / m
    dA1 = W2.T @ dZ2
    dA1 = dA1 * D1 / KEEP_PROB
    dZ1 = dA1 * np.tanh(Z1) * (1 - np.tanh(Z1))  # mistake 3: the slope of sigmoid, a (1 - a)
    dW1 = dZ1 @ X.T / m + LAMBD * W1
    db1 = dZ1.sum(axis=1, keepdims=True) / m
    return {
        "Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2, "dZ2": dZ2, "dA1": dA1, "dZ1": dZ1,
        "dW2": dW2, "db2": db2, "dW1": dW1, "db1": db1,
    }  # fmt: skip


case = Case(data="moons", hidden=(6,), activation="tanh", p=1 - KEEP_PROB, l2=LAMBD)
start = given(case, layout=COURSE)

if __name__ == "__main__":
    print(check(step(start), start))
