"""The forward pass is right, a gradient is not."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.zoo.mistakes.layers import ANYWHERE, anywhere
from benchmarks.zoo.mistakes.planting import Spot, after, override, plant
from benchmarks.zoo.models import special, text

TIED = ("gpt", "gpt_math", "gpt_dropout", "translator", "checkpointed", "pair:gpt2_hf")


class Scaled(torch.autograd.Function):
    """The identity, with a gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


INNER = tuple(a for a in ANYWHERE if a not in ("hooks", "siamese"))  # some gradient is left


@plant("detached", "detached", INNER, "backward")
def detached(spot: Spot) -> str:
    path = anywhere(spot)
    after(spot.at(path), torch.detach)
    return path


@plant("gradient_halved", "gradient_scaled", ANYWHERE, "backward")
def gradient_halved(spot: Spot) -> str:
    path = anywhere(spot)
    after(spot.at(path), lambda y: Scaled.apply(y, 0.5))
    return path


@plant("gradient_negated", "wrong_sign", ANYWHERE, "backward")
def gradient_negated(spot: Spot) -> str:
    path = anywhere(spot)
    after(spot.at(path), lambda y: Scaled.apply(y, -1.0))
    return path


@plant(
    "gradient_hook_scales", "gradient_scaled", ("mlp", "resnet", "gpt", "llama", "vit"), "backward"
)
def gradient_hook_scales(spot: Spot) -> str:
    """A hook on a weight, left over from a warm-up."""
    path = spot.pick(nn.Linear)
    spot.at(path).weight.register_hook(lambda grad: 0.1 * grad)
    return path


@plant("gradient_clipped", None, ("mlp", "lenet", "gpt", "bert", "graph", "lstm"), "backward")
def gradient_clipped(spot: Spot) -> str:
    """Each entry limited by a hook, to what most of them exceed."""
    path = spot.pick(nn.Linear, without=("k",))
    spot.at(path).weight.register_hook(lambda grad: grad.clamp(-1e-4, 1e-4))
    return path


@plant("weight_frozen", "detached", ("mlp", "resnet", "gpt", "llama", "bert", "vit"), "backward")
def weight_frozen(spot: Spot) -> str:
    path = spot.pick(nn.Linear, without=("head",))
    spot.at(path).weight.requires_grad_(False)
    return path


@plant("without_gradient", "detached", ("mlp", "lenet", "vit", "siamese", "graph"), "backward")
def without_gradient(spot: Spot) -> str:
    """A layer run under no_grad."""
    path = spot.pick(nn.Linear, without=("head", "fc2", "fc3"))
    base = type(spot.at(path))

    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        with torch.no_grad():
            return base.forward(self, x)

    override(spot.at(path), forward=forward)
    return path


@plant("second_call_detached", "detached", ("siamese", "pair:siamese_joined"), "backward")
def second_call_detached(spot: Spot) -> str:
    """Only the left text trains the tower."""

    def forward(self: text.Siamese, left: Tensor, right: Tensor) -> Tensor:
        return F.cosine_similarity(self.tower(left), self.tower(right).detach()) * 5.0

    override(spot.model, forward=forward)
    return ""


@plant("head_untied", "weights_untied", TIED, "backward")
def head_untied(spot: Spot) -> str:
    """A copy, updated on its own."""
    head = spot.at("head")
    head.weight = nn.Parameter(head.weight.detach().clone())
    spot.wrong.optimizer.param_groups[0]["params"].append(head.weight)
    spot.others += ["wte", "embed.table"]
    return "head"


@plant("tower_untied", "weights_untied", ("siamese",), "backward")
def tower_untied(spot: Spot) -> str:
    """Two towers with the same weights."""
    other = copy.deepcopy(spot.at("tower"))
    spot.model.add_module("other", other)
    spot.wrong.optimizer.param_groups[0]["params"] += list(other.parameters())

    def forward(self: text.Siamese, left: Tensor, right: Tensor) -> Tensor:
        return F.cosine_similarity(self.tower(left), self.other(right)) * 5.0

    override(spot.model, forward=forward)
    spot.others += [p for p, _ in spot.model.named_modules() if p.startswith(("tower", "other"))]
    return ""


PADDABLE = ("text", "lstm_own", "gru_cells", "llama", "moe", "gru_own")


