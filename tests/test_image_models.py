"""convnet and resnet on both sides: pinned, judged, evaluated, trained, resumed, and their mistakes
named."""

from dataclasses import replace
from functools import cache
from pathlib import Path
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
from torch_parity.compare.judge.replay import replay
from torch_parity.compare.runs.training import State, Training
from torch_parity.compare.show.feature_maps import feature_maps, kernels, tiled
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.manual.models.step import evaluating

MODELS = ("convnet", "resnet")
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "softplus")
HIDDEN = {"convnet": ((3, 2), (2, 4, 5), (4, 3, 6, 5)), "resnet": ((3, 3), (2, 4), (3, 3, 5, 5))}


def drawn(model: str, seed: int, **fixed: Any) -> tuple[Case, Data]:
    """Every choice that a model of images has, and small images of one to three channels."""
    rng = np.random.default_rng(seed)
    choices: dict[str, Any] = {
        "model": model,
        "hidden": HIDDEN[model][int(rng.integers(3))],
        "activation": str(rng.choice(ACTIVATIONS)),
        "approximate": str(rng.choice(["none", "tanh"])),
        "negative_slope": 0.2,
        "p": float(rng.choice([0.0, 0.3])),
        "l2": float(rng.choice([0.0, 0.7])),
        "l1": float(rng.choice([0.0, 0.2])),
        "l2_route": str(rng.choice(["weight_decay", "loss"])),
        "optimizer": str(rng.choice(["sgd", "momentum", "momentum_course", "adam"])),
        "loss": str(rng.choice(["cross_entropy", "binary_cross_entropy", "mse_loss"])),
        "reduction": str(rng.choice(["mean", "sum"])),
        "initializer": str(rng.choice(["kaiming_normal", "xavier_normal", "xavier_course"])),
        "bias_scale": float(rng.choice([0.1, 0.5])),
        "lr": 0.02,
        "seed": seed,
    }
    case = Case(**(choices | fixed))
    image = (int(rng.integers(1, 4)), int(rng.integers(4, 8)), int(rng.integers(4, 8)))
    m, classes = int(rng.integers(3, 12)), int(rng.integers(2, 5))
    x = rng.normal(size=(m, int(np.prod(image)))).astype(case.dtype)
    labels = rng.integers(0, classes, m)
    return case, Data("drawn", x, labels, x, labels, classes, image=image)


@cache
def third_step(model: str, seed: int, **fixed: Any) -> Recorded:
    case, loaded = drawn(model, seed, **fixed)
    sides = pair.build(case, loaded)
    torch.manual_seed(seed)
    return record(sides, loaded.x_train, sides.targets.y_train, count=3)[-1]


CONVNET = """
    identity      x                              input
    reshape       input                          images
    conv2d        images conv1.weight conv1.bias conv1
    relu          conv1                          act1
    max_pool2d    act1                           pool1
    conv2d        pool1 conv2.weight conv2.bias  conv2
    relu          conv2                          act2
    max_pool2d    act2                           pool2
    reshape       pool2                          flat
    linear        flat hidden.0.fc.weight hidden.0.fc.bias  hidden.0.fc
    relu          hidden.0.fc                    hidden.0.act
    dropout       hidden.0.act hidden.0.drop.mask  hidden.0.drop
    linear        hidden.0.drop head.weight head.bias  head
    identity      head                           output
    cross_entropy output y                       loss
"""
RESNET = """
    identity       x                    input
    reshape        input                images
    conv2d_no_bias images conv1.weight  conv1
    batch_norm     conv1 bn1            bn1
    relu           bn1                  act1
    conv2d_no_bias act1 blocks.0.conv1.weight           blocks.0.conv1
    batch_norm     blocks.0.conv1 blocks.0.bn1          blocks.0.bn1
    relu           blocks.0.bn1                         blocks.0.act1
    conv2d_no_bias blocks.0.act1 blocks.0.conv2.weight  blocks.0.conv2
    batch_norm     blocks.0.conv2 blocks.0.bn2          blocks.0.bn2
    add            act1 blocks.0.bn2                    blocks.0.sum
    relu           blocks.0.sum                         blocks.0
    conv2d_no_bias blocks.0 blocks.1.conv1.weight       blocks.1.conv1
    batch_norm     blocks.1.conv1 blocks.1.bn1          blocks.1.bn1
    relu           blocks.1.bn1                         blocks.1.act1
    conv2d_no_bias blocks.1.act1 blocks.1.conv2.weight  blocks.1.conv2
    batch_norm     blocks.1.conv2 blocks.1.bn2          blocks.1.bn2
    conv2d_no_bias blocks.0 blocks.1.downsample.0.weight  blocks.1.downsample.0
    batch_norm     blocks.1.downsample.0 blocks.1.downsample.1  blocks.1.downsample.1
    add            blocks.1.downsample.1 blocks.1.bn2   blocks.1.sum
    relu           blocks.1.sum                         blocks.1
    adaptive_avg_pool2d  blocks.1            pool
    reshape        pool                      flat
    dropout        flat drop.mask            drop
    linear         drop head.weight head.bias  head
    identity       head                      output
    cross_entropy  output y                  loss
"""
NETS = {
    "convnet": (manual.ConvNet((64, 3, 4, 5, 10), (1, 8, 8)), CONVNET),
    "resnet": (manual.ResNet((64, 3, 3, 5, 10), (1, 8, 8)), RESNET),
}
NORM = ("running_mean", "running_var", "weight", "bias")


