"""torch's own samples of its modules: an identical copy never fails, and no sample crashes us."""

from collections import defaultdict
from collections.abc import Iterator

import pytest

pytest.importorskip("expecttest", reason="torch's samples need it")

from benchmarks.module_db import Outcome, lines, survey

TYPES = (
    "nn.Linear", "nn.Conv2d", "nn.ConvTranspose1d", "nn.BatchNorm1d", "nn.GroupNorm", "nn.GELU",
    "nn.MaxPool2d", "nn.FractionalMaxPool2d", "nn.LPPool1d", "nn.LSTM", "nn.LazyLinear",
    "nn.Embedding", "nn.KLDivLoss", "nn.MultiMarginLoss", "nn.MultiLabelMarginLoss",
    "nn.CTCLoss", "nn.LazyConv1d", "nn.MultiheadAttention",
)  # fmt: skip


def right(outcomes: Iterator[Outcome]) -> list[Outcome]:
    found = list(outcomes)
    bad = [o for o in found if o.outcome in ("FAIL", "crashed")]
    assert not bad, "\n".join(f"{o.module} {o.dtype} {o.sample}: {o.reasons}" for o in bad)
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_identical_copies_of_torchs_samples_never_fail() -> None:
    found = right(survey(TYPES, most=2))
    answers: dict[str, set[str]] = defaultdict(set)
    for o in found:
        answers[o.module].add(o.outcome)
    for name, of_type in answers.items():
        assert "PASS" in of_type, (name, of_type)


def test_the_tables_count_samples_and_types() -> None:
    made = [
        Outcome("nn.A", "float32", 0, "PASS"),
        Outcome("nn.A", "float64", 0, "PASS"),
        Outcome("nn.B", "float32", 0, "UNJUDGED", ("aten::b has no | bound",)),
    ]
    text = list(lines(made))
    assert "| PASS | 2 | 1 |" in text
    assert "| UNJUDGED | 1 | 1 |" in text
    assert text[-1] == "| `nn.B` | 0 | 1 | 0 | aten::b has no \\| bound |"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_sample_of_every_type() -> None:
    right(survey(most=8))
