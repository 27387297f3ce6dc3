"""Inputs on which an older judge of modules was wrong, and others of their kinds: each with the
right verdict, and the cause where the catalogue has it."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.small_models import SEED, Applied, linear, squares, x_of
from torch_parity.compare.aten.check import check_model, check_modules
from torch_parity.compare.aten.check_arrays import check_module
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.errors import InputError

SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
CE = nn.CrossEntropyLoss()
Y = torch.tensor([0, 1, 2, 2])


def net() -> nn.Sequential:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


def twins(module: nn.Module, *inputs: Any, **options: Any) -> ModulesReport:
    return check_modules(module, copy.deepcopy(module), *inputs, **options)


# --- optimizers: what differs shows in the updated weights, however small the step

OPTIMIZERS: dict[str, tuple[Any, Any, str]] = {
    "SGD lr 1e-4, 2e-4": (lambda p: SGD(p, 1e-4), lambda p: SGD(p, 2e-4), "learning_rate"),
    "AdamW lr 1e-4, 2e-4": (lambda p: AdamW(p, 1e-4), lambda p: AdamW(p, 2e-4), "learning_rate"),
    "AdamW lr 1e-9, 2e-9": (lambda p: AdamW(p, 1e-9), lambda p: AdamW(p, 2e-9), "learning_rate"),
    "AdamW decay 0, 0.1": (
        lambda p: AdamW(p, 1e-3, weight_decay=0),
        lambda p: AdamW(p, 1e-3, weight_decay=0.1),
        "weight_decay",
    ),
    "the first layer alone": (lambda p: SGD(p, 1e-4), lambda p: SGD([*p][:2], 1e-4), ""),
    "no biases": (lambda p: SGD(p, 1e-4), lambda p: SGD([q for q in p if q.ndim > 1], 1e-4), ""),
    "a group with its own lr": (
        lambda p: SGD([{"params": [*p][:1], "lr": 1e-3}], 1e-2),
        lambda p: SGD([*p][:1], 1e-2),
        "learning_rate",
    ),
    "Adam for SGD": (lambda p: SGD(p, 1e-2), lambda p: Adam(p, 1e-2), ""),
    "Adam eps": (lambda p: Adam(p, 0.01), lambda p: Adam(p, 0.01, eps=1e-7), "optimizer_eps"),
    "Adam betas": (lambda p: Adam(p, 0.01), lambda p: Adam(p, 0.01, (0.9, 0.99)), "betas"),
    "nesterov": (
        lambda p: SGD(p, 0.01, 0.9),
        lambda p: SGD(p, 0.01, 0.9, nesterov=True),
        "nesterov",
    ),
    "maximize": (lambda p: SGD(p, 0.01), lambda p: SGD(p, 0.01, maximize=True), "wrong_sign"),
    "Adam's decay for AdamW's": (
        lambda p: Adam(p, 0.01, weight_decay=0.1),
        lambda p: AdamW(p, 0.01, weight_decay=0.1),
        "adam_l2_decay",
    ),
    **{
        f"{kind.__name__} lr": (lambda p, k=kind: k(p, 0.01), lambda p, k=kind: k(p, 0.01001), name)
        for kind, name in {
            torch.optim.Adadelta: "learning_rate", torch.optim.Adagrad: "learning_rate",
            torch.optim.Adamax: "learning_rate", torch.optim.RMSprop: "learning_rate",
            torch.optim.Adafactor: "learning_rate", torch.optim.NAdam: "", torch.optim.RAdam: "",
            torch.optim.Rprop: "", torch.optim.ASGD: "",
        }.items()
    },
}  # fmt: skip


def stepped(of_a: Callable[[Any], Any], of_b: Callable[[Any], Any]) -> ModulesReport:
    a, b = net(), net()
    optimizers = of_a(a.parameters()), of_b(b.parameters())
    return check_modules(a, b, x_of(), loss=CE, target=Y, optimizers=optimizers)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.every(2)
def test_optimizers_that_differ_fail_and_equal_ones_pass(name: str) -> None:
    first, second, cause = OPTIMIZERS[name]
    report = stepped(first, second)
    assert report.outcome == "FAIL", f"seed {SEED}\n{report}"
    assert report.call is None or report.call.phase == "update"
    assert report.causes == ((cause,) if cause else ()), str(report)
    assert stepped(first, first).outcome == "PASS", f"seed {SEED}"


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        (lambda p: Adam(p, 0.01, foreach=True), lambda p: Adam(p, 0.01, foreach=False)),
        (lambda p: Adam(p, 0.01, fused=True), lambda p: Adam(p, 0.01, foreach=False)),
        (lambda p: Adam(p, 0.01), lambda p: AdamW(p, 0.01, weight_decay=0)),
    ],
)
def test_the_same_step_in_another_form_passes(of_a: Any, of_b: Any) -> None:
    assert stepped(of_a, of_b).outcome == "PASS"


class Own(SGD):
    """An optimizer of the user's."""


