"""The register: one row for each operation, and the only place that knows about it.

A new operation is one file in manual/ops/ or manual/losses/, one of the same name in torch_ref/,
and one row in the file of its family here. What it takes and makes is read off its two functions;
the judge's replay, the rounding bounds, the backward of every model, the gradient checks, modules,
trace files, `Case` and the docs' tables follow from the row. Nothing here imports torch: the
command line lists operations without waiting for it.
"""

from torch_parity.compare.register import (
    activations,
    attention,
    elementary,
    images,
    layers,
    losses,
    norms,
    optimizers,
    sequences,
)
from torch_parity.compare.register.row import Kind, Operation, OptimizerRow
from torch_parity.manual.recording import input_names, option_names
from torch_parity.torch_ref.operations import ADDED as added_in_torch

FAMILIES = (layers, elementary, norms, images, sequences, attention, activations, losses)

OPERATIONS: dict[str, Operation] = {row.name: row for family in FAMILIES for row in family.ROWS}
OPTIMIZERS: dict[str, OptimizerRow] = {row.name: row for row in optimizers.ROWS}


def of_kind(*kinds: Kind) -> tuple[str, ...]:
    """The names of the operations of these kinds, in the register's order."""
    return tuple(name for name, row in OPERATIONS.items() if row.kind in kinds)


def add(row: Operation) -> None:
    """Register an operation of your own.

    Raises:
        ValueError: the name is taken, or the functions do not fit what the row says of them.
    """
    if row.name in OPERATIONS:
        raise ValueError(f"the register has an operation {row.name!r} already")
    known = {*row.inputs, *row.outputs, *row.arriving}
    for name in input_names(row.backward):
        if name not in known:
            raise ValueError(
                f"{row.name}_backward asks for {name!r}, which is no input, output or gradient of "
                f"{row.name}: expected names of {', '.join(sorted(known))}"
            )
    if unknown := set(row.differentiable) - set(row.inputs):
        raise ValueError(f"{row.name} has no input {min(unknown)!r} to differentiate")
    for part, formula in row.also.items():
        first = getattr(row, part, None)
        expected = None if first is None else (input_names(first), option_names(first))
        if expected != (input_names(formula), option_names(formula)):
            raise ValueError(
                f"the second formula of {row.name}'s {part} takes other parameters than the first"
            )
    OPERATIONS[row.name] = row
    if row.torch is not None:
        added_in_torch[row.name] = row.torch
