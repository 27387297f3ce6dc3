"""Two modules, or a module and arrays by hand: right pairs pass, every planted fault is seen."""

import copy
import re
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torch_parity import manual
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.report import Report
from torch_parity.compare.sources.modules.capture import capture
from torch_parity.compare.sources.modules.check import check_module, check_modules

SEED = 5
NAMES = {"fc1": "layers.0", "act": "layers.1", "drop": "layers.2", "fc2": "layers.3"}
NAMES |= {"slope": "layers.4", "fc3": "layers.5"}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


def original() -> nn.Sequential:
    layers = [nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 6), nn.LeakyReLU(0.2)]
    return nn.Sequential(OrderedDict(zip(NAMES, [*layers, nn.Linear(6, 3)], strict=True)))


class Port(nn.Module):
    def __init__(self, of: nn.Sequential) -> None:
        super().__init__()
        self.layers = nn.Sequential(*copy.deepcopy(list(of)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(7, 5), torch.randint(0, 3, (7,))


def check(
    a: nn.Module, b: nn.Module, lr: tuple[float, float] = (0.1, 0.1), **options: Any
) -> Report:
    x, y = data()
    sgd = tuple(torch.optim.SGD(m.parameters(), r, 0.9) for m, r in zip((a, b), lr, strict=True))
    return check_modules(
        a, b, x, loss=nn.CrossEntropyLoss(), target=y, optimizers=sgd, names=NAMES, **options
    )


def causes(report: Report) -> list[str]:
    assert not report.passed, f"seed {SEED}"
    assert all(f"Cause: {sentence}" in report.verdict for sentence in report.explanations)
    return list(report.explanations)


def test_a_right_port_passes_and_everything_is_as_it_was() -> None:
    a = original()
    b = Port(a)
    before = [p.clone() for m in (a, b) for p in m.parameters()]
    report = check(a, b)
    assert report.passed, str(report)
    assert len(report.judgement.differences) > 40
    assert report.judgement.replays["torch"]
    now = [p for m in (a, b) for p in m.parameters()]
    assert all(torch.equal(p, q) for p, q in zip(before, now, strict=True))
    assert all(p.grad is None for p in now)


def transposed(b: Port) -> None:
    b.layers[3].weight.data = b.layers[3].weight.data.T.clone()


def reshaped(b: Port) -> None:
    b.layers[0].weight.data = b.layers[0].weight.data.T.reshape(6, 5).clone()


def evaluating(b: Port) -> None:
    b.eval()


def steeper(b: Port) -> None:
    b.layers[4] = nn.LeakyReLU(0.1)


def another(b: Port) -> None:
    b.layers[1] = nn.Tanh()


def keep_prob(b: Port) -> None:
    b.layers[2] = nn.Dropout(0.7)


def stale(b: Port) -> None:
    b(torch.randn(4, 5)).square().sum().backward()


FAULTS: dict[Callable[[Port], None], str] = {
    transposed: "fc2.weight of b is that of a transposed: copy a.fc2.weight, not its .T.",
    reshaped: "fc1.weight of b is that of a transposed, then reshaped to fit: copy a.fc1.weight, "
    "not its .T.",
    evaluating: "drop is in training mode in a: call a.eval() (or b.train(), if both are "
    "to train).",
    steeper: "slope is nn.LeakyReLU(negative_slope=0.2) in a and "
    "nn.LeakyReLU(negative_slope=0.1) in b.",
    another: "act is nn.ReLU() in a and nn.Tanh() in b.",
    keep_prob: "drop is nn.Dropout(p=0.3) in a and nn.Dropout(p=0.7) in b.",
    stale: "b had gradients before the step (fc1.weight.grad, fc1.bias.grad, fc2.weight.grad, "
    "fc2.bias.grad, fc3.weight.grad, fc3.bias.grad), and backward adds to them: call "
    "b.zero_grad() first.",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(fault: Callable[[Port], None]) -> None:
    a = original()
    b = Port(a)
    fault(b)
    report = check(a, b)
    assert causes(report) == [FAULTS[fault]], f"seed {SEED}\n{report}"
    if fault is stale:
        assert report.causes == ("stale_gradients",)
        assert report.judgement.wrong_sides == ("torch",)


def test_a_forgotten_eval_and_a_transposed_weight_are_both_named() -> None:
    a = original().eval()
    b = Port(a).train()
    transposed(b)
    assert causes(check(a, b)) == [
        FAULTS[transposed],
        "drop is in training mode in b: call b.eval() (or a.train(), if both are to train).",
    ]


def test_a_wrong_learning_rate_is_named() -> None:
    a = original()
    assert causes(check(a, Port(a), lr=(0.1, 0.2))) == ["SGD's lr is 0.1 in a and 0.2 in b."]


def test_batch_norm_in_two_modes_under_a_loss_that_is_a_function() -> None:
    a = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    b = copy.deepcopy(a).eval()
    report = check_modules(a, b, data()[0], loss=lambda out: out.square().mean())
    assert causes(report) == [
        "1 is in training mode in a: call a.eval() (or b.train(), if both are to train)."
    ]
    assert check_modules(a, copy.deepcopy(a), data()[0], loss=lambda out: out.sum()).passed


def test_one_wrong_entry_of_a_weight_is_seen() -> None:
    a = original()
    b = Port(a)
    with torch.no_grad():
        b.layers[3].weight[2, 1] += 1e-3
    report = check(a, b, called=("left", "right"))
    assert not report.passed
    assert report.short.startswith("FAIL given fc2.weight: at [2, 1] left ")


def test_a_backward_that_lies_is_found_with_its_side() -> None:
    """A gradient changed on its way: no parameter and no setting differs."""
    a = original()
    b = Port(a)
    b.layers[3].weight.register_hook(lambda gradient: gradient * 2)
    report = check(a, b)
    assert not report.passed
    assert report.judgement.wrong_sides == ("torch",)
    assert report.judgement.root.found.name == "fc2.weight.grad"
    witness = report.judgement.root.witness
    assert witness == pytest.approx(report.judgement.root.found.expected, rel=1e-5)


def test_a_module_that_computes_otherwise_is_found() -> None:
    """Its class says Linear, its forward does not."""
    a = original()
    b = Port(a)
    b.layers[3].forward = lambda x: nn.functional.linear(x, b.layers[3].weight)  # no bias
    report = check(a, b)
    assert not report.passed
    assert (report.judgement.root.side, report.judgement.root.found.name) == ("torch", "fc2")
    assert report.causes == ("bias_missing",)


class Swapped(nn.Module):
    """Two dropouts of one shape, drawn in the other order."""

    def __init__(self, first: str) -> None:
        super().__init__()
        self.fc, self.left, self.right = nn.Linear(5, 4), nn.Dropout(0.4), nn.Dropout(0.4)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc(x)
        if self.first == "left":
            left, right = self.left(z), self.right(z)
        else:
            right, left = self.right(z), self.left(z)
        out: Tensor = left - 2 * right
        return out


@pytest.mark.parametrize("share", [True, False])
def test_masks_are_shared_by_name_whatever_the_order_of_the_draws(share: bool) -> None:
    a, b = Swapped("left"), Swapped("right")
    b.load_state_dict(a.state_dict())
    report = check_modules(a, b, torch.randn(7, 5), share_masks=share)
    assert report.passed is share, str(report)


def test_what_only_one_side_has_fails_unless_it_is_ignored() -> None:
    a = original()
    b = Port(a)
    b.register_buffer("scale", torch.ones(2))
    report = check(a, b)
    assert not report.passed
    assert "only b has given scale" in str(report)
    assert check(a, b, ignore=["scale"]).passed
    assert check(a, b, ignore=["sc*", "fc2", "fc2.weight.grad"]).passed
    with pytest.raises(
        InputError, match=re.escape("nothing is called 'scal'; did you mean 'scale'")
    ):
        check(a, b, ignore=["scal"])
    with pytest.raises(InputError, match="nothing that a step makes is left"):
        check(a, b, ignore=["*"])


def test_names_that_do_not_match_are_unmatched_and_a_mapping_is_offered() -> None:
    a = original()
    report = check_modules(a, Port(a), data()[0])
    pairs = ", ".join(f'"{x}": "{y}"' for x, y in NAMES.items())
    assert causes(report) == [
        "a and b call modules of the same kinds in the same order: "
        f"names={{{pairs}}} would pair them."
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"fc9": "layers.0"}, "names: a has no 'fc9'; did you mean 'fc"),
        ({"fc1": "layer.0"}, "names: b has no 'layer.0'; did you mean 'layers.0'?"),
        ({"fc1": "layers.0", "fc2": "layers.0"}, "'fc1' and 'fc2' both map to 'layers.0'"),
        ({"input": "layers.0"}, "b would have two tensors called 'input'"),
        ({"": "layers"}, "names: a has no ''"),
    ],
)
def test_names_are_checked(names: dict[str, str], message: str) -> None:
    a = original()
    with pytest.raises(ValueError, match=re.escape(message)):
        check_modules(a, Port(a), data()[0], names=names)


