"""Two modules trained side by side: right pairs pass, a planted mistake fails at its step, and the
run leaves what `parity train` leaves."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, StepLR

from tests.command import parity
from tests.golden_text import Golden, masked
from torch_parity import train_modules
from torch_parity.compare.errors import InputError, ParityError
from torch_parity.compare.runs import events
from torch_parity.compare.runs.modules_report import TrainingReport
from torch_parity.compare.show.modules_json import write_model_report

SEED = 11
CLASSES = nn.CrossEntropyLoss()
Batch = tuple[Tensor, Tensor]
MakeOptimizer = Callable[[Any], Optimizer]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


def adamw(params: Any) -> Optimizer:
    return AdamW(params, 1e-2)


def sgd(params: Any) -> Optimizer:
    return SGD(params, 0.1, momentum=0.9)


def layers(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3)).to(dtype)


class ByHand(nn.Module):
    """The same network, with weights (in, out) and a dropout of its own."""

    def __init__(self, of: nn.Sequential, scaled: bool = True) -> None:
        super().__init__()
        (w1, b1), (w2, b2) = ((of[i].weight.detach().T, of[i].bias.detach()) for i in (0, 3))
        self.w2, self.b2 = nn.Parameter(w2.clone()), nn.Parameter(b2.clone())
        self.w1, self.b1 = nn.Parameter(w1.clone()), nn.Parameter(b1.clone())
        self.scaled = scaled

    def forward(self, x: Tensor) -> Tensor:
        h = (x @ self.w1 + self.b1).clamp(min=0)
        mask = torch.empty_like(h).bernoulli_(0.7)
        mask = mask / 0.7 if self.scaled else mask
        return h * mask @ self.w2 + self.b2


def batches(n: int, dtype: torch.dtype = torch.float32) -> list[Batch]:
    return [(torch.randn(8, 5, dtype=dtype), torch.randint(0, 3, (8,))) for _ in range(n)]


def train(
    a: nn.Module,
    b: nn.Module,
    data: Any,
    make: MakeOptimizer | tuple[MakeOptimizer, MakeOptimizer] = sgd,
    loss: Any = CLASSES,
    **options: Any,
) -> TrainingReport:
    makes = make if isinstance(make, tuple) else (make, make)
    both = makes[0](a.parameters()), makes[1](b.parameters())
    return train_modules(a, b, data, loss=loss, optimizers=both, **options)


def snapshot(*modules: nn.Module) -> list[Tensor]:
    return [t.detach().clone() for m in modules for t in m.state_dict().values()]


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("dtype", "make"),
    [
        (torch.float64, adamw),
        (torch.float32, sgd),
        pytest.param(torch.float32, adamw, marks=slow),
        pytest.param(torch.float64, sgd, marks=slow),
    ],
)
def test_a_network_and_the_same_by_hand(dtype: torch.dtype, make: MakeOptimizer) -> None:
    """Transposed weights, another order of the parameters, dropout in both."""
    a = layers(dtype)
    b = ByHand(a)
    data = batches(20, dtype)
    before = snapshot(a, b), torch.get_rng_state()
    report = train(a, b, data, make)
    assert report.outcome == "PASS", f"seed {SEED}\n{report}"
    assert (report.steps, report.judged, report.wrong_step) == (20, 20, None)
    assert all(found.use <= 1 for found in report.worst.values())
    assert report.drift <= 20 * report.envelope, "what training makes of rounding"
    assert all(torch.equal(x, y) for x, y in zip(before[0], snapshot(a, b), strict=True))
    assert torch.equal(before[1], torch.get_rng_state())
    assert all(p.grad is None for m in (a, b) for p in m.parameters())
    losses = report.curves["a"]["loss/batch"]
    assert losses[0] == list(range(1, 21))
    np.testing.assert_allclose(losses[1], report.curves["b"]["loss/batch"][1], 1e-4)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Cells(nn.Module):
    """The LSTM's gates, each with weights of its own."""

    def __init__(self, of: Recurrent) -> None:
        super().__init__()
        self.out = nn.Linear(4, 2)
        self.out.load_state_dict(of.head.state_dict())
        own = zip("ifgo", *(p.detach().chunk(4) for p in of.lstm.parameters()), strict=True)
        self.gates = nn.ModuleDict({name: self._gate(*parts) for name, *parts in own})

    @staticmethod
    def _gate(w: Tensor, u: Tensor, bias: Tensor, bias_h: Tensor) -> nn.Module:
        gate = nn.ModuleDict({"x": nn.Linear(3, 4), "h": nn.Linear(4, 4)})
        for linear, weight, b in ((gate["x"], w, bias), (gate["h"], u, bias_h)):
            linear.load_state_dict({"weight": weight, "bias": b})
        return gate

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), 4)
        for t in range(x.shape[1]):
            i, f, g, o = (gate["x"](x[:, t]) + gate["h"](h) for gate in self.gates.values())
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.out(h)


