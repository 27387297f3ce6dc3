"""Kinds of code on which an earlier judge was wrong: right forms pass, wrong ones fail by name.

Each kind is tried on several inputs of its own, written here without the code under test.
"""

from typing import Any

import numpy as np
import pytest

from torch_parity import Case, Layout, check, given
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.report import Report
from torch_parity.compare.sources.arrays.start import Given

SEEDS = range(4)
Arrays = dict[str, np.ndarray]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def moons(seed: int, **options: Any) -> Case:
    choices = {"data": "moons", "hidden": (6,), "activation": "tanh", "p": 0.0, "l2": 0.0}
    return Case.model_validate(choices | {"bias_scale": 0.3, "seed": seed} | options)


class TestMasks:
    """given(masks=) holds 0 or 1/(1-p)."""

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.8])
    def test_a_mask_as_dropout_draws_it_is_taken(self, p: float, dtype: str, seed: int) -> None:
        case = moons(seed, p=p, dtype=dtype)
        shape = given(case)["mask1"].shape
        kept = np.random.default_rng(seed).random(shape) >= p
        keep_prob = np.dtype(dtype).type(1 - p)
        for mask in (kept / (1 - p), kept * (1 / (1 - p)), kept.astype(dtype) / keep_prob):
            at = given(case, masks={"mask1": mask})
            h1 = np.tanh(at["x"] @ at["W1"].T + at["b1"]) * at["mask1"]
            assert check({"h1": h1}, at).passed, f"seed {seed}"

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize(
        "spoil",
        {
            "0 and 1": lambda mask, rng: (mask > 0) * 1.0,
            "booleans": lambda mask, rng: mask > 0,
            "normal": lambda mask, rng: rng.normal(size=mask.shape),
            "1/p": lambda mask, rng: (mask > 0) / 0.3,
            "one entry off by 1e-6": lambda mask, rng: mask * (1 + 1e-6 * (mask > 0)),
            "negative": lambda mask, rng: -mask,
            "NaN": lambda mask, rng: np.where(mask > 0, np.nan, 0),
        }.items(),
        ids=lambda item: item[0],
    )
    def test_any_other_mask_is_refused(self, spoil: Any, seed: int) -> None:
        case = moons(seed, p=0.3)
        mask = spoil[1](given(case)["mask1"], np.random.default_rng(seed))
        with pytest.raises(InputError, match=r"mask1 holds .* expected 0 or 1/\(1-p\)"):
            given(case, masks={"mask1": mask})

    def test_without_dropout_no_unit_is_dropped(self) -> None:
        case = moons(0)
        ones = np.ones((64, 6))
        assert check({"h1": given(case)["x"] @ np.ones((2, 6))}, given(case)).passed is False
        given(case, masks={"mask1": ones})
        ones[3, 2] = 0
        with pytest.raises(InputError, match="p=0"):
            given(case, masks={"mask1": ones})
