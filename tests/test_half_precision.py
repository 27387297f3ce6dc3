"""bfloat16 and float16: torch computes in them, the manual side in float32 from the same numbers,
and each side is judged by its own rounding."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.command import Ended, parity, refusal
from tests.drawn import case_and_data
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precision import BFLOAT16, precision, rounded, widened
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.explanation import Diagnosis
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.commands.diff import diff
from torch_parity.compare.judge.judge import Judgement, judge
from torch_parity.compare.judge.replay import replay_stretch
from torch_parity.compare.runs import checkpoint
from torch_parity.compare.runs.checkpoint import Checkpoint
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.compare.tensors import to_numpy, to_torch

HALVES = ("bfloat16", "float16")
FIXED: dict[str, Any] = {
    "hidden": (6, 5),
    "loss": "cross_entropy",
    "output": "identity",
    "activation": "tanh",
    "p": 0.3,
    "l2": 0.7,
    "l1": 0.0,
    "optimizer": "momentum",
    "reduction": "mean",
    "batch": 40,
}


def third_step(
    dtype: str, change: Callable[[pair.Pair], None] = lambda built: None, count: int = 3
) -> Recorded:
    """The third, or another; change may spoil torch's side before its first."""
    torch.manual_seed(4)
    case, data = case_and_data(31, **(FIXED | {"dtype": dtype}))
    built = pair.build(case, data)
    change(built)
    return record(built, data.x_train, built.targets.y_train, count)[-1]


def judged(r: Recorded, **wrong: np.ndarray) -> Judgement:
    return judge(r.nodes, r.start, r.manual, {**r.torch, **wrong}, always_replay=True)


def torch_is_wrong(j: Judgement) -> Diagnosis:
    assert j.wrong_sides == ("torch",)
    return j.diagnoses["torch"]


def cli(*args: str) -> Ended:
    return parity(*args)


@pytest.mark.parametrize("dtype", HALVES)
def test_both_sides_hold_the_very_same_numbers(dtype: str) -> None:
    r = third_step(dtype)
    floats = [n for n, a in r.start.items() if n != "y"]
    assert {r.start[n].dtype for n in floats} == {np.dtype(dtype)}
    assert {r.torch[n].dtype for n in r.torch} == {np.dtype(dtype)}
    assert {r.manual[n].dtype for n in r.manual} == {np.dtype(np.float32)}
    assert set(np.unique(widened(r.start["mask1"]))) == {
        0,
        float(torch.tensor(1 / 0.7, dtype=getattr(torch, dtype))),
    }
    assert judged(r).passed


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "name", ["z2", "a1", "h1", "da3", "dh2", "dz1", "dW2_loss", "dW1", "db1", "vW2", "W1", "cost"]
)
@pytest.mark.every(2)
def test_an_entry_some_units_in_the_last_place_off_is_seen(name: str, dtype: str) -> None:
    """Without always_replay: a half is never decided by a comparison alone. exp and the sums of a
    loss have larger bounds, so they are left out."""
    r = third_step(dtype)
    wrong = r.torch[name].copy()
    at = np.unravel_index(np.abs(widened(wrong)).argmax(), wrong.shape)
    wrong[at] = float(wrong[at]) * (1 + 8 * precision(np.dtype(dtype)).eps)
    j = judge(r.nodes, r.start, r.manual, {**r.torch, name: wrong})
    assert j.wrong_sides == ("torch",)
    assert j.root is not None
    assert (j.root.found.name, j.root.found.outcome) == (name, "wrong")


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "name",
    [
        "lambda_doubled",
        "mask_not_applied_backward",
        "bias_missing",
        "slope_missing",
        "keep_prob",
        "gradient_before_dropout",
        "nesterov",
        "reduction",
        "stale_gradients",
    ],
)
@pytest.mark.every(3)
def test_mistakes_planted_in_a_half_are_named(name: str, dtype: str) -> None:
    r = third_step(dtype)
    known = r.known_to("torch", 60)
    nodes = plant(CATALOGUE[name], r.nodes, known, r.torch, np.random.default_rng(0))
    assert nodes is not None
    j = r.judge_instead("torch", execute(nodes, known, "torch"), 60)
    found = torch_is_wrong(j)
    assert frozenset({name}) in found.names, found
    assert found.verdict in ("unique", "ambiguous")


