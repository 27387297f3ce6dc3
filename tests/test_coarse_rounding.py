"""What a float32 model makes in float32 hides nothing in the comparison in float64; and what rounds
more coarsely there all the same is no PASS unless both models make the same call."""

import copy
import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.small_models import SEED, Applied, squares, x_of
from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.aten.check_arrays import check_module
from torch_parity.compare.aten.coarse import agree
from torch_parity.compare.aten.pair_report import ModulesReport


def scaled_to_unit(h: Tensor, eps: float) -> Tensor:
    return h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)


OF_A_CLOSURE = torch.eye(16)


def written_into_zeros(h: Tensor) -> Tensor:
    made = torch.zeros(h.shape)
    made[:, :8], made[torch.arange(4), 8:] = h[:, :8], h[:, 8:]
    return made


def written_by_out(h: Tensor) -> Tensor:
    return torch.add(h.detach(), 0, out=torch.empty(h.shape)) + h


# What is done with the normed activations, in a program that knows nothing but float32.
IN_FLOAT32: dict[str, Callable[[Tensor], Tensor]] = {
    "times torch.eye": lambda h: h @ torch.eye(16),
    "cast, times torch.full": lambda h: h.float() @ torch.full((16, 16), 0.25, dtype=torch.float32),
    "times a tensor of a closure": lambda h: h @ OF_A_CLOSURE,
    "written into zeros": written_into_zeros,
    "written by out=": written_by_out,
    "a single number beside ones": lambda h: torch.ones(1) * h.square().sum() + h,
    "a mask of attention": lambda h: F.scaled_dot_product_attention(
        *[h[None, None]] * 3, attn_mask=torch.full((4, 4), float("-inf")).triu(1)
    ),
    "softmax by name": lambda h: F.softmax(h, -1, dtype=torch.float32),
    "one-hot rows": lambda h: F.one_hot(torch.arange(4)).float() @ h,
}


def normed(f: Callable[[Tensor], Tensor], eps: float) -> nn.Module:
    torch.manual_seed(SEED)
    return Applied(lambda m, x: f(scaled_to_unit(m.first(x), eps)), first=nn.Linear(16, 16))


def against(
    f: Callable[[Tensor], Tensor], eps: float, dtype: torch.dtype = torch.float32
) -> ModulesReport:
    a, b = (normed(f, e).to(dtype) for e in (1e-6, eps))
    return check_modules(a, b, x_of(4, 16).to(dtype), loss=lambda out: (out**2 / 2 + out).sum())


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_float32_tensors_of_a_models_own_hide_nothing(name: str) -> None:
    """An eps of 9e-7 for 1e-6 is less than float32 can round, and in float64 it is plain."""
    for eps, outcome in ((1e-6, "PASS"), (9e-7, "FAIL")):
        report = against(IN_FLOAT32[name], eps)
        assert (report.outcome, report.precision) == (outcome, "float64"), f"{name}\n{report}"
        assert not report.notes


TENTH = torch.tensor(0.1)
# The number 0.1 as a float32 model may write it; the tensor is 0.100000001 in float64.
TENTHS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "torch.tensor": lambda m, h: h * torch.tensor(0.1),
    "a tensor of a closure": lambda m, h: h * TENTH,
    "a buffer": lambda m, h: h * m.tenth,
    "torch.full": lambda m, h: h * torch.full((3,), 0.1),
}


def tenth(f: Callable[[nn.Module, Tensor], Tensor]) -> nn.Module:
    made = Applied(lambda m, x: f(m, m.fc(x)))
    made.register_buffer("tenth", torch.tensor(0.1), persistent=False)
    return made


@pytest.mark.parametrize("name", TENTHS)
def test_a_constant_may_be_a_float32_tensor_or_a_python_number(name: str) -> None:
    """What is the same number in float32 is the same model; the next float32 number is another."""
    f = TENTHS[name]
    for number, outcome in ((0.1, "PASS"), (0.10000001, "FAIL")):
        a, b = tenth(f), tenth(lambda m, h, c=number: h * c)
        assert check_modules(a, b, x_of(), loss=squares).outcome == outcome, f"{name} {number}"
        assert check_modules(b, a, x_of(), loss=squares).outcome == outcome, f"{name} {number}"


EIGHTH = torch.tensor(8**-0.5)
# What divides by the root of 8, or multiplies by what that is in float32.
ROOTS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "a number": lambda m, h: h / math.sqrt(8),
    "a tensor": lambda m, h: h * torch.tensor(8**-0.5),
    "a tensor of a closure": lambda m, h: h * EIGHTH,
    "a divisor": lambda m, h: h / torch.tensor(math.sqrt(8)),
}
THIRDS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "a whole number": lambda m, h: h / 3,
    "a tensor": lambda m, h: h * torch.tensor(1 / 3),
    "a divisor": lambda m, h: h / torch.tensor(3.0),
}


@pytest.mark.parametrize("forms", [ROOTS, THIRDS], ids=["root", "third"])
def test_a_float32_tensor_may_be_a_reciprocal(
    forms: dict[str, Callable[[nn.Module, Tensor], Tensor]],
) -> None:
    """The float32 number beside it is another."""
    for (one, f), (other, g) in product(forms.items(), repeat=2):
        report = check_modules(tenth(f), tenth(g), x_of(), loss=squares)
        assert report.outcome == "PASS", f"{one}, {other}\n{report}"
    f = forms["a tensor"]
    for up in (0.0, 1.0):
        constant = f(nn.Module(), torch.ones(())).nextafter(torch.tensor(up))
        beside = tenth(lambda m, h, c=constant: h * c)
        for name, g in forms.items():
            assert check_modules(tenth(g), beside, x_of(), loss=squares).outcome == "FAIL", name


