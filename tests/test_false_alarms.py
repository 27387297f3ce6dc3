"""The survey of benchmarks/false_alarms.py in small: few pairs, but over its whole range."""

import pytest

from benchmarks.false_alarms import BIAS, ENTRY, FAULTS, Range, examine, report


def test_random_pairs_raise_no_alarm_and_planted_faults_are_seen() -> None:
    examined = [examine(seed) for seed in range(20, 40)]
    assert {e.seed: e for e in examined if e.alarms["ours"] or e.unjudged} == {}
    assert sum(BIAS in e.planted for e in examined) > len(examined) / 2  # some have no bias
    for e in examined:
        assert ENTRY in e.planted
        for fault, planted in e.planted.items():
            if e.dtype == "float64" and fault != ENTRY and not planted.harmless:
                assert planted.seen["ours"], f"seed {e.seed}, {fault}: {planted}"
    rows = report(examined)["rows"]
    assert len(rows) == 2 + 4 * len(FAULTS)
    assert [row["ours"] for row in rows[:2]] == [[0, 10], [0, 10]]


def test_a_saturated_output_whose_gradient_is_0_is_judged() -> None:
    """Its bound has no end where 1 - a is 0; the gradient is 0 in every entry on both sides."""
    assert examine(14500018, faults=False, of=Range(more=False)).alarms["ours"] == []


@pytest.mark.every(2)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_random_pairs_in_half_precision_raise_no_alarm(dtype: str) -> None:
    of = Range((dtype,), 64)
    examined = [examine(seed, faults=False, of=of) for seed in range(40, 64)]
    assert {e.dtype for e in examined} == {dtype}
    assert {e.seed: e for e in examined if e.alarms["ours"] or e.unjudged} == {}
    # the hand's float32 is a part of what is compared: nobody else could be quiet here
    assert sum(bool(e.alarms["torch assert_close"]) for e in examined) > len(examined) / 2


@pytest.mark.parametrize("seed", [2171, 2190])
def test_products_that_read_subnormal_bfloat16_as_0(seed: int) -> None:
    """As AVX-512 does; the judge held torch to them."""
    assert (
        examine(seed, faults=False, of=Range(("bfloat16",), 1024, more=False)).alarms["ours"] == []
    )


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(13, id="addmm starts its sum at a bias far larger than the products"),
        pytest.param(93, id="the same in wide layers", marks=pytest.mark.slow),
        pytest.param(44, id="exp of a score of -1e21 makes the bound of the loss NaN"),
    ],
)
def test_pairs_that_once_raised_a_false_alarm(seed: int) -> None:
    assert examine(seed, of=Range(more=False)).alarms["ours"] == []