def test_a_first_step_of_two_classes_shows_no_momentum_and_it_is_said() -> None:
    for of_b, notes in ((Own, 1), (SGD, 0)):
        report = stepped(
            lambda p: SGD(p, 0.1, momentum=0.9), lambda p, f=of_b: f(p, 0.1, momentum=0.9)
        )
        assert (report.outcome, len(report.notes)) == ("PASS", notes)


# --- given weights are equal or they are not


@torch.no_grad()
def next_number(b: nn.Sequential) -> None:
    b[2].weight[0, 0] = torch.nextafter(b[2].weight[0, 0], torch.tensor(9.0))


@torch.no_grad()
def a_little(b: nn.Sequential) -> None:
    b[2].weight += 1e-4


@torch.no_grad()
def not_a_number(b: nn.Sequential) -> None:
    b[0].bias.fill_(float("nan"))


@pytest.mark.parametrize("change", [next_number, a_little, not_a_number])
def test_given_weights_that_differ_fail(change: Callable[[nn.Sequential], None]) -> None:
    a, b = net(), net()
    change(b)
    report = check_modules(a, b, x_of(), loss=CE, target=Y)
    assert report.outcome == "FAIL"
    assert report.differing


def test_a_frozen_layer_fails() -> None:
    a, b = net(), net()
    b[0].requires_grad_(False)
    report = check_modules(a, b, x_of(), loss=CE, target=Y)
    assert report.outcome == "FAIL"
    assert set(report.lacking) == {"0.weight.grad", "0.bias.grad"}


# --- norms and activations in another form; cause where the catalogue has it

IMAGES = (3, 4, 5, 5)
FORMS: list[tuple[Any, Any, tuple[int, ...], str]] = [
    (lambda: nn.LayerNorm(16, eps=1e-12), lambda: nn.LayerNorm(16), (4, 16), "norm_eps_value"),
    (lambda: nn.GroupNorm(2, 4), lambda: nn.GroupNorm(2, 4, eps=1e-6), IMAGES, ""),
    (lambda: nn.GroupNorm(2, 4), lambda: nn.GroupNorm(4, 4), IMAGES, ""),
    (lambda: nn.BatchNorm2d(4), lambda: nn.BatchNorm2d(4, eps=1e-3), IMAGES, "norm_eps_value"),
    (
        lambda: nn.BatchNorm2d(4),
        lambda: nn.BatchNorm2d(4, momentum=0.2),
        IMAGES,
        "running_statistics_momentum",
    ),
    (lambda: nn.RMSNorm(16, eps=1e-6), lambda: nn.RMSNorm(16, eps=1e-5), (4, 16), "norm_eps_value"),
    (lambda: nn.LocalResponseNorm(2), lambda: nn.LocalResponseNorm(2, k=1.001), IMAGES, ""),
    (lambda: linear(nn.GELU()), lambda: linear(nn.GELU("tanh")), (4, 5), "gelu_form"),
    (lambda: linear(nn.Softplus()), lambda: linear(nn.Softplus(1.001)), (4, 5), ""),
    (
        lambda: linear(nn.LeakyReLU(0.01)),
        lambda: linear(nn.LeakyReLU(0.0101)),
        (4, 5),
        "activation_other",
    ),
    (lambda: linear(nn.Softmax(1)), lambda: linear(nn.Softmax(0)), (4, 5), "softmax_axis"),
    (lambda: linear(nn.SiLU()), lambda: linear(nn.Hardswish()), (4, 5), "activation_other"),
]


def weighted(out: Tensor) -> Tensor:
    return (out * torch.linspace(0, 1, out.numel(), dtype=out.dtype).reshape(out.shape)).mean()


@pytest.mark.parametrize("i", range(len(FORMS)))
def test_forms_that_differ_by_little_fail(i: int) -> None:
    make_a, make_b, shape, cause = FORMS[i]
    report = check_modules(make_a(), make_b(), x_of(*shape), loss=weighted)
    assert report.outcome == "FAIL", f"seed {SEED}\n{report}"
    assert report.causes == ((cause,) if cause else ()), str(report)
    assert check_modules(make_a(), make_a(), x_of(*shape), loss=weighted).outcome == "PASS"


def test_one_group_a_channel_is_an_instance_norm() -> None:
    a, b = nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(4, 4)
    assert check_modules(a, b, x_of(*IMAGES), loss=weighted).outcome == "PASS"


# --- losses that leave something out

