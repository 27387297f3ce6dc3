"""Every small change to a module's code that is tried, one at a time.

Not changed: annotations, protocols, type aliases, docstrings, imports, `__all__`, and the text of
errors (tests look at an error's type; the golden texts pin the words that a person reads).
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

OTHER_OPERATOR: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
# the limit moved to the other side, and the comparison turned round
OTHER_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
NOT_RUN = ("TypeVar", "ParamSpec", "ContextVar")
WITH_CONSTANTS = (ast.expr, ast.keyword, ast.arguments, ast.AnnAssign, ast.Assign, ast.Return)


@dataclass(frozen=True)
class Mutant:
    """change is `before -> after`; function is the outermost function or class method that holds
    it, "" at the level of the module or of a class; number tells equal changes in it apart.
    place is the position of the changed node in the walk over the module's tree, variant which of
    its changes it is."""

    file: str
    line: int
    function: str
    change: str
    number: int
    place: int
    variant: int

    @property
    def name(self) -> str:
        """What stays the same when lines move: how equivalent.toml refers to it."""
        again = f" #{self.number}" if self.number > 1 else ""
        return f"{self.file} {self.function}: {self.change}{again}"


def mutants_of(file: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    found: list[Mutant] = []
    seen: Counter[tuple[str, str]] = Counter()
    parents: dict[ast.AST, ast.AST] = {}
    for place, (node, function, skipped) in enumerate(_walk(ast.parse(source), "", False)):
        parents |= dict.fromkeys(ast.iter_child_nodes(node), node)
        if skipped:
            continue
        for variant, change in enumerate(_changes(node, parents.get(node))):
            seen[function, change] += 1
            number = seen[function, change]
            at = node.target if isinstance(node, ast.comprehension) else node
            line = getattr(at, "lineno", 0)
            found.append(Mutant(file, line, function, change, number, place, variant))
    return found


def mutated(source: str, mutant: Mutant, path: Path) -> CodeType:
    """The module's code with the one change; its lines stay where they are."""
    tree = ast.parse(source)
    node = next(n for i, (n, _, _) in enumerate(_walk(tree, "", False)) if i == mutant.place)
    _apply(node, mutant.variant)
    return compile(ast.fix_missing_locations(tree), str(path), "exec")


def _walk(node: ast.AST, function: str, skipped: bool) -> Iterator[tuple[ast.AST, str, bool]]:
    """Every node with the function that holds it, and whether its changes are left out."""
    yield node, function, skipped
    for name, value in ast.iter_fields(node):
        inside = function
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and name == "body":
            inside = _inside(node, function)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, inside, skipped or _left_out(node, name, child))


def _inside(node: ast.FunctionDef | ast.ClassDef, outer: str) -> str:
    """The name of what holds the body: a class ends in a dot until a method ends the name."""
    if outer and not outer.endswith("."):
        return outer
    return outer + node.name + ("." if isinstance(node, ast.ClassDef) else "")


def _left_out(node: ast.AST, field: str, child: ast.AST) -> bool:
    if field in ("annotation", "returns") or isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.ClassDef) and "Protocol" in map(_text, node.bases):
        return True  # for the type checker
    if isinstance(node, ast.Raise):
        return True  # the error; `raise` itself is left out as a statement
    if isinstance(node, ast.Assign):
        names = [t.id for t in node.targets if isinstance(t, ast.Name)]
        alias = isinstance(node.value, ast.Subscript) and names[:1] and names[0][:1].isupper()
        return bool(alias) or "__all__" in names
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        # NumPy takes any negative length in reshape for the one to be found
        return node.func.attr == "reshape" and _text(child) == "-1"
    if isinstance(child, ast.keyword) and child.arg == "strict":
        return True  # it guards against a later change
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        function = node.func.id
        if function.lstrip("_").startswith(("require", "refuse")):
            return isinstance(child, ast.Constant | ast.JoinedStr)  # for the error's text
        return function in NOT_RUN or (function == "cast" and child is node.args[0])
    return False


