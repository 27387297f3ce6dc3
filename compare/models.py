"""The models that a case can name: one file of the same name in manual/models/ and in
torch_ref/models/ each, with one class of the same name in both."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from torch_parity import manual

HOME = Path(manual.__file__).parent / "models"
NOT_MODELS = {"__init__", "step"}


@dataclass(frozen=True)
class ModelRow:
    """A model on both sides; a class is built from those of the case's choices that it takes."""

    by_hand: type
    in_torch: type

    def model(self, choices: Mapping[str, Any]) -> Any:
        """The hand-written model, of the choices that it takes by name.

        Raises:
            ValueError: the model refuses them.
        """
        names = (f.name for f in fields(self.by_hand))
        return self.by_hand(**{n: choices[n] for n in names if n in choices})

    def module(self, choices: Mapping[str, Any]) -> Any:
        """torch's module, of the choices that it takes by name."""
        names = signature(self.in_torch).parameters
        return self.in_torch(**{n: choices[n] for n in names if n in choices})


ADDED: dict[str, ModelRow] = {}


def model_names() -> tuple[str, ...]:
    """The names that --model takes; nothing is imported for them."""
    files = sorted(file.stem for file in HOME.glob("*.py") if file.stem not in NOT_MODELS)
    return (*files, *ADDED)


def find(name: str) -> ModelRow:
    """The model of this name.

    Raises:
        KeyError: there is none.
    """
    if name in ADDED:
        return ADDED[name]
    if name not in model_names():
        raise KeyError(name)
    by_hand = _by_hand(name)
    twin = import_module(f"torch_parity.torch_ref.models.{name}")
    return ModelRow(by_hand, getattr(twin, by_hand.__name__))


def usual_choices(name: str) -> Mapping[str, Any]:
    """What a model's class says under `usual`: fields of a case where they are not given. Empty
    where it says nothing, or there is no such model."""
    if name not in model_names():
        return {}
    by_hand = ADDED[name].by_hand if name in ADDED else _by_hand(name)
    usual: Mapping[str, Any] = getattr(by_hand, "usual", {})
    return usual


def describe(model: Any) -> str:
    """The model in words, for a reader: its own `description`, or its sizes, and its activation if
    it takes one."""
    if own := getattr(model, "description", ""):
        return str(own)
    activation = getattr(model, "activation", "")
    return f"network {'-'.join(map(str, model.sizes))}" + (f" ({activation})" if activation else "")


def _by_hand(name: str) -> type:
    """The class that is by hand, in the file of this name in manual/models/."""
    module = import_module(f"torch_parity.manual.models.{name}")
    own = (c for c in vars(module).values() if is_dataclass(c) and isinstance(c, type))
    return next(c for c in own if c.__module__ == module.__name__)


def add(name: str, by_hand: type, in_torch: type) -> None:
    """Let a case name a model of your own.

    Raises:
        ValueError: the name is taken.
    """
    if name in model_names():
        raise ValueError(f"there is a model {name!r} already")
    ADDED[name] = ModelRow(by_hand, in_torch)