LOSSES: list[Callable[..., Tensor]] = [
    *(nn.CrossEntropyLoss(ignore_index=i) for i in (0, 2, -100, 99)),
    nn.CrossEntropyLoss(ignore_index=1, reduction="sum"),
    nn.CrossEntropyLoss(ignore_index=1, weight=torch.tensor([1.0, 2.0, 3.0])),
    nn.CrossEntropyLoss(ignore_index=1, label_smoothing=0.1),
    lambda out, y: F.nll_loss(out.log_softmax(1), y, ignore_index=2),
    lambda out, y: F.cross_entropy(out, F.one_hot(y, 3).to(out.dtype)),
    nn.MultiMarginLoss(),
]


@pytest.mark.parametrize("i", range(len(LOSSES)))
def test_identical_modules_pass_under_any_loss(i: int) -> None:
    report = check_modules(net(), net(), x_of(), loss=LOSSES[i], target=Y)
    assert report.outcome == "PASS", str(report)


def test_a_loss_that_leaves_out_everything_shows_nothing() -> None:
    loss = nn.CrossEntropyLoss(ignore_index=1)
    y = torch.ones(4, dtype=torch.long)
    assert check_modules(net(), net(), x_of(), loss=loss, target=y).outcome == "UNJUDGED"


def test_ignored_classes_that_differ_fail() -> None:
    def model(ignored: int) -> Applied:
        return Applied(lambda m, x: F.cross_entropy(m.fc(x), Y, ignore_index=ignored))

    assert check_modules(model(2), model(0), x_of(), loss=lambda out: out).outcome == "FAIL"


@pytest.mark.parametrize("options", [{"padding_idx": 0}, {"max_norm": 0.5}, {}])
def test_embeddings(options: dict[str, Any]) -> None:
    tokens = torch.tensor([[0, 1, 4], [0, 0, 2]])
    a, b = nn.Embedding(5, 3, **options), nn.Embedding(5, 3)
    b.load_state_dict(a.state_dict())
    assert twins(a, tokens, loss=weighted).outcome == "PASS"
    expected = "FAIL" if options else "PASS"
    assert check_modules(a, b, tokens, loss=weighted).outcome == expected


# --- attention alone


@pytest.mark.parametrize(
    ("options", "given"),
    [({}, {}), ({"kdim": 3, "vdim": 2, "add_bias_kv": True}, {"need_weights": False})],
)
def test_multihead_attention_alone(options: dict[str, Any], given: dict[str, Any]) -> None:
    q, k, v = x_of(3, 2, 4), x_of(6, 2, options.get("kdim", 4)), x_of(6, 2, options.get("vdim", 4))
    module = nn.MultiheadAttention(4, 2, **options)
    report = twins(module, q, k, v, loss=lambda out: squares(out[0]), **given)
    assert report.outcome == "PASS", str(report)
    assert check_modules(module, nn.MultiheadAttention(4, 2, **options), q, k, v).outcome == "FAIL"


def test_the_number_of_heads_is_seen() -> None:
    a, b = nn.MultiheadAttention(4, 2), nn.MultiheadAttention(4, 4)
    b.load_state_dict(a.state_dict())
    t = x_of(3, 2, 4)
    assert check_modules(a, b, t, t, t).outcome == "FAIL"


# --- arrays by hand


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (nn.MSELoss(), (x_of(5, 3).double(), x_of(5, 3).double() * 2)),
        (nn.CrossEntropyLoss(), (x_of(5, 3).double(), torch.tensor([0, 1, 2, 0, 1]))),
        (nn.BCELoss(), (x_of(5, 3).double().sigmoid(), (x_of(5, 3) > 0).double())),
        (nn.Conv1d(1, 1, 3), (x_of(1, 1, 5),)),
    ],
)
def test_a_wrong_array_of_a_module_by_itself_fails(
    module: nn.Module, inputs: tuple[Tensor, ...]
) -> None:
    right = module(*inputs).detach().numpy()
    assert check_module(module, {"output": right}, *inputs).outcome == "PASS"
    assert check_module(module, {"output": right + 1}, *inputs).outcome == "FAIL"


def test_weights_that_were_not_updated_fail() -> None:
    a = net()
    mine = {"0.weight": a[0].weight.detach().numpy().copy()}
    optimizer = AdamW(a.parameters(), lr=1e-4)
    report = check_module(a, mine, x_of(), loss=CE, target=Y, optimizer=optimizer)
    assert report.outcome == "FAIL"


@pytest.mark.parametrize(
    "mine",
    [None, "abc", np.array([None]), np.zeros((4, 3), complex), torch.zeros(4, 3).to_sparse()],
)
def test_what_is_no_array_of_numbers_is_refused(mine: Any) -> None:
    with pytest.raises(InputError, match="output"):
        check_module(nn.Linear(5, 3), {"output": mine}, x_of())


