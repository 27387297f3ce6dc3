"""A two-layer network as the course's notebook writes it: samples are columns, gradients in a dict.

Only the last lines use torch-parity.
"""

import numpy as np

from torch_parity import COURSE, Case, check, given


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def forward_propagation(X, parameters):
    Z1 = np.dot(parameters["W1"], X) + parameters["b1"]
    A1 = np.tanh(Z1)
    Z2 = np.dot(parameters["W2"], A1) + parameters["b2"]
    A2 = sigmoid(Z2)
    return {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}


def compute_cost(A2, Y, parameters, lambd, m_train):
    m = Y.shape[1]
    cross_entropy = -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / m
    squares = np.sum(np.square(parameters["W1"])) + np.sum(np.square(parameters["W2"]))
    return cross_entropy + lambd / (2 * m_train) * squares


def backward_propagation(parameters, cache, X, Y, lambd, m_train):
    m = X.shape[1]
    dZ2 = cache["A2"] - Y
    dW2 = np.dot(dZ2, cache["A1"].T) / m + lambd / m_train * parameters["W2"]
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = np.dot(parameters["W2"].T, dZ2) * (1 - np.power(cache["A1"], 2))
    dW1 = np.dot(dZ1, X.T) / m + lambd / m_train * parameters["W1"]
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return {"dZ2": dZ2, "dW2": dW2, "db2": db2, "dZ1": dZ1, "dW1": dW1, "db1": db1}


def update_parameters(parameters, grads, learning_rate):
    return {name: parameters[name] - learning_rate * grads["d" + name] for name in parameters}


def one_step(start, lambd, m_train, learning_rate):
    parameters = {name: start[name] for name in ("W1", "b1", "W2", "b2")}
    cache = forward_propagation(start["x"], parameters)
    cost = compute_cost(cache["A2"], start["y"], parameters, lambd, m_train)
    grads = backward_propagation(parameters, cache, start["x"], start["y"], lambd, m_train)
    return {
        "cache": cache,
        "cost": cost,
        "grads": grads,
        "parameters": update_parameters(parameters, grads, learning_rate),
    }


case = Case(data="moons", hidden=(4,), activation="tanh", optimizer="sgd", lr=1.2, l2=0.7, p=0)
start = given(case, layout=COURSE)  # X as (n_x, m), b as (n, 1)

if __name__ == "__main__":
    print(check(one_step(start, lambd=0.7, m_train=320, learning_rate=1.2), start))
