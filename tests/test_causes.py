"""The catalogue of causes: every mistake planted on either side, and named."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.faults import summarise, survey
from tests.command import parity
from tests.drawn import case_and_data, steps
from tests.golden_text import Golden, masked
from torch_parity import manual
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.cause import Evidence
from torch_parity.compare.causes.factor import common_factor
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.commands.faults import demonstrate
from torch_parity.compare.data import Data
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge import witness
from torch_parity.compare.judge.judge import SIDES, Judgement, Side, judge
from torch_parity.compare.judge.replay import recorded_inputs
from torch_parity.compare.judge.verdict import sentences, short
from torch_parity.compare.sources.recorded import Recorded


def third_step(seed: int = 31, **fixed: Any) -> Recorded:
    torch.manual_seed(4)
    choices: dict[str, Any] = {
        "hidden": (6, 5),
        "loss": "cross_entropy",
        "output": "identity",
        "activation": "tanh",
        "p": 0.3,
        "l2": 0.7,
        "l1": 0.0,
        "optimizer": "momentum",
        "reduction": "mean",
    }
    case, data = case_and_data(seed, **(choices | fixed))
    return steps(case, data)[-1]


def with_mistake(r: Recorded, side: Side, nodes: tuple[Node, ...]) -> Judgement:
    """The judgement of a step in which one side computed these nodes."""
    traces = {"manual": r.manual, "torch": r.torch, side: execute(nodes, r.start, side)}
    return judge(r.nodes, r.start, traces["manual"], traces["torch"])


def planted(name: str, r: Recorded, side: Side) -> tuple[Node, ...]:
    right = r.manual if side == "manual" else r.torch
    nodes = plant(CATALOGUE[name], r.nodes, r.start, right, np.random.default_rng(0))
    assert nodes is not None
    return nodes


def test_the_catalogue_is_complete() -> None:
    """At least 30, each with one sentence and a remedy in both languages."""
    assert len(CATALOGUE) >= 30
    for cause in CATALOGUE.values():
        assert cause.sentence.endswith(".")
        assert cause.manual
        assert cause.torch
        assert cause.ways


@pytest.mark.every(4)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_mistake_is_named_on_either_side(name: str, side: Side) -> None:
    """On the case that `parity faults NAME` shows: right side, right operation, right name."""
    found = demonstrate(CATALOGUE[name], side).judgement
    assert found.wrong_sides == (side,)
    assert frozenset({name}) in found.diagnoses[side].names, found.diagnoses[side]
    assert found.diagnoses[side].verdict in ("unique", "ambiguous")


@pytest.mark.every(2)
@pytest.mark.parametrize("seed", [22, 21, 23, 24, 25, 26])
def test_mistakes_are_named_on_other_sizes_activations_and_optimizers(seed: int) -> None:
    """A small part of benchmarks/faults.py, with its targets."""
    outcomes, _ = survey(seed)
    assert len(outcomes) >= 5
    for o in outcomes:
        assert o.detected, o
        assert o.first_right, o
        assert o.kind != "unknown" or o.verdict == "unknown", o
    named = sum(o.named for o in outcomes)
    assert named >= 0.9 * len(outcomes), [o for o in outcomes if not o.named]
    assert sum(row["planted"] for row in summarise(outcomes).values()) == len(outcomes)


@pytest.mark.parametrize("saved", [True, False], ids=["a was saved", "slope at what is left"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("side", SIDES)
def test_an_activation_in_place_is_one_mistake(side: Side, activation: str, saved: bool) -> None:
    """z holds a when it is recorded; the rest of the step is right."""
    r = third_step(activation=activation)
    trace = dict(r.manual if side == "manual" else r.torch)
    backward = getattr(manual, activation + "_backward")
    for k in (1, 2):
        trace[f"z{k}"] = trace[f"a{k}"].copy()
        if not saved:
            trace[f"dz{k}"] = backward(trace[f"da{k}"], trace[f"z{k}"])
    traces = {"manual": r.manual, "torch": r.torch, side: trace}
    found = judge(r.nodes, r.start, traces["manual"], traces["torch"]).diagnoses[side]
    if not saved:  # what follows was computed from the right dz
        made = {e.cause.name: e.tensors for a in found.alternatives for e in a}
        assert {"z1", "z2"} <= set(made["in_place_activation"])
        assert not {"a1", "a2", "dz1", "dz2"} & set(found.unexplained)
        return
    assert found.verdict == "unique"
    assert found.names == (frozenset({"in_place_activation"}),)


@pytest.mark.parametrize("side", SIDES)
def test_two_mistakes_in_one_step_are_both_named(side: Side) -> None:
    r = third_step()
    a, b = (planted(name, r, side) for name in ("lambda_doubled", "mask_not_applied_backward"))
    both = tuple(y if x is n else x for n, x, y in zip(r.nodes, a, b, strict=True))
    found = with_mistake(r, side, both).diagnoses[side]
    assert found.verdict == "unique"
    assert found.names == (frozenset({"lambda_doubled", "mask_not_applied_backward"}),)


def test_a_mistake_on_each_side_blames_both(golden: Golden) -> None:
    r = third_step()
    by_hand = execute(planted("bias_missing", r, "manual"), r.start, "manual")
    in_torch = execute(planted("nesterov", r, "torch"), r.start, "torch")
    j = judge(r.nodes, r.start, by_hand, in_torch)
    assert j.wrong_sides == ("manual", "torch")
    assert {s: d.names for s, d in j.diagnoses.items()} == {
        "manual": (frozenset({"bias_missing"}),),
        "torch": (frozenset({"nesterov"}),),
    }
    golden.section("causes", masked("\n".join(sentences(j))))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("operation", ["linear", "tanh", "tanh_backward", "momentum", "penalty"])
def test_a_mistake_outside_the_catalogue_is_unknown_and_placed(
    operation: str, side: Side, golden: Golden
) -> None:
    """It has no wrong name, and the operation is right."""
    r = third_step()
    node = next(n for n in r.nodes if n.operation == operation)

    def bent(f: Any, *inputs: Any, **options: Any) -> Any:
        result = f[operation](*inputs, **options)
        *rest, last = result if isinstance(result, tuple) else (result,)
        return (*rest, last + 0.1 * last * last * last)

    nodes = tuple(replace(n, formula=bent) if n is node else n for n in r.nodes)
    j = with_mistake(r, side, nodes)
    assert j.root is not None
    assert (j.root.side, j.root.found.name) == (side, node.outputs[-1])
    assert j.diagnoses[side].verdict == "unknown"
    assert j.diagnoses[side].unexplained == (node.outputs[-1],)
    golden.section("causes", masked(short(j)))


def test_what_cannot_be_told_apart_is_ambiguous(golden: Golden) -> None:
    """With m = 2 a lambda that is not divided by m is a doubled one."""
    torch.manual_seed(4)
    case = Case(hidden=(6, 5), activation="tanh", optimizer="sgd", p=0.0)
    x, labels = np.random.default_rng(3).normal(size=(2, 4)), np.array([0, 1])
    r = steps(case, Data("drawn", x, labels, x, labels, 3))[-1]
    for name in ("lambda_doubled", "lambda_not_divided_by_m"):
        j = with_mistake(r, "manual", planted(name, r, "manual"))
        found = j.diagnoses["manual"]
        assert found.verdict == "ambiguous"
        assert set(found.names) == {
            frozenset({"lambda_doubled"}),
            frozenset({"lambda_not_divided_by_m"}),
        }
    golden.section("causes", masked("\n".join(sentences(j))))


@pytest.mark.parametrize("seed", range(12))
def test_the_third_witness_agrees_with_every_right_gradient(seed: int) -> None:
    """The exact derivative of the forward pass at each entry, compared with both sides."""
    torch.manual_seed(seed)
    case, data = case_and_data(seed, dtype="float64", l2=0.7, l1=0.3, p=0.3)
    r = steps(case, data)[-1]
    known = recorded_inputs(r.start, r.manual)
    seen = 0
    for node in r.nodes:
        for name in node.outputs:
            tensor = r.manual[name]
            index = np.unravel_index(np.abs(tensor).argmax(), tensor.shape)
            exact = witness.exact_derivative(node, name, tuple(int(i) for i in index), known)
            if exact is not None:
                seen += 1
                # behind a saturated softmax the arriving gradients are large, and cancel
                terms = np.abs(known[node.inputs[0]]).max() if name.startswith("dz") else 0.0
                bound = 1e-12 * abs(tensor[index]) + 1e-15 * terms
                assert abs(exact - tensor[index]) <= bound, f"{name}, {seed}"
    assert seen >= 4


@pytest.mark.parametrize("side", SIDES)
def test_the_third_witness_sides_with_the_one_who_is_right(side: Side) -> None:
    r = third_step()
    j = with_mistake(r, side, planted("slope_missing", r, side))
    assert j.root is not None
    assert j.root.witness == pytest.approx(j.root.other, rel=1e-12)
    assert j.root.witness != pytest.approx(j.root.found.came, rel=1e-6)
    assert j.wrong_sides == (side,)


def test_different_losses_are_called_by_that_name(golden: Golden) -> None:
    r = third_step()
    j = with_mistake(r, "torch", planted("reduction", r, "torch"))
    assert j.different_losses
    golden.section("causes", masked("\n".join(sentences(j))))
    assert not with_mistake(r, "torch", planted("nesterov", r, "torch")).different_losses


def test_the_last_agreeing_tensor_and_the_consequences() -> None:
    r = third_step()
    j = with_mistake(r, "manual", planted("mask_not_applied_backward", r, "manual"))
    assert j.root is not None
    assert j.root.found.name == "da2"
    assert j.last_agreeing == "dW3"
    assert {"dz2", "dW2_loss", "db2", "dh1", "W1"} <= set(j.consequences)
    assert not {"da2", "dW3", "z1"} & set(j.consequences)


def test_a_float32_side_of_a_float64_case_is_named() -> None:
    """net.float() forgotten: every dtype is wrong, and that is the cause."""
    r = third_step()
    low = {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in r.torch.items()}
    j = judge(r.nodes, r.start, r.manual, low)
    assert j.wrong_sides == ("torch",)
    assert j.diagnoses["torch"].names == (frozenset({"float32"}),)


@pytest.mark.parametrize(
    "damage",
    [
        lambda a: a.T,
        lambda a: a.ravel(),
        lambda a: a[None],
        lambda a: a[:0],
        lambda a: a.astype(bool),
        lambda a: a.astype(int),
        lambda a: a.astype(object),
        lambda a: a.astype(str),
    ],
)
@pytest.mark.parametrize("name", ["dW1", "dW2_loss", "z1", "dz3", "da3", "h1", "W1"])
def test_tensors_of_the_wrong_kind_are_faults_and_never_crashes(name: str, damage: Any) -> None:
    """A transposed dW is a common mistake; if it were square, its values would differ."""
    r = third_step()
    j = judge(r.nodes, r.start, {**r.manual, name: damage(r.manual[name])}, r.torch)
    assert not j.passed
    assert "manual" in j.wrong_sides
    assert list(sentences(j))


def test_the_same_tensor_missing_on_both_sides_is_no_pass() -> None:
    r = third_step()
    short_of = ({n: a for n, a in t.items() if n != "loss"} for t in (r.manual, r.torch))
    assert not judge(r.nodes, r.start, *short_of).passed


def test_a_tensor_that_nothing_makes_is_no_consequence() -> None:
    r = third_step()
    j = judge(r.nodes, r.start, {**r.manual, "extra": np.ones(2)}, r.torch)
    assert not j.passed
    assert j.consequences == ()


def test_an_infinite_bound_passes_nothing() -> None:
    """With a tiny eps, Adam's step at a dead unit may be anything: it must not pass."""
    r = third_step(optimizer="adam", activation="relu", l2=0.0)
    tiny = tuple(
        replace(n, options={**n.options, "eps": 1e-300}) if n.operation == "adam" else n
        for n in r.nodes
    )
    right = execute(tiny, r.start, "manual")
    wrong = right["W1"].copy()
    wrong[0] += 100
    assert not judge(tiny, r.start, {**right, "W1": wrong}, right).passed


