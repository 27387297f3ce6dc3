"""The timed networks, each with plain gradient descent, without dropout and penalty, which all
libraries support."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from torch_parity import manual
from torch_parity.compare.sources.pair import INITIALIZERS
from torch_parity.manual.models.step import Tensors
from torch_parity.torch_ref.models import mlp as network

LR = 1e-3


@dataclass(frozen=True)
class Net:
    """One network and batch; target is manual / torch eager at one thread."""

    sizes: tuple[int, ...]
    batch: int
    target: float

    @property
    def name(self) -> str:
        """784-256-128-10, batch 128"""
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}"

    @property
    def binary(self) -> bool:
        """One sigmoid output and logistic loss; else softmax loss."""
        return self.sizes[-1] == 1

    @property
    def products(self) -> float:
        """Floating-point operations of the matrix products of a step: 2 m n_in n_out each, three
        per layer, but two in the first, which needs no gradient of its input."""
        layers = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        return sum(2.0 * self.batch * a * b * (2 + (k > 0)) for k, (a, b) in enumerate(layers))


NETS = (
    Net((2, 4, 1), 400, 0.15),
    Net((12288, 20, 7, 5, 1), 209, 0.90),
    Net((64, 128, 64, 10), 64, 0.40),
    Net((784, 256, 128, 10), 128, 0.95),
    Net((784, 1024, 1024, 10), 512, 1.05),
)
DIGITS, WIDEST = NETS[2], NETS[4]


@dataclass
class Problem:
    """A batch and initial parameters, the same for all libraries."""

    net: Net
    x: np.ndarray
    y: np.ndarray
    params: Tensors


def problem(net: Net, dtype: str) -> Problem:
    """Random numbers of the net's sizes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((net.batch, net.sizes[0])).astype(dtype)
    y = rng.integers(0, max(2, net.sizes[-1]), net.batch)
    params: Tensors = {}
    for k, (n_in, n_out) in enumerate(zip(net.sizes[:-1], net.sizes[1:], strict=True), start=1):
        params[f"W{k}"] = INITIALIZERS["kaiming_normal"](rng, (n_out, n_in)).astype(dtype)
        params[f"b{k}"] = np.zeros(n_out, dtype)
    return Problem(net, x, y[:, None].astype(dtype) if net.binary else y, params)


def by_hand(p: Problem) -> Callable[[], object]:
    """manual.step, each step from the result of the last one, every tensor kept by name."""
    loss, output = (
        ("binary_cross_entropy", "sigmoid") if p.net.binary else ("cross_entropy", "identity")
    )
    net = manual.MLP(p.net.sizes, output=output, loss=loss, m=p.net.batch)
    optimizer = manual.SGD(LR)
    params = dict(p.params)

    def step() -> object:
        t = manual.step(net, optimizer, params, {}, p.x, p.y, {})
        for name in params:
            params[name] = t[name]
        return t

    return step


def bare(p: Problem) -> Callable[[], object]:
    """The fastest NumPy step for the same parameters: a - y is the derivative of loss and output
    together, results overwrite their inputs, and nothing is checked, named or kept."""
    layers, rows = len(p.net.sizes) - 1, np.arange(p.net.batch)
    W = [p.params[f"W{k}"] for k in range(1, layers + 1)]
    b = [p.params[f"b{k}"] for k in range(1, layers + 1)]

    def step() -> object:
        h = [p.x]
        for k in range(layers):
            z = h[k] @ W[k].T
            z += b[k]
            h.append(np.maximum(z, 0, out=z) if k < layers - 1 else z)
        a = h.pop()
        if p.net.binary:
            dz = 1 / (1 + np.exp(-a))
            loss = -np.log(np.where(p.y, dz, 1 - dz)).mean()
            dz -= p.y
        else:
            e = np.exp(a - a.max(axis=1, keepdims=True))
            dz = e / e.sum(axis=1, keepdims=True)
            loss = -np.log(dz[rows, p.y]).mean()
            dz[rows, p.y] -= 1
        dz /= len(rows)
        for k in reversed(range(layers)):
            dW, db = dz.T @ h[k], dz.sum(axis=0)
            if k:
                dz = dz @ W[k]
                dz *= h[k] > 0
            W[k], b[k] = W[k] - LR * dW, b[k] - LR * db
        return loss

    return step


def module(p: Problem) -> tuple[torch.nn.Module, torch.nn.Module, torch.optim.Optimizer]:
    """The torch model with its loss and its optimizer, and the same parameters."""
    net = network.MLP(p.net.sizes, output="sigmoid" if p.net.binary else "identity")
    net.to(getattr(torch, str(p.x.dtype)))
    with torch.no_grad():
        for own, tensor in zip(p.params.values(), net.parameters(), strict=True):
            tensor.copy_(torch.tensor(own))
    criterion = torch.nn.BCELoss() if p.net.binary else torch.nn.CrossEntropyLoss()
    return net, criterion, torch.optim.SGD(net.parameters(), lr=LR)


def in_torch(p: Problem, compiled: bool = False) -> Callable[[], object]:
    """The usual loop: zero_grad, forward, loss, backward, step; nothing is recorded. compiled
    applies torch.compile to forward and loss."""
    net, criterion, optimizer = module(p)
    x, y = torch.tensor(p.x), torch.tensor(p.y)

    def loss() -> torch.Tensor:
        return criterion(net(x), y)

    if compiled:
        torch.compiler.reset()  # or the next network counts as another shape of the last
    run = torch.compile(loss) if compiled else loss

    def step() -> object:
        optimizer.zero_grad()
        value = run()
        value.backward()
        optimizer.step()
        return value

    return step
