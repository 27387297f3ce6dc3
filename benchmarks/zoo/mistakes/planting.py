"""How a mistake is planted: the register of kinds, and ways to change one module of a model.

A kind is a function that changes the wrong one of two equal cases and says where:

    @plant("extra_tanh", None, ACTIVATED)
    def extra_tanh(spot: Spot) -> str:
        path = spot.pick(*ACTIVATIONS)
        after(spot.at(path), torch.tanh)
        return path

An architecture is the name of a case (both sides the same code) or `pair:` and the kind of a pair
(two implementations; the second goes wrong).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo import cases, pairs
from benchmarks.zoo.cases import Draw, ZooCase


@dataclass(frozen=True)
class Mistake:
    """`module` is the path in `wrong` of the module whose own code makes the first wrong operation:
    "" where that is the model itself, the loss, or, for an update, nothing in particular. `others`
    are further right answers, such as the owners of all parameters that a wrong optimizer changes.
    `port` turns the right model's parameters into the wrong one's, where the code differs."""

    kind: str
    architecture: str
    right: ZooCase
    wrong: ZooCase
    module: str
    phase: str
    cause: str | None
    others: tuple[str, ...] = ()
    port: pairs.Port = dict


@dataclass
class Spot:
    """Two equal cases; a planter changes `wrong` (and `right`, where a mistake needs it)."""

    right: ZooCase
    wrong: ZooCase
    draw: Draw
    dtype: torch.dtype
    others: list[str] = field(default_factory=list)

    @property
    def model(self) -> nn.Module:
        return self.wrong.model

    def at(self, path: str) -> nn.Module:
        return self.model.get_submodule(path)

    def paths(self, *types: type[nn.Module], without: tuple[str, ...] = ()) -> list[str]:
        """Modules of exactly these types, except those whose last name is in `without`."""
        found = [
            path
            for path, module in self.model.named_modules()
            if type(module) in types and path.rpartition(".")[2] not in without
        ]
        if not found:
            raise LookupError(f"{self.wrong.name} has none of {types}")
        return found

    def pick(self, *types: type[nn.Module], without: tuple[str, ...] = ()) -> str:
        return self.draw.choice(self.paths(*types, without=without))

    def with_loss(self, loss: Callable[..., Tensor]) -> None:
        self.wrong = replace(self.wrong, loss=loss)


Planter = Callable[[Spot], str]


@dataclass(frozen=True)
class Kind:
    planter: Planter
    cause: str | None
    phase: str
    architectures: tuple[str, ...]


REGISTER: dict[str, Kind] = {}


def exists(architecture: str) -> bool:
    """False for what needs transformers where that is not installed."""
    kind = architecture.removeprefix("pair:")
    return kind in (pairs.MAKERS if kind != architecture else cases.BUILDERS)


def plant(
    kind: str, cause: str | None, on: tuple[str, ...], phase: str = "forward"
) -> Callable[[Planter], Planter]:
    def keep(planter: Planter) -> Planter:
        REGISTER[kind] = Kind(planter, cause, phase, tuple(filter(exists, on)))
        return planter

    return keep


def architectures(kind: str) -> tuple[str, ...]:
    return REGISTER[kind].architectures


def equal_cases(architecture: str, seed: int, dtype: torch.dtype) -> pairs.Pair:
    """The two sides before a mistake."""
    if architecture.startswith("pair:"):
        return pairs.pair(architecture.removeprefix("pair:"), seed, dtype)
    one, two = (cases.case(architecture, seed, dtype, warm=2) for _ in range(2))
    return pairs.Pair("", one, two)


def mistake(
    kind: str, seed: int, dtype: torch.dtype = torch.float64, architecture: str | None = None
) -> Mistake:
    """A mistake of `kind`, planted in the second of two equal cases drawn from `seed`. Some need
    certain sizes; then the next drawing that has them is taken."""
    entry = REGISTER[kind]
    name = architecture or entry.architectures[seed % len(entry.architectures)]
    for drawing in range(50):
        both = equal_cases(name, seed + 1000 * drawing, dtype)
        spot = Spot(both.a, both.b, Draw(seed), dtype)
        try:
            path = entry.planter(spot)
        except LookupError:
            continue
        existing = dict(spot.model.named_modules())
        others = tuple(p for p in dict.fromkeys(spot.others) if p != path and p in existing)
        right, wrong, phase, cause = spot.right, spot.wrong, entry.phase, entry.cause
        return Mistake(kind, name, right, wrong, path, phase, cause, others, both.port)
    raise ValueError(f"no drawing of {name} fits {kind}")


# Ways to change a module ----------------------------------------------------------------


def override(module: nn.Module, **methods: Callable[..., Any]) -> None:
    """Gives one module other methods; its path, parameters and children stay."""
    module.__class__ = type(type(module).__name__, (type(module),), methods)


def after(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Changes what a module returns."""
    base = type(module)

    def forward(self: nn.Module, *inputs: Any, **keywords: Any) -> Tensor:
        return change(base.forward(self, *inputs, **keywords))

    override(module, forward=forward)


def before(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Changes what a module reads."""
    base = type(module)

    def forward(self: nn.Module, x: Tensor, *more: Any) -> Tensor:
        return base.forward(self, change(x), *more)

    override(module, forward=forward)


def owners(model: nn.Module, chosen: Callable[[nn.Parameter], bool] = lambda p: True) -> list[str]:
    """The modules that hold the parameters chosen."""
    return [
        path
        for path, module in model.named_modules()
        if any(chosen(p) for p in module.parameters(recurse=False))
    ]


# Where the common layers are ----------------------------------------------------------------

ACTIVATIONS = (nn.GELU, nn.SiLU, nn.ReLU, nn.ELU, nn.Tanh, nn.LeakyReLU, nn.Hardswish, nn.Sigmoid)
LAYER_NORMED = ("mlp", "gpt", "vit", "translator", "encoder", "graph", "siamese", "pair:gpt2_hf")
BATCH_NORMED = ("resnet", "unet", "tcn", "in_place")
RMS_NORMED = ("llama", "moe", "pair:llama_hf", "pair:rms_norm")
ACTIVATED = ("mlp", "resnet", "unet", "lenet", "gpt", "llama", "bert", "vit", "vae", "graph", "bag")
ACTIVATED += ("cnn", "tcn", "two_losses", "hooks", "checkpointed", "pair:gpt2_hf", "pair:bert_hf")
CAUSAL = ("gpt_math", "gpt_dropout", "llama", "moe", "translator", "pair:gpt2_hf", "pair:llama_hf")
CAUSAL += ("gpt", "pair:qkv_fused_or_split")
ATTENTIVE = (*CAUSAL, "vit", "bert", "pair:vit_hf", "pair:bert_hf")
LANGUAGE = ("gpt", "gpt_math", "llama", "moe", "lstm_own", "gru_cells", "pair:gpt2_hf")
CLASSIFYING = ("mlp", "resnet", "lenet", "lstm", "encoder", "bert", "vit", "graph", "pair:bert_hf")
CONVOLVED = ("resnet", "unet", "lenet", "cnn", "convnext", "vae", "pair:conv_unfold")
