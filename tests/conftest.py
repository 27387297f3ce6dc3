"""One thread for each library (the workers of pytest-xdist are the parallelism), and hypothesis
settings that print what is needed to repeat a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(pool, "1")

import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile(
    "parity", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("parity")


@pytest.fixture(scope="session")
def site() -> Path:
    """The book, built as `make docs` builds it; a warning of any kind is a failure."""
    root = Path(__file__).parent.parent
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    for command in (["book"], ["mkdocs", "build", "--strict"]):
        ran = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "WARNING" not in ran.stdout + ran.stderr, ran.stderr
    return root / "build" / "site"
