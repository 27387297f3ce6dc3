"""Do two computations agree? If not: which operation is wrong first, why, and on which side.

For code of your own, `given(case)` is what a step begins from, `check(mine, case)` judges what you
made of it, and `assert_parity` does so in a test. Of any torch model `check_model(model, x)` judges
every ATen call; `check_modules(a, b, x)` says whether two models compute the same, and
`check_module(module, mine, x)` whether arrays by hand are a module's. `record_model(model, x)`
keeps a step, for a file that the first two take in the place of a model. `train_modules(a, b,
batches)` trains two models side by side, and judges each step. For a function and a backward of
your own there is `check_gradient(forward, backward, inputs, upstream)`.

Inside are the network by hand (`torch_parity.manual`), in torch (`torch_parity.torch_ref`), and
the judge (`torch_parity.compare`).
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch_parity.compare.aten.check import check_model, check_modules
    from torch_parity.compare.aten.check_arrays import check_module
    from torch_parity.compare.aten.recording import Recording, load_recording, record_model
    from torch_parity.compare.case import Case
    from torch_parity.compare.gradients.own_gradient import check_gradient
    from torch_parity.compare.sources.arrays.check import assert_parity, check
    from torch_parity.compare.sources.arrays.layout import COURSE, Layout
    from torch_parity.compare.sources.arrays.start import given
    from torch_parity.compare.train_modules import train_modules

    __version__: str

__all__ = [
    "COURSE",
    "Case",
    "Layout",
    "Recording",
    "__version__",
    "assert_parity",
    "check",
    "check_gradient",
    "check_model",
    "check_module",
    "check_modules",
    "given",
    "load_recording",
    "record_model",
    "train_modules",
]

_HOMES = {
    "Case": "case",
    "COURSE": "sources.arrays.layout",
    "Layout": "sources.arrays.layout",
    "given": "sources.arrays.start",
    "check": "sources.arrays.check",
    "assert_parity": "sources.arrays.check",
    "check_model": "aten.check",
    "check_modules": "aten.check",
    "check_module": "aten.check_arrays",
    "check_gradient": "gradients.own_gradient",
    "Recording": "aten.recording",
    "load_recording": "aten.recording",
    "record_model": "aten.recording",
    "train_modules": "train_modules",
}


# The parts are folders of their own in the repository: src/ on the path is an empty shell.
if find_spec("torch_parity.compare") is None:
    raise ImportError(
        "torch_parity is not installed, only its folder is on the path: run "
        "`pip install --editable .` in the repository"
    )


if not TYPE_CHECKING:  # to a type checker it would say that any name is there

    def __getattr__(name: str) -> Any:
        """Imported when it is first used: torch takes a second; `parity --help` does without."""
        if name == "__version__":
            from importlib.metadata import version

            return version("torch-parity")
        if name not in _HOMES:
            raise AttributeError(f"module 'torch_parity' has no attribute {name!r}")
        return getattr(import_module(f"torch_parity.compare.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