def test_one_entry_does_not_make_a_cause() -> None:
    """Any change of a single number is some learning rate: that explains nothing."""
    one, two = np.array([1.5]), np.array([1.5, 3.0])
    alone = common_factor(one, 0.0, np.array([1.0]), np.zeros(1))
    shown = common_factor(two, 0.0, np.array([1.0, 2.0]), np.zeros(2))
    assert alone is not None
    assert shown is not None
    assert (alone.alone, shown.alone, shown.value) == (True, False, 1.5)
    reading = Evidence((), {})
    assert reading.number("factor", lambda: alone, lambda rng: 0.0) == []
    assert reading.number("factor", lambda: alone, lambda rng: 0.0) == []  # the same entry again
    assert reading.number("factor", lambda: shown, lambda rng: 0.0) == [1.5]


@pytest.mark.parametrize(("second", "found"), [(4.5, [1.5]), (4.6, [])])
def test_two_tensors_of_one_entry_make_a_cause_if_they_agree(
    second: float, found: list[float]
) -> None:
    reading = Evidence((), {})
    for made, direction, numbers in ((1.5, 1.0, []), (second, 3.0, found)):
        a, b, error = np.array([made]), np.array([direction]), np.zeros(1)
        shown = common_factor(a, 0.0, b, error)
        assert reading.number("factor", lambda of=shown: of, lambda rng: 0.0) == numbers


