"""The gradient of some samples' losses, by the chain rule along their recorded forward.

From the loss back to the parameters, each recorded operation hands on its slopes, which come from a
complex step of its own hand-written forward; where a tensor is read several times, its gradients
are added up. Of a linear layer z = x W^T + b it is used that z_si depends on row i of W alone, with
slope x_sj; so

    dW = (dC/dz).T @ x,    db = its sum over samples,    dx = dC/dz @ W.

An operation that is neither elementwise nor a function of each row (batch norm, which mixes
samples; an LSTM, attention) is followed through the steps of its own forward (followed.py).
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from torch_parity.manual.gradients.followed import FollowedRun
from torch_parity.manual.gradients.image_rows import (
    CONVOLUTIONS,
    ImageRows,
    at_ties,
    image_rows,
    of_each_row,
)
from torch_parity.manual.gradients.tangents import (
    DEVIATIONS,
    FUNCTION_ROUNDOFF,
    ROUNDOFF,
    Uncertain,
    exactly,
    is_elementwise,
    is_of_rows,
    slopes_of,
    uncertain_slopes,
)
from torch_parity.manual.losses.binary_cross_entropy import SLOPE_FLOOR
from torch_parity.manual.models.step import Model
from torch_parity.manual.operations import find
from torch_parity.manual.recording import Call, recording

LINEAR = ("linear", "linear_no_bias", *CONVOLUTIONS)
Tensors = Mapping[str, np.ndarray]
Function = Callable[[np.ndarray], np.ndarray]


class BlockGradient:
    """Some samples: their forward pass as recorded, and from the loss back every gradient of it.

    variances holds, for each recorded tensor, that of its rounding; arriving its gradient.
    """

    def __init__(
        self, net: Model, params: Tensors, x: np.ndarray, y: np.ndarray, masks: Tensors
    ) -> None:
        self.net, self.kinks = net, 0
        with recording() as tape:
            at = tape.give({**params, "x": x, **masks})
            output = net.forward(at, at["x"], {n: at[n] for n in masks})[net.result]
        self.calls = tape.calls
        self.variances: dict[int, np.ndarray] = {}
        self.slopes: dict[tuple[int, int], Uncertain] = {}
        self.followed: dict[int, FollowedRun] = {}
        self.arranged: dict[int, ImageRows | None] = {id(c): image_rows(c) for c in self.calls}
        moved = {id(at[name]) for name in params}
        for call in self.calls:
            if not moved.isdisjoint(map(id, call.inputs)):
                moved |= {id(out) for out in call.outputs}
        before, last, z = self.calls, None, output
        match self.calls[-1]:
            case Call(inputs=(read,), outputs=(made,)) as call if made is output and _is_apart(
                call
            ):
                before, last, z = self.calls[:-1], call, read
        for call in before:
            self._forward(call, moved)
        self.arriving: dict[int, Uncertain] = {}
        self.losses = self._head(last, z, y)
        for call in reversed(before):
            self._backward(call)
        found = {name: self.arriving.get(id(at[name])) for name in params}
        self.gradients = {name: g for name, g in found.items() if g is not None}

    def _full_variance(self, tensor: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.variances.get(id(tensor), np.zeros(())), tensor.shape)

    def _forward(self, call: Call, moved: set[int]) -> None:
        """How far rounding may have moved the output, and the slopes for what may move."""
        arranged = self.arranged[id(call)]
        if call.operation in LINEAR:
            (out,), (W, *bias) = call.outputs, call.inputs[1:]
            weights = _rows_of(W)
            of_units = self._rows(call).times(weights).variance
            for b in bias:
                of_units = of_units + ((weights.shape[1] + 1) * ROUNDOFF * b) ** 2
            self.variances[id(out)] = arranged.output(of_units) if arranged else of_units
            return
        if arranged is not None:
            (out,), z, f = call.outputs, self._rows(call), of_each_row(call)
            slopes = self._slopes(f, z.value, z.variance, is_elementwise(f, z.value))
            if call.operation == "max_pool2d":
                slopes = at_ties(slopes, z.value, DEVIATIONS * np.sqrt(z.variance))
            self.slopes[id(call), 0] = slopes
            of_out = arranged.output(_through(slopes, z.variance))
            self.variances[id(out)] = of_out + (FUNCTION_ROUNDOFF * out) ** 2
            return
        moving = [i for i, x in enumerate(call.inputs) if id(x) in moved]
        match moving, call.outputs:
            case [i], (out,) if self._by_entry_or_row(call, i, out):
                return
        if moving:
            of = {i: self._full_variance(call.inputs[i]) for i in moving}
            self.followed[id(call)] = run = _followed(call, of)
            variances = [step.variance for step in run.outputs]
        else:
            variances = [(FUNCTION_ROUNDOFF * a) ** 2 for a in call.outputs]
        self.variances |= {id(a): v for a, v in zip(call.outputs, variances, strict=True)}

    def _by_entry_or_row(self, call: Call, i: int, out: np.ndarray) -> bool:
        """Whether the call treats each entry of its input i alone, or makes a row of each row; then
        its slopes."""
        f, z = _function(call, i), call.inputs[i]
        own = self._full_variance(z)
        elementwise = is_elementwise(f, z)
        if not elementwise and not (out.ndim == 2 and is_of_rows(f, z)):
            return False
        self.slopes[id(call), i] = slopes = self._slopes(f, z, own, elementwise)
        self.variances[id(out)] = (FUNCTION_ROUNDOFF * out) ** 2 + _through(slopes, own)
        return True

    def _rows(self, call: Call) -> Uncertain:
        """What a call reads, as rows: its first input, or what its windows see of it."""
        x, *_ = call.inputs
        z, arranged = Uncertain(x, self._full_variance(x), np.zeros(())), self.arranged[id(call)]
        return arranged.read(z) if arranged else z

    def _slopes(
        self, f: Function, z: np.ndarray, variance: np.ndarray, elementwise: bool
    ) -> Uncertain:
        slopes = uncertain_slopes(f, z, variance, elementwise)
        self.kinks += len(np.flatnonzero(slopes.jump))
        return slopes

    def _backward(self, call: Call) -> None:
        """From the gradient of what the call made to those of what it read."""
        if id(call) in self.followed:
            of_outputs = [self.arriving.get(id(out)) for out in call.outputs]
            for i, share in self.followed[id(call)].back(of_outputs).items():
                self._arrive(call.inputs[i], share)
            return
        out, *_ = call.outputs  # several were followed, or hold nothing that moves
        arrived = self.arriving.get(id(out))
        if arrived is None:
            return
        arranged = self.arranged[id(call)]
        arrived = arranged.of_output(arrived) if arranged else arrived
        if call.operation in LINEAR:
            x, W, *bias = call.inputs
            read = arrived.times(_rows_of(W).T)
            self._arrive(x, arranged.spread(read) if arranged else read)
            dW = arrived.arranged(np.transpose).product(self._rows(call))
            self._arrive(W, dW.arranged(lambda a: a.reshape(W.shape)))
            for b in bias:
                self._arrive(b, _bias(arrived))
            return
        for i, tensor in enumerate(call.inputs):
            slopes = self.slopes.get((id(call), i))
            if slopes is not None:
                through_rows = slopes.value.ndim > arrived.value.ndim
                share = slopes.against(arrived) if through_rows else arrived.scaled(slopes)
                self._arrive(tensor, arranged.spread(share) if arranged else share)

    def _arrive(self, tensor: np.ndarray, share: Uncertain) -> None:
        held = self.arriving.get(id(tensor))
        self.arriving[id(tensor)] = share if held is None else held.plus(share)

    def _head(self, last: Call | None, z: np.ndarray, y: np.ndarray) -> int:
        """The slopes of each sample's own loss with respect to z -> the number of losses.

        Through the output's activation and the loss in one: the digits that 1 - a has lost do not
        matter where they cancel. For that reason logistic loss on probabilities is done in long
        double.
        """
        net, plain = self.net, np.asarray(z)
        loss, _ = find(net.loss)
        if plain.ndim > 2:
            of = {0: self._full_variance(z)}
            run = FollowedRun(partial(loss, reduction="none"), (plain, y), of)
            (losses,) = run.outputs
            self._arrive(z, run.back([exactly(np.ones(losses.value.shape))])[0])
            return losses.value.size
        activation: Function = _function(last, 0) if last is not None else lambda rows: rows
        a = activation(plain)
        of_entries = loss(a, y, reduction="none").shape == a.shape
        by_entry = is_elementwise(activation, plain)
        elementwise = of_entries and by_entry

        def each_loss(rows: np.ndarray) -> np.ndarray:
            labels = np.repeat(y, len(rows) // len(y), axis=0)
            losses = loss(activation(rows), labels, reduction="none")
            return losses if elementwise or losses.ndim == 1 else losses.sum(axis=1)

        on_probabilities = net.loss == "binary_cross_entropy"
        at = plain.astype(np.longdouble) if on_probabilities else plain
        variance = self._full_variance(z)
        slopes = uncertain_slopes(each_loss, at, variance, elementwise)
        if of_entries and not by_entry:
            # backward multiplies the loss's slopes by those of a row, whose sum may cancel
            each = np.abs(slopes_of(lambda a: loss(a, y, reduction="none"), a, True) * a)
            more = (FUNCTION_ROUNDOFF * each.sum(axis=1, keepdims=True)) ** 2
            slopes = Uncertain(slopes.value, slopes.variance + more, slopes.jump)
        if on_probabilities:
            slopes = _on_probabilities(slopes, a, y, elementwise)
        self.kinks += len(np.flatnonzero(slopes.jump))
        parts = (slopes.value, slopes.variance, slopes.jump)
        self._arrive(z, Uncertain(*(np.asarray(t, np.float64) for t in parts)))
        return loss(a, y, reduction="none").size


def _followed(call: Call, variances: Mapping[int, np.ndarray]) -> FollowedRun:
    forward, _ = find(call.operation)
    inputs = [*map(np.asarray, call.inputs)]
    try:
        return FollowedRun(partial(forward, **call.options), inputs, variances)
    except ValueError as error:
        raise ValueError(
            f"exact_gradient: {call.operation} is neither elementwise nor a function of each row, "
            f"and {error}; use complex_step_gradient"
        ) from None


def _function(call: Call, which: int) -> Function:
    """The call as a function of one of its inputs, the others held."""
    forward, _ = find(call.operation)
    others = [*map(np.asarray, call.inputs)]

    def of_one(z: np.ndarray) -> np.ndarray:
        return forward(*others[:which], z, *others[which + 1 :], **call.options)

    return of_one


def _is_apart(call: Call) -> bool:
    """Whether a call makes each row of its output of the same row of its only input."""
    f, (z,), (out,) = _function(call, 0), call.inputs, call.outputs
    return out.ndim == 2 and (is_elementwise(f, z) or is_of_rows(f, z))


def _rows_of(W: np.ndarray) -> np.ndarray:
    """All weights of a unit in one row                      # [out, c, kh, kw] -> [out, c kh kw]"""
    return W.reshape(len(W), -1)


