"""Rows of the optimizers."""

from torch_parity import manual
from torch_parity.compare.register.row import OptimizerRow

ROWS = (
    OptimizerRow(manual.SGD, manual.sgd),
    OptimizerRow(manual.Momentum, manual.momentum),
    OptimizerRow(manual.MomentumCourse, manual.momentum_course),
    OptimizerRow(manual.Adam, manual.adam),
)
