"""Which line of the user's program makes a call."""

import re
import sys
import sysconfig
from pathlib import Path

import torch

# Frames of torch and of the judge are never the user's line.
NOT_THE_USERS = (
    str(Path(torch.__file__).parent),
    str(Path(__file__).parents[1]),
    "<",
)
STEP = str(Path(__file__).with_name("step.py"))  # which calls the model
COMMANDS = str(Path(__file__).parents[1] / "cli")
SCRIPTS = re.escape(sysconfig.get_path("scripts"))
INSTALLED = re.compile(rf"{SCRIPTS}[\\/]|.*[\\/](?:site|dist)-packages[\\/]").match


def users_line() -> str:
    """The innermost line of the user's program, "model.py:12"; none if a command of ours runs
    modules of torch alone. A model may be in an installed package; what called the judge is the
    user's only if it is not installed."""
    frame, in_the_step = sys._getframe(1), True
    while frame is not None and not frame.f_code.co_filename.startswith(COMMANDS):
        name = frame.f_code.co_filename
        in_the_step &= name != STEP
        if not name.startswith(NOT_THE_USERS) and (in_the_step or not INSTALLED(name)):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
