"""The promise of the README on real data: 500 steps on the digits, dropout and L2 on."""

import numpy as np
import pytest

from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.runs import training
from torch_parity.compare.sources import pair


@pytest.mark.slow
def test_500_float64_steps_stay_within_1e_12() -> None:
    """Every z, a, h, dz, dW, db, W, b (and all else that is recorded), relative to the tensor's
    largest entry, each step from the same state."""
    case = Case(steps=500, log_every=100)
    loaded = data.load(case)
    seen = 0
    for record in training.Training(case, loaded, pair.build(case, loaded)):
        seen += 1
        for d in record.judgement.differences:
            assert d.passed, f"step {record.step}: {d}"
            assert d.relative <= 1e-12, f"step {record.step}: {d}"
        assert record.judgement.passed, f"step {record.step}: {record.judgement.root}"
    assert seen == 500
    names = {d.name for d in record.judgement.differences}
    expected = {f"{kind}{k}" for kind in ("z", "a", "dz", "dW", "db", "W", "b") for k in (1, 2, 3)}
    assert names >= expected | {"h0", "h1", "h2"}
    assert record.torch["accuracy/dev"] > 0.95
    assert record.manual["accuracy/dev"] == record.torch["accuracy/dev"]


def test_a_short_last_batch_is_trained_on() -> None:
    case = Case(data="moons", samples=100, batch=32, steps=7, hidden=(4,))
    sizes = [len(rows) for rows in training.batches(case, 80)]
    assert sizes == [32, 32, 16, 32, 32, 16, 32]
    one_epoch = np.concatenate(list(training.batches(Case(batch=32, steps=3), 80)))
    assert sorted(one_epoch) == list(range(80))
