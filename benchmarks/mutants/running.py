"""One mutant: put it in the place of the code, and run the tests that reach it."""

import ast
import gc
import importlib.abc
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from benchmarks.mutants.child import in_child
from benchmarks.mutants.mutators import Mutant, mutated
from benchmarks.mutants.reach import MANUAL, OPTIONS, Reach

SECONDS = 40.0  # processor time of the tests of one mutant; what later ones find is not counted
# look at the classes and signatures themselves, so they run none of their lines
OF_DEFINITIONS = (
    "tests/test_manual_values.py::test_values_cannot_be_changed",
    "tests/test_manual_values.py::test_what_a_model_has_can_be_asked",
    "tests/test_manual_values.py::test_models_have_torchs_defaults",
    "tests/test_optimizers.py::test_the_defaults_are_torchs_or_the_courses",
    "tests/test_operations.py::test_the_defaults_are_torchs_in_forward_and_backward",
)
NO_ANSWER = "the tests crash or do not end"
FIRST = 6  # tests: most mutants are killed by them, and the others need not be collected


@cache
def source_of(file: str) -> str:
    """A file of manual/ as it was at first: it may be edited while a survey runs."""
    return (MANUAL / file).read_text("utf-8")


@dataclass
class Runner:
    """Runs mutants one after another; tests that found others in the same function come first."""

    reach: Reach
    kills: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    collected: dict[str, pytest.Item] = field(default_factory=dict)

    def tests_for(self, mutant: Mutant) -> list[str]:
        """The tests that reach it, as many as fit into SECONDS."""
        lines = range(mutant.line, mutant.line + 1)
        if self.reach.is_run_at_import(mutant.file, mutant.function, mutant.line):
            lines = _lines_concerned(mutant)
        reach = self.reach.running(mutant.file, lines)
        if not mutant.function or mutant.function.endswith("."):
            reach = [*OF_DEFINITIONS, *reach]
        kills = self.kills[mutant.file, mutant.function]
        chosen, seconds = [], 0.0
        for test in sorted(reach, key=lambda t: -kills[t]):
            seconds += self.reach.seconds.get(test, 0.0)
            if chosen and seconds > SECONDS:
                break
            chosen.append(test)
        return chosen

    def killer(self, mutant: Mutant) -> str | None:
        """The test that fails, or why it counts as one; None if the mutant survives.

        While nothing of the project has been imported here, the mutant is imported in the place of
        its module; once the tests are collected, the function is changed where it is."""
        tests = self.tests_for(mutant)
        for some in (tests[:FIRST], tests[FIRST:]):
            if not some:
                continue
            limit = 60 + 4 * sum(self.reach.seconds.get(t, 0.0) for t in some)
            found = in_child(lambda some=some: self._tried(mutant, some), limit)  # type: ignore[misc]
            if found is None:
                return NO_ANSWER
            if found["killer"]:
                self.kills[mutant.file, mutant.function][found["killer"]] += 1
                return str(found["killer"])
        return None

    def _tried(self, mutant: Mutant, tests: Sequence[str]) -> dict[str, str]:
        path = MANUAL / mutant.file
        code = mutated(source_of(mutant.file), mutant, path)
        if not self.collected:
            sys.meta_path.insert(0, _Finder(_module(mutant.file), path, code))
            watch = _Watch()
            status = pytest.main([*tests, *OPTIONS], plugins=[watch])
            gone = "" if status in (0, 5) else "the tests cannot be imported"
            return {"killer": watch.killer or gone}
        _exchange(mutant, path, code)
        return {"killer": _first_failing([self.collected[t] for t in tests])}


def _lines_concerned(mutant: Mutant) -> range:
    """A default concerns its function; a field, a constant or a decorator the whole module."""
    for node in ast.parse(source_of(mutant.file)).body:
        if isinstance(node, ast.FunctionDef) and node.lineno <= mutant.line <= node.body[0].lineno:
            return range(node.lineno + 1, (node.end_lineno or 0) + 1)
    return range(1, 10**6)


class _Watch:
    """A pytest plugin that keeps the first test that fails."""

    killer = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.killer:
            self.killer = report.nodeid


def _first_failing(items: list[pytest.Item]) -> str:
    watch = _Watch()
    items[0].config.pluginmanager.register(watch)
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if watch.killer:
            break
    return watch.killer


def _module(file: str) -> str:
    parts = Path(file).with_suffix("").parts
    return ".".join(["torch_parity.manual", *(p for p in parts if p != "__init__")])


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        super().__init__(name, str(path))
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        return self.code


class _Finder(importlib.abc.MetaPathFinder):
    """Hands out the mutant in the place of its module."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self.module, self.path, self.code = module, path, code

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        return spec_from_file_location(
            name, self.path, loader=_Loader(name, self.path, self.code),
            submodule_search_locations=[str(MANUAL)] if self.path.name == "__init__.py" else None,
        )  # fmt: skip


def _exchange(mutant: Mutant, path: Path, code: CodeType) -> None:
    """Give the functions that hold the mutant its code; whoever imported them keeps them."""
    new = {(c.co_qualname, c.co_firstlineno): c for c in _codes(code)}
    places = [
        f
        for f in gc.get_objects()
        if type(f) is FunctionType  # isinstance would wake up lazy proxies
        and f.__code__.co_filename == str(path)
        and f.__code__.co_qualname == mutant.function
    ]
    if not places:
        raise LookupError(f"no function {mutant.function} of {path} in memory")
    for function in places:
        function.__code__ = new[mutant.function, function.__code__.co_firstlineno]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
