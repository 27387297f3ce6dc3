"""What a report says of single entries is found in the arrays that were handed over."""

import re

import numpy as np
import pytest

from torch_parity import COURSE, Case, Layout, check, given
from torch_parity.compare.sources.arrays.start import Given

CASE = Case(data="moons", hidden=(6,), activation="tanh", optimizer="momentum", lr=0.2, l2=0, p=0)
OTHER = Layout(samples="columns", weights="in_out", biases="row", mean="dW", momentum="steps")
ENTRY = re.compile(
    r"First wrong: .* which at \[([0-9, ]+)\] is (\S+), but its own inputs give (\S+) "
)


@pytest.fixture(scope="module")
def start() -> Given:
    return given(CASE, layout=COURSE)


def right(start: Given, layout: Layout) -> dict[str, np.ndarray]:
    """What torch computes, as somebody with this layout writes it."""
    made = {}
    for name, a in start.recorded.torch.items():
        factor = start.m if layout.mean == "dW" and re.match(r"d[zah]", name) else 1
        factor = layout.velocity(CASE.lr) if name[0] == "v" else factor
        made[name] = layout.to_theirs(name, a) * factor
    return made


@pytest.mark.parametrize("layout", [Layout(), COURSE, OTHER], ids=str)
@pytest.mark.parametrize("name", ["z1", "a1", "z2", "dz1", "da1", "dW1", "db1", "W1", "b1", "vW1"])
def test_index_and_numbers_are_those_of_the_array(name: str, layout: Layout, start: Given) -> None:
    """One entry is wrong, and the others are right: that one is named."""
    mine = right(start, layout)
    at = tuple(n - 1 for n in mine[name].shape)
    was = float(mine[name][at])
    mine[name][at] += 0.5
    report = check(mine, start, layout=layout)
    found = ENTRY.search(report.verdict)
    assert found, report.verdict
    assert found[1] == ", ".join(map(str, at))
    assert float(found[2]) == pytest.approx(was + 0.5, rel=1e-8)
    assert float(found[3]) == pytest.approx(was, rel=1e-6, abs=1e-9)
    for number in re.findall(r"torch has (\S+)\)", report.verdict):
        assert float(number) == pytest.approx(was, rel=1e-6)
    difference = next(d for d in report.judgement.differences if d.name == name)
    assert difference.index == at
    assert difference.absolute == pytest.approx(0.5, rel=1e-8)
    assert f"at {list(at)} mine {was + 0.5:.6g}"[:-1] in difference.detail


def test_several_steps(start: Given) -> None:
    """In the second step, which is called W1@2."""
    second = right(start, COURSE)["W1"]
    second[2, 1] += 0.5
    found = ENTRY.search(check([right(start, COURSE), {"W1": second}], start).verdict)
    assert found
    assert "W1@2" in found[0]
    assert found[1] == "2, 1"
    turned = right(start, OTHER)
    second = turned["W1"].copy()
    second[1, 2] += 0.5
    found = ENTRY.search(check([turned, {"W1": second}], start, layout=OTHER).verdict)
    assert found
    assert found[1] == "1, 2"


def test_a_number_that_is_not_finite(start: Given) -> None:
    mine = {"z1": right(start, COURSE)["z1"], "a1": right(start, COURSE)["a1"]}
    mine["a1"][4, 50] = np.nan
    assert "nan at [4, 50], but its own inputs give" in check(mine, start).verdict


def test_shapes_are_those_of_the_arrays(start: Given) -> None:
    mine = right(start, COURSE)
    report = check({"z1": mine["z1"], "a1": mine["a1"][:5]}, start)
    assert "a1, shape: (5, 64), expected (6, 64)." in report.verdict
    assert "mine (5, 64), torch (6, 64)" in {d.detail for d in report.judgement.differences}
