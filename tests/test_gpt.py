"""GPT on both sides: pinned, judged, trained, resumed, and its mistakes named."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from tests.slow import after
from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.data import Data
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.law import recorded_forward
from torch_parity.compare.judge.judge import SIDES, Side, judge
from torch_parity.compare.runs.training import State, Training
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.manual.models.gpt import GPT

HIDDEN = ((4, 2), (6, 3, 1), (8, 2, 4, 1), (4, 4, 4))


def drawn(seed: int, **fixed: Any) -> tuple[Case, Data]:
    """Every choice that GPT has, and a few short texts."""
    rng = np.random.default_rng(seed)
    choices: dict[str, Any] = {
        "model": "gpt",
        "hidden": HIDDEN[int(rng.integers(len(HIDDEN)))],
        "approximate": str(rng.choice(["none", "tanh"])),
        "p": float(rng.choice([0.0, 0.3])),
        "l2": float(rng.choice([0.0, 0.7])),
        "l1": float(rng.choice([0.0, 0.2])),
        "l2_route": str(rng.choice(["weight_decay", "loss"])),
        "optimizer": str(rng.choice(["sgd", "momentum", "momentum_course", "adam"])),
        "reduction": str(rng.choice(["mean", "sum"])),
        "initializer": str(rng.choice(["xavier_normal", "xavier_course"])),
        "bias_scale": float(rng.choice([0.1, 0.5])),
        "lr": 0.02,
        "seed": seed,
    }
    case = Case(**(choices | fixed))
    m, t, symbols = (int(rng.integers(low, high)) for low, high in ((2, 7), (2, 8), (2, 9)))
    x, y = rng.integers(0, symbols, (2, m, t))
    return case, Data("drawn", x, y, x, y, symbols)


@cache
def third_step(seed: int, **fixed: Any) -> Recorded:
    case, loaded = drawn(seed, **fixed)
    sides = pair.build(case, loaded)
    torch.manual_seed(seed)
    return record(sides, loaded.x_train, sides.targets.y_train, count=3)[-1]


FORWARD = """
    identity    x                            input
    embedding   input wte.weight             wte
    narrow      wpe.weight                   wpe
    add         wte wpe                      embed
    dropout     embed drop.mask              drop
    layer_norm  drop ln_1                    ln_1
    linear      ln_1 attn.q                  attn.q
    reshape     attn.q                       q.cut
    permute     q.cut                        q.heads
    linear      ln_1 attn.k                  attn.k
    reshape     attn.k                       k.cut
    permute     k.cut                        k.heads
    linear      ln_1 attn.v                  attn.v
    reshape     attn.v                       v.cut
    permute     v.cut                        v.heads
    scaled_dot_product_attention q.heads k.heads v.heads  found
    permute     found                        side_by_side
    reshape     side_by_side                 attn.merged
    linear      attn.merged attn.proj        attn.proj
    dropout     attn.proj attn.drop.mask     attn.drop
    add         drop attn.drop               sum
    layer_norm  sum ln_2                     ln_2
    linear      ln_2 mlp.fc                  mlp.fc
    gelu        mlp.fc                       mlp.gelu
    linear      mlp.gelu mlp.proj            mlp.proj
    dropout     mlp.proj mlp.drop.mask       mlp.drop
    add         sum mlp.drop                 block
    layer_norm  block ln_f                   ln_f
    linear      ln_f head                    head
    permute     head                         output
    cross_entropy output y                   loss
