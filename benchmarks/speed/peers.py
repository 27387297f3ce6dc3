"""The digits network in other libraries: scikit-learn, autograd, numpy-ml, JAX jit.

Each takes batches of 64 and plain gradient descent, in float64 on one thread. Only this
benchmark needs them; one that is not installed is left out and listed.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.interleaved import Timed, interleaved, ratio
from benchmarks.speed.nets import DIGITS, LR, Problem, bare, by_hand, in_torch, problem
from torch_parity.compare import threads

EPOCHS, BATCHES = 20, 16
TARGETS = {"scikit-learn": 0.6, "JAX jit": 0.8}


def peers(rounds: int) -> tuple[dict[str, Timed], list[str]]:
    """Seconds per step of each, and the libraries that are not installed."""
    p = problem(DIGITS, "float64")
    methods: dict[str, Callable[[], object]] = {
        "manual": by_hand(p),
        "bare NumPy": bare(p),
        "torch eager": in_torch(p),
    }
    missing = []
    for name, make in PEERS.items():
        try:
            methods[name] = make(p)
        except ImportError as error:
            missing.append(f"{name}: {error}")
    with threads.limited(1):
        timed = interleaved(methods, rounds)
    if "scikit-learn" in timed:
        steps = EPOCHS * BATCHES
        timed["scikit-learn"] = Timed(tuple(s / steps for s in timed["scikit-learn"].seconds))
    return timed, missing


def _scikit_learn(p: Problem) -> Callable[[], object]:
    """MLPClassifier.fit over 20 epochs of 16 batches, so that the set-up before the first epoch
    hardly counts; divided by its 320 steps above."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = np.tile(p.x, (BATCHES, 1)), np.tile(p.y, BATCHES)
    same: dict[str, Any] = {"solver": "sgd", "momentum": 0, "alpha": 0, "learning_rate_init": LR}
    clf = MLPClassifier(
        p.net.sizes[1:-1],
        batch_size=p.net.batch,
        max_iter=EPOCHS,
        n_iter_no_change=EPOCHS,
        shuffle=False,
        random_state=0,
        **same,
    )
    return lambda: clf.fit(x, y)


def _autograd(p: Problem) -> Callable[[], object]:
    """HIPS autograd's gradient of the loss, as in its examples."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    rows, layers = np.arange(p.net.batch), len(p.net.sizes) - 1
    params = [(p.params[f"W{k}"], p.params[f"b{k}"]) for k in range(1, layers + 1)]

    def loss(params: Any) -> Any:
        a = p.x
        for k, (W, b) in enumerate(params):
            z = anp.dot(a, W.T) + b
            a = anp.maximum(z, 0) if k < layers - 1 else z
        return anp.mean(logsumexp(a, axis=1) - a[rows, p.y])

    both = value_and_grad(loss)

    def step() -> object:
        value, grads = both(params)
        for k, ((W, b), (dW, db)) in enumerate(zip(params, grads, strict=True)):
            params[k] = (W - LR * dW, b - LR * db)
        return value

    return step


def _numpy_ml(p: Problem) -> Callable[[], object]:
    """numpy-ml's FullyConnected layers and its softmax cross-entropy. Its last release uses
    names that Python has moved, so they are restored."""
    import collections
    import collections.abc

    for name in ("Hashable", "Container", "Iterable"):
        setattr(collections, name, getattr(collections.abc, name))
    from numpy_ml.neural_nets.layers import FullyConnected
    from numpy_ml.neural_nets.losses import CrossEntropy
    from numpy_ml.neural_nets.optimizers import SGD

    widths = p.net.sizes[1:]
    layers = [
        FullyConnected(n, "ReLU" if n != widths[-1] else None, optimizer=SGD(lr=LR)) for n in widths
    ]
    loss, y = CrossEntropy(), np.eye(widths[-1])[p.y]

    def step() -> object:
        a = p.x
        for layer in layers:
            a = layer.forward(a)
        e = np.exp(a - a.max(axis=1, keepdims=True))
        found = e / e.sum(axis=1, keepdims=True)
        d = loss.grad(y, found)
        for layer in reversed(layers):
            d = layer.backward(d)
        for layer in layers:
            layer.update(0.0)
            layer.flush_gradients()
        return found

    return step


def _jax(p: Problem) -> Callable[[], object]:
    """The whole step under jax.jit, in float64; block_until_ready waits for the result."""
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    layers = len(p.net.sizes) - 1
    pairs = ((p.params[f"W{k}"], p.params[f"b{k}"]) for k in range(1, layers + 1))
    held = [[(jnp.asarray(W), jnp.asarray(b)) for W, b in pairs]]
    x, y, rows = jnp.asarray(p.x), jnp.asarray(p.y), jnp.arange(p.net.batch)

    def loss(params: Any) -> Any:
        a = x
        for k, (W, b) in enumerate(params):
            z = a @ W.T + b
            a = jnp.maximum(z, 0) if k < layers - 1 else z
        return jnp.mean(jax.scipy.special.logsumexp(a, axis=1) - a[rows, y])

    @jax.jit
    def update(params: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda W, dW: W - LR * dW, params, grads)

    def step() -> object:
        value, held[0] = update(held[0])
        return jax.block_until_ready(value)

    return step


PEERS: dict[str, Callable[[Problem], Callable[[], object]]] = {
    "scikit-learn": _scikit_learn,
    "autograd": _autograd,
    "numpy-ml": _numpy_ml,
    "JAX jit": _jax,
}


def table(timed: dict[str, Timed], missing: list[str]) -> Table:
    """One row per library."""
    caption = f"not there: {'; '.join(missing)}" if missing else None
    t = Table(
        "", title=f"One step of {DIGITS.name}, float64, one thread", box=None, caption=caption
    )
    for header in ("ms", "manual / it", "target"):
        t.add_column(header, justify="right")
    for name, taken in timed.items():
        share = ratio(timed, "manual", name)
        target = TARGETS.get(name)
        missed = " !" if target and share > target else ""
        cells = (f"{taken.median * 1e3:.3f}", f"{share:.2f}{missed}")
        t.add_row(name, *cells, "" if target is None else f"{target:.2f}")
    return t