def test_nothing_is_a_hollow_pass() -> None:
    a = original()
    with pytest.raises(InputError, match="one module"):
        check_modules(a, a, data()[0])
    with pytest.raises(InputError, match="mine is empty"):
        check_module(a, {}, data()[0])
    b = copy.deepcopy(a)
    for net in (a, b):
        net.fc2.bias.data[1] = float("nan")
    assert not check_modules(a, b, data()[0]).passed, "NaN on both sides"
    x = data()[0]
    x[0, 0] = float("inf")
    assert not check_modules(original(), original(), x).passed
    assert not check_modules(nn.Linear(3, 2), nn.Linear(3, 2), torch.randn(4, 3)).passed
    empty = nn.Linear(3, 2)
    assert not check_modules(empty, copy.deepcopy(empty), torch.randn(0, 3)).passed


def test_a_module_against_arrays_by_hand() -> None:
    net = nn.Sequential(OrderedDict(fc1=nn.Linear(5, 4), act=nn.Tanh(), fc2=nn.Linear(4, 3)))
    x, y = data()
    W1, b1, W2, b2 = (p.detach().numpy().copy() for p in net.parameters())
    z1 = manual.linear(x.numpy(), W1, b1)
    a1 = manual.tanh(z1)
    z2 = manual.linear(a1, W2, b2)
    dz2 = manual.cross_entropy_backward(z2, y.numpy())
    da1, dW2, db2 = manual.linear_backward(dz2, a1, W2)
    dW1 = manual.tanh_backward(da1, z1).T @ x.numpy()
    mine = {"fc1": z1, "fc2": z2, "loss": manual.cross_entropy(z2, y.numpy()), "dW1": dW1}
    mine |= {"fc2.weight.grad": dW2, "fc2.bias.grad": db2, "fc1.weight": W1 - np.float32(0.1) * dW1}

    def report(**changed: np.ndarray) -> Report:
        return check_module(
            net,
            mine | changed,
            x,
            loss=nn.CrossEntropyLoss(),
            target=y,
            optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
            names={"fc1.weight.grad": "dW1"},
        )

    assert report().passed, str(report())
    compared = [d.name for d in report().judgement.differences if not d.name.startswith("given ")]
    assert len(compared) == len(mine)
    wrong = report(dW1=dW1 * 7)
    assert not wrong.passed
    assert wrong.judgement.wrong_sides == ("manual",)
    assert wrong.judgement.root.found.name == "fc1.weight.grad"
    summed = report(fc1=x.numpy() @ W1.T)
    assert summed.judgement.root.found.name == "fc1"
    assert summed.causes == ("bias_missing",)
    with pytest.raises(InputError, match="makes no 'fc3'; did you mean 'fc"):
        report(fc3=z2)


