"""The loss of connectionist temporal classification (Graves et al. 2006), and its gradient.

l' is a target with a blank around each of its symbols, y_t(c) the given log-probabilities:

    alpha_t(s) = y_t(l'_s) + logsumexp of alpha_{t-1} at s, s - 1 and, if l'_s is no blank and
                 another symbol than l'_{s-2}, at s - 2
    loss       = -logsumexp of alpha_T at the last two places
    gradient   = exp(y_t(c)) - exp(loss - y_t(c) + logsumexp of alpha_t + beta_t where l'_s = c)

beta is alpha from the other end. Paths that there are none of have the logarithm NEVER.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import judged_by
from torch_parity.compare.bounds.tensors.unbounded import Undetermined

NEVER = -1e30  # stands for -inf, which no number may be subtracted from


class _Lattice:
    """The places of the extended targets of a batch, and the log-probabilities there."""

    def __init__(self, y: Any, targets: Tensor, lengths: tuple[Any, Any], blank: int) -> None:
        self.steps, self.symbols = (torch.as_tensor(n).reshape(-1).tolist() for n in lengths)
        self.y, count = y, y.shape[1]
        most = 2 * max(self.symbols, default=0) + 1
        self.labels = torch.full((count, most), blank)
        begin = 0
        for i, n in enumerate(self.symbols):
            own = targets[i, :n] if targets.ndim == 2 else targets[begin : begin + n]
            self.labels[i, 1 : 2 * n : 2] = own
            begin += n
        ends = torch.tensor([2 * n + 1 for n in self.symbols])
        self.inside = torch.arange(most) < ends[:, None]
        self.two_back = torch.zeros(count, most, dtype=torch.bool)
        self.two_back[:, 2:] = self.labels[:, 2:] != self.labels[:, :-2]
        self.two_back &= self.labels != blank

    def at(self, t: int) -> Any:
        """y_t(l'_s)"""
        return self.y[t].gather(1, self.labels)

    def running(self, t: int) -> Tensor:
        """The sequences that are longer than t steps."""
        return (torch.tensor(self.steps) > t)[:, None]

    def nothing(self) -> Any:
        """NEVER, at every place."""
        return BoundedTensor.exact(torch.full(self.labels.shape, NEVER, dtype=self.y.dtype))

    def forward(self) -> list[Any]:
        """alpha, a step each"""
        first = self.inside & (torch.arange(self.labels.shape[1]) < 2)
        begins = [first & (t == 0) for t in range(len(self.y))]
        return self._walk(range(len(self.y)), 1, self.two_back, begins)

    def backward(self) -> list[Any]:
        """beta, a step each; each sequence begins at its own last step and last two places"""
        ends = torch.tensor([2 * n + 1 for n in self.symbols])[:, None]
        last = self.inside & (torch.arange(self.labels.shape[1]) >= ends - 2)
        two_ahead = torch.zeros_like(self.two_back)
        two_ahead[:, :-2] = self.two_back[:, 2:]
        steps = torch.tensor(self.steps)[:, None]
        begins = [last & (steps == t + 1) for t in range(len(self.y))]
        return self._walk(range(len(self.y))[::-1], -1, two_ahead, begins)[::-1]

    def _walk(self, times: range, by: int, two: Tensor, begins: list[Tensor]) -> list[Any]:
        """What is reached at each time: from the same place, the one before, and perhaps the one
        before that; or where a sequence begins."""
        found, reached = [], torch.zeros_like(self.inside)
        here: Any = self.nothing()
        for t in times:
            masks = [reached, _shifted(reached, by), _shifted(reached, 2 * by) & two]
            places = [here, _shifted(here, by), _shifted(here, 2 * by)]
            ways = [torch.where(m, x, self.nothing()) for m, x in zip(masks, places, strict=True)]
            reached = (masks[0] | masks[1] | masks[2]) & self.inside & self.running(t)
            two_ways = torch.where(
                masks[0] | masks[1], torch.logaddexp(ways[0], ways[1]), self.nothing()
            )
            later = torch.logaddexp(two_ways, ways[2]) + self.at(t)
            here = torch.where(reached, later, self.nothing())
            here = torch.where(begins[t], self.at(t), here)
            reached |= begins[t]
            found.append(here)
        return found

    def loss(self, alpha: list[Any]) -> Any:
        """Of each sequence; infinite where it has no path."""
        found = [self._loss_of(i, alpha) for i in range(len(self.steps))]
        return torch.stack(found)

    def _loss_of(self, i: int, alpha: list[Any]) -> Any:
        t, n = self.steps[i], self.symbols[i]
        ends = alpha[t - 1][i, max(2 * n - 1, 0) : 2 * n + 1] if t else None
        if ends is not None and bool(is_reached(ends).any()):
            return -(torch.logaddexp(ends[0], ends[1]) if n else ends[0])
        none = torch.tensor(torch.inf if t or n else 0.0).to(self.y.dtype)
        return BoundedTensor.exact(none)


def is_reached(x: Any) -> Tensor:
    """Whether there is a path to a place."""
    return torch.from_numpy(np.asarray(x.bounded.value > NEVER / 2))


def _shifted(x: Any, by: int) -> Any:
    """What is so many places before each place; the first ones again where there is none."""
    places = torch.arange(x.shape[1])
    before = places - by
    kept = (before >= 0) & (before < x.shape[1])
    moved = x[:, before.clamp(0, x.shape[1] - 1)]
    return moved & kept if moved.dtype == torch.bool else moved


@rule("_ctc_loss")
def ctc_loss(
    y: Any,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Any:
    """The loss of each sequence; what it keeps for its gradient is computed again there."""
    with judged_by(alone=False):
        lattice = _Lattice(y, targets, (input_lengths, target_lengths), blank)
        loss = lattice.loss(lattice.forward())
    return loss, Undetermined()


@rule("_ctc_loss_backward")
def ctc_loss_backward(
    grad: Any,
    y: Any,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    neg_log_likelihood: Any,
    log_alpha: Any,
    blank: int,
    zero_infinity: bool = False,
) -> Any:
    """(exp(y) - exp(loss - y + log sum of alpha beta)) grad, and 0 after the end of a sequence"""
    with judged_by(alone=False):
        lattice = _Lattice(y, targets, (input_lengths, target_lengths), blank)
        alpha, beta = lattice.forward(), lattice.backward()
        loss = lattice.loss(alpha)
        symbols, nothing = torch.arange(y.shape[2]), lattice.nothing()[:, :, None]
        is_symbol = (lattice.labels[:, :, None] == symbols) & lattice.inside[:, :, None]
        possible = torch.from_numpy(np.isfinite(loss.bounded.value))[:, None]
        none = torch.zeros_like(y[0]) if zero_infinity else torch.full_like(y[0], torch.nan)
        found = []
        for t, (a, b) in enumerate(zip(alpha, beta, strict=True)):
            passed = is_symbol & (is_reached(a) & is_reached(b))[:, :, None]
            ways = torch.logsumexp(torch.where(passed, (a + b)[:, :, None], nothing), 1)
            share = torch.exp(
                torch.where(passed.any(1), ways + loss[:, None] - y[t], nothing[:, 0])
            )
            made = (torch.exp(y[t]) - share) * grad[:, None]
            found.append(
                torch.where(
                    lattice.running(t), torch.where(possible, made, none), torch.zeros_like(made)
                )
            )
        return torch.stack(found)
