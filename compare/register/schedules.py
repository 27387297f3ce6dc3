"""The schedules of the learning rate: name -> function by hand, whose options are keyword-only."""

from collections.abc import Callable
from typing import Any

from torch_parity import manual

SCHEDULES: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (manual.step_lr, manual.cosine_lr)
}
