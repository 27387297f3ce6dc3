"""Losses: the model is right, what is made of its output is not. `module` is "" throughout, but
for a softmax that the model brings along."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.zoo import cases
from benchmarks.zoo.mistakes.planting import CLASSIFYING, LANGUAGE, Spot, after, plant
from benchmarks.zoo.models import vae

TRANSLATING = ("translator", "seq2seq", "pair:seq2seq")


@plant("labels_not_shifted", "label_shift", LANGUAGE)
def labels_not_shifted(spot: Spot) -> str:
    def loss(output: Any, ids: Tensor) -> Tensor:
        return F.cross_entropy(cases.logits(output).flatten(0, 1), ids.flatten())

    spot.with_loss(loss)
    return ""


@plant("labels_shifted_twice", "label_shift", LANGUAGE)
def labels_shifted_twice(spot: Spot) -> str:
    """Shifted by the data and again by the loss."""

    def loss(output: Any, ids: Tensor) -> Tensor:
        return F.cross_entropy(cases.logits(output)[:, :-2].flatten(0, 1), ids[:, 2:].flatten())

    spot.with_loss(loss)
    return ""


@plant("padding_counted", "mean_over_padding", TRANSLATING)
def padding_counted(spot: Spot) -> str:
    """The sum of the right terms, divided by all of them."""

    def loss(output: Tensor, target: Tensor) -> Tensor:
        scores = output.flatten(0, 1)
        return F.cross_entropy(scores, target.flatten(), ignore_index=0, reduction="sum") / len(
            scores
        )

    if not (spot.wrong.target == 0).any():
        raise LookupError("nothing is padded")
    spot.with_loss(loss)
    return ""


@plant("padding_learned", "mean_over_padding", TRANSLATING)
def padding_learned(spot: Spot) -> str:
    """Padding as a class like any other."""
    if not (spot.wrong.target == 0).any():
        raise LookupError("nothing is padded")
    spot.with_loss(lambda output, target: F.cross_entropy(output.flatten(0, 1), target.flatten()))
    return ""


@plant("softmax_in_loss", "softmax_before_cross_entropy", CLASSIFYING)
def softmax_in_loss(spot: Spot) -> str:
    def loss(output: Any, target: Tensor) -> Tensor:
        return F.cross_entropy(cases.logits(output).softmax(-1), target)

    spot.with_loss(loss)
    return ""


HEADS = {
    "mlp": "fc3",
    "resnet": "fc",
    "lenet": "fc2",
    "lstm": "head",
    "bert": "head",
    "vit": "head",
}


@plant("softmax_in_model", "softmax_before_cross_entropy", (*HEADS, "pair:bert_hf"))
def softmax_in_model(spot: Spot) -> str:
    path = HEADS.get(spot.wrong.name, "head")
    after(spot.at(path), lambda y: y.softmax(-1))
    return path


@plant("loss_over_batch_axis", "softmax_axis", CLASSIFYING)
def loss_over_batch_axis(spot: Spot) -> str:
    def loss(output: Any, target: Tensor) -> Tensor:
        return F.nll_loss(cases.logits(output).log_softmax(0), target)

    spot.with_loss(loss)
    return ""


@plant("loss_summed", "sum_instead_of_mean", (*CLASSIFYING, "bag"))
def loss_summed(spot: Spot) -> str:
    def loss(output: Any, target: Tensor) -> Tensor:
        return F.cross_entropy(cases.logits(output), target, reduction="sum")

    spot.with_loss(loss)
    return ""


@plant("tokens_summed", "sum_instead_of_mean", LANGUAGE)
def tokens_summed(spot: Spot) -> str:
    """A mean over sequences of the sums over tokens."""

    def loss(output: Any, ids: Tensor) -> Tensor:
        return cases.next_token(output, ids) * (ids.shape[1] - 1)

    spot.with_loss(loss)
    return ""


@plant("bce_summed", "sum_instead_of_mean", ("siamese", "pair:siamese_joined", "pair:bce"))
def bce_summed(spot: Spot) -> str:
    spot.with_loss(
        lambda output, target: F.binary_cross_entropy_with_logits(output, target, reduction="sum")
    )
    return ""


@plant("labels_smoothed", None, CLASSIFYING)
def labels_smoothed(spot: Spot) -> str:
    def loss(output: Any, target: Tensor) -> Tensor:
        return F.cross_entropy(cases.logits(output), target, label_smoothing=0.1)

    spot.with_loss(loss)
    return ""


@plant("temperature", None, (*CLASSIFYING, "bag"))
def temperature(spot: Spot) -> str:
    def loss(output: Any, target: Tensor) -> Tensor:
        return F.cross_entropy(cases.logits(output) / 2.0, target)

    spot.with_loss(loss)
    return ""


@plant("labels_in_other_order", None, CLASSIFYING)
def labels_in_other_order(spot: Spot) -> str:
    """The loader shuffles the images alone."""
    if torch.equal(spot.wrong.target, spot.wrong.target.flip(0)):
        raise LookupError("the same labels either way")
    spot.with_loss(lambda output, target: cases.classify(output, target.flip(0)))
    return ""


@plant("loss_in_single", "lower_precision", (*CLASSIFYING, "bag"))
def loss_in_single(spot: Spot) -> str:
    """As Hugging Face's losses: logits cast to float32."""
    lower = torch.float32 if spot.dtype == torch.float64 else torch.bfloat16

    def loss(output: Any, target: Tensor) -> Tensor:
        return F.cross_entropy(cases.logits(output).to(lower), target)

    spot.with_loss(loss)
    return ""


@plant("loss_negated", "wrong_sign", (*CLASSIFYING, "bag"))
def loss_negated(spot: Spot) -> str:
    spot.with_loss(lambda output, target: -cases.classify(output, target))
    return ""


@plant("divergence_sign", "wrong_sign", ("vae",))
def divergence_sign(spot: Spot) -> str:
    def loss(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        logits, mean, logvar = output
        kl = 0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum(1).mean()
        return F.binary_cross_entropy_with_logits(logits, x) + 0.1 * kl

    spot.with_loss(loss)
    return ""


@plant("divergence_left_out", None, ("vae",))
def divergence_left_out(spot: Spot) -> str:
    spot.with_loss(lambda output, x: F.binary_cross_entropy_with_logits(output[0], x))
    return ""


@plant("divergence_averaged", None, ("vae",))
def divergence_averaged(spot: Spot) -> str:
    """A mean over the latent variables, where a sum belongs."""

    def loss(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        exact = vae.elbo(output, x)
        likelihood = F.binary_cross_entropy_with_logits(output[0], x)
        return likelihood + (exact - likelihood) / output[1].shape[1]

    spot.with_loss(loss)
    return ""