"""
OUTSIDE = ("x", "y", "input", "wte", "wpe", "embed", "drop", "ln_f", "head", "output", "loss")
UNNAMED = ("q.cut", "q.heads", "k.cut", "k.heads", "v.cut", "v.heads", "found", "side_by_side")


def test_the_forward_is_pinned() -> None:
    """So a mistake in the hand-written wiring cannot become the law. A layer is written with the
    name of its module, which stands for its weight and bias; what nobody names has names here."""
    net = manual.GPT((4, 6, 3, 10))
    nodes = recorded_forward(net, list(net.shapes_of_masks(1)))
    known: dict[str, str] = {}

    def called(name: str) -> str:
        if name in known or name.split(".")[0] in OUTSIDE:
            return known.get(name, name)
        return "blocks.0" if name == "block" else f"blocks.0.{name}"

    for line, node in zip(FORWARD.strip().splitlines(), nodes, strict=True):
        operation, *names = line.split()
        *inputs, output = names
        if operation in ("linear", "layer_norm"):
            layer = inputs.pop()
            inputs += [f"{layer}.weight", f"{layer}.bias"]
        if output in UNNAMED:
            known[output] = node.outputs[0]
        expected = tuple(called(n) for n in inputs), (called(output),)
        assert (node.operation, node.inputs, node.outputs) == (operation, *expected)
    (attention,) = (n for n in nodes if n.operation == "scaled_dot_product_attention")
    assert dict(attention.options) == {"is_causal": True, "scale": None}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", after(3, range(40)))
def test_right_steps_are_right_on_both_sides(dtype: str, seed: int) -> None:
    r = third_step(seed, dtype=dtype)
    j = judge(r.nodes, r.start, r.manual, r.torch, always_replay=True)
    assert j.passed, (seed, j.root)
    made = {n for node in r.nodes for n in node.outputs if "#" not in n}
    assert set(r.manual) == set(r.torch) == made, seed
    assert all(x.right and x.use <= 1 for side in j.replays.values() for x in side), seed


STEPS = 20


def records(case: Case, start: State | None = None) -> list[tuple[Any, State]]:
    loaded = data.load(case)
    small = replace(loaded, x_train=loaded.x_train[:40], labels_train=loaded.labels_train[:40])
    training = Training(case, small, pair.build(case, small), None, start)
    return [(record, training.state()) for record in training]


@pytest.mark.parametrize("steps", after(1, (STEPS, 500)))
def test_it_trains_side_by_side_and_resumes_bit_for_bit(steps: int) -> None:
    case = Case(
        model="gpt", data="sums", length=8, hidden=(8, 2, 4), steps=steps, batch=16, log_every=10,
        optimizer="adam", lr=0.01, p=0.1,
    )  # fmt: skip
    whole = records(case)
    assert len(whole) == steps
    assert all(record.passed for record, _ in whole)
    looked = [r.judgement.replays for r, _ in whole if r.judgement.replays]
    assert len(looked) == 1 + steps // 10
    assert all(x.right for by_side in looked for replays in by_side.values() for x in replays)
    if steps == STEPS:
        rest = records(case, whole[11][1])
        for (again, state), (once, kept) in zip(rest, whole[12:], strict=True):
            assert (again.manual, again.torch) == (once.manual, once.torch)
            for side in ("manual", "torch", "perturbed_copy"):
                sides = (getattr(s, side).params for s in (state, kept))
                a, b = ({n: v.tobytes() for n, v in params.items()} for params in sides)
                assert a == b, side
    assert whole[-1][0].manual["loss/train"] < whole[0][0].manual["loss/train"]


SHOWN = (
    "attention_scale_missing",
    "causal_mask_missing",
    "attention_gradient_without_sum",
    "attention_scale_by_width",
    "attention_softmax_axis",
    "causal_mask_off_by_one",
    "attention_mask_not_minus_infinity",
    "attention_mask_after_softmax",
    "query_and_key_swapped",
    "attention_gradient_without_scale",
    "attention_gradient_not_transposed",
    "norm_eps_outside_root",
    "norm_gradient_without_mean",
    "reshaped_not_permuted",
)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", after(3, SHOWN))
@pytest.mark.every(3)
def test_mistakes_in_a_block_are_named(name: str, side: Side) -> None:
    """In one block of a whole step, on a side that records no heads."""
    shown = 0
    r = third_step(405, hidden=(6, 3, 2), p=0.0, l1=0.0, l2=0.0)
    known = r.known_to(side, len(r.start["x"]))
    for way in range(len(CATALOGUE[name].ways)):
        wrong = plant(CATALOGUE[name], r.nodes, known, r.trace(side), np.random.default_rng(0), way)
        if wrong is None:
            continue
        try:
            made = execute(wrong, known, side)
        except (ValueError, RuntimeError):
            continue  # it does not run with these shapes
        j = r.judge_instead(side, made, len(r.start["x"]))
        if j.passed:
            continue
        assert j.wrong_sides == (side,), way
        assert frozenset({name}) in j.diagnoses[side].names, (way, j.diagnoses[side].names)
        shown += 1
    assert shown, name


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"hidden": (8,)}, "at least one block"),
        ({"hidden": (8, 3)}, "3 heads do not divide the width 8"),
        ({"hidden": (8, 2), "data": "moons"}, "reads sequences"),
    ],
)
def test_what_does_not_fit_is_bad_input(fixed: dict[str, Any], message: str) -> None:
    case = Case(**({"model": "gpt", "data": "sums"} | fixed))
    with pytest.raises(InputError, match=message):
        pair.build(case, data.load(case))


def test_the_attention_to_look_at_is_that_of_the_forward() -> None:
    """By torch's softmax; with more positions than heads, and heads wider than one number."""
    model = GPT((7, 6, 2, 3, 5))
    rng = np.random.default_rng(4)
    params = {name: rng.normal(size=shape) for name, shape in model.shapes().items()}
    t = model.forward(params, rng.integers(0, 5, (4, 7)), {})
    found = model.attention_weights(t)
    assert list(found) == ["blocks.0.attn", "blocks.1.attn"]
    for (path, weights), heads in zip(found.items(), (2, 3), strict=True):
        q, k = (
            torch.tensor(t[f"{path}.{name}"]).unflatten(-1, (heads, -1)).transpose(1, 2)
            for name in "qk"
        )
        scores = q @ k.mT / (6 / heads) ** 0.5
        scores = scores.masked_fill(torch.ones(7, 7).triu(1).bool(), -torch.inf)
        np.testing.assert_allclose(weights, scores.softmax(-1), rtol=1e-12, atol=1e-15)
    t = {name: a.astype(np.float32) for name, a in t.items()}
    assert {a.dtype for a in model.attention_weights(t).values()} == {np.dtype(np.float32)}
