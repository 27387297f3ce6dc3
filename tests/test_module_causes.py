"""Known mistakes between two models: named whichever of the two has them, and nothing else is.

Mistakes are planted in the models of benchmarks/zoo, and in small ones of the tests' own;
`python -m benchmarks.modules` plants every kind.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.modules import NAMED_AS_WELL, judged
from benchmarks.zoo import mistakes, pairs
from torch_parity.compare.aten.causes import CATALOGUE, diagnosis, registry, told
from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.aten.pair_report import ModulesReport

SEED = 3
# The zoo's kinds that the catalogue has a name for.
KINDS = {
    kind: entry.cause or NAMED_AS_WELL[kind][0]
    for kind, entry in mistakes.REGISTER.items()
    if entry.cause or kind in NAMED_AS_WELL
}
QUICK = (
    "gelu_tanh", "layer_norm_eps", "scale_missing", "softmax_over_queries", "kernel_flipped",
    "learning_rate", "betas_swapped", "biases_decayed", "labels_not_shifted", "rope_neighbours",
    "gradient_hook_scales", "weight_frozen", "gates_loaded_swapped", "loss_in_single",
)  # fmt: skip


def names_of(kind: str, seed: int, architecture: str | None, turned: bool) -> tuple[str, ...]:
    planted = mistakes.mistake(kind, seed, torch.float64, architecture)
    sides = planted.right, planted.wrong
    found = judged(*(sides[::-1] if turned else sides))
    assert found.wrong, f"{kind} in {planted.architecture}, seed {seed}: not seen"
    return tuple(cause.name for cause in found.causes)


@pytest.mark.parametrize(
    "turned",
    [pytest.param(False, id="in b"), pytest.param(True, id="in a", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", QUICK)
@pytest.mark.every(3)
def test_a_known_mistake_is_named_whichever_model_has_it(kind: str, turned: bool) -> None:
    found = names_of(kind, SEED, mistakes.architectures(kind)[0], turned)
    assert found == (KINDS[kind],), f"{kind}, seed {SEED}"


@pytest.mark.parametrize("turned", [False, True], ids=["in b", "in a"])
def test_half_a_gradient_is_no_branch_that_is_cut_off(turned: bool) -> None:
    """Of a tower that two inputs share, the gradients add up: g + g is 2 g, and no sum of two."""
    assert names_of("gradient_halved", 4242, "siamese", turned) == ("gradient_scaled",)


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True], ids=["in b", "in a"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_known_mistake_is_named_in_other_architectures(kind: str, turned: bool) -> None:
    """In three, where the zoo has as many; it may have no name where a model hides which it is."""
    names = [names_of(kind, SEED, a, turned) for a in mistakes.architectures(kind)[:3]]
    assert set(names) <= {(KINDS[kind],), ()}, f"{kind}, seed {SEED}: {names}"
    assert names.count((KINDS[kind],)) * 2 > len(names), f"{kind}, seed {SEED}: {names}"


@pytest.mark.parametrize("turned", [False, True], ids=["a b", "b a"])
@pytest.mark.parametrize(
    "kind", ["qkv_fused_or_split", "lstm_cells", "conv_unfold", "rope_complex"]
)
def test_a_right_port_is_told_to_change_nothing(kind: str, turned: bool) -> None:
    both = pairs.pair(kind, SEED, torch.float64)
    found = judged(*((both.b, both.a) if turned else (both.a, both.b)))
    assert not found.wrong, f"{kind}, seed {SEED}"
    assert not found.causes, f"{kind}, seed {SEED}: {told(found.causes)}"


# Small models of the tests' own ----------------------------------------------------------------


class Layer(nn.Module):
    """x + f(x), twice x + f(x), f(x); a bias once or twice."""

    def __init__(self, inner: nn.Module, width: int, skips: int = 1, biases: int = 1) -> None:
        super().__init__()
        self.inner, self.fc = inner, nn.Linear(width, width)
        self.skips, self.biases = skips, biases

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(self.fc(x))
        for _ in range(self.biases - 1):
            y = y + self.fc.bias
        for _ in range(self.skips):
            y = y + x
        return y


def model(inner: Callable[[], nn.Module], **options: int) -> nn.Sequential:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(5, 6), Layer(inner(), 6, **options), nn.Tanh(), nn.Linear(6, 3))


INNER: dict[str, Callable[[], nn.Module]] = {
    "plain": nn.Identity,
    "gelu": nn.GELU,
    "norm": lambda: nn.LayerNorm(6),
}


def compared(a: nn.Module, b: nn.Module, turned: bool) -> ModulesReport:
    torch.manual_seed(SEED)
    x, y = torch.randn(7, 5), torch.randint(3, (7,))
    first, second = (b, a) if turned else (a, b)
    return check_modules(first, second, x, loss=nn.CrossEntropyLoss(), target=y)


@pytest.mark.parametrize("turned", [False, True], ids=["in b", "in a"])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.every(2)
def test_a_residual_that_is_missing_or_doubled(inner: str, turned: bool) -> None:
    right = model(INNER[inner])
    for skips, cause in ((0, "residual_missing"), (2, "residual_doubled")):
        report = compared(right, model(INNER[inner], skips=skips), turned)
        assert report.causes == (cause,), report.verdict
        assert report.outcome == "FAIL"


@pytest.mark.parametrize("turned", [False, True], ids=["in b", "in a"])
def test_a_bias_that_is_added_twice(turned: bool) -> None:
    for skips in (0, 1, 2):
        right = model(nn.Identity, skips=skips)
        report = compared(right, model(nn.Identity, skips=skips, biases=2), turned)
        assert report.causes == ("bias_doubled",), report.verdict


@pytest.mark.parametrize("turned", [False, True], ids=["in b", "in a"])
@pytest.mark.parametrize("inner", INNER)
def test_gradients_of_an_earlier_step(inner: str, turned: bool) -> None:
    right = model(INNER[inner])
    stale = copy.deepcopy(right)
    stale(torch.randn(4, 5)).sum().backward()
    report = compared(right, stale, turned)
    assert report.causes == ("stale_gradients",), report.verdict
    assert "zero_grad()" in report.explanations[0]


@pytest.mark.parametrize("turned", [False, True], ids=["in b", "in a"])
@pytest.mark.parametrize("inner", INNER)
def test_weights_that_were_not_copied(inner: str, turned: bool) -> None:
    right = model(INNER[inner])
    other = copy.deepcopy(right)
    nn.init.normal_(other[1].fc.weight)  # type: ignore[union-attr, arg-type]
    report = compared(right, other, turned)
    assert report.causes == ("given_differs",), report.verdict
    assert "1.fc.weight" in report.explanations[0]


@pytest.mark.parametrize("turned", [False, True], ids=["in b", "in a"])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.every(2)
def test_layers_in_another_order(inner: str, turned: bool) -> None:
    torch.manual_seed(SEED)
    first = nn.Linear(5, 6)
    layers = [Layer(INNER[inner](), 6) for _ in range(2)]
    last = nn.Linear(6, 3)
    swapped = nn.Sequential(first, *layers[::-1], last)
    report = compared(nn.Sequential(first, *layers, last), swapped, turned)
    assert report.causes == ("layers_swapped",), report.verdict


def test_a_mistake_that_is_not_known_has_no_name() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0.9 + 0.01 * x.square()

    report = compared(model(INNER["gelu"]), model(Odd), False)
    assert report.outcome == "FAIL"
    assert report.causes == ()
    assert report.explanations == ()


def test_the_sentence_has_the_numbers_and_the_place() -> None:
    a, b = model(lambda: nn.LayerNorm(6)), model(lambda: nn.LayerNorm(6, eps=1e-3))
    (sentence,) = compared(a, b, False).explanations
    assert "eps=0.001" in sentence
    assert "eps=1e-05" in sentence
    assert "1.inner" in sentence


def test_the_catalogue_has_a_line_for_each_cause() -> None:
    names = {entry.name for entry in CATALOGUE}
    assert len(names) >= 50
    assert all(entry.line and len(entry.line) < 90 for entry in CATALOGUE)
    assert set(KINDS.values()) <= names


def test_an_output_times_two_is_no_residual_connection() -> None:
    """x + x is 2 x: what is added to the branch is the branch itself."""

    class Scaled(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.fc, self.factor = nn.Linear(5, 5), factor

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.fc(x)) * self.factor

    torch.manual_seed(0)
    one, two = Scaled(1.0), Scaled(2.0)
    two.load_state_dict(one.state_dict())
    report = check_modules(one, two, torch.randn(4, 5), loss=lambda out: out.square().mean())
    assert (report.outcome, report.causes) == ("FAIL", ("output_scaled",))


class Normed(nn.Module):
    """f(self, x), with three linear layers and two norms whose weights are not 1."""

    def __init__(self, f: Callable[..., Tensor]) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in "qkv")
        self.norm, self.rms, self.f = nn.LayerNorm(8), nn.RMSNorm(8, eps=1e-6), f
        for p in (*self.norm.parameters(), *self.rms.parameters()):
            nn.init.normal_(p, 1.0, 0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self, x)


def plain_norm(m: Normed, x: Tensor) -> Tensor:
    return F.layer_norm(m.q(x), (8,))


def attended(m: Normed, x: Tensor, of_keys: Callable[[Tensor], Tensor]) -> Tensor:
    return F.scaled_dot_product_attention(m.rms(m.q(x)), of_keys(m.k(x)), m.v(x))


# right, wrong, and the name; no name is better than a wrong one
NORMED: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[str, ...]]] = {
    "1 + w for w, RMS": (
        lambda m, x: m.rms(m.q(x)),
        lambda m, x: F.rms_norm(m.q(x), (8,), eps=1e-6) * (1 + m.rms.weight),
        (),
    ),
    "1 + w for w": (
        lambda m, x: m.norm(m.q(x)),
        lambda m, x: plain_norm(m, x) * (1 + m.norm.weight) + m.norm.bias,
        (),
    ),
    "the bias before the weight": (
        lambda m, x: m.norm(m.q(x)),
        lambda m, x: (plain_norm(m, x) + m.norm.bias) * m.norm.weight,
        (),
    ),
    "no weight and bias": (
        lambda m, x: m.norm(m.q(x)),
        plain_norm,
        ("norm_without_affine",),
    ),
    "twice": (
        lambda m, x: m.k(m.norm(m.q(x))),
        lambda m, x: m.k(m.norm(m.norm(m.q(x)))),
        ("norm_missing",),
    ),
    "not of the keys": (
        lambda m, x: attended(m, x, m.rms),
        lambda m, x: attended(m, x, lambda k: k),
        ("norm_missing",),
    ),
}


@pytest.mark.parametrize("name", NORMED)
def test_a_norm_that_is_used_elsewhere_as_well(name: str) -> None:
    right, wrong, causes = NORMED[name]
    x = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1))
    report = check_modules(Normed(right), Normed(wrong), x, loss=lambda out: (out**3).mean())
    assert (report.outcome, report.causes) == ("FAIL", causes), str(report)
    assert check_modules(Normed(right), Normed(right), x).outcome == "PASS"


def test_a_cause_that_cannot_be_looked_for_costs_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another mistake is named, or none."""

    def broken(case: object) -> None:
        raise IndexError("tuple index out of range")

    entry = registry.Entry("broken", "it does not run", broken, registry.ALL)  # type: ignore[arg-type]
    monkeypatch.setattr(diagnosis, "CATALOGUE", [entry, *registry.CATALOGUE])
    torch.manual_seed(3)
    a = nn.Sequential(nn.Linear(4, 3), nn.GELU())
    b = nn.Sequential(copy.deepcopy(a[0]), nn.GELU(approximate="tanh"))
    report = check_modules(a, b, torch.randn(5, 4))
    assert report.outcome == "FAIL"
    assert report.causes == ("gelu_form",)


def test_rows_of_a_single_number() -> None:
    x, i, source = torch.tensor(2.0), torch.tensor([0]), torch.tensor(3.0)

    class Adds(nn.Module):
        def __init__(self, factor: int) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: Tensor, i: Tensor, source: Tensor) -> Tensor:
            return x.index_add(0, i, self.factor * source)

    assert check_modules(Adds(1), Adds(1), x, i, source).outcome == "PASS"
    assert check_modules(Adds(1), Adds(2), x, i, source).outcome == "FAIL"
