"""docs/course.toml: every heading of the course's notes, and nothing that does not exist or run."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from book import source
from book.course import Named, Statement, headings
from book.shorthand import EXPAND, Here
from torch_parity.compare import threads
from torch_parity.lessons import LESSONS

ROOT = Path(__file__).parents[1]
STATEMENTS = [s for heading in headings() for s in heading.statements]

# What a lesson does not run: torch is given a copy of the numbers that were drawn by hand.
# tests/test_initialization.py draws them with torch.
COPIED = "torch_ref/initialization.py"

STEPS = 2  # of each training: enough to run every function, too few to learn


def functions(files: tuple[Named, ...]) -> Iterator[tuple[str, str]]:
    """Every (file, name)."""
    for of in files:
        assert of.names, of.path
        yield from ((of.path, name) for name in of.names)


def test_every_heading_of_the_notes_is_there_and_has_its_lesson() -> None:
    covered = [heading for lesson in LESSONS.values() for heading in lesson.headings]
    assert [h.notes for h in headings()] == [
        "计算神经网络的输出",
        "激活函数",
        "反向传播 （Back Propagation）",
        "初始化参数",
        "Bias和Variance",
        "正则化",
        "Grad check",
        "What is L2-regularization actually doing?",
        "Dropout",
        "梯度检验",
    ]
    for heading in headings():
        assert heading.notes in covered
        named = {lesson.name for lesson in LESSONS.values() if heading.notes in lesson.headings}
        assert {s.lesson for s in heading.statements} & named, heading.notes


def test_every_statement_names_what_exists() -> None:
    for s in STATEMENTS:
        assert s.lesson in LESSONS, s.en
        assert s.tests, s.en
        for path, name in functions(s.by_hand + s.in_torch + s.tests):
            assert name in source.definitions(path), f"{s.en}: {path} does not define {name}"
        assert all(of.path.startswith("manual/") for of in s.by_hand), s.en
        assert all(of.path.startswith("torch_ref/") for of in s.in_torch), s.en
        assert all(name.startswith("test_") for _, name in functions(s.tests)), s.en


def test_every_statement_is_on_the_page_in_both_languages() -> None:
    for language in ("en", "zh"):
        page = EXPAND["course"](Here(language, "", "course.md"), "")
        rows = [line for line in page.splitlines() if line.startswith("| ")]
        assert len(rows) == len(STATEMENTS) + 2 * len(headings())  # and the head of each table
        for s in STATEMENTS:
            assert s.by_hand[0].path in page


def test_a_statement_without_test_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Statement("1", "bare", "无", "forward", (), (), ())
    monkeypatch.setattr(f"{__name__}.STATEMENTS", [bare])
    with pytest.raises(AssertionError, match="bare"):
        test_every_statement_names_what_exists()


def run(lesson: str) -> set[tuple[str, str]]:
    """(file, name) of everything of manual/ and torch_ref/ that the lesson runs."""
    codes = set()

    def note(frame: FrameType, event: str, given: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    with threads.limited(1):
        sys.setprofile(note)
        try:
            LESSONS[lesson].measure(0)
        finally:
            sys.setprofile(None)
    inside = [(Path(code.co_filename), code.co_qualname) for code in codes]
    return {
        (file.relative_to(ROOT).as_posix(), part)
        for file, name in inside
        if file.is_relative_to(ROOT)
        for part in (name, name.partition(".")[0])
    }


@pytest.mark.slow
@pytest.mark.parametrize("lesson", sorted({s.lesson for s in STATEMENTS}))
def test_the_lesson_runs_what_stands_beside_it(
    lesson: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module(f"torch_parity.lessons.{lesson.replace('-', '_')}")
    if hasattr(module, "train"):
        train = module.train
        monkeypatch.setattr(
            module,
            "train",
            lambda case, *rest: train(case.model_copy(update={"steps": STEPS}), *rest),
        )
    ran = run(lesson)
    for s in STATEMENTS:
        if s.lesson == lesson:
            for path, name in functions(s.by_hand + s.in_torch):
                assert (path, name) in ran or path == COPIED, f"{s.en}: {path}: {name}"
    assert ("manual/ops/conv2d.py", "conv2d") not in ran