def test_arrays_without_what_they_come_from_are_compared_and_it_is_said() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU())
    x = torch.randn(4, 2, 6)
    out = net(x).detach().numpy()
    report = check_module(net, {"1": out}, x)
    assert report.passed
    assert "Compared, not judged, for want of what they come from: 1." in report.notes
    assert not check_module(net, {"1": out * 1.01}, x).passed


ACTIVATIONS: list[Callable[[], nn.Module]] = [
    nn.ReLU,
    lambda: nn.ReLU(inplace=True),
    lambda: nn.LeakyReLU(0.15),
    nn.Tanh,
    nn.Sigmoid,
    lambda: nn.Softmax(dim=-1),
    nn.Identity,
]


def random_task(rng: np.random.Generator) -> tuple[nn.Sequential, dict[str, Any], Any]:
    """An MLP of depth 1-5 with a fitting loss, and what makes its optimizer."""
    m, depth = int(rng.integers(2, 12)), int(rng.integers(1, 6))
    sizes = rng.integers(1, 9, depth + 1).tolist()
    dtype = [torch.float32, torch.float64][rng.integers(2)]
    layers: list[nn.Module] = [nn.Flatten()] if rng.random() < 0.3 else []
    for n_in, n_out in pairwise(sizes):
        layers.append(nn.Linear(n_in, n_out, bias=bool(rng.random() < 0.8)))
        layers.append(ACTIVATIONS[rng.integers(len(ACTIVATIONS))]())
        if rng.random() < 0.4:
            layers.append(nn.Dropout(float(rng.uniform(0.1, 0.6))))
    kind = rng.integers(4)
    reduction = ["mean", "sum"][rng.integers(2)]
    y = torch.rand(m, sizes[-1], dtype=dtype)
    loss = [nn.CrossEntropyLoss, nn.MSELoss, nn.BCELoss, nn.BCEWithLogitsLoss][kind]
    if kind == 0:
        y = torch.randint(0, sizes[-1], (m,))
    if kind == 2:
        layers.append(nn.Sigmoid())
    net = nn.Sequential(*layers).to(dtype).train(bool(rng.random() < 0.8))
    optimizer = [
        lambda p: torch.optim.SGD(p, 0.05),
        lambda p: torch.optim.SGD(p, 0.05, 0.8),
        lambda p: torch.optim.Adam(p, 0.02),
    ][rng.integers(3)]
    x = torch.randn(m, sizes[0], dtype=dtype)
    return net, {"x": x, "loss": loss(reduction=reduction), "target": y}, optimizer