@pytest.mark.parametrize("steps", [3, pytest.param(20, marks=slow)])
@pytest.mark.parametrize(
    ("dtype", "make"),
    [(torch.float32, adamw), pytest.param(torch.float64, sgd, marks=slow)],
)
def test_an_lstm_and_its_cells(steps: int, dtype: torch.dtype, make: MakeOptimizer) -> None:
    """Split weights, and with them the optimizer's state."""
    a = Recurrent().to(dtype)
    b = Cells(a).to(dtype)
    data = [(torch.randn(6, 3, 3, dtype=dtype), torch.randint(0, 2, (6,))) for _ in range(steps)]
    report = train(a, b, data, make)
    assert report.outcome == "PASS", f"seed {SEED}\n{report}"
    assert report.judged == steps


class Norm(nn.Module):
    """nn.BatchNorm1d by hand: its statistics lie in buffers with other names."""

    def __init__(self, momentum: float = 0.1) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("var", torch.ones(6))
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = x.mean(0), x.var(0, correction=0)
        with torch.no_grad():
            self.mean += self.momentum * (mean - self.mean)
            self.var = self.var + self.momentum * (x.var(0) - self.var)
            self.seen += 1
        return (x - mean) / (var + 1e-5).sqrt() * self.gain + self.shift


def normed(norm: nn.Module, of: nn.Sequential | None = None) -> nn.Sequential:
    made = nn.Sequential(nn.Linear(5, 6), norm, nn.Tanh(), nn.Linear(6, 3))
    for i in (0, 3):
        if of is not None:
            made[i].load_state_dict(of[i].state_dict())
    return made


def test_running_statistics_and_gains_that_begin_alike() -> None:
    """Gains and variances are ones, shifts and means zeros: which is which shows after a step."""
    a = normed(nn.BatchNorm1d(6))
    report = train(a, normed(Norm(), a), batches(4))
    assert report.outcome == "PASS", f"seed {SEED}\n{report}"


