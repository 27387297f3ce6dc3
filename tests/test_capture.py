"""What a capture records, against torch computed plainly, for what people really write."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.judge import judge_traces
from torch_parity.compare.judge.replay import replay
from torch_parity.compare.sources.modules.capture import Capture, capture

SEED = 3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


def same(recorded: np.ndarray, expected: Tensor) -> None:
    np.testing.assert_array_equal(recorded, expected.detach().numpy(), err_msg=f"seed {SEED}")


def right(trace: Capture) -> set[str]:
    """Every node explains what was recorded; the names that were judged."""
    found = replay(trace.nodes, trace.given, trace.made, gaps=True)
    assert all(r.right for r in found), [r for r in found if not r.right]
    return {r.name for r in found}


class Residual(nn.Module):
    """A branch, a reshape, a shared layer called twice, one never called, nested modules."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True))
        self.again = nn.Linear(4, 4)
        self.also = self.again
        self.spare = nn.Linear(2, 3)
        self.head = nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        h = h + self.again(h)
        h = torch.tanh(self.also(h))
        out: Tensor = self.head(h.reshape(len(x), -1) * 2)
        return out


def test_a_training_step_is_recorded_as_torch_computes_it() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(4, 3))
    x, y = torch.randn(6, 5), torch.randint(0, 3, (6,))
    twin = copy.deepcopy(net)
    state = torch.get_rng_state()
    trace = capture(
        net,
        x,
        loss=nn.CrossEntropyLoss(),
        target=y,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
    )
    torch.set_rng_state(state)
    z = twin[0](x)
    a = torch.relu(z)
    h = twin[2](a)
    out = twin[3](h)
    loss = nn.functional.cross_entropy(out, y)
    for t in (z, a, h, out):
        t.retain_grad()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    given = {name: p.detach().clone() for name, p in twin.named_parameters()}
    loss.backward()
    optimizer.step()
    for name, t in {"0": z, "1": a, "2": h, "3": out}.items():
        same(trace.made[name], t)
        same(trace.made[f"{name}.grad"], t.grad)
    same(trace.made["loss"], loss)
    for name, p in twin.named_parameters():
        same(trace.given[name], given[name])
        same(trace.made[name], p)
        same(trace.made[f"{name}.grad"], p.grad)
        same(trace.made[f"{name}.momentum_buffer"], optimizer.state[p]["momentum_buffer"])
        same(dict(net.named_parameters())[name].detach().numpy(), p)
    same(trace.given["2.mask"] * trace.made["1"], h)
    assert set(np.unique(trace.given["2.mask"])) == {0, np.float32(1 / 0.7)}
    assert right(trace) == set(trace.made)


def test_branches_reshapes_shared_modules_and_second_calls() -> None:
    net = Residual()
    x, y = torch.randn(6, 5), torch.randn(6, 3)
    trace = capture(net, x, loss=nn.MSELoss(), target=y, step=False)
    h = torch.relu(net.body[0](x))
    first = net.again(h)
    second = net.again(h + first)
    same(trace.made["again"], first)
    same(trace.made["again@2.input"], h + first)
    same(trace.made["again@2"], second)
    same(trace.made["head.input"], torch.tanh(second) * 2)
    (h.retain_grad(), second.retain_grad())
    out = net.head(torch.tanh(second) * 2)
    nn.functional.mse_loss(out, y).backward()
    same(trace.made["body.1.grad"], h.grad)
    same(trace.made["again@2.grad"], second.grad)
    same(trace.made["again.weight.grad"], net.again.weight.grad)
    judged = right(trace)
    assert {"again", "again@2", "head", "head.weight.grad", "body.0.weight.grad"} <= judged
    assert judged.isdisjoint({"again.weight.grad", "body.1.grad", "again@2.grad", "head.input"})
    notes = "\n".join(trace.notes)
    assert "Never called: spare." in notes
    assert "No gradient reached: spare.weight, spare.bias." in notes
    assert "Compared, not judged, as no operation" in notes
    assert "again.weight.grad" in notes