def only_float32(h: Tensor) -> Tensor:
    assert h.dtype == torch.float32
    return h * 2


def into_a_range(h: Tensor) -> Tensor:
    made = torch.arange(16).float().repeat(4, 1)
    made *= h
    return made


def in_bfloat16(h: Tensor) -> Tensor:
    return (h.bfloat16() * 2).float()


# Rounds to less than float64 in the comparison: in float32 models, and one of float64.
COARSE = {
    "float32 alone": (only_float32, torch.float32),
    "into a range": (into_a_range, torch.float32),
    "bfloat16": (in_bfloat16, torch.float32),
    "a cast in float64": (lambda h: h.float() * 2, torch.float64),
}


@pytest.mark.parametrize("name", COARSE)
def test_what_only_a_coarse_rounding_makes_alike_is_not_judged(name: str) -> None:
    """The same calls of the same numbers pass; of others less than the rounding is no PASS, and
    what is more is a FAIL."""
    f, dtype = COARSE[name]
    assert against(f, 1e-6, dtype).outcome == "PASS"
    report = against(f, 9e-7, dtype)
    assert report.outcome != "PASS", f"{name}\n{report}"
    assert report.unjudged
    assert not report.causes or report.causes == ("norm_eps_value",)
    assert against(f, 1e-2, dtype).outcome == "FAIL"


def test_a_factor_next_to_1_that_rounding_explains_as_well_is_not_named() -> None:
    for eps in (5e-7, 2e-7):
        causes = against(only_float32, eps).causes
        assert not {"output_scaled", "gradient_scaled"} & set(causes), f"{eps}: {causes}"


def test_arrays_in_float64_are_not_held_to_a_coarser_rounding_of_the_module() -> None:
    """An error of 1e-4 is less than bfloat16 may round."""
    module = normed(in_bfloat16, 1e-6)
    out = module(x_of(4, 16)).detach().double().numpy()
    for mine in (out, out * 1.0001):
        assert check_module(module, {"output": mine}, x_of(4, 16)).outcome == "UNJUDGED"
    assert check_module(module, {"output": out * 1.1}, x_of(4, 16)).outcome == "FAIL"


@pytest.mark.parametrize("other", [torch.inf, -torch.inf, torch.nan])
def test_what_is_not_finite_agrees_with_its_like_alone(other: float) -> None:
    """An infinity, or nan, in one of two tensors is no rounding of a number in the other."""
    x = torch.tensor([1.0, 2.0, other], dtype=torch.float64)
    finite = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert agree(x, x.clone())
    assert agree(finite, finite * (1 + 2**-50))
    assert not agree(x, finite)
    assert not agree(finite, x)


def turned(h: Tensor, up: bool) -> Tensor:
    """By the angle of its position: bfloat16 has no 257."""
    t = torch.arange(h.shape[0], dtype=torch.float32 if up else h.dtype)
    c, s = t.cos().to(h.dtype)[:, None], t.sin().to(h.dtype)[:, None]
    one, two = h.chunk(2, -1)
    return torch.cat([one * c - two * s, one * s + two * c], -1)


def of_unit_size(h: Tensor, up: bool) -> Tensor:
    """A square of 300 is more than float16 has."""
    g = 3000 * (h.float() if up else h)
    return (g * torch.rsqrt(g.pow(2).mean(-1, keepdim=True) + 1e-6)).to(h.dtype)


@pytest.mark.parametrize(
    ("f", "dtype"),
    [(turned, torch.bfloat16), (turned, torch.float16), (of_unit_size, torch.float16)],
)
def test_a_half_that_only_one_model_computes_in(
    f: Callable[[Tensor, bool], Tensor], dtype: torch.dtype
) -> None:
    """What is float32 in the other looks the same in float64. Positions up to 300 are whole numbers
    in float16, so there the two are alike."""

    def model(up: bool) -> nn.Module:
        torch.manual_seed(SEED)
        return Applied(lambda m, x: f(m.even(x), up), even=nn.Linear(5, 4)).to(dtype)

    x = x_of(300, 5).to(dtype)
    alike = f is turned and dtype is torch.float16
    for a, b in ((True, False), (False, True)):
        report = check_modules(model(a), model(b), x, loss=squares)
        assert report.outcome == ("PASS" if alike else "UNJUDGED"), str(report)
    for same in (True, False):
        assert check_modules(model(same), model(same), x, loss=squares).outcome == "PASS"


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="a torch without it")
@pytest.mark.parametrize(("steps", "outcomes"), [(5, {"PASS"}), (4, {"FAIL", "UNJUDGED"})])
def test_muon_orthogonalizes_in_bfloat16(steps: int, outcomes: set[str]) -> None:
    """A bound on it says nothing; but the same calls of the same numbers are the same."""
    torch.manual_seed(0)
    a = nn.Linear(6, 4, bias=False)
    b = copy.deepcopy(a)
    both: Any = (
        torch.optim.Muon(a.parameters(), ns_steps=5),
        torch.optim.Muon(b.parameters(), ns_steps=steps),
    )
    report = check_modules(a, b, torch.randn(5, 6), loss=squares, optimizers=both)
    assert report.outcome in outcomes, report.verdict