def test_a_list_that_holds_a_tensor_twice_is_not_judged() -> None:
    """It is written twice, one after the other: no call alone explains what it holds."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            made = self.fc(x)
            total = torch.zeros_like(made)
            torch._foreach_add_([total, total], [made, made])
            return total

    torch.manual_seed(0)
    report = check_model(Twice(), torch.randn(2, 3))
    assert report.outcome == "UNJUDGED"
    assert {v.call.operation for v in report.unjudged} == {"_foreach_add"}


class Scaled(nn.Module):
    """RMS norm between two layers; casts says whether it is computed in float32, by name."""

    def __init__(self, casts: bool, eps: float) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 4)
        self.casts, self.eps = casts, eps

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        h = x.to(torch.float32) if self.casts else x
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.last(h.to(x.dtype))


@pytest.mark.parametrize("casts", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("eps", [1e-6, 1e-7])
def test_a_cast_that_changes_nothing_hides_nothing(casts: tuple[bool, bool], eps: float) -> None:
    """In float32 a cast to float32 does nothing; compared in float64, it must not round there."""
    torch.manual_seed(0)
    a, b = Scaled(casts[0], 1e-6), Scaled(casts[1], eps)
    b.load_state_dict(a.state_dict())
    x, y = torch.randn(8, 16), torch.arange(8) % 4
    report = check_modules(a, b, x, loss=nn.CrossEntropyLoss(), target=y)
    assert report.outcome == ("PASS" if eps == 1e-6 else "FAIL")
    assert report.causes == (() if eps == 1e-6 else ("norm_eps_value",))


@pytest.mark.parametrize(
    ("of_a", "of_b", "differs"),
    [
        ({"momentum": 0.9}, {"momentum": 0.8}, True),
        ({"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5}, True),
        ({}, {"dampening": 0.5}, False),
        ({"momentum": 0.9, "foreach": True}, {"momentum": 0.9}, False),
    ],
)
def test_settings_that_the_first_step_does_not_show(
    of_a: dict[str, Any], of_b: dict[str, Any], differs: bool
) -> None:
    torch.manual_seed(0)
    a = nn.Linear(5, 3)
    b = copy.deepcopy(a)
    optimizers = tuple(
        torch.optim.SGD(m.parameters(), lr=0.1, **options) for m, options in ((a, of_a), (b, of_b))
    )
    x, y = torch.randn(6, 5), torch.randn(6, 3)
    report = check_modules(a, b, x, loss=nn.MSELoss(), target=y, optimizers=optimizers)  # type: ignore[arg-type]
    assert report.outcome == ("FAIL" if differs else "PASS")
    assert len(report.differing) == differs


def test_settings_of_weights_that_are_not_trained() -> None:
    torch.manual_seed(0)
    a = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    a[1].requires_grad_(False)
    b = copy.deepcopy(a)
    decayed = [{"params": b[0].parameters()}, {"params": b[1].parameters(), "weight_decay": 0.1}]
    optimizers = SGD(a.parameters(), 0.1), SGD(decayed, 0.1)
    report = check_modules(a, b, torch.randn(4, 3), loss=squares, optimizers=optimizers)
    assert report.outcome == "PASS"


class Turned(nn.Module):
    """Rotary angles from frequencies that are a buffer, or made in the forward."""

    def __init__(self, kept: bool, product: bool) -> None:
        super().__init__()
        self.layer, self.product = nn.Linear(8, 8), product
        self.register_buffer("kept", self.made() if kept else None, persistent=False)

    def made(self) -> Tensor:
        return 1 / (10000 ** (torch.arange(0, 8, 2).float() / 8))

    def forward(self, x: Tensor) -> Tensor:
        inverse = self.made() if self.kept is None else self.kept
        places = torch.arange(x.shape[1])
        if self.product:
            angles = places.float()[:, None] @ inverse.float()[None, :]
        else:
            angles = places[:, None] * inverse
        return self.layer(x) * torch.cat([angles.cos(), angles.sin()], -1).to(x.dtype)


@pytest.mark.parametrize("product", [True, False])
@pytest.mark.parametrize("kept", [(True, False), (False, True)])
def test_rotary_frequencies_may_be_a_buffer(kept: tuple[bool, bool], product: bool) -> None:
    """In float32 both have the same digits."""
    torch.manual_seed(0)
    a, b = (Turned(k, product) for k in kept)
    b.load_state_dict(a.state_dict())
    assert check_modules(a, b, torch.randn(2, 5, 8), loss=squares).outcome == "PASS"
