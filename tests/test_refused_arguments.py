"""Arguments of the Python functions that cannot be meant: one sentence that names the remedy."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torch_parity as tp
from tests.small_models import linear, x_of

TARGET = torch.tensor([0, 2, 1, 0])


def modules(**options: Any) -> Any:
    a = linear()
    return tp.check_modules(a, copy.deepcopy(a), x_of(), **options)


def train(batches: Any) -> Any:
    a, b = linear(), linear()
    both: Any = tuple(torch.optim.SGD(m.parameters(), lr=0.1) for m in (a, b))
    return tp.train_modules(a, b, batches, loss=nn.CrossEntropyLoss(), optimizers=both)


def one_optimizer() -> Any:
    a, b = linear(), linear()
    one: Any = (torch.optim.SGD(a.parameters(), lr=0.1), None)
    return tp.check_modules(
        a, b, x_of(), loss=nn.CrossEntropyLoss(), target=TARGET, optimizers=one
    )  # fmt: skip


class Takes(nn.Module):
    def forward(self, x: torch.Tensor, **more: Any) -> torch.Tensor:
        return x


def arrays(**options: Any) -> Any:
    at = tp.given(tp.Case(data="moons", hidden=(4,), p=0))
    return tp.check({"z1": at["x"] @ at["W1"].T + at["b1"], "q": np.ones(3)}, at, **options)


def own_y(*y: float) -> Any:
    return tp.given(tp.Case(data="moons"), x=np.zeros((3, 5)), y=np.array(y))


SGD: Any = torch.optim.SGD
ANY: Any = None
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "swallowed": (
        lambda: tp.check_modules(Takes(), Takes(), x_of(), optimizer=None),
        "no option 'optimizer'; did you mean 'optimizers'",
    ),
    "swallowed of one": (
        lambda: tp.check_model(Takes(), x_of(), optimizers=None), "did you mean 'optimizer'"
    ),
    "class of a loss": (
        lambda: modules(loss=nn.CrossEntropyLoss, target=TARGET),
        r"the class CrossEntropyLoss; give CrossEntropyLoss\(\)",
    ),
    "class of an optimizer": (
        lambda: modules(loss=nn.MSELoss(), target=x_of(4, 3), optimizers=(SGD, SGD)),
        r"the optimizer of a is .*such as SGD\(model.parameters\(\)",
    ),
    "no optimizer": (
        lambda: modules(loss=nn.MSELoss(), target=x_of(4, 3), optimizers=(3, 4)), "expected a torch"
    ),
    "optimizer of one": (one_optimizer, "a has an optimizer, b none"),
    "ignore": (lambda: modules(ignore="output"), r"expected a list of patterns, such as \['output"),
    "names of a": (lambda: modules(names={"weigth": "weight"}), "a has no 'weigth'"),
    "names of b": (lambda: modules(names={"0": "1"}), "b has no '1'"),
    "batches": (lambda: train((x_of(), TARGET)), "expected a list of batches"),
    "layout": (lambda: arrays(layout="course"), "layout is 'course'; expected a Layout"),
    "layout of given": (
        lambda: tp.given(tp.Case(data="moons"), layout=ANY or "course"), "expected a Layout"
    ),
    "field of a layout": (lambda: tp.Layout(sample="rows"), "did you mean 'samples'"),  # type: ignore[call-arg]
    "value of a layout": (lambda: tp.Layout(samples=ANY or "cols"), "expected 'rows' or 'columns'"),
    "ignore of check": (lambda: arrays(ignore="q"), "expected a list of names"),
    "a name": (
        lambda: tp.check({"zz1": np.ones((64, 4))}, tp.Case(data="moons", hidden=(4,))),
        "it has no 'zz1'; did you mean 'z1'",
    ),
    "nan in y": (lambda: own_y(0, 1, float("nan")), r"y holds nan at \[2\]"),
    "list of inputs": (
        lambda: tp.check_gradient(np.tanh, lambda da, z: da, ANY or [np.ones(3)], np.ones(3)),
        "inputs is a list; expected a dict",
    ),
    "a width": (lambda: tp.Case(hidden=ANY or 4), r"such as \(4,\)"),
    "widths": (lambda: tp.Case(hidden=ANY or "5x4"), "with commas between, such as 5,4"),
    "empty width": (lambda: tp.Case(hidden=ANY or "5,,4"), "hidden is '5,,4'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_the_remedy_is_named(name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        call()


def test_a_keyword_that_a_forward_swallows_is_its_own() -> None:
    assert tp.check_modules(Takes(), Takes(), x_of(), targets=3).outcome == "PASS"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("own.csv", "0.5,0.25,1\n0.1,0.2,0\n", "its first line holds numbers"),
        ("own.csv", "a;b;label\n1,5;2;0\n", "is ';' its separator"),
        ("own.tsv", "a\tlabel\n1\t0\n", "expected a file whose name ends in .csv"),
        ("OWN.CSV", "a,label\n1,0\n", "expected a file whose name ends in .csv"),
    ],
)
def test_a_table_that_is_no_csv(tmp_path: Path, name: str, text: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        tp.given(tp.Case(data=str(file), target="label"))


def test_a_file_of_torch_save_is_called_one(tmp_path: Path) -> None:
    torch.save(linear(), tmp_path / "b.pt")
    with pytest.raises(ValueError, match="as torch"):
        tp.check_modules(linear(), tmp_path / "b.pt", x_of())