def test_a_number_is_drawn_once_and_read_by_all() -> None:
    drawing = Evidence((), {}, rng=np.random.default_rng(0))
    first = drawing.number("slope", lambda: None, lambda rng: float(rng.random()))
    assert drawing.number("slope", lambda: None, lambda rng: float(rng.random())) == first
    reading = Evidence((), {})
    assert reading.number("slope", lambda: None, lambda rng: 0.0) == []
    assert reading.number("slope", lambda: 0.3, lambda rng: 0.0) == [0.3]
    assert reading.number("slope", lambda: None, lambda rng: 0.0) == [0.3]


SMALL = ("--data", "moons", "--hidden", "5,4")


def test_check_reports_every_tensor() -> None:
    ended = parity("check", *SMALL)
    assert ended.status == 0
    assert all(f" {name} " in ended.out for name in ("z1", "dz3", "dW1_loss", "vb3", "loss"))


def test_check_speaks_json() -> None:
    ended = parity("check", "--json", *SMALL)
    assert ended.status == 0
    record = json.loads(ended.out)
    assert record["passed"] is True
    assert record["root"] is None
    assert len(record["replays"]["manual"]) == len(record["differences"]) == 41
    assert all(r["use"] <= 1 and r["power"] < 1e-11 for r in record["replays"]["torch"])