def test_dicts_tuples_and_keywords_in_and_out() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.lstm = nn.Linear(3, 2), nn.Linear(4, 2), nn.LSTM(2, 5)

        def forward(self, both: dict[str, Any], scale: Tensor | None = None) -> dict[str, Any]:
            a, b = self.left(both["l"]), self.right(both["r"][0])
            seen, _ = self.lstm((a + b)[None])
            return {"scores": a, "rest": (b * scale, [seen])}

    net, left, r, scale = Pair(), torch.randn(6, 3), torch.randn(6, 4), torch.randn(6, 1)
    trace = capture(net, {"l": left, "r": [r]}, scale=scale, step=False)
    same(trace.given["input.0.r.0"], r)
    same(trace.given["input.scale"], scale)
    same(trace.made["left"], net.left(left))
    same(trace.made["output.scores"], net.left(left))
    same(trace.made["output.rest.0"], net.right(r) * scale)
    out, (h, c) = net.lstm((net.left(left) + net.right(r))[None])
    for name, t in {"lstm.0": out, "lstm.1.0": h, "lstm.1.1": c, "output.rest.1.0": out}.items():
        same(trace.made[name], t)
    assert "lstm, a LSTM: compared, not judged." in trace.notes
    assert "left" in right(trace)


def test_a_frozen_layer_and_an_input_that_wants_a_gradient() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 1))
    net[0].weight.requires_grad_(False)
    x, y = torch.randn(6, 5, requires_grad=True), torch.rand(6, 1)
    trace = capture(
        net,
        x,
        loss=nn.BCEWithLogitsLoss(reduction="sum"),
        target=y,
        optimizer=torch.optim.Adam(net.parameters(), lr=0.01),
        step=False,
    )
    assert "Frozen, so without a gradient: 0.weight." in trace.notes
    assert "0.weight.grad" not in trace.made
    assert {"input.grad", "0.bias.grad", "2.weight"} <= right(trace)
    nn.functional.binary_cross_entropy_with_logits(net(x), y, reduction="sum").backward()
    same(trace.made["input.grad"], x.grad)
    same(trace.made["0.weight"], net[0].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_and_said(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU()).to(dtype)
    x = torch.randn(6, 5, dtype=dtype)
    trace = capture(net, x, step=False)
    assert trace.made["0"].dtype == np.float32
    same(trace.made["0"], net[0](x).float())
    assert any(
        note.startswith("Widened to float32 for the record: 0.weight") for note in trace.notes
    )
    assert not right(trace) - {"output"}


def test_three_dimensions_convolutions_and_unusual_options_are_compared_alone() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.Conv1d(7, 2, 3), nn.Softmax(dim=0), nn.Flatten())
    trace = capture(net, torch.randn(6, 7, 5), step=False)
    assert not right(trace) - {"output"}
    for note in (
        "0, a Linear: compared, not judged (its input has 3 dimensions).",
        "1, a Conv1d: compared, not judged.",
        "2, a Softmax: compared, not judged (not over the rows of a table).",
        "3, a Flatten: compared, not judged (it changes the shape).",
    ):
        assert note in trace.notes


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (nn.CrossEntropyLoss(label_smoothing=0.1), torch.tensor([0, 1, 2, 0])),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3])), torch.tensor([0, 1, 2, 0])),
        (nn.CrossEntropyLoss(), torch.tensor([0, -100, 2, 0])),
        (nn.CrossEntropyLoss(), torch.full((4, 3), 1 / 3)),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0])), torch.ones(4, 3)),
        (nn.functional.mse_loss, torch.ones(4, 3)),
    ],
)
def test_losses_outside_the_register_accuse_nobody(loss: Any, target: Tensor) -> None:
    trace = capture(nn.Sequential(nn.Linear(5, 3)), torch.randn(4, 5), loss=loss, target=target)
    assert "loss" not in right(trace)
    assert any(note.startswith("loss, a ") for note in trace.notes)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
        lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.1),
    ],
)
def test_optimizers_outside_the_register_accuse_nobody(make: Callable[..., Any]) -> None:
    net = nn.Sequential(nn.Linear(5, 3))
    x, y = torch.randn(4, 5), torch.randn(4, 3)
    optimizer = make(net.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        trace = capture(net, x, loss=nn.MSELoss(), target=y, optimizer=optimizer)
    assert "0.weight" not in right(trace)
    assert any(note.startswith("Updates by ") for note in trace.notes)


def everything(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]
    hooks += [len(p._post_accumulate_grad_hooks or ()) for p in net.parameters()]
    state = optimizer.state_dict()["state"]
    return [
        *(t.clone() for t in (*net.parameters(), *net.buffers(), torch.get_rng_state())),
        *(p.grad.clone() if p.grad is not None else None for p in net.parameters()),
        *(v.clone() for s in state.values() for v in s.values()),
        [m.training for m in net.modules()],
        hooks,
    ]


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("as planned")


@pytest.mark.parametrize("fails", [False, True])
def test_without_its_step_the_module_is_left_as_it_was(fails: bool) -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 3))
    net[2].eval()
    net[2].training = True
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    x, y = torch.randn(6, 5), torch.randn(6, 3)
    capture(net, x, loss=nn.MSELoss(), target=y, optimizer=optimizer)  # gradients and state
    if fails:
        net.append(Raises())
    before = everything(net, optimizer)
    gradients = [p.grad for p in net.parameters()]
    graph = net[0](x).sum()
    try:
        capture(net, x, loss=nn.MSELoss(), target=y, optimizer=optimizer, step=False)
        assert not fails
    except RuntimeError as error:
        assert fails, error  # noqa: PT017
    for was, now in zip(before, everything(net, optimizer), strict=True):
        assert torch.equal(was, now) if isinstance(was, Tensor) else was == now
    assert all(p.grad is g for p, g in zip(net.parameters(), gradients, strict=True))
    graph.backward()  # the caller's own graph was not spoilt