class Reversed(nn.Module):
    """The same layers, each in a box, under names that sort the other way round."""

    def __init__(self, of: nn.Sequential) -> None:
        super().__init__()
        self.boxes = [nn.Sequential(layer) for layer in of]
        for i, box in enumerate(self.boxes):
            self.add_module(self.name(i), box)

    def name(self, i: int) -> str:
        return chr(ord("z") - i)

    def forward(self, x: Tensor) -> Tensor:
        for box in self.boxes:
            x = box(x)
        return x


@pytest.mark.parametrize("seed", range(60))
def test_a_random_right_pair_never_fails(seed: int) -> None:
    torch.manual_seed(seed)
    rng = np.random.default_rng([71, seed])
    net, task, make = random_task(rng)
    x, optimizer = task.pop("x"), make(net.parameters())

    def alike(module: nn.Module) -> torch.optim.Optimizer:
        other: torch.optim.Optimizer = make(module.parameters())
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        return other

    for _ in range(2):  # the second time with momentum and counters of the first
        twin = copy.deepcopy(net)
        report = check_modules(net, twin, x, optimizers=(optimizer, alike(twin)), **task)
        assert report.passed, f"seed {seed}\n{report}"
        port = Reversed(twin)
        names = {str(i): f"{port.name(i)}.0" for i in range(len(net))}
        options = task | {"optimizers": (optimizer, alike(port)), "names": names}
        report = check_modules(net, port, x, **options)
        assert report.passed, f"seed {seed}\n{report}"
        capture(net, x, optimizer=optimizer, **task)
        net.zero_grad()