class OwnAdam(torch.optim.Optimizer):
    """Its state has names of its own, and a plain number counts its steps."""

    def __init__(self, params: Any, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": 0.01})
        self.beta = beta

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            if not state:
                state |= {"t": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
            state["t"] += 1
            state["m"] = self.beta * state["m"] + (1 - self.beta) * p.grad
            state["v"] = 0.999 * state["v"] + 0.001 * p.grad**2
            m, v = (
                state["m"] / (1 - self.beta ** state["t"]),
                state["v"] / (1 - 0.999 ** state["t"]),
            )
            p -= 0.01 * m / (v.sqrt() + 1e-8)


def test_an_optimizer_by_hand() -> None:
    a = layers()
    makes = (lambda params: torch.optim.Adam(params, 0.01), OwnAdam)
    report = train(a, ByHand(a), batches(4), makes)
    assert report.outcome == "PASS", f"seed {SEED}\n{report}"


def test_an_optimizer_by_hand_with_another_beta() -> None:
    """In the first step the bias correction hides it in the parameters, not in what is kept; which
    of a's numbers that would be in the second is not known."""
    a = layers()
    makes = (lambda params: torch.optim.Adam(params, 0.01), lambda params: OwnAdam(params, 0.8))
    report = train(a, ByHand(a), batches(4), makes)
    assert report.outcome == "UNJUDGED", f"seed {SEED}\n{report}"
    assert (report.judged, report.partly) == (0, (1,))
    assert report.drift > 1e3 * report.envelope


class Joined(nn.Module):
    """Three layers as one."""

    def __init__(self, of: nn.ModuleList) -> None:
        super().__init__()
        self.all = nn.Linear(5, 6)
        parts = (torch.cat([getattr(layer, n) for layer in of]) for n in ("weight", "bias"))
        weight, bias = (p.detach() for p in parts)
        self.all.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.all(x).chunk(3, 1)
        return (q * k).tanh() + v


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(5, 2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x) for layer in self.parts)
        return (q * k).tanh() + v


@pytest.mark.parametrize("joined_first", [False, True])
def test_weights_that_are_one_in_the_other(joined_first: bool) -> None:
    one = Split()
    both = one, Joined(one.parts)
    data = [(x, y % 2) for x, y in batches(3)]
    report = train(*(both[::-1] if joined_first else both), data, adamw)
    assert report.outcome == "PASS", f"seed {SEED}\n{report}"


# ------------------------------------------------------------------ planted mistakes


def test_weight_decay_of_biases() -> None:
    a = layers()
    b = ByHand(a)
    weights = [p for p in a.parameters() if p.ndim > 1]
    biases = [p for p in a.parameters() if p.ndim == 1]
    groups = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    both = AdamW(groups, weight_decay=0.1), AdamW(b.parameters(), weight_decay=0.1)
    report = train_modules(a, b, batches(3), loss=CLASSES, optimizers=both)
    assert (report.outcome, report.wrong_step, report.judged) == ("FAIL", 1, 1)
    assert set(report.causes) <= {"biases_decayed", "weight_decay"}
    assert report.causes
    assert report.not_judged == {"an earlier step is wrong": (2, 3)}
    assert report.report is not None
    assert {e.end.name for e in report.report.wrong} == {"new b1", "new b2"}
    with pytest.raises(ParityError) as raised:
        report.require()
    assert raised.value.report is report


def test_a_learning_rate_that_a_scheduler_doubles() -> None:
    """In step 10 it is still the same: the scheduler steps after the optimizer."""
    a = layers()
    b = ByHand(a)
    both = sgd(a.parameters()), sgd(b.parameters())
    schedulers = (
        StepLR(both[0], 5, 0.5),
        LambdaLR(both[1], lambda k: 0.5 ** (k // 5) * (2 if k >= 10 else 1)),
    )
    rates = [dict(s.state_dict()) for s in schedulers]
    report = train_modules(
        a, b, batches(12), loss=CLASSES, optimizers=both, schedulers=schedulers, every=1
    )
    assert (report.outcome, report.wrong_step) == ("FAIL", 11), f"seed {SEED}\n{report}"
    assert report.causes == ("learning_rate",)
    assert [o.param_groups[0]["lr"] for o in both] == [0.1, 0.1]
    assert [dict(s.state_dict()) for s in schedulers] == rates
    assert len(report.curves["b"]["loss/batch"][0]) == 12, "the curves go on"


@pytest.mark.parametrize("momentum", [0.9, None])
def test_another_momentum_of_a_batch_norm(momentum: float | None) -> None:
    """None keeps the mean over all steps."""
    a = normed(nn.BatchNorm1d(6))
    report = train(a, normed(nn.BatchNorm1d(6, momentum=momentum), a), batches(2))
    assert (report.outcome, report.wrong_step) == ("FAIL", 1)
    assert report.causes == ("running_statistics_momentum",)


def test_gradients_that_are_not_cleared() -> None:
    class Forgetful(SGD):
        def zero_grad(self, set_to_none: bool = True) -> None:
            pass

    a = layers()
    report = train(a, ByHand(a), batches(3), (sgd, lambda p: Forgetful(p, 0.1, momentum=0.9)))
    assert (report.outcome, report.wrong_step) == ("FAIL", 2), "nothing is left over before step 1"
    assert report.causes == ("stale_gradients",)


def test_a_dropout_that_is_not_scaled() -> None:
    a = layers()
    report = train(a, ByHand(a, scaled=False), batches(2))
    assert (report.outcome, report.wrong_step) == ("FAIL", 1)
    assert report.causes == ("dropout_unscaled",)


def with_momentum(momentum: float) -> MakeOptimizer:
    return lambda params: SGD(params, 0.1, momentum=momentum)


@pytest.mark.parametrize(("n", "wrong", "every"), [(1, 1, 1), (2, 2, 1), (3, 3, 3)])
def test_a_momentum_that_the_first_step_does_not_show(n: int, wrong: int, every: int) -> None:
    a = nn.Linear(5, 3)
    data = batches(n)
    optimizers = with_momentum(0.9), with_momentum(0.8)
    report = train(a, copy.deepcopy(a), data, optimizers, every=every)
    assert (report.outcome, report.wrong_step) == ("FAIL", wrong), str(report)
    assert report.causes == (("momentum",) if n > 1 else ())
    if n == 1:
        assert train(a, copy.deepcopy(a), data, with_momentum(0.9)).outcome == "PASS"


LR = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("of_a", "of_b", "outcome"),
    [
        (lambda o: LR.StepLR(o, 2, 0.5), lambda o: LR.StepLR(o, 2, 0.1), "FAIL"),
        (lambda o: LR.StepLR(o, 9, 0.5), lambda o: LR.StepLR(o, 9, 0.1), "FAIL"),
        (lambda o: LR.ExponentialLR(o, 0.9), None, "FAIL"),
        (lambda o: LR.ExponentialLR(o, 0.9), lambda o: LR.LambdaLR(o, lambda k: 0.9**k), "PASS"),
    ],
)
def test_schedules_that_change_only_what_comes_later(of_a: Any, of_b: Any, outcome: str) -> None:
    """After the last step, or after steps that are not taken."""
    a = nn.Linear(5, 3)
    b = copy.deepcopy(a)
    both = SGD(a.parameters(), 0.1), SGD(b.parameters(), 0.1)
    schedules = of_a(both[0]), of_b(both[1]) if of_b else None
    n = 2 if outcome == "PASS" or of_b else 1
    report = train_modules(a, b, batches(n), loss=CLASSES, optimizers=both, schedulers=schedules)
    assert report.outcome == outcome, str(report)


def test_an_optimizer_that_forgets_its_momentum() -> None:
    """A mistake in what b keeps, not in what it is given."""

    class Forgetful(SGD):
        def step(self, closure: Any = None) -> Any:
            self.state.clear()
            return super().step(closure)

    a = layers()
    report = train(a, ByHand(a), batches(3), (sgd, lambda p: Forgetful(p, 0.1, momentum=0.9)))
    assert (report.outcome, report.wrong_step) == ("FAIL", 2)


class FaultyIn(nn.Module):
    """Doubles its output in one step; the counter is a plain attribute."""

    def __init__(self, of: nn.Sequential, step: int) -> None:
        super().__init__()
        self.net = ByHand(of)
        self.calls, self.step = 0, step

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.net(x)
        return out * 2 if self.calls == self.step else out


def test_a_module_that_counts_its_calls() -> None:
    """The judged steps and the perturbed copy do not count; afterwards the counter is 0 again."""
    a = layers()
    b = FaultyIn(a, 4)
    report = train(a, b, batches(5))
    assert (report.outcome, report.wrong_step) == ("FAIL", 4)
    assert b.calls == 0


def test_other_first_weights() -> None:
    a = layers()
    b = ByHand(a)
    b.b2.data[1] += 1
    report = train(a, b, batches(3))
    assert report.outcome != "PASS"
    assert report.judged <= 1


# ------------------------------------------------------------------ what was not judged


def test_steps_that_are_left_out_are_not_judged() -> None:
    a = layers()
    report = train(a, ByHand(a), iter(batches(8)), every=3)
    assert (report.outcome, report.judged) == ("UNJUDGED", 4)
    (left_out,) = report.not_judged.values()
    assert left_out == (2, 4, 5, 7), "1, 3, 6 and 8, the last, were judged"
    assert report.curves["parity"]["of_bound/forward"][0] == [1, 3, 6, 8]
    report.require()
    with pytest.raises(ParityError):
        report.require(strict=True)


def test_a_fault_between_two_judged_steps_is_no_pass() -> None:
    a = layers()
    report = train(a, FaultyIn(a, 4), batches(8), every=3)
    assert report.outcome == "UNJUDGED"
    assert report.drift > 1e3 * report.envelope, "it shows in the curves"


def test_a_state_that_cannot_be_carried_over() -> None:
    """b counts its steps in a buffer that a does not have."""

    class Counting(ByHand):
        def __init__(self, of: nn.Sequential) -> None:
            super().__init__(of)
            self.register_buffer("steps", torch.tensor(0))

        def forward(self, x: Tensor) -> Tensor:
            self.steps += 1
            return super().forward(x)

    a = layers()
    report = train(a, Counting(a), batches(3))
    assert report.outcome == "UNJUDGED", str(report)
    (reason,) = report.not_judged
    assert "steps" in reason
    assert report.not_judged[reason] == (2, 3)
    assert train(a, Counting(a), batches(3), ignore=["new steps"]).outcome == "PASS"


def test_training_stops_at_what_is_not_finite() -> None:
    a = layers()
    report = train(a, ByHand(a), batches(9), lambda p: SGD(p, 1e30))
    assert (report.outcome, report.steps) == ("FAIL", 2)
    assert report.wrong_step is None, "both do the same"
    assert {"a", "b"} <= set(report.lost)
    assert "addmm(3.bias" in report.lost["a"]


def test_nan_in_one_module_only() -> None:
    class Logs(ByHand):
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            return out + (0 * (x - x).log().sum() if x.abs().max() > 90 else 0)

    a = layers()
    data = batches(3)
    data[1][0][0, 0] = 100
    report = train(a, Logs(a), data)
    assert (report.outcome, report.steps) == ("FAIL", 2)
    assert "a" not in report.lost
    assert "log" in report.lost["b"]


# ------------------------------------------------------------------ what a run leaves


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> TrainingReport:
    torch.manual_seed(SEED)
    a = layers()
    root = tmp_path_factory.mktemp("runs")
    b = FaultyIn(a, 3)
    return train(a, b, batches(4), run="tried", root=root, called=("ours", "theirs"))


def test_the_events_have_the_curves(wrong: TrainingReport) -> None:
    assert wrong.folder is not None
    for run, curves in wrong.curves.items():
        drawn = events.read(wrong.folder / run).curves
        more = {"a": {"apart", "band"}, "b": {"apart", "band"}, "perturbed_copy": {"band"}}
        added = set(drawn) - set(curves)
        assert {tag.partition("/")[0] for tag in added} == more.get(run, set())
        assert set(curves) <= set(drawn)
        for tag, (steps, values) in curves.items():
            assert drawn[tag][0] == steps
            np.testing.assert_array_equal(np.float32(drawn[tag][1]), np.float32(values))


def test_the_charts_show_both_modules(wrong: TrainingReport) -> None:
    """b, wrong in step 3, leaves the band of rounding there; of_bound stands beside 1."""
    assert wrong.folder is not None
    drawn = {run: events.read(wrong.folder / run).curves for run in ("a", "b", "bound")}
    reach = drawn["a"]["band/apart/loss/batch"][1]
    distance = drawn["b"]["apart/loss/batch"][1]
    assert max(distance[:2]) < 1e-6
    assert distance[2] > 1e-2
    assert 0 < reach[3] < 1e-6
    assert drawn["a"]["apart/loss/batch"] == ([1, 2, 3, 4], [0.0] * 4)
    assert drawn["bound"] == {"of_bound/bound": ([1, 2, 3], [1.0] * 3)}
    raw = EventAccumulator(str(wrong.folder / "parity")).Reload()
    (written,) = raw.Tensors("custom_scalars__config__")
    layout = Layout.FromString(written.tensor_proto.string_val[0])
    series = [c.margin.series[0].value for group in layout.category[:2] for c in group.chart]
    assert series == ["loss/batch", "apart/parameters", "apart/loss/batch"]


def test_the_folder_has_summary_page_and_report(wrong: TrainingReport) -> None:
    folder = wrong.folder
    assert folder is not None
    files = {"modules.json", "summary.json", "report.html", "report.json", "report.txt", "lock"}
    assert {p.name for p in folder.iterdir()} == files | {
        *("a", "b", "perturbed_copy", "parity", "bound")
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["outcome"], summary["wrong_step"], summary["steps"]) == ("FAIL", 3, 4)
    assert json.loads((folder / "report.json").read_text())["outcome"] == "FAIL"
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "FAIL" in page
    (folder / "report.html").unlink()
    assert parity("report", "tried", "--runs", str(folder.parent)).status == 0
    assert (folder / "report.html").read_text() == page


def test_the_wording(wrong: TrainingReport, golden: Golden) -> None:
    a = layers()
    left_out = train(a, ByHand(a), batches(8), every=3)
    lost = train(a, ByHand(a), batches(9), lambda p: SGD(p, 1e30))
    texts = (str(report) for report in (wrong, left_out, lost))
    golden.whole("train-modules", "\n\n".join(masked(text) for text in texts) + "\n")


def test_a_report_that_pytest_keeps(wrong: TrainingReport, tmp_path: Path) -> None:
    write_model_report(tmp_path, wrong)
    assert json.loads((tmp_path / "report.json").read_text())["wrong_step"] == 3
    assert (tmp_path / "report.txt").read_text() == f"{wrong}\n"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    a = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)
    b = nn.Sequential(*(copy.deepcopy(layer) for layer in a))
    report = train(a, b, batches(2, dtype))
    assert report.outcome == "PASS", f"seed {SEED}\n{report}"
    assert report.envelope > 0


def test_a_run_that_was_stopped_is_unfinished(tmp_path: Path) -> None:
    def three_and_ctrl_c() -> Iterator[Batch]:
        yield from batches(3)
        raise KeyboardInterrupt

    a = layers()
    b = ByHand(a)
    before = snapshot(a, b)
    with pytest.raises(KeyboardInterrupt):
        train(a, b, three_and_ctrl_c(), run="cut", root=tmp_path, every=2)
    assert all(torch.equal(x, y) for x, y in zip(before, snapshot(a, b), strict=True))
    assert not (tmp_path / "cut" / "summary.json").exists()
    assert parity("report", "cut", "--runs", str(tmp_path)).status == 0
    assert "UNFINISHED" in (tmp_path / "cut" / "report.html").read_text()


def test_a_run_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "keep").write_text("x")
    a = layers()
    with pytest.raises(InputError, match="exists"):
        train(a, ByHand(a), batches(1), run="mine", root=tmp_path)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["keep"]


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize("name", ["", ".", "..", "../out", "a/b", "/tmp/x", "a\0b", "x" * 101, 7])
def test_a_hostile_name_of_a_run(tmp_path: Path, name: Any) -> None:
    a = layers()
    with pytest.raises(InputError, match="run"):
        train(a, ByHand(a), batches(1), run=name, root=tmp_path / "runs")
    assert not list(tmp_path.iterdir())


