"""pytest: the fixture `parity`, and --parity-report DIR, which stores the judge's report of every
test that fails by parity. It is loaded in every test run, so slow modules are imported on use."""

import re
import warnings
from collections.abc import Generator
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest

from torch_parity.compare.errors import ParityError


class ParityReportWarning(pytest.PytestWarning):
    """A report could not be written."""


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
    """Store the judge's report of a failure, and add its folder to pytest's output.

    An exception here would end the whole session, so a report that cannot be written is a warning.
    """
    found = yield
    folder: Path | None = item.config.getoption("--parity-report")
    if folder is not None and call.excinfo and isinstance(call.excinfo.value, ParityError):
        try:
            kept = folder / _folder_name(item.nodeid, call.when)
            # a test may have changed the working directory
            _write(item.config.invocation_params.dir / kept, call.excinfo.value)
        except Exception as error:
            said = f"the report of {item.nodeid} was not written: {error}"
            found.sections.append(("parity report", said))
            _warn(item, said)
        else:
            found.sections.append(("parity report", str(kept)))
    return found


def _write(kept: Path, failure: ParityError) -> None:
    from torch_parity.compare.judge.report import Report
    from torch_parity.compare.show.dashboard import write_report
    from torch_parity.compare.show.modules_json import Reports, write_model_report

    report = failure.report
    if isinstance(report, Report):
        write_report(kept, report)
    elif isinstance(report, Reports):
        write_model_report(kept, report)


def _folder_name(nodeid: str, when: str) -> str:
    """A folder name of its own for each test id, however long it is and whatever it contains; what
    fails in setup or teardown is kept beside what fails in the test."""
    name = nodeid if when == "call" else f"{nodeid} in {when}"
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:100]
    return f"{readable}-{sha256(name.encode(errors='surrogatepass')).hexdigest()[:12]}"


def _warn(item: pytest.Item, said: str) -> None:
    """A line of pytest's summary of warnings. It never raises, also not under -W error."""
    path, line, _ = item.location
    warning = warnings.WarningMessage(
        ParityReportWarning(said), ParityReportWarning, path, line or 0
    )
    item.ihook.pytest_warning_recorded.call_historic(
        kwargs={
            "warning_message": warning,
            "when": "runtest",
            "nodeid": item.nodeid,
            "location": None,
        }
    )
