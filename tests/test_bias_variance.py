"""The diagnosis of the notes, on the notes' own examples."""

from dataclasses import replace

import pytest

from tests.drawn import case_and_data
from torch_parity.compare.runs.training import base_error
from torch_parity.manual import diagnose


@pytest.mark.parametrize(
    ("train", "dev", "verdict"),
    [
        (0.01, 0.11, "low bias, high variance"),
        (0.15, 0.16, "high bias, low variance"),
        (0.15, 0.30, "high bias, high variance"),
        (0.005, 0.01, "low bias, low variance"),
    ],
)
def test_the_courses_four_corners(train: float, dev: float, verdict: str) -> None:
    assert diagnose(0.0, train, dev).verdict == verdict


def test_a_high_base_error_excuses_the_model() -> None:
    """15% where a human reaches 15% is no bias."""
    assert diagnose(0.15, 0.15, 0.16).verdict == "low bias, low variance"


def test_advice_follows_the_notes_bias_first() -> None:
    assert diagnose(0, 0.2, 0.21).advice[:2] == ("a bigger network", "train longer")
    assert diagnose(0, 0.0, 0.2).advice[:2] == ("more data", "regularization")
    both = diagnose(0, 0.2, 0.5).advice
    assert both[0] == "a bigger network"
    assert len(both) == len(set(both)) == 5
    assert diagnose(0, 0.0, 0.0).advice == ()


@pytest.mark.parametrize("bad", [-0.1, float("nan")])
@pytest.mark.parametrize("name", ["base_error", "train_error", "dev_error", "gap"])
def test_bad_input_is_named(name: str, bad: float) -> None:
    values = {"base_error": 0.0, "train_error": 0.1, "dev_error": 0.1, "gap": 0.05, name: bad}
    with pytest.raises(ValueError, match=f"{name} is {bad}"):
        diagnose(**values)


def test_the_gap_itself_is_not_high_and_by_default_is_5_points() -> None:
    assert diagnose(0.0, 0.25, 0.5, gap=0.25).verdict == "low bias, low variance"
    assert diagnose(0.0, 0.049, 0.049 + 0.049).verdict == "low bias, low variance"
    assert diagnose(0.0, 0.051, 0.051 + 0.051).verdict == "high bias, high variance"


def test_bias_and_variance_are_differences() -> None:
    d = diagnose(0.25, 0.75, 0.875)
    assert (d.bias, d.variance) == (0.5, 0.125)


def test_a_perfect_score_is_no_bad_input() -> None:
    assert diagnose(0.0, 0.0, 0.0, gap=0.0).verdict == "low bias, low variance"


def test_the_courses_whole_recipe() -> None:
    assert diagnose(0, 0.2, 0.2).advice == (
        "a bigger network",
        "train longer",
        "search for another architecture",
    )
    assert diagnose(0, 0.0, 0.2).advice == (
        "more data",
        "regularization",
        "search for another architecture",
    )


@pytest.mark.parametrize(
    ("classes", "said", "base"), [(2, None, 0.0), (2, 0.1, 0.1), (0, None, None), (0, 0.3, 0.3)]
)
def test_numbers_have_no_base_error_unless_somebody_knows_it(
    classes: int, said: float | None, base: float | None
) -> None:
    """1 - R2 is no error rate: without a base, R2 of 95% would be called a high bias of 5%."""
    case, data = case_and_data(0, base_error=said)
    assert base_error(case, replace(data, classes=classes)) == base
