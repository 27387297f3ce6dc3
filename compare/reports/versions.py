"""What a run was made with, kept beside its numbers: they may differ with another torch."""

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Name -> version of this package, Python and the two libraries that compute."""
    libraries = {name: version(name) for name in ("torch-parity", "numpy", "torch")}
    return {"python": platform.python_version(), **libraries}