def test_check_of_a_diverged_step_fails() -> None:
    ended = parity("check", *SMALL, "--lr", "1e300", "--steps", "5", "--json")
    assert ended.status == 1
    record = json.loads(ended.out)
    assert (record["passed"], record["root"]["found"]["outcome"]) == (False, "not finite")


def test_faults_lists_the_catalogue_and_shows_one() -> None:
    ended = parity("faults")
    assert ended.status == 0
    listed = ended.out
    assert all(name in listed for name in CATALOGUE)
    ended = parity("faults", "keep_prob", "--side", "torch")
    assert ended.status == 0
    assert CATALOGUE["keep_prob"].torch in ended.out


def test_an_unknown_fault_is_bad_input() -> None:
    ended = parity("faults", "lambda_dubled")
    assert ended.status == 2
    assert "did you mean 'lambda_doubled'?" in ended.err


@pytest.mark.parametrize("side", SIDES)
def test_mistakes_of_layers_without_a_bias_are_named(side: Side) -> None:
    """The same causes, in a network whose layers have weights alone."""
    r = third_step(bias=False)
    assert not any("b" in name for n in r.nodes for name in n.outputs)
    for name in (
        "weights_not_transposed",
        "weights_transposed_backward",
        "scores_scaled",
        "gradient_before_dropout",
        "already_updated_weights",
        "weight_gradient_transposed",
        "sign",
        "averaged_twice",
        "in_place_activation",
    ):
        found = with_mistake(r, side, planted(name, r, side)).diagnoses[side]
        assert found.names == (frozenset({name}),), (name, found)


