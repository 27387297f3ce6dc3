"""Normalisation and dropout."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.mistakes.planting import (
    BATCH_NORMED,
    LAYER_NORMED,
    RMS_NORMED,
    Spot,
    after,
    override,
    plant,
)
from benchmarks.zoo.models import llama, own

BATCH = (nn.BatchNorm1d, nn.BatchNorm2d)
RMS = (llama.RMSNorm, own.TorchRMSNorm)
DROPPED = ("mlp", "lenet", "encoder", "gpt_dropout", "seq2seq", "checkpointed")


def set_all(spot: Spot, types: tuple[type[nn.Module], ...], name: str, value: object) -> str:
    """Sets an option of every module of these types, as a wrong default would."""
    paths = spot.paths(*types)
    for path in paths:
        setattr(spot.at(path), name, value)
    return paths[0]


@plant("layer_norm_eps", "norm_eps_value", (*LAYER_NORMED, "encoder_pre", "vae"))
def layer_norm_eps(spot: Spot) -> str:
    return set_all(spot, (nn.LayerNorm,), "eps", spot.draw.choice([1e-6, 1e-12, 1e-3]))


@plant("batch_norm_eps", "norm_eps_value", BATCH_NORMED)
def batch_norm_eps(spot: Spot) -> str:
    return set_all(spot, BATCH, "eps", 1e-3)


@plant("rms_norm_eps", "norm_eps_value", RMS_NORMED)
def rms_norm_eps(spot: Spot) -> str:
    return set_all(spot, RMS, "eps", 1e-5)


def centred_forward(self: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    root = centred.pow(2).mean(-1, keepdim=True).sqrt()
    return centred / (root + self.eps) * self.weight + self.bias


@plant("layer_norm_eps_outside", "norm_eps_outside_root", LAYER_NORMED)
def layer_norm_eps_outside(spot: Spot) -> str:
    path = spot.pick(nn.LayerNorm)
    override(spot.at(path), forward=centred_forward)
    return path


def rms_outside(self: llama.RMSNorm, x: Tensor) -> Tensor:
    return self.weight * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + self.eps)


@plant("rms_norm_eps_outside", "norm_eps_outside_root", RMS_NORMED)
def rms_norm_eps_outside(spot: Spot) -> str:
    path = spot.pick(*RMS)
    override(spot.at(path), forward=rms_outside)
    return path


def batch_statistics(self: nn.BatchNorm2d, x: Tensor, unbiased: bool) -> tuple[Tensor, ...]:
    """x less its mean, and its variance, in the shape of a channel; updates the statistics."""
    dims, shape = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
    mean, variance = x.mean(dims), x.var(dims, unbiased=unbiased)
    with torch.no_grad():
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(x.var(dims, unbiased=True), self.momentum)
    return (
        x - mean.view(shape),
        variance.view(shape),
        self.weight.view(shape),
        self.bias.view(shape),
    )


def batch_outside(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
    centred, variance, weight, bias = batch_statistics(self, x, False)
    return centred / (variance.sqrt() + self.eps) * weight + bias


def batch_unbiased(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
    centred, variance, weight, bias = batch_statistics(self, x, True)
    return centred / (variance + self.eps).sqrt() * weight + bias


@plant("batch_norm_eps_outside", "norm_eps_outside_root", BATCH_NORMED)
def batch_norm_eps_outside(spot: Spot) -> str:
    path = spot.pick(*BATCH)
    override(spot.at(path), forward=batch_outside)
    return path


@plant("batch_norm_unbiased", "unbiased_variance", BATCH_NORMED)
def batch_norm_unbiased(spot: Spot) -> str:
    path = spot.pick(*BATCH)
    override(spot.at(path), forward=batch_unbiased)
    return path


def layer_unbiased(self: nn.LayerNorm, x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, -1, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias


@plant("layer_norm_unbiased", "unbiased_variance", (*LAYER_NORMED, "bert", "pair:bert_hf"))
def layer_norm_unbiased(spot: Spot) -> str:
    path = spot.pick(nn.LayerNorm)
    override(spot.at(path), forward=layer_unbiased)
    return path


@plant("running_momentum", "running_statistics_momentum", BATCH_NORMED)
def running_momentum(spot: Spot) -> str:
    """Keras's momentum is what torch's leaves."""
    spot.others += spot.paths(*BATCH)
    return set_all(spot, BATCH, "momentum", 0.9)


@plant("batch_norm_in_eval", "train_eval_mode", BATCH_NORMED)
def batch_norm_in_eval(spot: Spot) -> str:
    path = spot.pick(*BATCH)
    spot.at(path).eval()
    return path


def dropouts(spot: Spot) -> list[str]:
    return [path for path in spot.paths(nn.Dropout) if spot.at(path).p > 0]


@plant("dropout_in_eval", "train_eval_mode", DROPPED)
def dropout_in_eval(spot: Spot) -> str:
    path = spot.draw.choice(dropouts(spot))
    spot.at(path).eval()
    return path


@plant("dropout_in_use", "train_eval_mode", ("mlp", "lenet", "gpt_dropout", "checkpointed"))
def dropout_in_use(spot: Spot) -> str:
    """The right model is evaluated, the wrong one still drops."""
    spot.right.model.eval()
    spot.model.eval()
    for path in dropouts(spot):
        spot.at(path).train()
    return dropouts(spot)[0]


@plant("dropout_unscaled", "dropout_unscaled", DROPPED)
def dropout_unscaled(spot: Spot) -> str:
    path = spot.draw.choice(dropouts(spot))
    kept = 1 - spot.at(path).p
    after(spot.at(path), lambda y: y * kept)
    return path


@plant("dropout_keep_for_drop", None, DROPPED)
def dropout_keep_for_drop(spot: Spot) -> str:
    """TensorFlow 1's argument was the share to keep."""
    path = spot.draw.choice(dropouts(spot))
    spot.at(path).p = 1 - spot.at(path).p
    return path


@plant("layer_norm_plain", "norm_without_affine", LAYER_NORMED)
def layer_norm_plain(spot: Spot) -> str:
    path = spot.pick(nn.LayerNorm)
    override(spot.at(path), forward=lambda self, x: F.layer_norm(x, x.shape[-1:], eps=self.eps))
    return path


@plant("batch_norm_plain", "norm_without_affine", BATCH_NORMED)
def batch_norm_plain(spot: Spot) -> str:
    path = spot.pick(*BATCH)

    def forward(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
        means, variances = self.running_mean, self.running_var
        return F.batch_norm(x, means, variances, None, None, True, self.momentum, self.eps)

    override(spot.at(path), forward=forward)
    return path


@plant("rms_norm_plain", "norm_without_affine", RMS_NORMED)
def rms_norm_plain(spot: Spot) -> str:
    path = spot.pick(*RMS)
    override(spot.at(path), forward=lambda self, x: F.rms_norm(x, x.shape[-1:], eps=self.eps))
    return path


@plant("norm_over_time", None, ("gpt", "vit", "translator", "bert", "encoder", "pair:gpt2_hf"))
def norm_over_time(spot: Spot) -> str:
    """The mean and variance of a column, not of a row."""
    paths = [p for p in spot.paths(nn.LayerNorm) if p not in ("ln", "norm")]
    path = spot.draw.choice(paths)

    def forward(self: nn.LayerNorm, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, 1, unbiased=False, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    override(spot.at(path), forward=forward)
    return path


@plant("layer_norm_for_rms", None, RMS_NORMED)
def layer_norm_for_rms(spot: Spot) -> str:
    path = spot.pick(*RMS)
    override(
        spot.at(path),
        forward=lambda self, x: F.layer_norm(x, x.shape[-1:], self.weight, eps=self.eps),
    )
    return path


@plant("group_count", None, ("cnn", "pair:group_norm"))
def group_count(spot: Spot) -> str:
    path = spot.pick(nn.GroupNorm, own.GroupNorm)
    spot.at(path).num_groups = 1
    return path