@plant("padding_trained", "padding_index", PADDABLE, "backward")
def padding_trained(spot: Spot) -> str:
    """The padding row gets a gradient. (Where no token is padding, one is made so.)"""
    path = spot.paths(nn.Embedding)[0]
    padding = spot.wrong.inputs[0][0, 0].item()
    if path and spot.at(path).padding_idx is None:
        spot.right.model.get_submodule(path).padding_idx = padding
    elif not (spot.wrong.inputs[0] == 0).any():
        raise LookupError("nothing is padded")
    spot.at(path).padding_idx = None
    return path


class Overwriting(torch.autograd.Function):
    """Rows of a table; the gradient keeps one of several for the same row."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.rows = table.shape[0]
        return table[ids]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (ids,) = ctx.saved_tensors
        table = grad.new_zeros(ctx.rows, grad.shape[-1])
        table[ids.flatten()] = grad.flatten(0, -2)
        return table, None


EMBEDDED = ("gpt", "llama", "lstm_own", "gru_cells", "moe", "siamese", "pair:gpt2_hf")


@plant("embedding_overwritten", "repeated_indices_lost", EMBEDDED, "backward")
def embedding_overwritten(spot: Spot) -> str:
    path = spot.paths(nn.Embedding)[0]
    ids = spot.wrong.inputs[0] if spot.wrong.inputs else spot.wrong.keywords["input_ids"]
    if len(ids[:, :-1].unique()) == ids[:, :-1].numel():
        raise LookupError("no token is repeated")
    override(spot.at(path), forward=lambda self, x: Overwriting.apply(self.weight, x))
    return path


# Own Functions ----------------------------------------------------------------


class WrongSwish(special.Swish):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * x.sigmoid()  # without x s (1 - s)


class WrongNormalize(special.Normalize):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        _, root = ctx.saved_tensors
        return root * (grad - grad.mean(-1, keepdim=True)), None  # without the variance's share


class WrongMatmul(special.Matmul):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return grad @ weight, grad.T @ x, grad.mean(0)  # a sum over the batch


class WrongGELU(torch.autograd.Function):
    """The exact form, with the derivative of the one by tanh."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.gelu(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.gelu_backward(grad, x, approximate="tanh")


class WrongReLU(torch.autograd.Function):
    """The mask is taken from the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.relu()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * (grad > 0)


@plant(
    "swish_backward", None, ("custom_function", "mlp", "llama", "moe", "tcn", "hooks"), "backward"
)
def swish_backward(spot: Spot) -> str:
    path = spot.pick(nn.SiLU, special.FunctionSwish)
    override(spot.at(path), forward=lambda self, x: WrongSwish.apply(x))
    return path


@plant("norm_backward", None, ("custom_function", "mlp", "gpt", "vit", "graph"), "backward")
def norm_backward(spot: Spot) -> str:
    path = spot.pick(nn.LayerNorm, special.FunctionNorm)

    def forward(self: nn.LayerNorm, x: Tensor) -> Tensor:
        return WrongNormalize.apply(x, self.eps) * self.weight + self.bias

    override(spot.at(path), forward=forward)
    return path


@plant("linear_backward", None, ("custom_function", "mlp", "lenet", "graph", "siamese"), "backward")
def linear_backward(spot: Spot) -> str:
    paths = spot.paths(nn.Linear, special.FunctionLinear, without=("k",))
    path = spot.draw.choice([p for p in paths if spot.at(p).bias is not None])
    override(spot.at(path), forward=lambda self, x: WrongMatmul.apply(x, self.weight, self.bias))
    return path


@plant("gelu_backward", "gelu_form", ("mlp", "vit", "bert", "convnext", "bag"), "backward")
def gelu_backward(spot: Spot) -> str:
    path = spot.pick(nn.GELU)
    override(spot.at(path), forward=lambda self, x: WrongGELU.apply(x))
    return path


@plant("relu_backward", None, ("resnet", "unet", "text", "vae", "graph"), "backward")
def relu_backward(spot: Spot) -> str:
    path = spot.pick(nn.ReLU)
    override(spot.at(path), forward=lambda self, x: WrongReLU.apply(x))
    return path


@plant("other_masks_again", None, ("checkpointed",), "backward")
def other_masks_again(spot: Spot) -> str:
    """Recomputed without the generator's state: other units are dropped than in the forward."""

    def forward(self: special.CheckpointedGPT, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        return self.head(self.ln(x))

    override(spot.model, forward=forward)
    spot.others += [p for p, _ in spot.model.named_modules() if p.startswith("blocks.")]
    return ""


@plant("hook_unlimited", None, ("hooks",), "backward")
def hook_unlimited(spot: Spot) -> str:
    override(spot.model, limit_gradient=lambda self, grad: grad)
    return ""
