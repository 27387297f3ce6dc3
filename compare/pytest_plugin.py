"""pytest: the fixture `parity`, and --parity-report DIR, which stores a summary and the judge's
report of every test that fails by parity. It is loaded in every test run, so slow modules are
imported on use."""

import re
import warnings
from collections.abc import Generator
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from torch_parity.compare import pytest_summary as summary
from torch_parity.compare.errors import InputError, ParityError

if TYPE_CHECKING:
    from torch_parity.compare.aten.pair_report import ModulesReport
    from torch_parity.compare.aten.report import ModelReport
    from torch_parity.compare.judge.outcome import Required
    from torch_parity.compare.judge.report import Report

Kind = TypeVar("Kind", bound="Required")


class ParityReportWarning(pytest.PytestWarning):
    """A report could not be written."""


class ParityUnjudgedWarning(pytest.PytestWarning):
    """Nothing is wrong, but not everything was judged (only with parity_strict = false)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """--parity-report DIR, and in the ini file parity_report and parity_strict."""
    parser.getgroup("torch-parity").addoption(
        "--parity-report",
        metavar="DIR",
        type=Path,
        help="folder for summary.md, and for the report, JSON and TensorBoard run of each test "
        "that fails by parity",
    )
    parser.addini("parity_report", "folder of --parity-report, if that is not given")
    parser.addini(
        "parity_strict",
        "whether UNJUDGED fails a test (the default), or is a warning",
        type="bool",
        default=True,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse settings of the ini file that have no meaning.

    Raises:
        UsageError: parity_strict is neither yes nor no; the folder is written with quotes.
    """
    try:
        config.getini("parity_strict")
    except (ValueError, TypeError, pytest.UsageError) as error:  # by version of pytest
        raise pytest.UsageError(
            f"parity_strict: {error}; expected true, yes, on or 1, or false, no, off or 0"
        ) from None
    folder = config.getini("parity_report").strip()
    if folder[:1] in ("'", '"'):
        raise pytest.UsageError(
            f"parity_report is {folder}, with its quotes; in an ini file write it without them: "
            f"parity_report = {folder.strip(folder[0])}"
        )


class Parity:
    """The fixture: an assertion for each kind of comparison, and every name of `torch_parity`.

    Each assertion takes what the function of the same kind takes, and returns its report.

    Raises:
        ParityError: (an AssertionError, by each assertion) something is wrong, or, unless
            parity_strict is false, could not be judged.
        InputError: see the function.
    """

    def __init__(self, node: pytest.Item) -> None:
        self._node = node
        self._strict: bool = node.config.getini("parity_strict")

    def arrays(self, mine: Any, start: Any, **options: Any) -> "Report":
        """Arrays of your own are those of a step: `check`."""
        __tracebackhide__ = True
        return self._required(torch_parity().check(mine, start, **options))

    def modules(self, a: Any, b: Any, *inputs: Any, **options: Any) -> "ModulesReport":
        """Two torch models compute the same: `check_modules`."""
        __tracebackhide__ = True
        return self._required(torch_parity().check_modules(a, b, *inputs, **options))

    def model(self, model: Any, *inputs: Any, **options: Any) -> "ModelReport":
        """Every operation of one torch model is right: `check_model`."""
        __tracebackhide__ = True
        return self._required(torch_parity().check_model(model, *inputs, **options))

    def module(self, module: Any, mine: Any, *inputs: Any, **options: Any) -> "ModulesReport":
        """Arrays of your own are those of a torch module: `check_module`."""
        __tracebackhide__ = True
        return self._required(torch_parity().check_module(module, mine, *inputs, **options))

    def assert_parity(self, mine: Any, start: Any, **options: Any) -> "Report":
        """As the function of this name: like arrays, and UNJUDGED always fails."""
        __tracebackhide__ = True
        return self._required(torch_parity().check(mine, start, **options), strict=True)

    def _required(self, report: Kind, strict: bool = False) -> Kind:
        __tracebackhide__ = True
        report.require(strict=strict or self._strict)
        note(self._node, report.short)
        if report.outcome == "UNJUDGED":
            _warn(self._node, report.short, ParityUnjudgedWarning)
        return report

    def __getattr__(self, name: str) -> Any:
        return getattr(torch_parity(), name)


def torch_parity() -> ModuleType:
    """The package, whose names import torch when they are first used."""
    import torch_parity

    return torch_parity


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Parity:
    """parity.arrays(mine, start), parity.modules(a, b, x), parity.model(model, x),
    parity.module(module, mine, x): assertions without a tolerance. It has the names of torch_parity
    too: parity.given(parity.Case(...))."""
    return Parity(request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store the judge's report of a failure, and add its folder to pytest's output.

    An exception here would end the whole session, so a report that cannot be written is a warning.
    """
    found = yield
    failure = call.excinfo.value if call.excinfo else None
    if isinstance(failure, InputError):
        note(item, f"ERROR {failure}")
    elif isinstance(failure, ParityError):
        note(item, failure.report.short)
    found.user_properties = list(item.user_properties)
    if not isinstance(failure, ParityError):
        return found
    folder = report_folder(item.config)
    if folder is not None:
        try:
            kept = folder / _folder_name(item.nodeid, call.when)
            # a test may have changed the working directory
            _write(item.config.invocation_params.dir / kept, failure)
        except Exception as error:
            said = f"the report of {item.nodeid} was not written: {error}"
            found.sections.append(("parity report", said))
            _warn(item, said)
        else:
            found.sections.append(("parity report", str(kept)))
    return found


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write DIR/summary.md: what each test compared, and how it ended. (With xdist this runs in the
    process that has all results.)"""
    folder = report_folder(config)
    if folder is None:
        return
    reports = (report for of_a_kind in terminalreporter.stats.values() for report in of_a_kind)
    lines = summary.lines(report for report in reports if isinstance(report, pytest.TestReport))
    file = config.invocation_params.dir / folder / "summary.md"
    try:
        summary.write(file, lines)
    except OSError as error:
        terminalreporter.write_line(f"{file} cannot be written: {error.strerror}", red=True)
    else:
        terminalreporter.write_line(f"parity: {folder / 'summary.md'}")


def report_folder(config: pytest.Config) -> Path | None:
    """Where the reports go, if anywhere: of the option, else of the ini file."""
    given: Path | None = config.getoption("--parity-report")
    in_file = config.getini("parity_report")
    return given or (Path(in_file) if in_file else None)


def note(item: pytest.Item, line: str) -> None:
    """Keep a line of the summary as a property of the test: JUnit files have those."""
    item.user_properties.append((summary.PROPERTY, " ".join(line.split())))


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


def _warn(
    item: pytest.Item, said: str, kind: type[pytest.PytestWarning] = ParityReportWarning
) -> None:
    """A line of pytest's summary of warnings. It never raises, also not under -W error."""
    path, line, _ = item.location
    warning = warnings.WarningMessage(kind(said), kind, path, line or 0)
    item.ihook.pytest_warning_recorded.call_historic(
        kwargs={
            "warning_message": warning,
            "when": "runtest",
            "nodeid": item.nodeid,
            "location": None,
        }
    )
