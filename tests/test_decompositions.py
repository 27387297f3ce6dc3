"""Every function of torch against torch's own decomposition of it: two programs of other operations
that compute the same."""

import copy
import operator
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.errors import InputError

pytest.importorskip("expecttest", reason="torch's samples need it")

SOME = (
    "addbmm", "addmm", "bmm", "cumsum", "diff", "einsum", "gather", "index_put", "logsumexp",
    "masked_fill", "nn.functional.batch_norm", "nn.functional.conv2d", "nn.functional.gelu",
    "nn.functional.glu", "nn.functional.grid_sample", "nn.functional.huber_loss",
    "nn.functional.layer_norm", "nn.functional.mse_loss", "nn.functional.multi_margin_loss",
    "nn.functional.nll_loss", "nn.functional.rms_norm", "nn.functional.unfold",
    "nn.functional.scaled_dot_product_attention", "norm", "softmax", "std", "stft", "var", "where",
)  # fmt: skip
DRAWS = (
    "rand",
    "normal",
    "bernoulli",
    "multinomial",
    "uniform",
    "geometric",
    "cauchy",
    "log_normal",
)
DRAWS += ("exponential", "empty", "new_empty", "resize", "svd_lowrank", "pca_lowrank")
DRAWS += tuple(f"nn.functional.{n}" for n in ("dropout", "alpha", "feature", "rrelu", "fractional"))
DRAWS += ("nn.functional.multi_head_attention_forward",)
PARTS = 8


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Any:
        return self.function(*tensors)


def weighted(out: Any) -> Any:
    """One number that each entry has another part in."""
    return sum(
        (x * torch.linspace(0.5, 1.5, x.numel()).to(x).reshape(x.shape)).sum() for x in real(out)
    )


def real(out: Any) -> list[Tensor]:
    tensors = [x for x in pytree.tree_leaves(out) if isinstance(x, Tensor)]
    return [x for x in tensors if x.is_floating_point()]


def same(x: Any, y: Any) -> bool:
    pairs = zip(real(x), real(y), strict=True)
    return all(torch.allclose(p, q, 1e-4, 1e-5, equal_nan=True) for p, q in pairs)


def pairs_of(op: Any, most: int) -> Iterator[tuple[Any, Any, list[Tensor]]]:
    """The function of a sample's tensors, its decomposition, and the tensors."""
    for sample in list(op.sample_inputs("cpu", torch.float32, requires_grad=op.supports_autograd))[
        : 4 * most : 4
    ]:
        leaves, spec = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
        at = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]

        def function(*tensors: Tensor, leaves: Any = leaves, at: Any = at, spec: Any = spec) -> Any:
            given = dict(zip(at, tensors, strict=True))
            first, more, named = pytree.tree_unflatten(
                [given.get(i, x) for i, x in enumerate(leaves)], spec
            )
            return op.op(first, *more, **named)

        tensors = [leaves[i] for i in at]
        try:
            graph = make_fx(function, decomposition_table=core_aten_decompositions())(
                *copies(tensors)
            )
            if same(function(*copies(tensors)), graph(*copies(tensors))):
                yield function, graph, tensors
        except Exception:  # torch cannot trace it
            continue


def copies(tensors: list[Tensor]) -> list[Tensor]:
    return [x.detach().clone().requires_grad_(x.requires_grad) for x in tensors]


def gradients(function: Any, tensors: list[Tensor]) -> list[Tensor | None]:
    given = copies(tensors)
    try:
        weighted(function(*given)).backward()
    except (RuntimeError, AttributeError):  # a decomposition may have no derivative
        return []
    return [x.grad for x in given]


def have_the_same(of_a: list[Tensor | None], of_b: list[Tensor | None]) -> bool:
    which = [[x is None for x in of] for of in (of_a, of_b)]
    return any(x is not None for x in of_a) and which[0] == which[1] and same(of_a, of_b)


