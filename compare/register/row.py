"""What a row of the register says of an operation or an optimizer.

What each takes and makes is read off its hand-written functions. Nothing here imports torch.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, TypeVar

from torch_parity.compare.register.samples import Draw
from torch_parity.compare.register.twins import twin_module
from torch_parity.manual.recording import by_name, input_names, option_names, takes_any_number

Kind = Literal[
    "layer", "activation", "dropout", "arithmetic", "reduction", "product", "layout", "pooling",
    "loss", "penalty",
]  # fmt: skip
Item = TypeVar("Item")
Part = Literal["forward", "backward", "backward_parameters"]


@dataclass(frozen=True)
class Operation:
    """One operation.

    forward(*inputs, *, **options) returns the outputs; its positional parameters are tensors, its
    keyword-only ones options. Right below it stands <name>_backward, which asks for what it needs
    by the names of its parameters: an output's gradient (d and the output's name), an output, an
    input, an option. It returns the gradients of `differentiable`, in that order. A loss takes no
    upstream gradient. A last parameter *tensors stands for any number of inputs; a backward that
    takes *d<output> is that of any number of outputs. <name>_backward_parameters, where there is
    one, is the backward without the gradient of the first input.

    state pairs an output with the input that it replaces (running statistics). module is the class
    whose modules do the same (of torch.nn, its name, or several names). twin(**options) is torch's
    side, a callable on the same inputs; by default the function of the same name in torch_ref/.
    also holds a second right formula of the forward or of a backward, with the same parameters:
    torch may compose the operation in another way, which rounds more. again
    holds what a recurrence is replayed by, with bounds that do not grow from step to step: its
    forward given the outputs as well, and its backward.
    samples(rng, dtype) draws inputs: not square, more than one sample, no zeros where there need be
    none; options are the ones to test with.
    """

    forward: Callable[..., Any]
    kind: Kind
    samples: Draw
    differentiable: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[Mapping[str, Any], ...] = ({},)
    state: Mapping[str, str] = field(default_factory=dict)
    module: str | type | tuple[str, ...] = ""
    torch: Callable[..., Callable[..., Any]] | None = None
    also: Mapping[Part, Callable[..., Any]] = field(default_factory=dict)
    again: Mapping[Part, Callable[..., Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That of the hand-written function."""
        return self.forward.__name__

    @property
    def backward(self) -> Callable[..., Any]:
        """The function right below forward."""
        return getattr(sys.modules[self.forward.__module__], f"{self.name}_backward")

    @property
    def backward_parameters(self) -> Callable[..., Any] | None:
        """The backward without the gradient of the first input, where there is one."""
        home = sys.modules[self.forward.__module__]
        return getattr(home, f"{self.name}_backward_parameters", None)

    @property
    def twin(self) -> Callable[..., Callable[..., Any]]:
        """twin(**options) is torch's side, a callable on the same inputs as tensors."""
        return self.torch or getattr(twin_module(self.forward), self.name)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The names of its tensors, in order; the last may stand for any number of them."""
        return input_names(self.forward)

    @cached_property
    def any_number(self) -> bool:
        """Whether it takes any number of tensors."""
        return takes_any_number(self.forward)

    @cached_property
    def option_names(self) -> tuple[str, ...]:
        """The names of its options."""
        return option_names(self.forward)

    @property
    def module_name(self) -> str:
        """What the class of torch's modules is called; the first of several."""
        first = self.module[0] if isinstance(self.module, tuple) else self.module
        return first if isinstance(first, str) else first.__name__

    def is_done_by(self, kind: type) -> bool:
        """Whether modules of this very class do it (a subclass may do anything)."""
        if isinstance(self.module, type):
            return kind is self.module
        names = (self.module,) if isinstance(self.module, str) else self.module
        return kind.__module__.partition(".")[0] == "torch" and kind.__name__ in names

    @property
    def is_loss(self) -> bool:
        """Whether its backward begins the chain: it takes no upstream gradient."""
        return self.kind == "loss"

    @cached_property
    def any_outputs(self) -> bool:
        """Whether it makes any number of tensors: its backward takes as many gradients."""
        last = input_names(self.backward)[-1]
        return takes_any_number(self.backward) and last == f"d{self.outputs[-1]}"

    @property
    def arriving(self) -> tuple[str, ...]:
        """The gradients that arrive at its outputs: dout for out, none for a state."""
        return tuple(f"d{name}" for name in self.outputs if name not in self.state)

    def differentiated(self, inputs: Sequence[Item]) -> tuple[Item, ...]:
        """Those of its inputs that have a gradient, in the order in which the backward makes it."""
        given = by_name(self.forward, inputs)
        return tuple(x for name in self.differentiable for x in given.get(name, ()))

    def made(self, outputs: Sequence[Item]) -> dict[str, tuple[Item, ...]]:
        """What stands for each of its outputs' names: one tensor, or any number of them."""
        return self._named(self.outputs, outputs)

    def continued(self, outputs: Sequence[Item]) -> list[Item]:
        """Those of its outputs that a gradient arrives at: all but the new state."""
        made = self.made(outputs).items()
        return [x for name, tensors in made if name not in self.state for x in tensors]

    def asked(
        self,
        backward: Callable[..., Any],
        inputs: Sequence[Item],
        outputs: Sequence[Item],
        upstream: Sequence[Item],
    ) -> tuple[Item, ...]:
        """What this backward is to be given, upstream being the gradients that arrive."""
        known = by_name(self.forward, inputs) | self.made(outputs)
        known |= self._named(self.arriving, upstream)
        return tuple(x for name in input_names(backward) for x in known[name])

    def _named(
        self, names: tuple[str, ...], tensors: Sequence[Item]
    ) -> dict[str, tuple[Item, ...]]:
        if self.any_outputs:
            return {names[0]: tuple(tensors)}
        return {name: (x,) for name, x in zip(names, tensors, strict=False)}

    def gradients(
        self, upstream: Sequence[Any], inputs: Sequence[Any], options: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """The backward by hand, given the gradients that arrive at the outputs: none for a loss.

        A penalty's gradient is that of one weight alone.
        """
        if self.kind == "penalty":
            (W,) = inputs
            return (self.backward(W * 0, W, **options),)
        outputs: Any = ()
        if set(self.outputs).intersection(input_names(self.backward)):
            outputs = self.forward(*inputs, **options)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        taken = {n: v for n, v in options.items() if n in option_names(self.backward)}
        found = self.backward(*self.asked(self.backward, inputs, outputs, upstream), **taken)
        return found if isinstance(found, tuple) else (found,)


@dataclass(frozen=True)
class OptimizerRow:
    """One optimizer: its hand-written class, whose fields are its options and whose slots are what
    it remembers, and its function update(W, dW, *slots, **options) -> W', *slots'."""

    by_hand: type
    update: Callable[..., Any]

    @property
    def name(self) -> str:
        """That of the hand-written function."""
        return self.update.__name__

    @property
    def slots(self) -> tuple[str, ...]:
        """What it remembers, but for the step counter t."""
        return tuple(slot for slot in self.by_hand.slots if slot != "t")  # type: ignore[attr-defined]

    @property
    def option_names(self) -> tuple[str, ...]:
        """The constants of its class."""
        return tuple(f.name for f in fields(self.by_hand))

    @property
    def counts(self) -> bool:
        """Whether it counts its steps."""
        return "t" in self.by_hand.slots  # type: ignore[attr-defined]