@pytest.mark.parametrize("model", MODELS)
def test_the_forward_is_pinned(model: str) -> None:
    """So a mistake in the hand-written wiring cannot become the law. A batch norm is written with
    the name of its module, which stands for what it reads and keeps besides."""
    net, text = NETS[model]
    expected = []
    for operation, *names in (line.split() for line in text.strip().splitlines()):
        *inputs, output = names
        outputs = [output]
        if operation == "batch_norm":
            bn = inputs.pop()
            inputs += [f"{bn}.{name}" for name in NORM]
            outputs += [f"{bn}.{name}" for name in NORM[:2]]
        expected.append((operation, tuple(inputs), tuple(outputs)))
    nodes = recorded_forward(net, list(net.shapes_of_masks(1)))
    assert [(n.operation, n.inputs, n.outputs) for n in nodes] == expected
    options = {n.outputs[0]: dict(n.options) for n in nodes}
    if model == "resnet":
        strides = {name: o["stride"] for name, o in options.items() if "stride" in o}
        assert {name for name, stride in strides.items() if stride == 2} == {
            "blocks.1.conv1", "blocks.1.downsample.0",
        }  # fmt: skip
        assert all(o["training"] for o in options.values() if "training" in o)
    assert [o["padding"] for o in options.values() if "groups" in o][:2] == [1, 1]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", after(2, range(30)))
def test_right_steps_are_right_on_both_sides(model: str, dtype: str, seed: int) -> None:
    r = third_step(model, seed, dtype=dtype)
    j = judge(r.nodes, r.start, r.manual, r.torch, always_replay=True)
    assert j.passed, (model, seed, j.root)
    made = {n for node in r.nodes for n in node.outputs if "#" not in n}
    assert set(r.manual) == set(r.torch) == made, (model, seed)
    assert all(x.use <= 1 for side in j.replays.values() for x in side), (model, seed)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", after(1, range(300, 308)))
def test_an_evaluation_is_right_on_both_sides(model: str, dtype: str, seed: int) -> None:
    """Every operation of the forward in evaluation, where batch norm takes the running statistics;
    a statistic that is off is seen."""
    case, loaded = drawn(model, seed, dtype=dtype)
    sides = pair.build(case, loaded)
    for _ in range(2):
        sides.torch.step(loaded.x_train, sides.targets.y_train)
    params, x, y = sides.torch.params(), loaded.x_dev, sides.targets.y_dev
    nodes = [
        n for n in recorded_forward(evaluating(sides.manual.net), ()) if ("y" not in n.inputs
        and n.operation not in ("penalty", "add")) or n.outputs[0].endswith("sum")
    ]  # fmt: skip
    start = {**params, "x": x}
    made = {"manual": sides.manual.outputs(params, x), "torch": sides.torch.outputs(x)}
    kept = set(params) & set(made["manual"])
    for side, trace in made.items():
        statistics = {name: params[name] for name in kept}  # evaluation leaves them as they are
        for found in replay(nodes, start, {**trace, **statistics}):
            assert found.right, (model, seed, side, found)
    assert not kept or all(np.array_equal(made["manual"][n], params[n]) for n in kept)
    loss, _ = sides.manual.evaluate(params, x, y)
    assert np.isclose(loss, sides.torch.evaluate(x, y)[0], rtol=1e-4), (model, seed)


STEPS = 20


def records(case: Case, start: State | None = None) -> list[tuple[Any, State]]:
    loaded = data.load(case)
    small = replace(loaded, x_train=loaded.x_train[:150], labels_train=loaded.labels_train[:150])
    training = Training(case, small, pair.build(case, small), None, start)
    return [(record, training.state()) for record in training]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("steps", after(1, (STEPS, 500)))