def _changes(node: ast.AST, parent: ast.AST | None) -> list[str]:
    """Each change to this node in words; a constant is told with what it stands in."""
    told = node
    if isinstance(node, ast.Constant | ast.Slice) and isinstance(parent, WITH_CONSTANTS):
        told = parent
    before, kept = _text(told), (node.__class__, dict(vars(node)))
    changes = []
    for variant in range(len(_variants(node))):
        _apply(node, variant)
        changes.append(f"{before} -> {_text(told)}")
        node.__class__ = kept[0]  # type: ignore[assignment]
        node.__dict__.clear()
        node.__dict__.update(kept[1])
    return changes


def _apply(node: ast.AST, variant: int) -> None:
    """Make one of the changes, in the tree."""
    changed = _variants(node)[variant]
    line = {k: getattr(node, k) for k in ("lineno", "col_offset") if hasattr(node, k)}
    node.__class__ = changed.__class__  # type: ignore[assignment]
    node.__dict__.clear()
    node.__dict__.update(vars(changed) | line)


def _variants(node: ast.AST) -> list[ast.AST]:
    """What may take the node's place."""
    return [*_expressions(node), *_statements(node), *_parts_left_out(node)]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.If | ast.While):
        return f"if {ast.unparse(node.test)}"
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        decorators = " ".join(f"@{ast.unparse(d)}" for d in node.decorator_list)
        return f"{decorators} {node.name}".strip()
    if isinstance(node, ast.comprehension):
        ifs = "".join(f" if {ast.unparse(i)}" for i in node.ifs)
        return f"for {ast.unparse(node.target)}{ifs}"
    return " ".join(ast.unparse(node).split())


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    """Operators, comparisons, constants, negations, and a call that is left out: f(x) -> x."""
    if isinstance(node, ast.BinOp) and type(node.op) in OTHER_OPERATOR:
        yield _with(node, op=OTHER_OPERATOR[type(node.op)]())
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in OTHER_COMPARISONS[type(op)]:
                yield _with(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])
    if isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    if isinstance(node, ast.IfExp | ast.If | ast.While) and not isinstance(node.test, ast.Compare):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _other_constants(node.value))
    if isinstance(node, ast.Call) and not node.keywords:
        if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred | ast.GeneratorExp):
            yield node.args[0]
        if not node.args and isinstance(node.func, ast.Attribute):
            yield node.func.value


def _other_constants(value: object) -> tuple[object, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return value + 1, value - 1
    if isinstance(value, float | complex):
        return (2 * value if value else 1.0,)
    return (value + "_",) if isinstance(value, str) else ()


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """A statement left out; += and |= without what was there before, or with another operator."""
    if isinstance(node, ast.AugAssign):
        yield ast.Pass()
        target = copy.copy(node.target)
        yield ast.Assign([target], node.value)
        if type(node.op) in OTHER_OPERATOR and not isinstance(node.op, ast.BitOr):
            yield _with(node, op=OTHER_OPERATOR[type(node.op)]())
    if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and _is_call(node.value)):
        yield ast.Pass()
    if isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple):
        yield ast.Pass()


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call)


def _parts_left_out(node: ast.AST) -> Iterator[ast.AST]:
    """A keyword, a decorator, an end of a slice, a condition of a comprehension."""
    if isinstance(node, ast.Call):
        # zip without strict=True does the same for lists that are of one length
        for i in (i for i, k in enumerate(node.keywords) if k.arg != "strict"):
            yield _with(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        for i in range(len(node.decorator_list)):
            rest = node.decorator_list[:i] + node.decorator_list[i + 1 :]
            yield _with(node, decorator_list=rest)
    if isinstance(node, ast.Slice):
        yield from (_with(node, **{end: None}) for end in ("lower", "upper") if getattr(node, end))
    if isinstance(node, ast.comprehension):
        for i in range(len(node.ifs)):
            yield _with(node, ifs=node.ifs[:i] + node.ifs[i + 1 :])


def _with(node: ast.AST, **fields: object) -> ast.AST:
    made = copy.copy(node)
    made.__dict__.update(fields)
    return made