class Raises(ByHand):
    def forward(self, x: Tensor) -> Tensor:
        if x.abs().max() > 90:
            raise ValueError("too large")
        return super().forward(x)


def test_a_module_that_raises_in_step_seven(tmp_path: Path) -> None:
    a = layers()
    b = Raises(a)
    data = batches(8)
    data[6][0][0, 0] = 100
    before = snapshot(a, b)
    with pytest.raises(InputError, match=r"step 7: the forward of b raised ValueError: too large"):
        train(a, b, data, run="r", root=tmp_path, every=3)
    assert all(torch.equal(x, y) for x, y in zip(before, snapshot(a, b), strict=True))
    assert events.read(tmp_path / "r" / "a").curves["loss/batch"][0] == [1, 2, 3, 4, 5, 6]


def test_a_first_step_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    a = layers()
    with pytest.raises(InputError, match="step 1: the loss is"):
        train(a, ByHand(a), batches(1), loss=lambda out, y: out, run="r", root=tmp_path)
    with pytest.raises(InputError, match="batches is empty"):
        train(a, ByHand(a), [], run="r", root=tmp_path)
    assert not list(tmp_path.iterdir())


def views(a: nn.Sequential) -> nn.Module:
    """Weights that are views of a's, as a forgotten clone leaves them."""
    b = ByHand(a)
    b.w1 = nn.Parameter(a[0].weight.detach().T)
    return b


