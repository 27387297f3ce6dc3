"""manual/ and torch_ref/ have the same files, make the same names in the same order, and do not
import each other."""

import ast
from pathlib import Path

import numpy as np
import pytest

from torch_parity import manual
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.flow.law import flow
from torch_parity.compare.register import OPTIMIZERS
from torch_parity.compare.sources import pair

ROOT = Path(__file__).parent.parent

# What the framework truly has no counterpart for, or the hand no need of.
NO_TWIN = {
    "accumulation": "torch adds up .grad itself, so it is a loop around the model (models/step.py)",
    "clipping": "torch.nn.utils.clip_grad_norm_ is one line of models/step.py",
    "erf": "torch.erf",
    "bias_variance": "three error rates and two subtractions: no tensor, so nothing for torch",
    "block_gradient": "torch.func carries tangents along a recorded forward itself",
    "elementary": "autograd knows the way back along each operation",
    "followed": "autograd records each operation of a forward",
    "checkpoint": "a run on many ranks has to outlive them; by hand a step is a function",
    "correlation": "what torch's convolutions share is in its kernels",
    "course_gates": "torch's own weights are what it maps the course's to",
    "exact_check": "autograd's gradients are checked by gradient_check, with torch's own gradcheck",
    "image_rows": "torch.func carries tangents through convolutions itself",
    "files": "the files of a run on many ranks; by hand a step is a function",
    "heads": "what torch's nn.MultiheadAttention does within itself",
    "job": "what many processes have to read; by hand it is an argument",
    "over_ranks": "what torch's engine has to be told; by hand it is two lines of distributed.py",
    "names": "torch names what is in a module by its path",
    "recording": "torch's autograd records what a forward does",
    "recurrence": "torch's recurrent modules share it in C++",
    "reduction": "torch's losses take reduction as an argument",
    "shapes": "torch checks shapes itself",
    "standardize": "what torch's norms share is in its kernels",
    "tangents": "torch.func carries tangents itself (and no bounds on their rounding)",
    "windows": "torch's kernels read windows themselves; nn.Unfold shows them",
    "__main__": "what torchrun starts",
    "batchmean": "by hand it is a number (reduction.py); torch has it for KLDivLoss only",
    "trace": "by hand every tensor is returned; torch needs hooks to show them",
    "train": "the loop of a run on many ranks; by hand a step is a function",
}

# What operations share, or are found and recorded by.
SHARED = {
    "correlation",
    "heads",
    "course_gates",
    "positions",
    "recurrence",
    "reduction",
    "shapes",
    "standardize",
    "windows",
}
SHARED |= {"__init__", "recording", "operations"}


def files(package: str) -> set[str]:
    """Folders as well: torch_ref/distributed/ is the counterpart of manual/distributed.py."""
    return {p.stem for p in (ROOT / package).rglob("*") if "__pycache__" not in p.parts}


def test_every_file_has_its_twin() -> None:
    assert files("manual") ^ files("torch_ref") == set(NO_TWIN)


@pytest.mark.parametrize(
    ("package", "banned"),
    [
        ("manual", {"torch", "torch_parity.torch_ref", "torch_parity.compare"}),
        ("torch_ref", {"torch_parity.manual", "torch_parity.compare", "numpy"}),
    ],
)
def test_the_sides_never_meet(package: str, banned: set[str]) -> None:
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {".".join(n.split(".")[: 1 + n.startswith("torch_parity.")]) for n in names}
            assert not roots & banned, file


def test_every_forward_has_its_backward_right_below() -> None:
    for file in (ROOT / "manual").rglob("*.py"):
        functions = [
            n.name
            for n in ast.parse(file.read_text("utf-8")).body
            if isinstance(n, ast.FunctionDef)
        ]
        for i, name in enumerate(functions):
            if name + "_backward" in functions:
                assert functions[i + 1] == name + "_backward", file


def test_everything_by_hand_is_importable_from_manual() -> None:
    assert set(manual.__all__) <= set(dir(manual))
    public = {
        n.name
        for file in (ROOT / "manual").rglob("*.py")
        if file.parent.name in ("ops", "losses", "optimizers", "schedules", "models", "manual")
        if file.stem not in SHARED
        for n in ast.parse(file.read_text("utf-8")).body
        if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")
    }
    used_by_models = {"example_labels", "gradients_of_the_cost"}
    used_by_models |= {"buffers_of", "evaluating", "require_image"}
    used_by_models |= {"loss_gradient", "without_penalty", "clipped_names", "clipped_gradients"}
    used_by_models |= {"of_micro_batch", "unclipped"}
    layers = ("linear", "linear_no_bias", "conv2d", "conv2d_no_bias")
    parts = {f"{layer}_backward_parameters" for layer in layers}
    parts |= {"gates", "next_state", "slopes", "gate_gradients", "states"}  # of recurrent cells
    parts |= {"erf", "argument_of_tanh"}  # of gelu
    assert public - set(manual.__all__) == parts | used_by_models


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("penalty", [{"l2": 0.0}, {"l2": 0.7}, {"l2": 0.7, "l1": 0.3}])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_both_sides_and_the_flow_name_the_same_tensors_in_the_same_order(
    optimizer: str, penalty: dict[str, float], hidden: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(9, 3)), np.arange(9) % 3
    case = Case(optimizer=optimizer, hidden=hidden, p=0.3, **penalty)  # type: ignore[arg-type]
    p = pair.build(case, Data("drawn", x, labels, x, labels, 3))
    by_torch, masks = p.torch.step(x, labels)
    by_hand = p.manual.step(p.params, p.state, x, labels, masks)
    in_flow = [n for node in flow(p.manual.net, p.manual.optimizer, masks) for n in node.outputs]
    assert list(by_hand) == list(by_torch) == in_flow
    assert [t.shape for t in by_hand.values()] == [t.shape for t in by_torch.values()]
    assert [t.dtype for t in by_hand.values()] == [t.dtype for t in by_torch.values()]
    for name in by_hand:
        if name.startswith("d") and not name.endswith("_loss"):
            assert by_hand[name].shape == by_hand.get(name[1:], by_hand[name]).shape
