"""Rows of the elementary operations: arithmetic with broadcasting, reductions, products, layout."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch_parity import manual
from torch_parity.compare.register.row import Kind, Operation
from torch_parity.compare.register.samples import Draw, normal, positive, rows_and_index
from torch_parity.manual.recording import input_names


def _elementary(
    forward: Callable[..., Any],
    samples: Draw,
    options: Iterable[Mapping[str, Any]] = ({},),
    kind: Kind = "arithmetic",
) -> Operation:
    inputs = input_names(forward)
    return Operation(forward, kind, samples, inputs, ("out",), tuple(options))


REDUCED = (
    {"dim": 1, "keepdim": False}, {"dim": -1, "keepdim": True}, {"dim": (0, 2), "keepdim": False},
    {"dim": None, "keepdim": False}, {"dim": (-2, 0), "keepdim": True},
)  # fmt: skip


ROWS = (
    _elementary(manual.add, normal(input=(4, 1, 5), other=(3, 1))),
    _elementary(manual.sub, normal(input=(4, 1, 5), other=(3, 1))),
    _elementary(manual.mul, normal(input=(3, 1), other=(4, 1, 5))),
    _elementary(manual.div, positive(input=(4, 1, 5), other=(3, 1))),
    _elementary(
        manual.pow, positive(input=(6, 5)),
        ({"exponent": exponent} for exponent in (2.0, 3.0, 0.5, -1.0)),
    ),
    _elementary(manual.exp, normal(input=(6, 5))),
    _elementary(manual.log, positive(input=(6, 5))),
    _elementary(manual.sum, normal(input=(4, 3, 5)), REDUCED, "reduction"),
    _elementary(manual.mean, normal(input=(4, 3, 5)), REDUCED, "reduction"),
    _elementary(manual.amax, normal(input=(4, 3, 5)), REDUCED, "reduction"),
    _elementary(manual.matmul, normal(input=(4, 1, 3, 6), other=(2, 6, 5)), kind="product"),
    _elementary(
        manual.reshape, normal(input=(4, 3, 5)),
        ({"shape": shape} for shape in ((6, 10), (-1, 5), (60,), (2, 2, 3, -1))), "layout",
    ),
    _elementary(
        manual.permute, normal(input=(4, 3, 5)),
        ({"dims": dims} for dims in ((1, 2, 0), (2, 1, 0), (0, -1, -2))), "layout",
    ),
    _elementary(
        manual.narrow, normal(input=(4, 3, 5)),
        ({"dim": 1, "start": 1, "length": 2}, {"dim": -1, "start": -4, "length": 3}), "layout",
    ),
    _elementary(
        manual.cat, normal(first=(4, 3, 5), second=(4, 2, 5), third=(4, 1, 5)),
        ({"dim": 1}, {"dim": -2}), "layout",
    ),
    replace(
        _elementary(
            manual.split, normal(input=(4, 3, 5)),
            ({"split_size": 2, "dim": 2}, {"split_size": (1, 3), "dim": 0},
             {"split_size": (1, 2), "dim": -2}), "layout",
        ),
        outputs=("parts",),
    ),
    replace(
        _elementary(
            manual.index_select, rows_and_index, ({"dim": 0}, {"dim": 1}, {"dim": -1}), "layout"
        ),
        differentiable=("input",),
    ),
    Operation(
        manual.scale, "arithmetic", normal(input=(6, 5)), ("input",), ("out",),
        ({"factor": 0.3}, {"factor": -2.0}),
    ),
)  # fmt: skip
