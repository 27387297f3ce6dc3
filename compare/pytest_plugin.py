"""pytest: the fixture `parity`, and --parity-report DIR, which stores the judge's report of every
test that fails by parity. It is loaded in every test run, so slow modules are imported on use."""

import re
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest

from torch_parity.compare.errors import ParityError


def pytest_addoption(parser: pytest.Parser) -> None:
    """--parity-report DIR"""
    parser.getgroup("torch-parity").addoption(
        "--parity-report",
        metavar="DIR",
        type=Path,
        help="folder for the report, JSON and TensorBoard run of each test that fails by parity",
    )


@pytest.fixture
def parity() -> ModuleType:
    """parity.given(case), parity.check(mine, start), parity.assert_parity(mine, start)."""
    import torch_parity

    return torch_parity


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store the judge's report of a failure, and add its folder to pytest's output."""
    found = yield
    folder: Path | None = item.config.getoption("--parity-report")
    if folder is not None and call.excinfo and isinstance(call.excinfo.value, ParityError):
        from torch_parity.compare.judge.report import Report
        from torch_parity.compare.show.dashboard import write_report
        from torch_parity.compare.show.modules_json import Reports, write_model_report

        kept = folder / re.sub(r"[^\w.-]+", "-", item.nodeid).strip("-")
        report = call.excinfo.value.report
        if isinstance(report, Report):
            write_report(kept, report)
        elif isinstance(report, Reports):
            write_model_report(kept, report)
        found.sections.append(("parity report", str(kept)))
    return found
