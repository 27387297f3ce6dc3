"""Attention, positions, embeddings, residuals: what goes wrong in Transformers."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.mistakes.planting import (
    ATTENTIVE,
    CAUSAL,
    LANGUAGE,
    Spot,
    after,
    override,
    plant,
)
from benchmarks.zoo.models import (
    attention,
    bert,
    cnn,
    convnext,
    gpt,
    llama,
    moe,
    own,
    resnet,
    text,
    transformer,
    vit,
)
from benchmarks.zoo.models.attention import Attention

ROTARY = ("llama", "moe", "pair:llama_hf")
PADDED = ("bert", "translator", "pair:bert_hf", "pair:seq2seq")
ATTENTIONS = (attention.Attention, attention.FusedAttention, attention.RotaryAttention)


def change(spot: Spot, path: str, **methods: Callable[..., Any]) -> str:
    """Other methods for one attention, which then writes out its scores."""
    spot.at(path).flash = False
    override(spot.at(path), **methods)
    return path


def some(spot: Spot) -> str:
    return spot.pick(*ATTENTIONS)


def is_causal(spot: Spot) -> bool:
    return any(spot.at(path).causal for path in spot.paths(*ATTENTIONS))


def causal(spot: Spot) -> str:
    return spot.draw.choice([p for p in spot.paths(*ATTENTIONS) if spot.at(p).causal])


@plant("scale_missing", "attention_scale_missing", ATTENTIVE)
def scale_missing(spot: Spot) -> str:
    return change(spot, some(spot), scale=lambda self, q: 1.0)


@plant("scale_of_model", "attention_scale_wrong_d", ATTENTIVE)
def scale_of_model(spot: Spot) -> str:
    """The root of the model's size, not of the head's."""
    return change(spot, some(spot), scale=lambda self, q: 1 / math.sqrt(self.heads * q.shape[-1]))


@plant("scale_not_root", None, ATTENTIVE)
def scale_not_root(spot: Spot) -> str:
    return change(spot, some(spot), scale=lambda self, q: 1 / q.shape[-1])


@plant("sees_next", "causal_mask_off_by_one", CAUSAL)
def sees_next(spot: Spot) -> str:
    def visible(self: Attention, scores: Tensor) -> Tensor:
        return torch.ones(scores.shape[-2:], dtype=torch.bool).tril(1)

    return change(spot, causal(spot), visible=visible)


@plant("sees_all", "causal_mask_missing", CAUSAL)
def sees_all(spot: Spot) -> str:
    path = causal(spot)
    spot.at(path).causal = False
    return path


@plant("mask_after_softmax", "attention_mask_after_softmax", CAUSAL)
def mask_after_softmax(spot: Spot) -> str:
    """The shares of what is visible no longer add up to 1."""

    def weights(self: Attention, scores: Tensor) -> Tensor:
        shares: Tensor = scores.softmax(-1)
        return shares * self.visible(scores) if self.causal else shares

    path = causal(spot)
    kept = spot.at(path).masked
    return change(
        spot,
        path,
        weights=weights,
        masked=lambda self, scores, keep: scores if self.causal else kept(scores, keep),
    )


@plant("causal_sign", "mask_sign", CAUSAL)
def causal_sign(spot: Spot) -> str:
    def masked(self: Attention, scores: Tensor, keep: Tensor | None) -> Tensor:
        return scores + 1e4 * (~self.visible(scores)).to(scores.dtype)

    return change(spot, causal(spot), masked=masked)


@plant("padding_sign", "mask_sign", PADDED)
def padding_sign(spot: Spot) -> str:
    """A mask of 1 for what is kept, taken for one of what is hidden."""

    def masked(self: Attention, scores: Tensor, keep: Tensor | None) -> Tensor:
        return scores if keep is None else scores - 1e4 * keep.to(scores.dtype)

    return change(spot, padded(spot), masked=masked)


def padded(spot: Spot) -> str:
    """An attention whose keys are padded, and whose padding matters."""
    return spot.draw.choice([p for p in spot.paths(*ATTENTIONS) if not spot.at(p).causal])


@plant("padding_seen", None, PADDED)
def padding_seen(spot: Spot) -> str:
    return change(spot, padded(spot), masked=lambda self, scores, keep: scores)


@plant("mask_of_minus_ten", None, (*CAUSAL, "bert", "pair:bert_hf"))
def mask_of_minus_ten(spot: Spot) -> str:
    """Too small a number to hide anything."""

    def masked(self: Attention, scores: Tensor, keep: Tensor | None) -> Tensor:
        if self.causal:
            scores = scores.masked_fill(~self.visible(scores), -10.0)
        return scores if keep is None else scores.masked_fill(~keep, -10.0)

    return change(spot, causal(spot) if is_causal(spot) else padded(spot), masked=masked)


@plant("softmax_over_queries", "softmax_axis", tuple(a for a in ATTENTIVE if "bert" not in a))
def softmax_over_queries(spot: Spot) -> str:
    path = causal(spot) if is_causal(spot) else some(spot)
    return change(spot, path, weights=lambda self, scores: scores.softmax(-2))


@plant("heads_by_view", "heads_before_transpose", ATTENTIVE)
def heads_by_view(spot: Spot) -> str:
    return change(
        spot,
        some(spot),
        split=lambda self, x, heads: x.reshape(x.shape[0], heads, x.shape[1], -1),
    )


@plant("heads_joined_by_view", "heads_before_transpose", ATTENTIVE)
def heads_joined_by_view(spot: Spot) -> str:
    return change(spot, some(spot), merge=lambda self, y: y.reshape(y.shape[0], y.shape[2], -1))


@plant("heads_interleaved", None, ATTENTIVE)
def heads_interleaved(spot: Spot) -> str:
    """Neighbouring columns to different heads."""

    def split(self: Attention, x: Tensor, heads: int) -> Tensor:
        return x.view(x.shape[0], x.shape[1], -1, heads).permute(0, 3, 1, 2)

    return change(spot, some(spot), split=split)


@plant("queries_as_keys", None, ("gpt", "gpt_math", "vit", "bert", "moe", "pair:gpt2_hf"))
def queries_as_keys(spot: Spot) -> str:
    path = some(spot)
    base = type(spot.at(path))

    def project(self: Attention, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = base.project(self, x, memory)
        return k, q, v

    return change(spot, path, project=project)


@plant("keys_as_values", None, ATTENTIVE)
def keys_as_values(spot: Spot) -> str:
    path = some(spot)
    base = type(spot.at(path))

    def project(self: Attention, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, _ = base.project(self, x, memory)
        return q, k, k

    return change(spot, path, project=project)


@plant("memory_forgotten", None, ("translator", "pair:seq2seq"))
def memory_forgotten(spot: Spot) -> str:
    """Cross-attention that looks at its own sequence."""
    path = "decoder.cross"

    def forward(self: Attention, x: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
        return Attention.forward(self, x)

    override(spot.at(path), forward=forward)
    return path


@plant("rope_neighbours", "rope_interleaved", ROTARY)
def rope_neighbours(spot: Spot) -> str:
    def with_positions(self: attention.RotaryAttention, x: Tensor) -> Tensor:
        cos, sin = self.angles(x)
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)

    return change(spot, some(spot), with_positions=with_positions)


@plant("rope_base", None, ROTARY)
def rope_base(spot: Spot) -> str:
    def angles(self: attention.RotaryAttention, x: Tensor) -> tuple[Tensor, Tensor]:
        half = torch.arange(0, x.shape[-1], 2) / x.shape[-1]
        angle = torch.arange(x.shape[-2])[:, None] * 500.0**-half
        return angle.cos().to(x.dtype), angle.sin().to(x.dtype)

    return change(spot, some(spot), angles=angles)


@plant("rope_backwards", "wrong_sign", ROTARY)
def rope_backwards(spot: Spot) -> str:
    """The sign of the sine: turns the other way, which a causal mask makes visible."""
    path = some(spot)
    base = type(spot.at(path))

    def angles(self: attention.RotaryAttention, x: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = base.angles(self, x)
        return cos, -sin

    return change(spot, path, angles=angles)


@plant("kv_heads_tiled", None, ("llama", "pair:llama_hf", "pair:rope_complex"))
def kv_heads_tiled(spot: Spot) -> str:
    """Whole rounds of the heads, where each should be repeated in place."""
    path = spot.pick(*ATTENTIONS, own.ComplexRotary)
    if spot.at(path).kv_heads in (1, spot.at(path).heads):
        raise LookupError("tiled and repeated heads are the same here")
    override(spot.at(path), repeat=lambda self, x: x.repeat(1, self.heads // self.kv_heads, 1, 1))
    return path


# Residuals ----------------------------------------------------------------


def gpt_alone(self: gpt.Block, x: Tensor) -> Tensor:
    x = self.attn(self.ln1(x))
    return x + self.mlp(self.ln2(x))


def bert_alone(self: bert.Layer, x: Tensor, keep: Tensor) -> Tensor:
    x = self.ln1(x + self.attn(x, keep=keep))
    return self.ln2(self.proj(self.gelu(self.fc(x))))


def encoder_alone(self: transformer.EncoderBlock, x: Tensor, keep: Tensor) -> Tensor:
    x = self.ln1(self.attn(x, keep=keep))
    return self.ln2(x + self.mlp(x))


def resnet_alone(self: resnet.Block, x: Tensor) -> Tensor:
    return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


def temporal_alone(self: cnn.TemporalBlock, x: Tensor) -> Tensor:
    return self.mix(self.act(self.conv(x)))


def convnext_alone(self: convnext.Block, x: Tensor) -> Tensor:
    y = self.narrow(self.gelu(self.wide(self.norm(self.depthwise(x)))))
    return self.scale[:, None, None] * y


def tower_alone(self: text.Tower, ids: Tensor) -> Tensor:
    x = self.pool(self.embed(ids), ids != 0)
    return self.norm(self.fc2(self.act(self.fc1(x))))


ALONE = {
    gpt.Block: gpt_alone,
    llama.Block: gpt_alone,
    bert.Layer: bert_alone,
    transformer.EncoderBlock: encoder_alone,
    resnet.Block: resnet_alone,
    cnn.TemporalBlock: temporal_alone,
    convnext.Block: convnext_alone,
    text.Tower: tower_alone,
}
RESIDUAL = ("gpt", "llama", "moe", "bert", "vit", "translator", "resnet", "tcn", "convnext")
RESIDUAL += ("siamese", "pair:gpt2_hf", "pair:bert_hf", "pair:encoder_post_norm")


@plant("residual_missing", "residual_missing", RESIDUAL)
def residual_missing(spot: Spot) -> str:
    path = spot.pick(*ALONE)
    override(spot.at(path), forward=ALONE[type(spot.at(path))])
    return path


def gpt_post(self: gpt.Block, x: Tensor) -> Tensor:
    x = self.ln1(x + self.attn(x))
    return self.ln2(x + self.mlp(x))


def bert_pre(self: bert.Layer, x: Tensor, keep: Tensor) -> Tensor:
    x = x + self.attn(self.ln1(x), keep=keep)
    return x + self.proj(self.gelu(self.fc(self.ln2(x))))


def encoder_pre(self: transformer.EncoderBlock, x: Tensor, keep: Tensor) -> Tensor:
    x = x + self.attn(self.ln1(x), keep=keep)
    return x + self.mlp(self.ln2(x))


OTHER_PLACE = {
    gpt.Block: gpt_post,
    llama.Block: gpt_post,
    bert.Layer: bert_pre,
    transformer.EncoderBlock: encoder_pre,
}
TRANSFORMERS = ("gpt", "llama", "moe", "bert", "vit", "translator", "pair:gpt2_hf", "pair:llama_hf")


@plant("norm_misplaced", "norm_before_or_after", (*TRANSFORMERS, "encoder", "encoder_pre"))
def norm_misplaced(spot: Spot) -> str:
    path = spot.pick(*OTHER_PLACE, nn.TransformerEncoderLayer)
    layer = spot.at(path)
    if isinstance(layer, nn.TransformerEncoderLayer):
        layer.norm_first = not layer.norm_first
    else:
        override(layer, forward=OTHER_PLACE[type(layer)])
    return path


@plant("residual_of_normed", None, ("gpt", "llama", "moe", "vit", "pair:gpt2_hf"))
def residual_of_normed(spot: Spot) -> str:
    """The skip starts after the norm."""

    def forward(self: gpt.Block, x: Tensor) -> Tensor:
        x = self.ln1(x)
        x = x + self.attn(x)
        return x + self.mlp(self.ln2(x))

    path = spot.pick(gpt.Block, llama.Block)
    override(spot.at(path), forward=forward)
    return path


@plant("residual_subtracted", "wrong_sign", ("gpt", "llama", "vit", "moe", "pair:llama_hf"))
def residual_subtracted(spot: Spot) -> str:
    def forward(self: gpt.Block, x: Tensor) -> Tensor:
        x = x - self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))

    path = spot.pick(gpt.Block, llama.Block)
    override(spot.at(path), forward=forward)
    return path


@plant("parallel_branches", None, ("gpt", "llama", "vit", "moe"))
def parallel_branches(spot: Spot) -> str:
    """Attention and MLP side by side (GPT-J's way), where they should follow each other."""

    def forward(self: gpt.Block, x: Tensor) -> Tensor:
        return x + self.attn(self.ln1(x)) + self.mlp(self.ln2(x))

    path = spot.pick(gpt.Block, llama.Block)
    override(spot.at(path), forward=forward)
    return path


BLOCKS = {"gpt": "blocks", "vit": "blocks", "bert": "layers", "encoder": "encoder.layers"}
BLOCKS |= {"convnext": "blocks", "tcn": "layers"}


@plant("layers_swapped", None, tuple(BLOCKS))
def layers_swapped(spot: Spot) -> str:
    path = BLOCKS[spot.wrong.name]
    layers = spot.at(path)
    first, second = layers[0], layers[1]
    layers[0], layers[1] = second, first
    spot.others += [p for p, _ in spot.model.named_modules() if p.startswith(path)]
    return f"{path}.0"


# Embeddings and positions ----------------------------------------------------------------


@plant("embedding_scaled", "embedding_scaled", (*LANGUAGE, "bert", "text", "pair:bert_hf"))
def embedding_scaled(spot: Spot) -> str:
    path = spot.paths(nn.Embedding)[0]
    root = math.sqrt(spot.at(path).embedding_dim)
    after(spot.at(path), lambda y: y * root)
    return path


@plant("embedding_unscaled", "embedding_scaled", ("translator", "seq2seq", "pair:seq2seq"))
def embedding_unscaled(spot: Spot) -> str:
    path = spot.pick(transformer.Embedding)
    override(spot.at(path), forward=lambda self, ids: self.table(ids))
    return path


@plant("positions_from_one", None, ("gpt", "gpt_math", "gpt_dropout", "checkpointed", "bert"))
def positions_from_one(spot: Spot) -> str:
    path = "embed" if spot.wrong.name == "bert" else ""
    base = type(spot.at(path))
    override(spot.at(path), places=lambda self, ids: base.places(self, ids) + 1)
    return path


@plant("positions_missing", None, ("gpt", "gpt_math", "translator", "seq2seq", "pair:gpt2_hf"))
def positions_missing(spot: Spot) -> str:
    if isinstance(spot.model, gpt.GPT):
        override(spot.model, embed=lambda self, ids: self.drop(self.wte(ids)))
        spot.others.append("wpe")
        return ""
    override(spot.at("positions"), forward=lambda self, x: x)
    return "positions"


@plant("types_missing", None, ("bert", "pair:bert_hf"))
def types_missing(spot: Spot) -> str:
    base = type(spot.at("embed.types"))
    override(
        spot.at("embed.types"),
        forward=lambda self, types: base.forward(self, torch.zeros_like(types)),
    )
    return "embed.types"


@plant("routing_softmax_first", None, ("moe", "pair:experts_dense"))
def routing_softmax_first(spot: Spot) -> str:
    """A softmax over all experts, and the top of it not brought to a sum of 1."""

    def route(self: moe.Experts, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.gate(x).softmax(-1).topk(self.k, -1)

    override(spot.at("block.mlp"), route=route)
    return "block.mlp"


@plant("gate_and_up_swapped", None, ("llama", "moe", "pair:llama_hf"))
def gate_and_up_swapped(spot: Spot) -> str:
    def forward(self: llama.SwiGLU, x: Tensor) -> Tensor:
        return self.down(self.silu(self.up(x)) * self.gate(x))

    paths = spot.paths(llama.SwiGLU)
    for path in paths:
        override(spot.at(path), forward=forward)
    spot.others += paths
    return paths[0]


@plant("patches_by_column", None, ("vit", "pair:vit_hf"))
def patches_by_column(spot: Spot) -> str:
    override(spot.model, tokens=lambda self, x: self.patches(x).mT.flatten(2).transpose(1, 2))
    return ""


@plant("final_norm_missing", None, ("gpt", "llama", "vit", "moe", "pair:gpt2_hf", "pair:llama_hf"))
def final_norm_missing(spot: Spot) -> str:
    override(spot.at("ln"), forward=lambda self, x: x)
    return "ln"


@plant("class_token_last", None, ("vit", "pair:vit_hf"))
def class_token_last(spot: Spot) -> str:
    """Read where the first patch stands."""

    def forward(self: vit.ViT, x: Tensor) -> Tensor:
        x = self.tokens(x)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln(x)[:, 1])

    override(spot.model, forward=forward)
    return ""


def inverted_padding(self: transformer.Encoder, x: Tensor, keep: Tensor) -> Tensor:
    hidden = -1e4 * keep.to(x.dtype)
    return self.head(self.pool(self.encoder(x, src_key_padding_mask=hidden), keep))


@plant("encoder_padding_sign", "mask_sign", ("encoder", "encoder_pre", "pair:encoder_post_norm"))
def encoder_padding_sign(spot: Spot) -> str:
    if isinstance(spot.model, transformer.Encoder):
        override(spot.model, forward=inverted_padding)
        return ""
    return padding_sign(spot)


@plant("mean_with_padding", "mean_over_padding", ("encoder", "encoder_pre", "siamese"))
def mean_with_padding(spot: Spot) -> str:
    path = "tower" if spot.wrong.name == "siamese" else ""
    override(spot.at(path), pool=lambda self, x, keep: x.mean(1))
    return path


@plant("swiglu_without_gate", None, ("llama", "moe"))
def swiglu_without_gate(spot: Spot) -> str:
    path = spot.paths(llama.SwiGLU)[0]
    override(spot.at(path), forward=lambda self, x: self.down(F.silu(self.gate(x)) + self.up(x)))
    return path
