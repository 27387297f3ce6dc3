"""The exact gradient check during training, on every Nth step."""

import json
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from rich.console import Console

from torch_parity import manual
from torch_parity.compare.errors import InputError
from torch_parity.compare.gradients.derivable import require_derivable
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.numbers import json_safe
from torch_parity.manual.gradients.exact_check import hold
from torch_parity.manual.models.step import Model, Tensors


@dataclass
class Seen:
    """The results so far, for every Nth step; failure is the first one."""

    every: int
    steps: list[int] = field(default_factory=list)
    difference: float = 0.0
    kinks: int = 0
    seconds: float = 0.0
    failure: str = ""

    @property
    def passed(self) -> bool:
        """True only if something was checked and all of it was right."""
        return bool(self.steps) and not self.failure

    def json(self) -> str:
        """The record as JSON."""
        record = {
            "passed": self.passed,
            "steps": self.steps,
            "difference": self.difference,
            "kinks": self.kinks,
            "seconds": self.seconds,
            "failure": self.failure,
        }
        return json.dumps(json_safe(record), indent=1)

    def show(self, console: Console, whole: float) -> None:
        """Print the result, and the share of the run's time that the checks took."""
        cost = f"{self.seconds:.1f} s, {self.seconds / whole:.0%} of the run"
        if self.failure:
            console.print(f"[bold red]FAIL[/] gradients, {self.failure} ({cost})", highlight=False)
            return
        console.print(
            f"Gradients: {len(self.steps)} steps compared with the exact derivative, greatest "
            f"difference {self.difference:.1e}, right to rounding ({cost})",
            highlight=False,
            soft_wrap=True,
        )


@dataclass
class Gradchecks:
    """Checks every step whose number is a multiple of `every`."""

    net: Model
    seen: Seen

    def __call__(
        self,
        step: int,
        params: Tensors,
        x: np.ndarray,
        y: np.ndarray,
        masks: Tensors,
        by_hand: Tensors,
        by_torch: Tensors,
    ) -> None:
        """Check a step: its parameters, batch and masks, and the gradients of both sides."""
        seen = self.seen
        if step % seen.every:
            return
        began = perf_counter()
        exact = manual.exact_gradient(self.net, params, x, y, masks)
        for side, gradients in zip(SIDES, (by_hand, by_torch), strict=True):
            c = hold(exact, self.net, params, x, y, masks, gradients)
            seen.difference = max(seen.difference, c.difference)
            if not c.passed and not seen.failure:
                seen.failure = f"step {step}, {side}: {c.verdict}"
        seen.kinks += exact.kinks
        seen.steps.append(step)
        seen.seconds += perf_counter() - began


def prepare(net: Model, every: int | None, steps: int, dtype: str) -> Gradchecks | None:
    """None where it is off.

    Raises:
        InputError: nothing would be checked, or not in float64, or the exact gradient of this
            model cannot be derived.
    """
    if every is None:
        return None
    if every > steps:
        raise InputError(
            f"--gradcheck {every}: there are only {steps} steps, so none would be checked; give a "
            "lower number"
        )
    if dtype != "float64":
        raise InputError(f"gradients are checked in float64: leave --dtype {dtype} out")
    require_derivable(net)
    return Gradchecks(net, Seen(every))