def _through(slopes: Uncertain, variance: np.ndarray) -> np.ndarray:
    """The variance of what a function with these slopes makes of numbers with this variance."""
    steep = (np.abs(slopes.value) + slopes.jump) ** 2
    through_rows = steep.ndim > variance.ndim
    return np.einsum("si,sik->sk", variance, steep) if through_rows else variance * steep


def _on_probabilities(
    slopes: Uncertain, a: np.ndarray, y: np.ndarray, elementwise: bool
) -> Uncertain:
    """Logistic loss behind a sigmoid or a softmax, near probabilities of 0 and 1.

    There torch's backward, and so ours, holds a (1 - a) at a floor: any share of what an output
    adds to the slope, a - y at most, is right. And of 1 - a even long double keeps few digits.
    """
    held = a * (1 - a) < 2 * SLOPE_FLOOR
    share = np.where(held, np.abs(a - y), 0)
    if not elementwise:
        # what a forward says of the slope there may itself be off by as much
        jump = slopes.jump + 2 * share.sum(axis=1, keepdims=True)
        return Uncertain(slopes.value, slopes.variance, jump)
    lost = 8 * np.finfo(np.longdouble).eps / np.where(held, 1, 1 - a)
    return Uncertain(
        np.where(held, (a - y) / 2, slopes.value),
        slopes.variance + (lost * slopes.value) ** 2,
        share / 2,
    )


def _bias(dz: Uncertain) -> Uncertain:
    """db = sum over samples of dz"""
    variance = dz.rounded(len(dz.value)).sum(axis=0)
    return Uncertain(dz.value.sum(axis=0), variance, dz.jumps.sum(axis=0))
