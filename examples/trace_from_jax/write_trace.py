"""One training step of a Flax model with optax, written as a trace that `parity diff` judges.

    parity record --data moons --hidden 5 --activation tanh --p 0 --l2 0 --dtype float32 \
        --loss binary_cross_entropy_with_logits --out torch.safetensors
    python write_trace.py torch.safetensors from_jax.safetensors
    parity diff from_jax.safetensors torch.safetensors

It needs jax, flax, optax and safetensors, nothing of torch-parity. A third argument plants a
mistake: `momentum`.
"""

import sys

import jax
import numpy as np
import optax
from flax import linen as nn
from safetensors.numpy import load_file, save_file

LAYERS = ("1", "2")


class Net(nn.Module):
    """Two layers; every tensor on the way is recorded, and so is its gradient."""

    width: int

    @nn.compact
    def __call__(self, x):
        z1 = self.seen("z1", nn.Dense(self.width, name="layer1")(x))
        a1 = self.seen("a1", nn.tanh(z1))
        return self.seen("z2", nn.Dense(1, name="layer2")(a1))

    def seen(self, name, value):
        """sow keeps the value; perturb adds a zero, whose gradient is that of the value."""
        value = self.perturb(name, value)
        self.sow("intermediates", name, value)
        return value


def as_flax(tensors, prefix=""):
    """W1, b1... as a tree of Flax: a kernel is (in, out), and W in the trace (out, in)."""
    return {
        f"layer{n}": {"kernel": tensors[f"{prefix}W{n}"].T, "bias": tensors[f"{prefix}b{n}"]}
        for n in LAYERS
    }


def as_trace(tree, prefix=""):
    """The way back."""
    made = {f"{prefix}W{n}": tree[f"layer{n}"]["kernel"].T for n in LAYERS}
    return made | {f"{prefix}b{n}": tree[f"layer{n}"]["bias"] for n in LAYERS}


def step(given, mistake=None):
    """Loss, gradients and update from what is given, under the names of the trace."""
    x, y = given["x"], given["y"]
    net = Net(width=len(given["b1"]))
    zeros = net.init(jax.random.key(0), x)["perturbations"]
    params = as_flax(given)

    @jax.jit
    def differentiate(params, zeros):
        def loss_of(params, zeros):
            variables = {"params": params, "perturbations": zeros}
            z2, kept = net.apply(variables, x, mutable="intermediates")
            return optax.sigmoid_binary_cross_entropy(z2, y).mean(), kept["intermediates"]

        return jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)(params, zeros)

    (loss, kept), (gradients, felt) = differentiate(params, zeros)
    values = {name: value for name, (value,) in kept.items()}

    optimizer = optax.sgd(learning_rate=0.05, momentum=0.9)
    state = optimizer.init(params)
    if mistake != "momentum":  # which is a new state in every step
        state = optax.tree.set(state, trace=as_flax(given, "v"))
    updates, state = optimizer.update(gradients, state, params)
    params = optax.apply_updates(params, updates)

    made = {"h0": x, **values, "h1": values["a1"], "a2": values["z2"], "loss": loss}
    made |= {f"d{name}": gradient for name, gradient in felt.items()}
    made |= {"dh1": felt["a1"], "da2": felt["z2"]}
    made |= as_trace(gradients, "d") | as_trace(params)
    return made | as_trace(optax.tree.get(state, "trace"), "v")


def main(source, target, mistake=None):
    """Read what torch's step began from, take the same step, and write both."""
    read = load_file(source)
    given = {n.removeprefix("given/"): a for n, a in read.items() if n.startswith("given/")}
    made = step(given, mistake)
    tensors = {f"given/{n}": a for n, a in given.items()}
    tensors |= {f"made/{n}": np.array(a, order="C") for n, a in made.items()}
    save_file(tensors, target, {"format": "torch-parity trace", "version": "1"})


if __name__ == "__main__":
    main(*sys.argv[1:])