def test_gradients_that_lay_there_are_seen_as_stale() -> None:
    net = nn.Sequential(nn.Linear(5, 3))
    x, y = torch.randn(6, 5), torch.randn(6, 3)
    nn.functional.mse_loss(net(x), y).backward()
    was = net[0].weight.grad.clone()
    trace = capture(net, x, loss=nn.MSELoss(), target=y, step=False)
    same(trace.given["previous_0.weight.grad"], was)
    same(trace.made["0.weight.grad"], 2 * was)
    judgement = judge_traces(trace, trace)
    assert judgement.root.found.name == "0.weight.grad"
    assert judgement.diagnoses["torch"].names == (frozenset({"stale_gradients"}),)


def test_tied_parameters_and_detached_paths() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(4, 4), nn.Linear(4, 4)
            self.down.weight = self.up.weight

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.down(self.up(x).detach()) + self.up(x)
            return out

    net, x, y = Tied(), torch.randn(6, 4), torch.randn(6, 4)
    trace = capture(net, x, loss=nn.MSELoss(), target=y, step=False)
    judged = right(trace)
    assert {"down", "up", "up@2", "down.bias.grad"} <= judged
    assert judged.isdisjoint({"up.weight.grad", "down.weight.grad", "up.grad"})


def test_an_l2_penalty_in_the_loss_accuses_no_layer() -> None:
    net, x, y = nn.Sequential(nn.Linear(5, 3)), torch.randn(6, 5), torch.randn(6, 3)

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return nn.functional.mse_loss(out, y) + net[0].weight.square().sum()

    trace = capture(net, x, loss=loss, target=y, step=False)
    judged = right(trace)
    assert "0.bias.grad" in judged
    assert "0.weight.grad" not in judged


def test_forward_hooks_of_others_accuse_no_layer() -> None:
    net = nn.Sequential(nn.Linear(5, 3), nn.ReLU())
    net[0].register_forward_hook(lambda m, args, out: out * 2)
    x = torch.randn(6, 5)
    trace = capture(net, x, step=False)
    assert {"0", "1"} <= right(trace)
    same(trace.made["1.input"], net[0](x))


def test_writing_past_the_version_counter_is_seen_as_another_tensor() -> None:
    class Sly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            h.data.mul_(3)
            out: Tensor = self.second(h)
            return out

    trace = capture(Sly(), torch.randn(6, 5), step=False)
    np.testing.assert_array_equal(trace.made["second.input"], trace.made["first"] * 3)
    assert {"first", "second"} <= right(trace)


def test_a_single_layer_is_its_own_output() -> None:
    net, x = nn.Linear(5, 3), torch.randn(6, 5)
    trace = capture(net, x, loss=nn.MSELoss(), target=torch.randn(6, 3), step=False)
    same(trace.made["output"], net(x))
    assert {"output", "loss", "output.grad", "weight.grad", "bias.grad"} <= right(trace)


class Uncalled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.fc.weight)


def test_what_cannot_be_captured_is_said() -> None:
    net, x, y = nn.Sequential(nn.Linear(5, 3)), torch.randn(6, 5), torch.randn(6, 3)
    other = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    for message, act in {
        "no module was called inside Uncalled": lambda: capture(Uncalled(), x),
        "needs a loss": lambda: capture(net, x, target=y),
        "expected one number": lambda: capture(net, x, loss=nn.MSELoss(reduction="none"), target=y),
        "holds none of the module's parameters": lambda: capture(
            net, x, loss=nn.MSELoss(), target=y, optimizer=other
        ),
    }.items():
        with pytest.raises(InputError, match=message):
            act()
