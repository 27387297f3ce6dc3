"""The code for each statement of the course's notes: docs/course.toml, as records."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Named:
    """Some definitions of one file."""

    path: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One statement in our words. at is its number in the notes; lesson is the lesson that runs
    by_hand and in_torch, which is empty where torch has nothing for it."""

    at: str
    en: str
    zh: str
    lesson: str
    by_hand: tuple[Named, ...]
    in_torch: tuple[Named, ...]
    tests: tuple[Named, ...]


@dataclass(frozen=True)
class Heading:
    """A heading of the notes, as it stands there and in English."""

    notes: str
    en: str
    statements: tuple[Statement, ...]


def named(text: str) -> Named:
    """PATH: name, name"""
    path, _, names = text.strip().partition(":")
    return Named(path.strip(), tuple(name.strip() for name in names.split(",") if name.strip()))


@cache
def headings() -> tuple[Heading, ...]:
    """Every heading with its statements, in the notes' order.

    Raises:
        KeyError: an entry lacks a field.
        TypeError: an entry has an unknown field.
    """
    with (ROOT / "docs" / "course.toml").open("rb") as file:
        read = tomllib.load(file)
    return tuple(
        Heading(h["notes"], h["en"], tuple(_statement(**s) for s in h["statements"]))
        for h in read["headings"]
    )


def _statement(
    *,
    at: str,
    en: str,
    zh: str,
    lesson: str,
    by_hand: list[str],
    tests: list[str],
    in_torch: list[str] | None = None,
) -> Statement:
    files = (tuple(map(named, texts)) for texts in (by_hand, in_torch or [], tests))
    return Statement(at, en, zh, lesson, *files)
