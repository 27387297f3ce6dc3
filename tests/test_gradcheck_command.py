"""`parity gradcheck`: every method in one table, pictures, exit status; and it can fail."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.command import parity, refusal
from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.errors import InputError
from torch_parity.compare.gradients import gradcheck
from torch_parity.compare.gradients.gradcheck_pictures import brightness, layers
from torch_parity.compare.gradients.train_gradcheck import Gradchecks
from torch_parity.compare.sources import pair

SMALL = ["gradcheck", "--data", "moons", "--hidden", "5,4", "--l1", "0.3", "--activation", "tanh"]


def test_every_method_stands_in_one_table() -> None:
    result = parity(*SMALL, "--after", "12")
    assert result.status == 0, result.out
    for words in ("two-sided", "gradcheck (full)", "gradcheck (fast)", "right to rounding"):
        assert result.out.count(words) >= 2, words
    assert "at initialization" in result.out
    assert "after 12 steps" in result.out
    assert result.out.count("PASS") == 2


def test_json() -> None:
    result = parity(*SMALL, "--json")
    record = json.loads(result.out)
    assert record["passed"]
    (check,) = record["checks"]
    assert [line["passed"] for line in check["lines"]] == [True, True, None, None, None]
    assert all(line["entries"] in (44, 6) for line in check["lines"])


def test_a_wrong_backward_fails_with_its_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the exact check alone: 1e-9 is very likely right to the differences."""
    right = manual.backward

    def wrong(*args: object) -> object:
        g = right(*args)  # type: ignore[arg-type]
        g["dW2"][1, 3] *= 1 + 1e-9
        return g

    monkeypatch.setattr("torch_parity.compare.gradients.gradcheck.manual.backward", wrong)
    result = parity(*SMALL)
    assert result.status == 1
    assert "FAIL manual: wrong: W2; torch: right to rounding" in result.out
    assert "manual: dW2[1, 3] is" in result.out
    assert "very likely right" in result.out


def test_pictures_and_the_scan(tmp_path: Path) -> None:
    arguments = [*SMALL, "--name", "g", "--runs", str(tmp_path), "--scan-epsilon"]
    result = parity(*arguments)
    assert result.status == 0, result.out
    assert {"error.png", "epsilon.png"} <= {p.name for p in (tmp_path / "g").iterdir()}
    assert any(p.name.startswith("events") for p in (tmp_path / "g").iterdir())
    assert "1e-13" in result.out
    assert "best" in result.out


def test_brightness_is_logarithmic_and_a_nan_is_white() -> None:
    errors = {"W1": np.array([[0.0, 1e-17], [1.0, np.nan]]), "b1": np.array([10**-8.5, 5.0])}
    assert np.allclose(brightness(layers(errors)["layer 1"]), [[0, 0, 0.5], [1, 1, 1]])


def test_the_images_of_a_model_are_those_of_its_modules() -> None:
    """A kernel lies flat in its row, and what a module has besides stands beside it."""
    rng = np.random.default_rng(0)
    shapes = {"conv.weight": (3, 2, 2, 2), "lstm.weight_ih": (4, 3), "lstm.bias_ih": (4,)}
    errors = {name: rng.random(shape) for name, shape in shapes.items()}
    images = layers(errors)
    assert {name: image.shape for name, image in images.items()} == {"conv": (3, 8), "lstm": (4, 4)}
    assert np.array_equal(images["conv"][1], errors["conv.weight"][1].ravel())
    assert np.array_equal(images["lstm"][:, 3], errors["lstm.bias_ih"])


def test_float32_is_refused() -> None:
    assert "checked in float64" in refusal(parity("gradcheck", "--dtype", "float32"))


def test_a_run_that_diverges_is_refused() -> None:
    case = Case(data="moons", hidden=(4,), activation="identity", loss="mse_loss", lr=1e30, p=0)
    loaded = data.load(case)
    with pytest.raises(InputError, match="NaN or infinity"):
        list(gradcheck.moments(case, loaded, pair.build(case, loaded), 50))


TRAIN = ["train", "--data", "moons", "--hidden", "4", "--steps", "20", "--name", "t", "--runs"]


def test_left_on_while_training(tmp_path: Path) -> None:
    result = parity(*TRAIN, str(tmp_path), "--gradcheck", "5")
    assert result.status == 0, result.out
    assert "4 steps compared with the exact derivative" in result.out
    assert "% of the run" in result.out
    record = json.loads((tmp_path / "t" / "gradcheck.json").read_text())
    assert (record["passed"], record["steps"]) == (True, [5, 10, 15, 20])


def test_a_gradient_too_slightly_wrong_for_the_bands_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong on both sides, in the same way: only a third witness sees it."""
    look = Gradchecks.__call__

    def both_wrong(self: Gradchecks, *args: object) -> None:
        *start, by_hand, by_torch = args
        wrong = [{**g, "dW1": g["dW1"] * (1 + 1e-9)} for g in (by_hand, by_torch)]  # type: ignore
        look(self, *start, *wrong)  # type: ignore[arg-type]

    monkeypatch.setattr(Gradchecks, "__call__", both_wrong)
    result = parity(*TRAIN, str(tmp_path), "--gradcheck", "10")
    assert result.status == 1
    assert "FAIL gradients, step 10, manual: wrong: W1" in result.out


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--gradcheck", "21"], "none would be checked"), (["--dtype", "float32"], "in float64")],
)
def test_what_training_refuses(tmp_path: Path, options: list[str], words: str) -> None:
    chosen = ["--gradcheck", "5"] if "--gradcheck" not in options else []
    result = parity(*TRAIN, str(tmp_path), *chosen, *options)
    assert words in refusal(result)
    assert not list(tmp_path.iterdir())
