"""What a report says of calls that could not be judged."""

from collections import Counter
from collections.abc import Iterator

from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.verdicts import CallVerdict

SHOWN = 6  # lines of a kind


def compiled_code(record: Record, called: str, compared: bool = False) -> Iterator[str]:
    """What compiled code means for the verdict."""
    if record.compiled:
        times = "once" if record.compiled == 1 else f"{record.compiled} times"
        made = ""
        if record.graphs:
            broken = f", graph breaks: {record.graph_breaks}" if record.graph_breaks else ""
            made = f" (graphs compiled: {record.graphs}{broken})"
        yield f"{called} runs compiled code {times}{made}, whose calls cannot be recorded: " + (
            "what it makes is held to twice the bound of the other model's calls."
            if compared
            else "not judged; compare it with its eager form by check_modules."
        )
    if record.eager_instead:
        yield (
            f"Not judged: compiled code that {called} calls in a function: while it is recorded, "
            "torch runs the eager form; compile a module instead."
        )


def not_judged(verdicts: tuple[CallVerdict, ...], of: str = "") -> Iterator[str]:
    """Which operations were not judged, how often, and why."""
    counted = Counter(v.reason or v.call.operation for v in verdicts)
    for reason, n in counted.most_common(SHOWN):
        yield f"Not judged{of} ({n} output{'s' if n > 1 else ''}): {reason}."
    if len(counted) > SHOWN:
        yield f"Not judged{of}: {len(counted) - SHOWN} more kinds."
