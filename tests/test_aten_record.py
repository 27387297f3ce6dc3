"""The recorder: tensors as they were, whatever is written in place; the place of every call."""

import copy

import pytest
import torch
from torch import Tensor, nn

from torch_parity.compare.aten.draws import Draws
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.step import Step, record_step
from torch_parity.compare.errors import InputError

SEED = 11


class Net(nn.Module):
    """In place, views, a module called twice, a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4), nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.fc(x))
        h = self.act(self.fc(h)).clone()
        h[:, 1] += 2.0
        h.t().mul_(3)
        out: Tensor = self.head(h)
        return out


def recorded(step: Step) -> Record:
    torch.manual_seed(SEED)
    return record_step(step)


def net_step(optimizer: bool = True) -> Step:
    torch.manual_seed(SEED)
    net, x = Net(), torch.randn(5, 4)
    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9) if optimizer else None
    return Step(net, (x,), None, lambda out: out.square().mean(), None, sgd)


def of(record: Record, operation: str) -> list[Call]:
    return [call for call in record.calls if call.operation == operation]


def test_every_tensor_is_kept_as_it_was_when_it_was_seen() -> None:
    """Writing in place afterwards, through any view, changes nothing that was recorded."""
    record = recorded(net_step())
    for call in record.calls:
        if call.operation in ("addmm", "mm", "mul", "relu"):
            args = [record.value(a) if hasattr(a, "storage") else a for a in call.args]
            again = call.overload(*[a.clone() if isinstance(a, Tensor) else a for a in args])
            assert torch.equal(again, record.value(call.outputs[0])), (SEED, call.name, call.index)


def test_a_call_knows_its_module_its_visit_and_the_users_line() -> None:
    record = recorded(net_step())
    products = of(record, "addmm")
    assert [(c.module, c.visit) for c in products] == [("fc", 0), ("fc", 1)]
    (added,) = [c for c in of(record, "add") if c.phase == "forward"]
    assert added.module == ""
    assert added.line.rpartition("/")[2].startswith("test_aten_record.py:")


def test_a_backward_call_has_the_place_of_its_forward_call() -> None:
    record = recorded(net_step())
    for call in record.of_phase("backward"):
        if call.operation in ("mm", "threshold_backward"):
            assert call.forward is not None
            forward = record.calls[call.forward]
            assert (call.module, call.line) == (forward.module, forward.line)
    assert {c.module for c in record.of_phase("backward") if c.operation == "mm"} == {"fc", "head"}


def test_results_are_what_the_step_leaves_behind() -> None:
    step = net_step()
    before = copy.deepcopy(step.model)
    record = recorded(step)
    out = before(step.inputs[0])
    out.square().mean().backward()
    assert torch.equal(record.value(record.results["output"]), out)
    assert isinstance(before, nn.Module)
    assert isinstance(step.model, nn.Module)
    for name, p in before.named_parameters():
        assert p.grad is not None
        assert torch.equal(record.value(record.results[f"{name}.grad"]), p.grad), name
        new = record.value(record.results[f"new {name}"])
        assert torch.allclose(new, p - 0.1 * p.grad), name
        assert torch.equal(record.value(record.given[name]), p), "given as it was before"


@pytest.mark.parametrize("kind", ["foreach", "fused", "single"])
def test_every_kind_of_optimizer_step_is_recorded(kind: str) -> None:
    step = net_step(optimizer=False)
    assert isinstance(step.model, nn.Module)
    options = {"foreach": kind == "foreach", "fused": kind == "fused"}
    adam = torch.optim.AdamW(step.model.parameters(), 0.01, **options)  # type: ignore[arg-type]
    record = recorded(Step(step.model, step.inputs, None, step.loss, None, adam))
    assert all(f"new {n}" in record.results for n, _ in step.model.named_parameters())
    assert "new fc.weight.exp_avg" in record.results
    names = {c.operation for c in record.of_phase("update")}
    wanted = {"foreach": "_foreach_addcdiv", "fused": "_fused_adamw", "single": "addcdiv"}
    assert wanted[kind] in names


def test_the_second_model_draws_what_the_first_drew() -> None:
    def model(x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.4) + torch.randn_like(x)

    first = recorded(Step(model, (torch.ones(6, 3),)))
    torch.manual_seed(SEED + 1)
    second = record_step(Step(model, (torch.ones(6, 3),)), Draws(first))
    third = record_step(Step(model, (torch.ones(6, 3),)))
    values = [r.value(r.results["output"]) for r in (first, second, third)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_checkpointed_calls_belong_to_their_modules() -> None:
    layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        out: Tensor = checkpoint(layers, x, use_reentrant=False)
        return out

    x = torch.randn(5, 4, requires_grad=True)
    record = recorded(Step(forward, (x,), None, lambda out: out.square().sum()))
    again = [c for c in record.of_phase("backward") if c.operation == "addmm"]
    assert len(again) == 1, "the forward is computed once more in the backward pass"
    assert "test_aten_record.py" in again[0].line or again[0].module


class Double(torch.autograd.Function):
    """2 x, by hand."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return gradients[0] * 2


def test_a_custom_function_is_kept_as_one_call_with_its_gradients() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    record = recorded(Step(lambda x: Double.apply(x), (x,), None, lambda out: out.square().sum()))
    (call,) = record.functions
    assert call.name == "Double"
    assert call.upstream is not None
    assert call.gradients is not None
    upstream, gradient = call.upstream[0], call.gradients[0]
    assert upstream is not None
    assert gradient is not None
    assert torch.equal(record.value(gradient), 2 * record.value(upstream))
    applied = torch.autograd.Function.__dict__["apply"]
    assert "functions_seen" not in repr(applied), "put back"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            Step(nn.Linear(3, 2), (torch.ones(4, 5),)),
            "the forward of the model raised RuntimeError",
        ),
        (Step(lambda x: None, (torch.ones(2),)), "returned nothing"),
        (Step(nn.Linear(3, 2), (torch.ones(4, 3),), None, lambda o: o), r"the loss is \(4, 2\)"),
        (Step(nn.Linear(3, 2), (torch.ones(4, 3),), None, lambda o: 1.0), "the loss is float"),
        (Step(nn.Linear(3, 2), (torch.ones(4, 3),), target=torch.ones(4)), "needs a loss"),
        (
            Step(
                nn.Linear(3, 2),
                (torch.ones(4, 3),),
                loss=lambda o: o.sum(),
                optimizer=torch.optim.SGD(nn.Linear(3, 2).parameters(), 0.1),
            ),
            "none of the parameters",
        ),
    ],
)
def test_bad_steps_are_one_clear_error(step: Step, message: str) -> None:
    with pytest.raises(InputError, match=message):
        record_step(step)


def test_several_losses_are_taken_in_turn() -> None:
    net, x = nn.Linear(3, 2), torch.randn(4, 3)
    step = Step(net, (x,), None, lambda out: [out.sum(), out.square().sum()])
    record = recorded(step)
    wanted = copy.deepcopy(net)
    wanted.zero_grad()
    (wanted(x).sum() + wanted(x).square().sum()).backward()
    assert wanted.weight.grad is not None
    assert torch.allclose(record.value(record.results["weight.grad"]), wanted.weight.grad)
