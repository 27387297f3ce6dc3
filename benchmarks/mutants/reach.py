"""Which tests run which lines of manual/, and how much processor time they take: found once by
coverage.py."""

import hashlib
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.mutants.child import in_child

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "manual"
KEPT = ROOT / "build" / "mutants"
# The test files that are about manual/. The others run it as part of something else; what they
# would find besides is not counted.
FILES = [
    f"tests/test_{name}.py"
    for name in (
        "accumulation", "activations", "attention", "bias_variance", "block_gradient",
        "char_lstm", "check_gradient", "conventions", "conventions_images", "digits", "dropout",
        "elementary", "erf", "exact_bounds", "exact_check", "exact_gradient", "exact_models",
        "extend", "followed", "gpt", "gradcheck_command", "gradient_check", "image_bounds",
        "image_models", "initialization", "law", "losses", "manual_values", "network",
        "not_finite", "onnx_images", "operations", "optimizers", "plain_programs", "recording",
        "recurrent", "residual", "same_bits", "schedules", "second_formula", "sequences",
        "sharded", "steps", "tangents", "training_state", "twins",
    )
]  # fmt: skip


@dataclass
class Reach:
    """lines are those that a test runs, by file; of a whole test file, at_import are those that run
    while it is imported and its tests are collected."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    at_import: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def running(self, file: str, lines: range) -> list[str]:
        """The tests that run any of these lines, the quick and narrow ones first."""
        found = [t for t, of in self.lines.items() if not of.get(file, set()).isdisjoint(lines)]
        return sorted(found, key=self.price)

    def is_run_at_import(self, file: str, function: str, line: int) -> bool:
        """Whether a line runs while its module is imported: all that no function holds does, also
        the numbers in a table, of which Python tells no lines."""
        return not function or function.endswith(".") or line in self.at_import[file]

    def price(self, test: str) -> float:
        """Seconds, times the lines of manual/ that it runs: a test of one thing is cheap."""
        return (0.01 + self.seconds.get(test, 0.0)) * sum(map(len, self.lines[test].values()))


def reach_of_tests() -> Reach:
    """The map of all FILES; a test file is run again if it or manual/ has changed."""
    KEPT.mkdir(parents=True, exist_ok=True)
    code = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(MANUAL.rglob("*.py"))))
    found = Reach()
    for file in FILES:
        state = code.copy()
        state.update((ROOT / file).read_bytes())
        kept = KEPT / f"{Path(file).stem}-{state.hexdigest()[:16]}.json"
        if not kept.exists():
            made = in_child(lambda file=file: _traced(file), limit=1200)
            if made is None or made["failed"]:
                raise SystemExit(f"{file} fails without any mutant: {made}")
            kept.write_text(json.dumps(made))
        of_file = json.loads(kept.read_text())
        found.seconds |= of_file["seconds"]
        for test, of in of_file["lines"].items():
            if test:
                found.lines[test] = {source: set(lines) for source, lines in of.items()}
            else:
                for source, lines in of.items():
                    found.at_import[source] |= set(lines)
    return found


class _Trace:
    """A pytest plugin: tells coverage.py which test is running, and keeps its processor time."""

    def __init__(self) -> None:
        from coverage import Coverage

        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []
        self.coverage = Coverage(data_file=None, config_file=False, include=[f"{MANUAL}/*"])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):  # type: ignore[no-untyped-def]
        self.coverage.switch_context(item.nodeid)
        begun = time.process_time()
        result = yield
        self.seconds[item.nodeid] += time.process_time() - begun
        self.coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def lines(self) -> dict[str, dict[str, list[int]]]:
        """{test: {file: lines}}; the test "" is the import."""
        found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        data = self.coverage.get_data()
        for path in data.measured_files():
            file = str(Path(path).relative_to(MANUAL))
            for line, tests in data.contexts_by_lineno(path).items():
                for test in tests:
                    found[test][file].append(line)
        return found


def _traced(file: str) -> dict[str, object]:
    trace = _Trace()
    trace.coverage.start()
    status = pytest.main([file, *OPTIONS], plugins=[trace])
    trace.coverage.stop()
    failed = trace.failed or ([str(status)] if status else [])
    lines = trace.lines()
    seconds = {test: s for test, s in trace.seconds.items() if test in lines}
    return {"seconds": seconds, "lines": lines, "failed": failed}


OPTIONS = (
    "-x", "-qq", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly",
    "--hypothesis-seed=0", "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip
