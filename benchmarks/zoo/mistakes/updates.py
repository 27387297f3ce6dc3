"""Optimizers: the gradients are right. `module` owns the first parameter updated wrongly."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.zoo import pairs
from benchmarks.zoo.mistakes.planting import Spot, owners, plant
from benchmarks.zoo.models import optimizers

DECOUPLED = (
    "mlp",
    "lstm_own",
    "gpt",
    "gpt_math",
    "gpt_dropout",
    "llama",
    "moe",
    "bert",
    "convnext",
)
DECOUPLED += ("encoder", "encoder_pre")
COUPLED = ("bilstm", "translator")
GROUPED = ("gpt", "gpt_math", "llama", "vit", "encoder", "encoder_pre")
ADAM = (*DECOUPLED, *COUPLED, "unet", "lstm", "gru", "graph", "vae", "custom_function", "lenet")
MOMENTUM = ("resnet", "tcn", "siamese", "in_place", "hooks", "gru_cells")
TRAINED = ("mlp", "resnet", "cnn", "lstm", "gpt", "bag", "regressor", "vae", "tcn", "gru_own")


def all_owners(spot: Spot, chosen: Callable[[nn.Parameter], bool] = lambda p: True) -> str:
    found = owners(spot.model, chosen)
    spot.others += found
    return found[0]


def set_groups(spot: Spot, **options: Any) -> str:
    """Sets an option of every group; a callable makes the new value of the old."""
    for group in spot.wrong.optimizer.param_groups:
        for name, value in options.items():
            group[name] = value(group[name]) if callable(value) else value
    return all_owners(spot)


@plant("decay_in_gradient", "adam_l2_decay", DECOUPLED, "update")
def decay_in_gradient(spot: Spot) -> str:
    """Adam with L2, where AdamW was asked for."""
    set_groups(spot, decoupled_weight_decay=False)
    decayed = {
        id(p)
        for group in spot.wrong.optimizer.param_groups
        if group["weight_decay"] > 0
        for p in group["params"]
    }
    spot.others.clear()
    return all_owners(spot, lambda p: id(p) in decayed)


@plant("decay_decoupled", "adam_l2_decay", COUPLED, "update")
def decay_decoupled(spot: Spot) -> str:
    return set_groups(spot, decoupled_weight_decay=True)


@plant("biases_decayed", "biases_decayed", GROUPED, "update")
def biases_decayed(spot: Spot) -> str:
    decay = max(group["weight_decay"] for group in spot.wrong.optimizer.param_groups)
    for group in spot.wrong.optimizer.param_groups:
        group["weight_decay"] = decay
    return all_owners(spot, lambda p: p.dim() < 2)


@plant("learning_rate", "learning_rate", TRAINED, "update")
def learning_rate(spot: Spot) -> str:
    factor = spot.draw.choice([0.1, 0.5, 2.0, 10.0])
    return set_groups(spot, lr=lambda rate: factor * rate)


@plant("betas_swapped", "betas_swapped", ADAM, "update")
def betas_swapped(spot: Spot) -> str:
    return set_groups(spot, betas=lambda betas: betas[::-1])


@plant("beta_else", None, ADAM, "update")
def beta_else(spot: Spot) -> str:
    """0.99 or 0.95 for 0.999."""
    second = spot.draw.choice([0.99, 0.95])
    return set_groups(spot, betas=lambda betas: (betas[0], second))


@plant("adam_eps", None, ADAM, "update")
def adam_eps(spot: Spot) -> str:
    return set_groups(spot, eps=1e-4)


@plant("nesterov_lost", None, ("resnet", "hooks"), "update")
def nesterov_lost(spot: Spot) -> str:
    return set_groups(spot, nesterov=False)


@plant("momentum_damped", None, ("tcn", "siamese", "in_place", "gru_cells"), "update")
def momentum_damped(spot: Spot) -> str:
    """An average of gradients, where their sum was asked for."""
    return set_groups(spot, dampening=0.9)


@plant("momentum_else", None, MOMENTUM, "update")
def momentum_else(spot: Spot) -> str:
    return set_groups(spot, momentum=0.99)


@plant("decay_forgotten", None, (*DECOUPLED, *COUPLED, "resnet", "regressor"), "update")
def decay_forgotten(spot: Spot) -> str:
    decayed = {
        id(p)
        for group in spot.wrong.optimizer.param_groups
        if group["weight_decay"] > 0
        for p in group["params"]
    }
    set_groups(spot, weight_decay=0.0)
    spot.others.clear()
    return all_owners(spot, lambda p: id(p) in decayed)


@plant("uphill", "wrong_sign", TRAINED, "update")
def uphill(spot: Spot) -> str:
    return set_groups(spot, maximize=True)


@plant("state_forgotten", None, (*ADAM, *MOMENTUM), "update")
def state_forgotten(spot: Spot) -> str:
    """Resumed without the optimizer's state."""
    spot.wrong.optimizer.state.clear()
    return all_owners(spot)


@plant("greatest_square_lost", None, ("lenet",), "update")
def greatest_square_lost(spot: Spot) -> str:
    """Adam without AMSGrad's maximum."""
    return set_groups(spot, amsgrad=False)


@plant("one_group_left_out", None, GROUPED, "update")
def one_group_left_out(spot: Spot) -> str:
    """Biases and norms are in no group."""
    del spot.wrong.optimizer.param_groups[1]
    return all_owners(spot, lambda p: p.dim() < 2)


# Written out ----------------------------------------------------------------


class Uncorrected(optimizers.AdamW):
    """The moments as they are."""

    def moments(self, p: Tensor, grad: Tensor, state: dict[str, Any], betas: Any) -> tuple:
        super().moments(p, grad, state, betas)
        return state["exp_avg"], state["exp_avg_sq"]


class CorrectedLate(optimizers.AdamW):
    """The step counted after the update."""

    def moments(self, p: Tensor, grad: Tensor, state: dict[str, Any], betas: Any) -> tuple:
        super().moments(p, grad, state, betas)
        step = state["step"].item() + 1
        first, second = betas
        return state["exp_avg"] / (1 - first**step), state["exp_avg_sq"] / (1 - second**step)


class EpsInRoot(optimizers.AdamW):
    def update(self, p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        mean, square = self.moments(p, grad, state, group["betas"])
        change = mean / (square + group["eps"]).sqrt() + group["weight_decay"] * p
        p -= group["lr"] * change


class DecayNotScaled(optimizers.AdamW):
    """The decay without the learning rate."""

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        mean, square = self.moments(p, grad, state, group["betas"])
        change = group["lr"] * mean / (square.sqrt() + group["eps"])
        p -= change + 0.1 * group["weight_decay"] * p


SINGLE = ("mlp", "lstm_own", "gpt_dropout", "moe", "bert", "convnext", "gpt", "llama")


def written_out(spot: Spot, kind: type[Optimizer]) -> str:
    """AdamW by hand, with the state and options of torch's."""
    old = spot.wrong.optimizer
    names = ("params", "lr", "betas", "eps", "weight_decay")
    new = kind([{name: group[name] for name in names} for group in old.param_groups], lr=0.1)
    pairs.copy_state(old, new)
    spot.wrong = replace(spot.wrong, optimizer=new)
    return all_owners(spot)


@plant("correction_missing", "bias_correction_missing", SINGLE, "update")
def correction_missing(spot: Spot) -> str:
    return written_out(spot, Uncorrected)


@plant("correction_late", None, SINGLE, "update")
def correction_late(spot: Spot) -> str:
    return written_out(spot, CorrectedLate)


@plant("eps_in_root", None, SINGLE, "update")
def eps_in_root(spot: Spot) -> str:
    return written_out(spot, EpsInRoot)


@plant("decay_without_rate", None, ("mlp", "lstm_own", "gpt_dropout", "moe", "bert"), "update")
def decay_without_rate(spot: Spot) -> str:
    return written_out(spot, DecayNotScaled)