def with_b(b: nn.Module, both: tuple[Optimizer, Optimizer]) -> dict[str, Any]:
    return {"b": b, "optimizers": (both[0], sgd(b.parameters()))}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("memory of a", lambda a, o: with_b(views(a), o)),
        ("memory of a", lambda a, o: with_b(nn.Sequential(*a), o)),
        ("expected an nn.Module", lambda a, o: {"b": lambda x: x}),
        ("optimizers is", lambda a, o: {"optimizers": o[0]}),
        ("optimizer of b holds", lambda a, o: {"optimizers": (o[0], o[0])}),
        ("optimizer of b is NoneType", lambda a, o: {"optimizers": (o[0], None)}),
        ("schedulers is", lambda a, o: {"schedulers": StepLR(o[0], 1)}),
        ("the scheduler of a", lambda a, o: {"schedulers": (object(), None)}),
        ("batches is int", lambda a, o: {"batches": 3}),
        ("batches is str", lambda a, o: {"batches": "moons"}),
        ("batch is a str", lambda a, o: {"batches": ["moons"]}),
        ("batch is a tuple of 3 parts", lambda a, o: {"batches": [(1, 2, 3)]}),
        ("every is 0", lambda a, o: {"every": 0}),
        ("loss is NoneType", lambda a, o: {"loss": None}),
        ("no result is called", lambda a, o: {"ignore": ["nothing"]}),
        ("called is", lambda a, o: {"called": "ab"}),
    ],
)
def test_bad_input_is_one_error(what: str, change: Callable[..., dict[str, Any]]) -> None:
    a = layers()
    b = ByHand(a)
    both = sgd(a.parameters()), sgd(b.parameters())
    given = {"b": b, "batches": batches(1), "loss": CLASSES, "optimizers": both}
    given |= change(a, both)
    b, data = given.pop("b"), given.pop("batches")
    with pytest.raises(InputError, match=what):
        train_modules(a, b, data, **given)


def test_batches_of_keywords_without_a_target() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(5, 3)

        def forward(self, *, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.fc(x)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    a, b = Named(), Named()
    b.load_state_dict(a.state_dict())
    data = ({"x": x, "labels": y} for x, y in batches(2))
    assert train(a, b, data, adamw, lambda out: out["loss"]).outcome == "PASS"
