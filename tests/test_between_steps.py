"""What a training keeps between its steps outside of the model: an optimizer's own attributes."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from tests.small_models import linear, x_of
from torch_parity import train_modules


class Lookahead(SGD):
    """Every k-th step it goes half of the way back, to slow weights of its own."""

    def __init__(self, params: Any, lr: float, k: int) -> None:
        super().__init__(params, lr)
        self.taken, self.k = 0, k
        self.slow = [p.detach().clone() for p in self.param_groups[0]["params"]]

    def step(self, closure: Any = None) -> None:
        super().step()
        self.taken += 1
        if self.taken % self.k == 0:
            with torch.no_grad():
                for p, slow in zip(self.param_groups[0]["params"], self.slow, strict=True):
                    p.copy_(slow.add_(p - slow, alpha=0.5))


class EverySecond(SGD):
    """Gradients of two steps are added up; the counter is there from the first step on."""

    calls = 0

    def step(self, closure: Any = None) -> None:
        self.calls += 1
        if self.calls % 2 == 0:
            super().step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        if self.calls % 2 == 0:
            super().zero_grad(set_to_none)


OWN_MEMORY: dict[str, Callable[[Any], Optimizer]] = {
    "slow weights": lambda p: Lookahead(p, 0.1, 2),
    "a counter": lambda p: EverySecond(p, 0.1),
}


@pytest.mark.parametrize("name", OWN_MEMORY)
def test_what_an_optimizer_keeps_in_attributes(name: str) -> None:
    """Each training has it from its own last step; another step fails where it shows."""
    generator = torch.Generator().manual_seed(1)
    batches = [
        (torch.randn(4, 5, generator=generator), torch.tensor([0, 2, 1, k % 3])) for k in range(4)
    ]
    plain = lambda p: SGD(p, 0.1)  # noqa: E731
    for of_b, outcome in ((OWN_MEMORY[name], "PASS"), (plain, "FAIL")):
        a, b = linear(), linear()
        optimizers = OWN_MEMORY[name](a.parameters()), of_b(b.parameters())
        kept = copy.deepcopy(vars(optimizers[0]))
        loss = nn.CrossEntropyLoss()
        report = train_modules(a, b, batches, loss=loss, optimizers=optimizers)
        assert report.outcome == outcome, str(report)
        left = vars(optimizers[0])
        assert left.keys() == kept.keys()
        assert left.get("taken") == kept.get("taken")
        for slow, was in zip(left.get("slow", ()), kept.get("slow", ()), strict=True):
            assert torch.equal(slow, was)


def test_right_steps_that_end_too_far_apart_are_unjudged() -> None:
    """What an optimizer keeps in a closure, nobody sees; that each step was right is no PASS."""

    def stepped_twice(parameters: Any) -> Optimizer:
        optimizer, calls = SGD(parameters, 0.1), [0]

        def hook(*_: Any) -> None:
            calls[0] += 1
            if calls[0] % 3 == 0:  # judged in two precisions, and then on its own
                for p in optimizer.param_groups[0]["params"]:
                    p.data.mul_(0.9)

        optimizer.register_step_post_hook(hook)
        return optimizer

    a, b = linear(), linear()
    x = x_of()
    optimizers = SGD(a.parameters(), 0.1), stepped_twice(b.parameters())
    report = train_modules(
        a,
        b,
        [(x, torch.tensor([0, 2, 1, 1]))] * 4,
        loss=nn.CrossEntropyLoss(),
        optimizers=optimizers,
    )
    assert report.wrong_step is None, str(report)
    assert report.far_apart
    assert report.outcome == "UNJUDGED"


@pytest.mark.parametrize("how", [{"foreach": True}, {"fused": True}], ids=["foreach", "fused"])
def test_an_optimizer_counts_its_steps_without_rounding(how: dict[str, bool]) -> None:
    """The count is float32 in any precision, and hides no other learning rate."""
    x, y = x_of(), torch.tensor([0, 2, 1, 1])
    for lr, outcome in ((1e-3, "PASS"), (1.0001e-3, "FAIL")):
        a, b = linear(), linear()
        optimizers = AdamW(a.parameters(), foreach=False), AdamW(b.parameters(), lr=lr, **how)
        loss = nn.CrossEntropyLoss()
        report = train_modules(a, b, [(x, y)] * 3, loss=loss, optimizers=optimizers)
        assert report.outcome == outcome, str(report)
