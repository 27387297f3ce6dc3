"""Where numbers stand in order, if rounding cannot change it."""

import numpy as np
import pytest
import torch

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded
from torch_parity.compare.bounds.tensors.registry import RULES
from torch_parity.compare.bounds.tensors.unbounded import Undetermined


def may_be_off(values: list[float], by: list[float]) -> BoundedTensor:
    value, error = np.array(values, np.longdouble), np.array(by, np.longdouble)
    return BoundedTensor(Bounded(value, error, np.dtype(np.float64)), torch.float64)


@pytest.mark.parametrize(
    ("off", "greatest", "two", "least"),
    [
        ([0.1, 0.1, 0.1, 0.1], True, True, True),
        ([0.6, 0.1, 0.6, 0.1], False, False, True),  # 4 and 3 may change places
        ([0.1, 0.6, 0.6, 0.1], True, False, True),  # 3 and 2 may
        ([0.1, 0.6, 0.1, 0.6], True, True, False),  # 2 and 1 may
        ([0.1, 0.1, 0.1, np.nan], False, False, False),
    ],
)
def test_the_order_is_known_where_rounding_cannot_change_it(
    off: list[float], greatest: bool, two: bool, least: bool
) -> None:
    """Of 4, 2, 3 and 1."""
    x = may_be_off([4.0, 2.0, 3.0, 1.0], off)
    for find, known, place in ((torch.argmax, greatest, 0), (torch.argmin, least, 3)):
        if known:
            assert int(find(x)) == place
        else:
            with pytest.raises(Unbounded):
                find(x)
    _, at = RULES["topk"](x, 2)
    assert isinstance(at, Undetermined) is not two
    if two:
        assert at.tolist() == [0, 2]
    _, at = RULES["sort"](x)
    assert isinstance(at, Undetermined) is not (two and least)
