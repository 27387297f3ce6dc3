"""Which tensors of two steps should be equal but for rounding: those that the same operations make,
with the same options, of what was given under the same names."""

from collections.abc import Hashable, Mapping, Sequence

from torch_parity.compare.flow.nodes import Node, result

Expressions = Mapping[str, int]


def expressions(*steps: Sequence[Node]) -> tuple[Expressions, ...]:
    """For each step the number of each output's expression; equal expressions have equal numbers,
    in all of the steps."""
    numbers: dict[Hashable, int] = {}

    def number(*key: Hashable) -> int:
        return numbers.setdefault(key, len(numbers))

    found = []
    for nodes in steps:
        at: dict[str, int] = {}  # as later nodes call them
        outputs: dict[str, int] = {}
        for node in nodes:
            inputs = tuple(at[n] if n in at else number("given", n) for n in node.inputs)
            options = tuple(sorted(node.options.items()))
            for i, name in enumerate(node.outputs):
                made = number(node.operation, inputs, options, i)
                outputs[name] = made
                at[result(node, name)] = made
        found.append(outputs)
    return tuple(found)


def different_operations(a: Sequence[Node], b: Sequence[Node]) -> dict[str, str]:
    """For each output that the two make by different operations: which, in words, for the names of
    the sides to be filled in."""
    makers = {name: node.operation for node in b for name in node.outputs}
    return {
        name: f"{{0}} makes it by {node.operation}, {{1}} by {makers[name]}"
        for node in a
        for name in node.outputs
        if makers.get(name, node.operation) != node.operation
    }


def different_options(a: Sequence[Node], b: Sequence[Node]) -> dict[str, str]:
    """For each output that both make by the same operation on inputs of the same names, but with
    different options: which, in words, for the names of the sides to be filled in."""
    makers = {name: node for node in b for name in node.outputs}
    found = {}
    for node in a:
        for name in node.outputs:
            other = makers.get(name)
            if other is None or (other.operation, other.inputs) != (node.operation, node.inputs):
                continue
            apart = [
                f"{option} is {node.options.get(option)} in {{0}}, {other.options.get(option)} in "
                "{1}"
                for option in sorted({*node.options, *other.options})
                if node.options.get(option) != other.options.get(option)
            ]
            if apart:
                found[name] = "; ".join(apart)
    return found
