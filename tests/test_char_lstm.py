"""char_lstm on both sides: its data, its law pinned, judged, resumed; what it writes."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.slow import after
from torch_parity import Case
from torch_parity.compare import data
from torch_parity.compare.causes import recurrent
from torch_parity.compare.causes.plant import execute, plant
from torch_parity.compare.data.text import decode, encode
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.law import recorded_forward
from torch_parity.compare.runs.text_model import gates, written
from torch_parity.compare.runs.training import Training
from torch_parity.compare.show.gate_activations import gate_activations
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.manual.models.char_lstm import CharLSTM

LAW = """
    identity    x                            input
    embedding   input embedding.weight       embedding
    zero_state  embedding                    zero_state#2.0
    zero_state  embedding                    zero_state#3.0
    lstm        embedding zero_state#2.0 zero_state#3.0 lstm.weight_ih_l0 lstm.weight_hh_l0 \
lstm.bias_ih_l0 lstm.bias_hh_l0  lstm lstm.h_n lstm.c_n
    dropout     lstm drop.mask               drop
    linear      drop head.weight head.bias   head
    permute     head                         output
    cross_entropy  output y                  loss
"""


def small(seed: int = 0, **fixed: Any) -> Case:
    choices: dict[str, Any] = {
        "model": "char_lstm", "data": "sums", "samples": 30, "length": 5, "hidden": (3, 4),
        "batch": 6, "bias_scale": 0.3, "lr": 0.02, "seed": seed,
    }  # fmt: skip
    return Case(**(choices | fixed))


def third_step(case: Case) -> Recorded:
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    torch.manual_seed(case.seed)
    x, y = loaded.x_train[: case.batch], sides.targets.y_train[: case.batch]
    return record(sides, x, y, count=3)[-1]


def test_sums_are_text_and_each_label_is_the_next_character(tmp_path: Path) -> None:
    loaded = data.load(small(samples=50))
    assert loaded.alphabet == "\n+0123456789="
    assert loaded.classes == 13
    whole = decode(np.concatenate([loaded.x_train, loaded.x_dev]).ravel(), loaded.alphabet)
    assert {*whole} <= {*loaded.alphabet}
    assert np.array_equal(loaded.x_train[:, 1:], loaded.labels_train[:, :-1])
    for line in decode(data.sums(19, 40, np.random.default_rng(1)).x[0], loaded.alphabet).split(
        "\n"
    )[:-1]:
        a, _, rest = line.partition("+")
        b, _, c = rest.partition("=")
        assert int(a) + int(b) == int(c)
    path = tmp_path / "own.txt"
    path.write_text("äbäbäb, äbäb", encoding="utf-8")
    own = data.load(small(data=str(path), length=3))
    assert own.alphabet == " ,bä"
    assert np.array_equal(encode("bä", own.alphabet), [2, 3])
    for text, message in (("ab", "too few"), ("a" * 99, "different characters")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            data.load(small(data=str(path)))
    with pytest.raises(InputError, match="cannot be read"):
        data.load(small(data=str(tmp_path / "absent.txt")))
    with pytest.raises(InputError, match="mlp reads rows of numbers"):
        pair.build(small(model="mlp"), loaded)


def test_its_law_is_pinned() -> None:
    nodes = recorded_forward(CharLSTM((5, 3, 4, 13)), ["drop.mask"])
    found = [" ".join([n.operation, *n.inputs, *n.outputs]) for n in nodes]
    assert found == [" ".join(line.split()) for line in LAW.strip().split("\n")]
    with pytest.raises(ValueError, match="two hidden widths"):
        CharLSTM((5, 3, 13))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", after(1, range(30)))
def test_every_operation_is_judged_and_right(seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    case = small(
        seed, dtype=dtype, p=float(rng.choice([0.0, 0.3])), l2=float(rng.choice([0.0, 0.7])),
        optimizer=str(rng.choice(["sgd", "momentum", "momentum_course", "adam"])),
        length=int(rng.integers(2, 9)), hidden=(int(rng.integers(1, 5)), int(rng.integers(1, 7))),
    )  # fmt: skip
    step = third_step(case)
    found = step.judge_instead("manual", step.manual, case.batch)
    assert found.outcome == "PASS", f"seed {seed}: {found.root}"
    recorded = {r.name for r in found.replays["torch"]}
    assert {"lstm", "lstm.c_n", "lstm.weight_hh_l0.grad", "embedding.weight.grad"} <= {
        n.replace(".loss.grad", ".grad") for n in recorded
    }


@pytest.mark.parametrize("name", ["time_gradient_truncated", "gates_swapped"])
def test_a_mistake_in_it_is_named(name: str) -> None:
    step = third_step(small(p=0.0, l2=0.0))
    cause = next(c for c in recurrent.CAUSES if c.name == name)
    known = step.known_to("manual", 6)
    way = 1 if name == "gates_swapped" else 0
    nodes = plant(cause, step.nodes, known, step.manual, np.random.default_rng(2), way)
    assert nodes is not None
    found = step.judge_instead("manual", execute(nodes, known, "manual"), 6)
    assert found.wrong_sides == ("manual",)
    assert found.diagnoses["manual"].names == (frozenset({name}),)


def test_it_resumes_bit_for_bit() -> None:
    case = small(steps=6, log_every=3, optimizer="adam")
    loaded = data.load(case)
    whole = list(Training(case, loaded, pair.build(case, loaded)))
    assert all(r.passed for r in whole)
    first = Training(case, loaded, pair.build(case, loaded))
    records = iter(first)
    for _ in range(3):
        next(records)
    again = list(Training(case, loaded, pair.build(case, loaded), start=first.state()))
    assert [r.step for r in again] == [4, 5, 6]
    for name, p in whole[-1].params.items():
        assert np.array_equal(p, again[-1].params[name]), name


@pytest.mark.parametrize("steps", after(1, (20, 500)))
def test_it_trains_side_by_side(steps: int) -> None:
    """In float64, every tenth step with every operation replayed."""
    case = small(steps=steps, log_every=10, optimizer="adam", p=0.1, samples=60)
    loaded = data.load(case)
    whole = list(Training(case, loaded, pair.build(case, loaded)))
    assert [r.step for r in whole] == list(range(1, steps + 1))
    assert all(r.passed for r in whole)
    looked = [r.judgement.replays for r in whole if r.judgement.replays]
    assert len(looked) == 1 + steps // 10
    assert all(x.right for by_side in looked for replays in by_side.values() for x in replays)
    assert whole[-1].manual["loss/train"] < whole[0].manual["loss/train"]


def test_both_sides_write_the_same_and_show_their_gates() -> None:
    case = small(p=0.0)
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    begin = loaded.x_dev[0]
    by_hand = written(
        lambda x: sides.manual.outputs(sides.params, x)["output"], begin, loaded.alphabet, 0
    )
    in_torch = written(lambda x: sides.torch.outputs(x)["output"], begin, loaded.alphabet, 0)
    assert by_hand == in_torch
    assert len(by_hand) == 48
    node = sides.lstm
    assert node is not None
    found = gates(node, sides.params, sides.torch.outputs(begin[None]))
    assert {n: a.shape for n, a in found.items()} == dict.fromkeys("ifgoc", (5, 4))
    assert all(0 < found[n].min() <= found[n].max() < 1 for n in "ifo")
    drawn = gate_activations("12+3\n", {"manual": found, "torch": found})
    assert len(drawn.axes) == 10


def test_what_it_is_without_being_told() -> None:
    net = CharLSTM((5, 3, 4, 13))
    assert asdict(net) == {
        "sizes": (5, 3, 4, 13), "loss": "cross_entropy", "reduction": "mean",
        "l1": 0.0, "l2": 0.0, "m": 1, "share": 1.0,
    }  # fmt: skip
    assert Case(model="char_lstm", data="sums").hidden == (16, 64)
    assert replace(net, l2=0.5).l2 == 0.5
