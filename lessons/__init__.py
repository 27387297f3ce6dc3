"""The course as experiments, one file a lesson, each run on both sides; and their register.

LESSONS has them by name, in ORDER. Lessons import torch, so LESSONS is made when it is first used;
`contents` tells what there is without it.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch_parity.compare.errors import InputError, suggest

if TYPE_CHECKING:
    from torch_parity.lessons.lesson import Lesson

    LESSONS: dict[str, Lesson]

# The files, in the order of a course.
ORDER = (
    "forward",
    "activations",
    "why_nonlinear",
    "backprop",
    "initialization",
    "bias_variance",
    "regularization",
    "dropout",
    "gradient_check",
    "planar",
    "optimizers",
    "adamw",
    "schedules",
    "convolution",
    "batch_norm",
    "residual",
    "recurrent",
    "attention",
    "transformer",
    "backprop_ninja",
)


def contents() -> list[tuple[str, str, tuple[str, ...]]]:
    """(name, the idea in one line, headings of the notes) of each lesson, read off its file."""
    found = []
    for file in ORDER:
        tree = ast.parse(Path(__file__).with_name(f"{file}.py").read_text("utf-8"))
        line = (ast.get_docstring(tree) or "").splitlines()[0]
        made = next(
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LESSON"
        )
        assert isinstance(made, ast.Call)
        name, headings = (ast.literal_eval(given) for given in made.args[:2])
        found.append((name, line, headings))
    return found


def find(name: str) -> "Lesson":
    """The lesson of this name.

    Raises:
        InputError: there is none.
    """
    lessons = _lessons()
    if name not in lessons:
        raise InputError(f"no lesson {name!r}: {suggest(name, lessons)}")
    return lessons[name]


@cache
def _lessons() -> "dict[str, Lesson]":
    made = (import_module(f"torch_parity.lessons.{file}").LESSON for file in ORDER)
    return {lesson.name: lesson for lesson in made}


def __getattr__(name: str) -> Any:
    if name == "LESSONS":
        return _lessons()
    raise AttributeError(name)