def test_it_trains_side_by_side_and_resumes_bit_for_bit(model: str, steps: int) -> None:
    hidden = {"convnet": (4, 6, 8), "resnet": (4, 4, 6)}[model]
    case = Case(
        model=model, hidden=hidden, steps=steps, batch=32, log_every=10, optimizer="adam", lr=0.01,
        bias_scale=0.1,
    )  # fmt: skip
    whole = records(case)
    assert len(whole) == steps
    assert all(record.passed for record, _ in whole)
    looked = [r.judgement.replays for r, _ in whole if r.judgement.replays]
    assert len(looked) == 1 + steps // 10
    assert all(x.right for by_side in looked for replays in by_side.values() for x in replays)
    if steps == STEPS:
        rest = records(case, whole[12][1])
        for (again, state), (once, kept) in zip(rest, whole[13:], strict=True):
            assert (again.manual, again.torch) == (once.manual, once.torch)
            for side in ("manual", "torch", "perturbed_copy"):
                sides = (getattr(s, side).params for s in (state, kept))
                a, b = ({n: v.tobytes() for n, v in params.items()} for params in sides)
                assert a == b, side
    assert whole[-1][0].manual["loss/train"] < whole[0][0].manual["loss/train"]


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"model": "convnet", "hidden": (4,)}, "two convolutions"),
        ({"model": "resnet", "hidden": (4,)}, "at least one block"),
        ({"model": "convnet", "data": "moons"}, "expected images"),
        ({"model": "resnet", "data": "moons"}, "expected images"),
        ({"model": "convnet", "dtype": "float16"}, "use --dtype bfloat16"),
    ],
)
def test_what_does_not_fit_is_bad_input(fixed: dict[str, Any], message: str) -> None:
    case = Case(**fixed)
    with pytest.raises(InputError, match=message):
        pair.build(case, data.load(case))


NAMED = {
    "convnet": ("padding_asymmetric", "keep_prob"),
    "resnet": ("kernel_flipped", "running_variance_biased"),
}


QUICK = [(model, name) for model, names in NAMED.items() for name in names]
OTHERS = [(m, name) for m in MODELS for name in CATALOGUE if name not in NAMED[m]][::3]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("planted", after(len(QUICK), QUICK + OTHERS))
@pytest.mark.every(3)
def test_planted_mistakes_are_named_on_either_side(side: Side, planted: tuple[str, str]) -> None:
    model, name = planted
    fixed = {"activation": "tanh", "optimizer": "momentum", "loss": "cross_entropy"}
    r = third_step(model, 600, p=0.3, l2=0.7, bias_scale=0.5, **fixed)
    batch = 2 * len(r.start["x"])
    known, rng = r.known_to(side, batch), np.random.default_rng(0)
    right = execute(r.nodes, known, side)
    for way in range(len(CATALOGUE[name].ways)):
        wrong = plant(CATALOGUE[name], r.nodes, known, r.trace(side), rng, way)
        try:
            made = execute(wrong, known, side) if wrong else None
        except (ValueError, RuntimeError):
            made = None  # a mistake that cannot be computed on these shapes
        if made is None or all(np.array_equal(made[n], right[n]) for n in right if n in made):
            continue  # it changes nothing here, as the ties of a pool do where there are none
        j = r.judge_instead(side, made, batch)
        assert j.wrong_sides == (side,), (model, name, way, j.root)
        assert any(name in names for names in j.diagnoses[side].names), (model, name, way)


def test_tiles_stand_side_by_side_in_their_order() -> None:
    tiles = np.arange(6 * 2 * 3.0).reshape(6, 2, 3)
    sheet = tiled(tiles)
    assert sheet.shape == (2 * 3 - 1, 4 * 4 - 1)
    for i, tile in enumerate(tiles):
        y, x = 3 * (i // 4), 4 * (i % 4)
        assert np.array_equal(sheet[y : y + 2, x : x + 3], tile)
    assert np.isnan(sheet).sum() == sheet.size - tiles.size


def test_the_pictures_show_both_sides() -> None:
    weights = {
        side: np.full((3, 2, 3, 3), sign) for side, sign in zip(SIDES, (1.0, -1.0), strict=True)
    }
    panels = kernels(weights).axes
    assert [ax.get_title() for ax in panels] == list(SIDES)
    assert [np.nanmax(ax.images[0].get_array()) for ax in panels] == [1, -1]
    maps = {side: {"act1": np.ones((2, 4, 4)), "act2": np.ones((5, 2, 2))} for side in SIDES}
    titles = [ax.get_title() for ax in feature_maps(np.ones((8, 8)), maps).axes]
    assert set(titles) == {"image", "", *(f"{n}\n{s}" for n in ("act1", "act2") for s in SIDES)}


def test_images_of_a_file_of_ones_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(20, 3, 4, 5)), np.arange(20) % 3
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    case = Case(
        data=str(tmp_path / "mine.npz"), target="labels", model="convnet", standardize=False
    )
    loaded = data.load(case)
    assert loaded.image == (3, 4, 5)
    assert {row.tobytes() for row in loaded.x_train} < {image.tobytes() for image in images}
    assert loaded.images_dev is not None
    assert loaded.images_dev.shape == (4, 4, 5, 3)
    assert pair.build(case, loaded).manual.net.shapes()["conv1.weight"] == (8, 3, 3, 3)
