"""The zoo that judges are measured on: every model trains, right pairs agree, mistakes show."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from benchmarks.zoo import cases, mistakes, pairs

SEED = 1


def train(case: cases.ZooCase, seed: int = SEED) -> dict[str, Tensor]:
    """One step; what it computes, by name."""
    _, losses = cases.step(case, seed)
    seen = {f"loss {i}": loss.detach() for i, loss in enumerate(losses)}
    for name, parameter in case.model.named_parameters():
        seen[name] = parameter.detach().clone()
        if parameter.grad is not None:
            seen[f"{name}.grad"] = parameter.grad
    return seen | dict(case.model.named_buffers())


@pytest.mark.parametrize("name", cases.NAMES)
def test_each_case_trains_and_is_drawn_from_its_seed(name: str) -> None:
    case, again = cases.case(name, SEED), cases.case(name, SEED)
    before = {k: p.detach().clone() for k, p in case.model.named_parameters()}
    seen, twice = train(case), train(again)
    for key, value in seen.items():
        assert torch.isfinite(value.float()).all(), f"{name}, seed {SEED}: {key} is not finite"
        assert torch.equal(value, twice[key]), f"{name}, seed {SEED}: {key} differs on a second run"
    for key, start in before.items():
        assert f"{key}.grad" in seen, f"{name}, seed {SEED}: {key} has no gradient"
        assert not torch.equal(seen[key], start), f"{name}, seed {SEED}: {key} was not updated"
        if start.dim() < 2:
            assert not ((start == 0) | (start == 1)).any(), f"{name}, seed {SEED}: {key} is plain"


def test_cases_leave_torchs_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    cases.step(cases.case("mlp", SEED))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_cases_exist_in_other_precisions(dtype: torch.dtype) -> None:
    for name in ("resnet", "lstm", "gpt", "autocast"):
        seen = train(cases.case(name, SEED, dtype))
        assert all(torch.isfinite(x.float()).all() for x in seen.values()), f"{name}, seed {SEED}"


@pytest.mark.parametrize("kind", pairs.KINDS)
def test_right_pairs_agree(kind: str) -> None:
    pair = pairs.pair(kind, SEED)
    outputs, losses = zip(*(cases.step(case, SEED) for case in (pair.a, pair.b)), strict=True)
    told = f"{kind}, seed {SEED}"
    for one, other in zip(*map(tensors_of, outputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=told)
    torch.testing.assert_close(*losses, rtol=1e-9, atol=1e-9, msg=told)
    a, b = (dict(case.model.named_parameters()) for case in (pair.a, pair.b))
    buffers = dict(pair.b.model.named_buffers())
    for name, buffer in pair.a.model.named_buffers():
        if name in buffers:
            torch.testing.assert_close(buffers[name], buffer, rtol=1e-9, atol=1e-9, msg=told)
    expected = pair.port({name: parameter.grad for name, parameter in a.items()})
    updated = pair.port({name: parameter.detach() for name, parameter in a.items()})
    assert expected.keys() == b.keys(), told
    for name, parameter in b.items():
        grad = parameter.grad
        torch.testing.assert_close(grad, expected[name], rtol=1e-9, atol=1e-9, msg=told + name)
        clear = expected[name].abs() > 1e-6  # an Adam makes whole steps of mere rounding
        difference = torch.where(clear, parameter - updated[name], 0.0)
        assert difference.abs().max() < 1e-8, f"{told}: {name} is updated differently"


def tensors_of(output: Any) -> list[Tensor]:
    return list(output) if isinstance(output, tuple) else [cases.logits(output)]


def change(right: Tensor, wrong: Tensor, scale: float) -> float:
    """The greatest difference, relative to the greater of the tensor's size and of a part of the
    size of all."""
    if right.shape != wrong.shape:
        return 1.0
    size = max(right.abs().max().item(), 1e-3 * scale, 1e-30)
    return (right - wrong).abs().max().item() / size


def visible(planted: mistakes.Mistake) -> dict[str, float]:
    """What a mistake changes in a step: losses, gradients, updated parameters, buffers."""
    sides = (planted.right, planted.wrong)
    starts = [dict(side.model.named_parameters()) for side in sides]
    (_, right), (_, wrong) = (cases.step(side, SEED) for side in sides)
    seen = {"loss": max(change(a, b, 0.0) for a, b in zip(right, wrong, strict=True))}
    grads = [{k: p.grad for k, p in s.items() if p.grad is not None} for s in starts]
    expected = planted.port(grads[0]) if len(grads[0]) == len(starts[0]) else grads[0]
    largest = max(grad.abs().max().item() for grad in expected.values())
    for name, grad in expected.items():
        found = grads[1].get(name)
        seen[f"gradient of {name}"] = 1.0 if found is None else change(grad, found, largest)
    if planted.architecture.startswith("pair:"):
        return seen
    buffers = dict(planted.wrong.model.named_buffers())
    for name, value in planted.right.model.named_buffers():
        seen[f"buffer {name}"] = change(value.double(), buffers[name].double(), 1.0)
    for name, value in starts[0].items():
        seen[f"parameter {name}"] = change(value.detach(), starts[1][name].detach(), 1.0)
    return seen


def first_difference(planted: mistakes.Mistake) -> str | None:
    """The module in which the forward passes part, by hooks: where what a module returns is the
    first to differ, that module; where what one reads, the module around it."""
    right, wrong = (events(side) for side in (planted.right, planted.wrong))
    for (told, path, values), (other, place, found) in zip(right, wrong, strict=False):
        if (told, path) != (other, place):
            return around(planted.wrong.model, place)
        if not same(values, found):
            return place if other == "out" else around(planted.wrong.model, place)
    return None


def around(model: nn.Module, path: str) -> str:
    """The module whose forward calls the one at this path; a list of modules has none."""
    parent = path.rpartition(".")[0]
    is_list = isinstance(model.get_submodule(parent), nn.ModuleList)
    return around(model, parent) if is_list else parent


def same(values: list[Tensor], found: list[Tensor]) -> bool:
    return len(values) == len(found) and all(map(torch.equal, values, found))


def events(case: cases.ZooCase) -> list[tuple[str, str, list[Tensor]]]:
    """What each module reads and returns in a forward pass, in order."""
    seen: list[tuple[str, str, list[Tensor]]] = []

    def note(kind: str, path: str, value: Any) -> None:
        flat = tree_leaves(value)
        seen.append((kind, path, [x.detach().clone() for x in flat if isinstance(x, Tensor)]))

    handles = []
    for path, module in case.model.named_modules():
        handles += [
            module.register_forward_pre_hook(
                lambda m, x, k, path=path: note("in", path, (x, k)), with_kwargs=True
            ),
            module.register_forward_hook(lambda m, x, y, path=path: note("out", path, y)),
        ]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        case.model(*case.inputs, **case.keywords)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("kind", mistakes.KINDS)
def test_each_mistake_shows_and_lies_where_it_says(kind: str) -> None:
    shows_where_it_says(kind, SEED, None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", mistakes.KINDS)
def test_each_mistake_shows_in_each_of_its_architectures(kind: str) -> None:
    for architecture in mistakes.architectures(kind):
        shows_where_it_says(kind, SEED + 1, architecture)


def shows_where_it_says(kind: str, seed: int, architecture: str | None) -> None:
    planted = mistakes.mistake(kind, seed, architecture=architecture)
    told = f"{kind} in {planted.architecture}, seed {seed}"
    answers = (planted.module, *planted.others)
    assert planted.phase in ("forward", "backward", "update"), told
    if not planted.architecture.startswith("pair:") and planted.phase == "forward":
        found = first_difference(planted)
        # None: the loss is wrong, or only running statistics are
        assert found is None or found in answers, f"{told}: not {planted.module} but {found}"
        planted = mistakes.mistake(kind, seed, architecture=planted.architecture)
    seen = visible(planted)
    assert all(value == value for value in seen.values()), f"{told}: NaN in {seen}"
    least = 1e-9 if planted.cause == "lower_precision" else 1e-7  # float32 rounds to 6e-8
    assert max(seen.values()) > least, f"{told}: shows in nothing: {seen}"
    if planted.phase != "forward":
        assert seen["loss"] < 1e-12, f"{told}: the loss differs"
    if planted.phase == "update" and not planted.architecture.startswith("pair:"):
        gradients = [value for name, value in seen.items() if name.startswith("gradient")]
        assert max(gradients) == 0, f"{told}: a gradient differs"


def test_there_are_enough_kinds_of_mistakes() -> None:
    assert len(mistakes.KINDS) >= 150
    assert len(mistakes.CAUSES) == 43
    assert all(mistakes.architectures(kind) for kind in mistakes.KINDS)


def test_hugging_faces_models_are_there() -> None:
    pytest.importorskip("transformers")
    assert {"hf_gpt2", "hf_bert", "hf_llama", "hf_vit", "hf_t5"} <= set(cases.NAMES)
    assert {"gpt2_hf", "bert_hf", "llama_hf", "vit_hf"} <= set(pairs.KINDS)
