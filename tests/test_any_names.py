"""Networks whose tensors are called anything: the same mistakes are named."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.drawn import case_and_data, steps
from torch_parity import check_module
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.flow.graph import linked
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import judge_traces

FIXED = {"hidden": (6, 5), "loss": "cross_entropy", "output": "identity", "activation": "tanh"}
NAMES = (
    "another_mask",
    "bias_missing",
    "dampening",
    "fresh_mask_backward",
    "gradient_not_averaged",
    "keep_prob",
    "activation_missing",
    "mask_not_applied_backward",
    "momentum_convention",
    "shuffled_labels",
    "slope_at_the_wrong_place",
    "slope_of_another_activation",
)


def plain(r: Any) -> tuple[Node, ...]:
    """The step as a module takes it: no copies of x or of a."""
    copies = {n.outputs[0]: n.inputs[0] for n in r.nodes if n.operation == "identity"}
    return linked(
        [
            replace(n, inputs=tuple(copies.get(name, name) for name in n.inputs))
            for n in r.nodes
            if n.operation != "identity"
        ]
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_same_mistake_is_named_whatever_the_tensors_are_called(name: str) -> None:
    torch.manual_seed(5)
    r = steps(*case_and_data(52, p=0.3, l1=0.0, l2=0.0, optimizer="momentum", **FIXED))[-1]
    nodes = plain(r)
    known = r.known_to("manual", 24)
    wrong = plant(CATALOGUE[name], nodes, known, r.manual, np.random.default_rng(52))
    assert wrong is not None
    by_hand = execute(wrong, known, "manual")
    call = {n: f"tensor {i}" for i, n in enumerate({**r.start, **by_hand})}

    def rename(n: str) -> str:
        return "new_" + call[n[4:]] if n.startswith("new_") else call[n]

    def trace(made: dict[str, np.ndarray]) -> Trace:
        return Trace(
            {call[n]: a for n, a in r.start.items()},
            {call[n]: a for n, a in made.items()},
            linked(
                [
                    replace(
                        node,
                        inputs=tuple(map(rename, node.inputs)),
                        outputs=tuple(map(rename, node.outputs)),
                    )
                    for node in nodes
                ]
            ),
        )

    in_torch = {n: a for n, a in r.torch.items() if n in by_hand}
    j = judge_traces(trace(by_hand), trace(in_torch))
    assert not j.passed
    assert any(name in names for names in j.diagnoses["manual"].names)
    tensors = {n for a in j.diagnoses["manual"].alternatives for e in a for n in e.tensors}
    assert tensors <= set(call.values())


def test_a_wrong_slope_is_named_under_a_modules_names() -> None:
    torch.manual_seed(53)
    layers = (torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    net = torch.nn.Sequential(*layers).double()
    x, y = torch.randn(8, 5, dtype=torch.float64), torch.randint(0, 3, (8,))
    W1, b1, W2, b2 = (p.detach().numpy() for p in net.parameters())
    a = np.tanh(x.numpy() @ W1.T + b1)
    z = a @ W2.T + b2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    dz = (p - np.eye(3)[y.numpy()]) / 8
    mine = {"2.weight.grad": dz.T @ a, "0.bias.grad": (dz @ W2 * a * (1 - a)).sum(axis=0)}
    report = check_module(net, mine, x, loss=torch.nn.CrossEntropyLoss(), target=y)
    assert [e.end.name for e in report.wrong] == ["0.bias.grad"]