@pytest.mark.parametrize("side", SIDES)
def test_a_mask_of_ones_own_is_one_mistake_where_a_layer_keeps_all_its_units(side: Side) -> None:
    """One small layer's draw may drop nothing; the others show that it was a draw."""
    r = third_step(hidden=(6, 1))
    own = {f"mask{k}": np.full_like(r.start[f"mask{k}"], 1 / 0.7) for k in (1, 2)}
    own["mask1"][::2, ::2] = 0

    def masked_by(mask: np.ndarray) -> Any:
        return lambda f, a, given: a * f["like"](mask, a)

    changed = tuple(
        replace(n, formula=masked_by(own[n.inputs[1]])) if n.operation.startswith("dropout") else n
        for n in r.nodes
    )
    found = with_mistake(r, side, changed).diagnoses[side]
    assert found.names == (frozenset({"another_mask"}),), found


@pytest.mark.parametrize("side", SIDES)
def test_an_offset_that_later_layers_show_explains_the_one_entry_before_them(side: Side) -> None:
    """A layer of one unit shows no constant by itself."""
    r = third_step(hidden=(5, 1))
    nodes = planted("bias_gradient_offset", r, side)
    found = with_mistake(r, side, nodes).diagnoses[side]
    assert found.names == (frozenset({"bias_gradient_offset"}),), found
    assert {"db1", "db2", "db3"} == set(found.alternatives[0][0].tensors)
    alone = tuple(y if "db2" in n.outputs else n for n, y in zip(r.nodes, nodes, strict=True))
    assert with_mistake(r, side, alone).diagnoses[side].verdict == "unknown"


def test_entries_that_are_alike_show_no_factor() -> None:
    """An L1 penalty of a dead unit adds the same number everywhere, whatever the mistake."""
    step = np.full(3, 0.0125)
    alike = common_factor(1.1 * step, np.zeros(3), step, 1e-16 * step)
    assert alike is not None
    assert alike.alone
    base = np.array([0.0, 0.3, -0.2])
    found = common_factor(base + 1.1 * step, base, step, np.full(3, 1e-16))
    assert found is not None
    assert not found.alone
    assert found.value == pytest.approx(1.1, rel=1e-13)


@pytest.mark.parametrize("side", SIDES)
def test_float16_is_named_where_its_smallest_numbers_are_lost(side: Side) -> None:
    """Adam's squares are below the least number of float16, so that only its ends are rounded."""
    r = third_step(optimizer="adam", hidden=(6, 5, 4), activation="sigmoid", l2=0.0, p=0.0)
    found = with_mistake(r, side, planted("float16", r, side)).diagnoses[side]
    assert found.names == (frozenset({"float16"}),), found


def test_labels_are_read_where_the_gradient_is_rounded_to_0() -> None:
    r = third_step(loss="binary_cross_entropy", output="sigmoid", seed=33)
    scaled = {**r.start, "W3": r.start["W3"] * 200}
    right = execute(r.nodes, scaled, "manual")
    assert (right["da3"] == 0).any()
    nodes = plant(CATALOGUE["shuffled_labels"], r.nodes, scaled, right, np.random.default_rng(0))
    assert nodes is not None
    j = judge(r.nodes, scaled, execute(nodes, scaled, "manual"), right)
    assert frozenset({"shuffled_labels"}) in j.diagnoses["manual"].names


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["learning_rate", "bias_gradient_offset"])
def test_layers_of_one_unit_show_a_number_together(side: Side, name: str) -> None:
    """Each parameter has one entry; the same factor, or constant, fits them all."""
    torch.manual_seed(4)
    case = Case(hidden=(1,), activation="tanh", optimizer="sgd", p=0.0, l2=0.0)
    x, labels = np.random.default_rng(3).normal(size=(7, 1)), np.arange(7) % 2
    r = steps(case, Data("drawn", x, labels, x, labels, 2))[-1]
    found = with_mistake(r, side, planted(name, r, side)).diagnoses[side]
    assert found.names == (frozenset({name}),), found


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["shuffled_labels", "another_mask", "bfloat16", "float16"])
def test_mistakes_in_micro_batches_are_named(side: Side, name: str) -> None:
    """Some micro-batches may come out as if nothing were wrong, and of the gradient of the loss
    each one's share alone is recorded."""
    r = third_step(accumulate=3, batch=16, loss="mse_loss", optimizer="rmsprop", l2=0.0)
    found = with_mistake(r, side, planted(name, r, side)).diagnoses[side]
    assert found.names == (frozenset({name}),), found
    assert found.unexplained == ()
