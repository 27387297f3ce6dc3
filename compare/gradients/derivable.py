"""Whether the exact gradient of a model can be derived: tried on two samples, before a training."""

import numpy as np

from torch_parity import manual
from torch_parity.compare.case import Case
from torch_parity.compare.errors import InputError
from torch_parity.manual.models.step import Model, buffers_of


def require_unclipped(case: Case) -> None:
    """
    Raises:
        InputError: the case clips its gradients, which are then not the derivative of the cost.
    """
    if case.clip_norm is not None:
        raise InputError(
            "clipped gradients are not the derivative of the cost, so they cannot be checked: "
            "leave --clip-norm or the check of gradients out"
        )


def require_derivable(net: Model) -> None:
    """
    Raises:
        InputError: the model has an operation with a step in NumPy whose slopes are not known, such
            as sorting.
    """
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=shape) for name, shape in net.shapes().items()}
    x, y = net.example(rng, 2)
    try:
        manual.exact_gradient(net, params | buffers_of(net), x, y, {})
    except ValueError as error:
        raise InputError(
            f"gradients cannot be checked exactly here: {error}.\nTrain without --gradcheck: every "
            "operation of a step is judged all the same"
        ) from None