def judged(names: Any, most: int) -> dict[str, int]:
    from torch.testing._internal.common_methods_invocations import op_db

    counts: dict[str, int] = {}
    for op in op_db:
        if not names(op.name) or torch.float32 not in op.dtypes or op.name.startswith(DRAWS):
            continue
        for function, graph, tensors in pairs_of(op, most):
            has = have_the_same(gradients(function, tensors), gradients(graph, tensors))
            loss = {"loss": weighted} if has else {}
            try:
                report = check_modules(Calls(function), Calls(graph), *tensors, **loss)
            except InputError:
                continue
            told = f"{op.name} {op.variant_test_name}\n{report}\n{graph.code}"
            assert report.outcome != "FAIL", told
            counts[report.outcome] = counts.get(report.outcome, 0) + 1
    return counts


@pytest.mark.filterwarnings("ignore")
def test_some_functions_against_their_decompositions() -> None:
    counts = judged(lambda name: name in SOME, 2)
    assert counts.get("PASS", 0) > 50, counts
    assert counts.get("UNJUDGED", 0) < 10, counts


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_all_functions_against_their_decompositions(part: int) -> None:
    counts = judged(lambda name: sum(map(ord, name)) % PARTS == part, 3)
    assert counts.get("PASS", 0) > 80, counts


# --- the same programs with a mistake

A = torch.ops.aten
BOTH_WAYS = [
    (A.add.Tensor, A.sub.Tensor),
    (A.mul.Tensor, A.div.Tensor),
    (A.gt.Scalar, A.ge.Scalar),
    (A.sin.default, A.cos.default),
    (A.exp.default, A.expm1.default),
    (A.maximum.default, A.minimum.default),
    (A.amax.default, A.amin.default),
    (A.sum.dim_IntList, A.mean.dim),
    (A.rsqrt.default, A.reciprocal.default),
    (A.tanh.default, A.sigmoid.default),
    (A.floor.default, A.round.default),
]
OTHER = dict(BOTH_WAYS) | {b: a for a, b in BOTH_WAYS}


def mistaken(graph: Any, draw: random.Random) -> Any:
    """The program with another function, a number off by 3e-4 or 1, a call left out, or with its
    arguments the other way round; None if it has no place for one."""
    made = copy.deepcopy(graph)
    found: list[Callable[[], None]] = []
    for node in [n for n in made.graph.nodes if n.op == "call_function"]:
        args = node.args
        if node.target in OTHER:
            found.append(partial(setattr, node, "target", OTHER[node.target]))
        for i, x in enumerate(args):
            if type(x) in (int, float) and x:
                off = x + 1 if type(x) is int else x * 1.0003
                found.append(partial(setattr, node, "args", (*args[:i], off, *args[i + 1 :])))
        if args and isinstance(args[0], torch.fx.Node) and node.target is not operator.getitem:
            found.append(partial(node.replace_all_uses_with, args[0]))
        if len(args) > 1 and all(isinstance(x, torch.fx.Node) for x in args[:2]):
            found.append(partial(setattr, node, "args", (args[1], args[0], *args[2:])))
    if not found:
        return None
    draw.choice(found)()
    made.recompile()
    return made


def differ(x: Any, y: Any, share: float) -> bool:
    """By that share of the greatest number."""
    if any(a.shape != b.shape for a, b in zip(x, y, strict=True)):
        return True
    finite = all(a.isfinite().all() and b.isfinite().all() for a, b in zip(x, y, strict=True))
    return finite and any(
        float((a - b).abs().max()) > share * float(a.abs().max())
        for a, b in zip(x, y, strict=True)
        if a.numel()
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_no_mistake_in_a_decomposition_passes(part: int) -> None:
    from torch.testing._internal.common_methods_invocations import op_db

    draw, outcomes = random.Random(part), []
    for op in op_db:
        named = sum(map(ord, op.name)) % PARTS == part
        if not named or torch.float32 not in op.dtypes or op.name.startswith(DRAWS):
            continue
        for function, graph, tensors in pairs_of(op, 2):
            wrong = mistaken(graph, draw)
            try:
                shows = differ(*(real(f(*copies(tensors))) for f in (function, wrong)), 1e-5)
            except Exception:  # it does not run
                continue
            if not shows:
                continue
            try:
                report = check_modules(Calls(function), Calls(wrong), *tensors)
            except InputError:
                continue
            assert report.outcome != "PASS", f"{op.name}, seed {part}\n{report}\n{wrong.code}"
            outcomes.append(report.outcome)
    assert outcomes.count("FAIL") > 30, outcomes
