"""The survey of benchmarks/false_alarms.py in small: few pairs, but over its whole range."""

import pytest

from benchmarks.false_alarms import BIAS, ENTRY, FAULTS, examine, report


def test_random_pairs_raise_no_alarm_and_planted_faults_are_seen() -> None:
    examined = [examine(seed) for seed in range(20, 40)]
    assert {e.seed: e.alarms["ours"] for e in examined if e.alarms["ours"]} == {}
    for e in examined:
        assert e.planted.keys() >= {ENTRY, BIAS}
        for fault, planted in e.planted.items():
            if e.dtype == "float64" and fault != ENTRY and not planted.harmless:
                assert planted.seen["ours"], f"seed {e.seed}, {fault}: {planted}"
    rows = report(examined)["rows"]
    assert len(rows) == 2 + 4 * len(FAULTS)
    assert [row["ours"] for row in rows[:2]] == [[0, 10], [0, 10]]


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(13, id="addmm starts its sum at a bias far larger than the products"),
        pytest.param(93, id="the same in wide layers"),
        pytest.param(44, id="exp of a score of -1e21 makes the bound of the loss NaN"),
    ],
)
def test_pairs_that_once_raised_a_false_alarm(seed: int) -> None:
    assert examine(seed).alarms["ours"] == []