def test_what_a_half_cannot_show_is_said() -> None:
    """The smallest fault that would be noticed is about as large as the precision."""
    power = {}
    for dtype in ("float64", "float32", *HALVES):
        j = judged(third_step(dtype))
        power[dtype] = {r.name: r.power for r in j.replays["torch"]}
    for name in ("z1", "dW2_loss", "W1"):
        fine, single, brain, half = (power[d][name] for d in power)
        assert fine < 1e-13 < single < 1e-5 < half < brain < 0.1, name
    done = cli("check", "--data", "moons", "--hidden", "5,4", "--dtype", "bfloat16", "--json")
    found = json.loads(done.out)
    assert done.status == 0
    assert all(r["use"] <= 1 for side in found["replays"].values() for r in side)
    assert any(d["verdict"] == "rounding" for d in found["differences"])


def test_only_what_follows_from_a_mistake_is_its_consequence() -> None:
    """In bfloat16 every tensor differs a little; those before the mistake differ by rounding."""
    r = third_step("bfloat16")
    wrong = (widened(r.torch["da2"]) * 2).astype(BFLOAT16)
    j = judged(r, da2=wrong)
    verdicts = {d.name: d.verdict for d in j.differences}
    assert verdicts["z3"] == verdicts["dW3"] == "rounding"
    assert verdicts["da2"] == "differs"
    assert "dz2" not in j.consequences  # it was made of the right da2, so it is wrong itself
    assert "dz2" in j.wrong["torch"]


# --- forgotten casts, by torch itself


