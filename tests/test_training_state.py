"""A training that starts from a state takes the same steps: the state holds everything that they
depend on."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.runs.training import State, Training
from torch_parity.compare.sources import pair

STEPS = 24
OPTIMIZERS = ("sgd", "momentum", "momentum_course", "adam")
DTYPES = ("float64", "float32", "bfloat16")
CASES = [(optimizer, dtype) for optimizer in OPTIMIZERS for dtype in DTYPES]
CASES += [(optimizer, "float32") for optimizer in ("nesterov", "rmsprop", "adamw")]


def case_of(optimizer: str, dtype: str, **more: object) -> Case:
    """Dropout, both penalties, a short last batch, three layers of different widths."""
    return Case.model_validate(
        {"data": "moons", "samples": 90, "hidden": (5, 4), "optimizer": optimizer, "dtype": dtype}
        | {"l1": 0.1, "p": 0.3, "lr": 0.02, "batch": 32, "steps": STEPS, "log_every": 5}
        | more
    )


def traces(case: Case, start: State | None = None) -> Iterator[tuple[int, bytes, State]]:
    """Each step, every number of both sides and of all curves, and the state after it."""
    loaded = data.load(case)
    seen: list[bytes] = []

    def watch(step: int, *tensors: object) -> None:
        for t in tensors:
            seen.extend(a.tobytes() for a in (t.values() if isinstance(t, dict) else (t,)))

    training = Training(case, loaded, pair.build(case, loaded), watch, start)
    for record in training:
        curves = (record.manual, record.torch, record.perturbed_copy, record.drift, record.envelope)
        yield record.step, b"".join(seen) + repr(curves).encode(), training.state()
        seen.clear()


@pytest.mark.every(2)
@pytest.mark.parametrize(("optimizer", "dtype"), CASES)
def test_the_same_steps_from_a_state_on(optimizer: str, dtype: str) -> None:
    case = case_of(optimizer, dtype)
    whole = {step: (made, state) for step, made, state in traces(case)}
    assert len(whole) == STEPS
    for cut in (1, 7, STEPS - 1):
        rest = {step: made for step, made, _ in traces(case, whole[cut][1])}
        assert list(rest) == list(range(cut + 1, STEPS + 1))
        assert all(rest[step] == whole[step][0] for step in rest), f"after step {cut}"


@pytest.mark.parametrize(
    "schedule",
    [{"schedule": "step_lr", "step_size": 3}, {"schedule": "cosine_lr", "warmup": 9}],
    ids=lambda chosen: chosen["schedule"],
)
def test_a_schedule_continues_where_it_stood(schedule: dict[str, object]) -> None:
    case = case_of("momentum_course", "float32", **schedule)
    whole = {step: (made, state) for step, made, state in traces(case)}
    for cut in (1, 7, STEPS - 1):
        rest = {step: made for step, made, _ in traces(case, whole[cut][1])}
        assert all(rest[step] == whole[step][0] for step in rest), f"after step {cut}"


def test_nothing_is_left_at_the_end_of_a_run() -> None:
    case = case_of("adam", "float64")
    *_, (_, _, last) = traces(case)
    assert list(traces(case, last)) == []


@pytest.mark.parametrize("name", [f.name for f in fields(State) if f.name != "before"])
def test_each_part_of_a_state_is_needed(name: str) -> None:
    """With a part from another step the run continues differently. (Only the diagnosis uses before,
    the last gradients.)"""
    case = case_of("adam", "float64")
    whole = {step: (made, state) for step, made, state in traces(case)}
    mixed = replace(whole[7][1], **{name: getattr(whole[5][1], name)})
    rest = {step: made for step, made, _ in traces(case, mixed)}
    assert any(rest[step] != whole[step][0] for step in rest if step > 7)


def test_a_state_does_not_change_while_training_goes_on() -> None:
    loaded = data.load(case := case_of("adam", "float64"))
    training = Training(case, loaded, pair.build(case, loaded))
    steps = iter(training)
    next(steps)
    state = training.state()

    def numbers() -> list[bytes]:
        arrays = [state.generator, *state.before.values(), *state.optimizer.values()]
        for side in (state.manual, state.torch, state.perturbed_copy):
            arrays += [*side.params.values(), *side.memory.values()]
        return [np.ascontiguousarray(a).tobytes() for a in arrays] + [
            repr(state.perturbation_rng).encode()
        ]

    before = numbers()
    next(steps)
    assert numbers() == before


def test_whoever_draws_between_two_steps_changes_nothing() -> None:
    case = case_of("momentum", "float32")
    expected = [made for _, made, _ in traces(case)]
    drawn = []
    for _, made, _ in traces(case):
        torch.manual_seed(1)
        torch.rand(3)
        drawn.append(made)
    assert drawn == expected


def test_a_training_that_is_dropped_leaves_torch_alone() -> None:
    loaded = data.load(case := case_of("momentum", "float64"))
    sides = pair.build(case, loaded)
    before = torch.get_rng_state()
    dropped = iter(Training(case, loaded, sides))
    next(dropped)
    assert torch.equal(torch.get_rng_state(), before)
