"""Source text from the files: whole definitions by name, signatures and docstrings."""

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
MARK = re.compile(r" *# noqa.*$", re.M)  # with the reason that may stand behind it

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@cache
def text_of(path: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / path).read_text("utf-8")


@cache
def _body(path: str) -> ast.Module:
    return ast.parse(text_of(path))


def definitions(path: str) -> dict[str, Definition]:
    """The top-level definitions of a file by name, and methods as Class.method."""
    found: dict[str, Definition] = {}
    for node in _body(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        if isinstance(node, ast.ClassDef):
            methods = (n for n in node.body if isinstance(n, ast.FunctionDef))
            found |= {f"{node.name}.{n.name}": n for n in methods}
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def excerpt(path: str, names: Sequence[str]) -> str:
    """The definitions of these names, word for word; the whole file if there are none.

    Raises:
        KeyError: the file defines no such name.
    """
    if not names:
        return text_of(path)
    known, lines = definitions(path), text_of(path).splitlines()
    parts = []
    for name in names:
        if name not in known:
            raise KeyError(f"{path} defines no {name!r}; it has {', '.join(known)}")
        node = known[name]
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)])
        parts.append(textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno])))
    return "\n\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class Described:
    """One public name: its file, its signature and its docstring."""

    name: str
    path: str
    signature: str
    text: str


def folder_of(package: str) -> str:
    """The folder that holds a package: manual/ holds torch_parity.manual (see pyproject.toml)."""
    inside = package.removeprefix("torch_parity").removeprefix(".").replace(".", "/")
    return inside or "src/torch_parity"


def public(package: str) -> list[Described]:
    """The public names of a package: those of its __all__, or of its files if it has none."""
    folder = folder_of(package)
    initial = f"{folder}/__init__.py"
    imported = {
        alias.name: f"{folder_of(node.module)}.py"
        for node in ast.walk(_body(initial))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    if "__all__" in definitions(initial):
        value = definitions(initial)["__all__"].value  # type: ignore[union-attr]
        public_names = ast.literal_eval(value)  # type: ignore[arg-type]
        names = [(name, imported[name]) for name in public_names if name in imported]
    else:
        files = sorted((ROOT / folder).rglob("*.py"))
        paths = [f.relative_to(ROOT).as_posix() for f in files if not f.name.startswith("__")]
        names = [
            (name, path)
            for path in paths
            for name, node in definitions(path).items()
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and name[0] != "_"
            and "." not in name
        ]
    return [described(path, name) for name, path in names]


def described(path: str, name: str) -> Described:
    """A name with its signature and docstring."""
    node = definitions(path)[name]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return Described(name, path, _signature(path, node), ast.get_docstring(node) or "")
    return Described(name, path, ast.unparse(node), "")


def _signature(path: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    """The text above the docstring, without the linter's marks; for a class also its public fields
    and methods."""
    lines = text_of(path).splitlines()[node.lineno - 1 : node.body[0].lineno - 1]
    parts = [MARK.sub("", textwrap.dedent("\n".join(lines)))]
    for inner in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            parts.append(f"    {inner.target.id}: {_type(inner.annotation)}")
        if isinstance(inner, ast.FunctionDef) and inner.name[0] != "_":
            parts.append(textwrap.indent(_signature(path, inner), "    "))
    return "\n".join(parts)


def _type(annotation: ast.expr) -> str:
    """As it is written; of Annotated[type, ...] the type alone."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        assert isinstance(annotation.slice, ast.Tuple)
        return ast.unparse(annotation.slice.elts[0])
    return ast.unparse(annotation)