def under_autocast(built: pair.Pair) -> None:
    forward = built.torch.net.forward

    def lowered(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(x)

    built.torch.net.forward = lowered  # type: ignore[method-assign]


def one_layer_under_autocast(built: pair.Pair) -> None:
    layer = built.torch.net.get_submodule("z2")
    forward = layer.forward

    def lowered(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(x).float()

    layer.forward = lowered


def half_weights(built: pair.Pair) -> None:
    layer: Any = built.torch.net.get_submodule("z2")
    layer.forward = lambda x: nn.functional.linear(
        x, layer.weight.half().to(layer.weight.dtype), layer.bias
    )


def half_input(built: pair.Pair) -> None:
    layer: Any = built.torch.net.get_submodule("z2")
    layer.forward = lambda x: nn.functional.linear(
        x.bfloat16().to(x.dtype), layer.weight, layer.bias
    )


def single_weights_of_the_first_layer(built: pair.Pair) -> None:
    layer: Any = built.torch.net.get_submodule("z1")
    layer.forward = lambda x: nn.functional.linear(
        x, layer.weight.float().to(layer.weight.dtype), layer.bias
    )


def loss_in_float32(built: pair.Pair) -> None:
    forward = built.torch.task.criterion.forward
    built.torch.task.criterion.forward = lambda z, y: forward(z.float(), y)  # type: ignore[method-assign]


def master_weights(built: pair.Pair) -> None:
    """The parameters are in float32, and cast to bfloat16 for the computation."""
    built.torch.net.float()
    layers = [m for m in built.torch.net if isinstance(m, nn.Linear)]
    for m in layers:
        m.forward = lambda x, m=m: nn.functional.linear(x, m.weight.bfloat16(), m.bias.bfloat16())


@pytest.mark.parametrize(
    ("dtype", "change", "name", "first"),
    [
        ("float32", under_autocast, "bfloat16", "z1"),
        ("float32", one_layer_under_autocast, "bfloat16", "z2"),
        ("float32", half_weights, "forgotten_cast", "z2"),
        ("float64", half_weights, "forgotten_cast", "z2"),
        ("float64", half_input, "forgotten_cast", "z2"),
        ("float64", single_weights_of_the_first_layer, "forgotten_cast", "z1"),
        ("bfloat16", loss_in_float32, "wider_precision", "loss"),
        ("float16", loss_in_float32, "wider_precision", "loss"),
    ],
)
def test_a_forgotten_cast_in_torch_is_named(
    dtype: str, change: Callable[[pair.Pair], None], name: str, first: str
) -> None:
    j = judged(third_step(dtype, change))
    found = torch_is_wrong(j)
    assert found.names == (frozenset({name}),), found
    assert found.verdict == "unique"
    assert j.root is not None
    assert j.root.found.name == first


def test_float32_master_weights_are_named() -> None:
    found = torch_is_wrong(judged(third_step("bfloat16", master_weights, count=1)))
    assert found.names == (frozenset({"wider_precision"}),), found


def test_a_half_that_holds_the_right_numbers_is_still_the_wrong_type() -> None:
    """Numbers that exist in both types: only the type differs."""
    r = third_step("float32")
    whole = {n: np.rint(a * 4) / 4 if n in ("h0",) else a for n, a in r.torch.items()}
    start = {**r.start, "x": whole["h0"]}
    assert judge(r.nodes[:1], start, {"h0": whole["h0"]}, {"h0": whole["h0"]}).passed
    j = judge(r.nodes[:1], start, {"h0": whole["h0"]}, {"h0": whole["h0"].astype(np.float16)})
    assert j.wrong_sides == ("torch",)
    assert j.replays["torch"][0].detail == "float16, expected float32"


def test_a_loss_is_no_integer_though_its_labels_are() -> None:
    r = third_step("float64")
    j = judged(r, loss=np.asarray(round(float(r.torch["loss"]))))
    assert [f.outcome for f in j.replays["torch"] if f.name == "loss"] == ["dtype"]


@pytest.mark.parametrize("side", ["manual", "torch"])
@pytest.mark.parametrize("seed", range(4))
def test_tf32_is_told_from_half_inputs(seed: int, side: Any) -> None:
    """Numbers whose products may come from ten digits of both factors, but not below 6e-5."""
    torch.manual_seed(seed)
    case, data = case_and_data(seed, **(FIXED | {"dtype": "float32"}))
    built = pair.build(case, data)
    r = record(built, data.x_train, built.targets.y_train, 3)[-1]
    rng = np.random.default_rng(seed)
    nodes = plant(CATALOGUE["tf32"], r.nodes, r.start, r.trace(side), rng)
    assert nodes is not None
    j = r.judge_instead(side, execute(nodes, r.start, side), 40)
    assert j.wrong_sides == (side,)
    assert j.diagnoses[side].names == (frozenset({"tf32"}),), f"seed {seed}"


# --- numbers


@pytest.mark.parametrize("to", HALVES)
def test_rounding_is_torch_s(to: str) -> None:
    rng = np.random.default_rng(5)
    numbers = np.concatenate(
        [rng.normal(size=400) * 10.0 ** rng.uniform(-9, 4, 400), [0.0, -0.0, 1 + 2**-9, 1 + 2**-12]]
    ).astype(np.float32)
    expected = torch.tensor(numbers).to(getattr(torch, to)).float().numpy()
    assert np.array_equal(rounded(numbers, to), expected)


@pytest.mark.parametrize(
    ("number", "cut", "even", "away"),
    [
        (1 + 2**-11, 1, 1, 1 + 2**-10),  # half way, after an even digit
        (1 + 3 * 2**-11, 1 + 2**-10, 1 + 2**-9, 1 + 2**-9),  # after an odd one
        (1 + 2**-11 + 2**-20, 1, 1 + 2**-10, 1 + 2**-10),
        (-(1 + 2**-12), -1, -1, -1),
        (3.5, 3.5, 3.5, 3.5),
    ],
)
def test_tf32_keeps_ten_digits(number: float, cut: float, even: float, away: float) -> None:
    at = np.array([number], np.float32)
    found = [float(rounded(at, f"tf32 {way}")[0]) for way in ("cut", "to even", "from 0")]
    assert found == [cut, even, away]


@pytest.mark.parametrize("dtype", ["float64", "float32", *HALVES])
def test_bits_survive_the_way_to_torch_and_back(dtype: str, tmp_path: Path) -> None:
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-7, -3.0]
    array = np.array(special).astype(np.dtype(dtype)).reshape(7, 1)
    tensor = to_torch(array)
    assert tensor.dtype == getattr(torch, dtype)
    assert to_numpy(tensor).tobytes() == array.tobytes()
    assert to_numpy(to_torch(array[2, 0])).shape == ()
    checkpoint.store(tmp_path, Checkpoint(3, {"b": array, "a": array.T}, {}))
    read = checkpoint.load(checkpoint.stored(tmp_path)[0]).tensors
    assert list(read) == ["b", "a"]
    assert (read["a"].dtype, read["a"].tobytes()) == (array.dtype, array.tobytes())


def test_a_product_may_read_a_subnormal_number_as_0_and_no_other() -> None:
    """VDPBF16PS: "input denormals are always treated as zero"; 1e-35 is far over the smallest
    number, so only that explains it."""
    subnormal, normal = (np.array([[x]], BFLOAT16) for x in (3e-39, 3e-38))
    large = np.array([[4096.0]], BFLOAT16)
    for small, allowed in ((subnormal, True), (normal, False)):
        product = Bounded.exact(small) @ Bounded.exact(large)
        assert (product.error[0, 0] >= abs(float(product.value[0, 0]))) is np.bool_(allowed)


def test_a_half_is_accumulated_in_float32() -> None:
    """4,000 terms whose sum in bfloat16 would be another number."""
    x, W = np.ones((2, 4000), BFLOAT16), np.full((3, 4000), 0.01, BFLOAT16)
    node = third_step("bfloat16").nodes[1]
    known = {node.inputs[0]: x, node.inputs[1]: W, node.inputs[2]: np.zeros(3, BFLOAT16)}
    right = to_numpy(to_torch(x) @ to_torch(W).T)
    naive = np.zeros((2, 3), BFLOAT16)
    for k in range(4000):
        naive = naive + x[:, k : k + 1] * W[:, k]
    assert float(naive[0, 0]) < 0.2 * float(right[0, 0])
    assert replay_stretch([node], known, {node.outputs[0]: right})[0].right
    assert not replay_stretch([node], known, {node.outputs[0]: naive})[0].right


# --- commands


@pytest.mark.parametrize("dtype", HALVES)
def test_record_and_diff(dtype: str, tmp_path: Path) -> None:
    """torch's file and the manual one, each judged by its own rounding; then with a fault in it."""
    case = ["--data", "digits", "--hidden", "9,4", "--dtype", dtype]
    torchs, hands = str(tmp_path / "torch"), str(tmp_path / "hand")
    for side, file in (("torch", torchs), ("manual", hands)):
        assert cli("record", *case, "--side", side, "--out", file).status == 0
    report = diff(Path(hands), Path(torchs))
    assert report.passed, str(report)
    assert len(report.notes) == 1
    assert {r.name: r.outcome for r in report.judgement.replays["torch"]}["z1"] == "right"


@pytest.mark.parametrize("dtype", HALVES)
def test_train(dtype: str, tmp_path: Path) -> None:
    case = ["--data", "digits", "--hidden", "9", "--dtype", dtype, "--steps", "20"]
    done = cli("train", *case, "--name", "a", "--runs", str(tmp_path))
    assert done.status == 0, done.out
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert (summary["passed"], summary["steps"], summary["replays"]) == (True, 20, 20)
    assert cli("report", "a", "--runs", str(tmp_path)).status == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("check", "--dtype", "float16", "--optimizer", "adam"), "use --dtype bfloat16, or"),
        (("check", "--dtype", "float16", "--data", "moons"), "binary_cross_entropy_with_logits"),
        (("check", "--dtype", "float16", "--lr", "1e5"), "lr is 100000.0: too large for float16"),
        (
            ("check", "--dtype", "float16", "--initializer", "normal", "--scale", "6e4"),
            "W1 is drawn with numbers too large for float16",
        ),
        (("gradcheck", "--dtype", "bfloat16"), "leave --dtype bfloat16 out"),
        (("train", "--gradcheck", "5", "--dtype", "float16"), "leave --dtype float16 out"),
        (("shard", "--dtype", "bfloat16", "--out", "x"), "float64 and float32 only"),
    ],
)
def test_what_a_half_cannot_do_is_refused_in_one_line(args: tuple[str, ...], says: str) -> None:
    done = cli(*args)
    assert says in refusal(done)


def test_a_float16_run_that_outgrows_its_type_says_where() -> None:
    """torch's product is infinite, the manual one is beyond 65504."""
    given = ("--dtype", "float16", "--initializer", "normal", "--scale", "2000", "--json")
    done = cli("check", *given)
    assert done.status == 1
    root = json.loads(done.out)["root"]
    assert (root["side"], root["found"]["name"], root["found"]["outcome"]) == (
        "torch",
        "z1",
        "not finite",
    )


def test_a_case_holds_the_precisions() -> None:
    for dtype in HALVES:
        assert Case.model_validate({"dtype": dtype}).dtype == dtype
