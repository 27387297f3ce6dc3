"""JSON has no NaN and no infinity."""

import math


def json_safe(value: object) -> object:
    """The same record with null for every NaN and infinity."""
    if isinstance(value, dict):
        return {k: json_safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
