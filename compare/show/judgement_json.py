"""A judgement for machines: no callables, and null for what is no number."""

import dataclasses
import json
from typing import Any

from torch_parity.compare.judge.judge import Judgement
from torch_parity.compare.numbers import json_safe


def to_json(j: Judgement, **more: Any) -> str:
    """JSON of the judgement, with whatever else belongs to it in front."""
    record: dict[str, Any] = {
        "passed": j.passed,
        **more,
        "wrong_sides": list(j.wrong_sides),
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
