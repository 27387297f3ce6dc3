"""A judgement as JSON: without callables, and with null for NaN and infinity."""

import dataclasses
import json
from typing import Any

from torch_parity.compare.judge.judge import Judgement
from torch_parity.compare.numbers import json_safe


def to_json(j: Judgement, **more: Any) -> str:
    """The judgement as JSON, with additional fields in front."""
    record: dict[str, Any] = {
        "outcome": j.outcome,
        "passed": j.passed,
        **more,
        "wrong_sides": list(j.wrong_sides),
        "given_zeros": list(j.given_zeros),
        "zeros": list(j.zeros),
        "last_agreeing": j.last_agreeing,
        "consequences": list(j.consequences),
        "root": dataclasses.asdict(j.root) if j.root else None,
        "causes": {
            side: {
                "verdict": d.verdict,
                "alternatives": [
                    [{"name": e.cause.name, "tensors": list(e.tensors)} for e in a]
                    for a in d.alternatives
                ],
                "unexplained": list(d.unexplained),
            }
            for side, d in j.diagnoses.items()
        },
        "differences": [dataclasses.asdict(d) for d in j.differences],
        "replays": {side: [dataclasses.asdict(r) for r in rs] for side, rs in j.replays.items()},
    }
    return json.dumps(json_safe(record))
