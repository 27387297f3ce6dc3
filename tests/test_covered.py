"""What two models on one step were able to show: kinds of results, what was not run, zeros."""

import copy
import json
from typing import Any

import pytest
import torch
from torch import nn

from torch_parity import check_model, check_module, check_modules
from torch_parity.compare.show.modules_json import to_json

X = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(8) % 3
LOSS: dict[str, Any] = {"loss": nn.CrossEntropyLoss(), "target": Y}


def net(activation: nn.Module, zero: bool = False) -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 4), activation, nn.Linear(4, 3))
    if zero:
        for p in model.parameters():
            nn.init.zeros_(p)
    return model


PARAMETERS = ("0.weight", "0.bias", "2.weight", "2.bias")


def test_weights_of_zero_are_not_shown_to_be_used_alike() -> None:
    """relu and tanh of zeros are zeros: it passes, and the report says of which weights nothing was
    shown; on other weights it fails."""
    assert check_modules(net(nn.ReLU()), net(nn.Tanh()), X).outcome == "FAIL"
    report = check_modules(net(nn.ReLU(), zero=True), net(nn.Tanh(), zero=True), X)
    assert (report.outcome, report.unshown) == ("PASS", PARAMETERS)
    assert "0.weight and 3 more are 0" in report.verdict
    assert json.loads(to_json(report))["unshown"] == [*PARAMETERS]
    alone = check_model(net(nn.ReLU(), zero=True), X)
    assert (alone.outcome, alone.unshown) == ("PASS", PARAMETERS)
    assert json.loads(to_json(alone))["unshown"] == [*PARAMETERS]


def test_a_bias_of_zeros_that_one_model_does_not_have() -> None:
    """Named, although only the other one reads it."""
    a = nn.Linear(5, 3)
    nn.init.zeros_(a.bias)
    b = nn.Linear(5, 3, bias=False)
    b.weight.data = a.weight.data.clone()
    for pair in ((a, b), (b, a)):
        report = check_modules(*pair, X)
        assert report.outcome != "FAIL"
        assert report.unshown == ("bias",)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (torch.zeros(8, 5), ("input.1",)),
        (torch.zeros(8, 5, dtype=torch.bool), ("input.1",)),
        (torch.ones(8, 5), ()),
        (torch.ones(8, 5, dtype=torch.bool), ("input.1",)),
        (torch.zeros(8, 5, dtype=torch.long), ()),
    ],
    ids=["zeros", "nothing masked", "ones", "all masked", "indices"],
)
def test_inputs_of_zeros(value: torch.Tensor, named: tuple[str, ...]) -> None:
    """Class 0 and token 0 are numbers like others."""
    report = check_model(lambda x, more: x * 2 + more, X, value)
    assert (report.outcome, report.unshown) == ("PASS", named)


def test_a_norms_bias_is_one_short_note() -> None:
    a = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4))
    report = check_module(a, {"output": a(X)}, X)
    assert report.unshown == ("1.bias", "1.weight")
    assert report.compared == ("outputs",)
    with_gradients = check_modules(a, copy.deepcopy(a), X, loss=lambda y: y.pow(3).sum())
    assert with_gradients.unshown == ("1.bias",), "the gradient of the weight shows its use"


def both(optimizer: bool = False, x: torch.Tensor = X, **options: Any) -> Any:
    a, b = net(nn.Tanh()), copy.deepcopy(net(nn.Tanh()))
    if optimizer:
        options["optimizers"] = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (a, b)]
    return check_modules(a, b, x, **options)


def test_only_kinds_that_were_compared_are_listed() -> None:
    forward, backward = both(), both(**LOSS)
    whole = both(optimizer=True, x=X.clone().requires_grad_(), **LOSS)
    assert forward.compared == ("outputs",)
    assert backward.compared == ("outputs", "loss", "gradients")
    assert whole.compared == ("outputs", "loss", "gradients", "new values")
    assert [len(r.not_run) for r in (forward, backward, whole)] == [1, 2, 0]
    assert "loss" in forward.not_run[0]
    assert "optimizer" in backward.not_run[0]
    assert "input" in backward.not_run[1]
    assert "(outputs, loss, gradients) agree" in backward.verdict
    for report in (forward, backward, whole):
        assert report.outcome == "PASS"
        assert report.unshown == ()
        told = json.loads(to_json(report))
        assert told["compared"] == [*report.compared]
        assert told["not_run"] == [*report.not_run]
        assert all(line in report.verdict.splitlines() for line in report.not_run)


def test_a_model_alone_says_what_was_not_run() -> None:
    model = net(nn.Tanh())
    assert check_model(model, X).not_run == both().not_run
    assert check_model(model, X, **LOSS).not_run == both(**LOSS).not_run
    for p in model.parameters():
        p.requires_grad_(False)
    (line,) = check_model(model, X, **LOSS).not_run
    assert "gradients" in line


def test_a_function_has_nothing_to_update() -> None:
    x = X.clone().requires_grad_()
    assert check_model(lambda x: x.tanh(), x, loss=lambda out: out.sum()).not_run == ()


class Masked(nn.Module):
    """Attention weights of a mask, which may be forgotten."""

    def __init__(self, masks: bool) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        scores = x @ x.T
        if self.masks and mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -1e9)
        elif self.masks:
            scores = scores + (1.0 - mask.to(x.dtype)) * -1e9
        return scores.softmax(-1)


@pytest.mark.parametrize("dtype", [torch.bool, torch.long, torch.float32])
def test_a_mask_that_masks_nothing(dtype: torch.dtype) -> None:
    """One model forgets it: the report says that this step does not show it; another mask does."""
    mask = torch.ones(8, 8, dtype=dtype)
    report = check_modules(Masked(True), Masked(False), X, mask)
    assert report.outcome == "PASS"
    assert report.unshown == ("input.1",)
    assert "input.1 is 1 in every entry" in report.verdict
    mask[:, 2] = 0
    assert check_modules(Masked(True), Masked(False), X, mask).outcome == "FAIL"


def test_a_factor_of_ones_that_one_model_forgets() -> None:
    """Without a loss nothing tells the norm's weight from none; trained weights do."""
    a, b = nn.LayerNorm(5), nn.LayerNorm(5, elementwise_affine=False)
    report = check_modules(a, b, X)
    assert (report.outcome, report.unshown) == ("PASS", ("bias", "weight"))
    nn.init.normal_(a.weight)
    assert check_modules(a, b, X).outcome == "FAIL"
