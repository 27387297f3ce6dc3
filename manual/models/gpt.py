"""GPT, character level: each position guesses the next character from those up to it.

    h = dropout(wte[x] + wpe)
    h = h + attn(ln_1(h));  h = h + mlp(ln_2(h))        for each block
    head(ln_f(h))

A block adds to h what its attention found in earlier positions, then what its small network makes
of each position. Both read h through a layer norm ("pre-norm"), so that h itself passes every block
by sums alone, and the gradient comes back the same way. Tensors are called by torch's module paths;
m samples of t tokens, c numbers each, v characters.

Source: Radford et al. 2019, "Language models are unsupervised multitask learners"; nanoGPT.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from torch_parity.manual.heads import split_heads
from torch_parity.manual.losses.reduction import Reduction
from torch_parity.manual.models.step import Tensors, gradients_of_the_cost, loss_gradient
from torch_parity.manual.names import MODULE_PATHS, Names
from torch_parity.manual.ops.add import add_backward
from torch_parity.manual.ops.dropout import dropout, dropout_backward
from torch_parity.manual.ops.embedding import embedding, embedding_backward
from torch_parity.manual.ops.gelu import Approximate, gelu, gelu_backward
from torch_parity.manual.ops.identity import identity, identity_backward
from torch_parity.manual.ops.layer_norm import layer_norm, layer_norm_backward
from torch_parity.manual.ops.linear import linear, linear_backward
from torch_parity.manual.ops.narrow import narrow, narrow_backward
from torch_parity.manual.ops.permute import permute, permute_backward
from torch_parity.manual.ops.reshape import reshape, reshape_backward
from torch_parity.manual.ops.scaled_dot_product_attention import (
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)

HEADS_FIRST = (0, 2, 1, 3)  # [m, t, heads, c / heads] <-> [m, heads, t, c / heads]
CLASSES_SECOND = (0, 2, 1)  # [m, t, v] <-> [m, v, t], as the loss reads scores


@dataclass(frozen=True)
class GPT:
    """sizes is (t, c, the number of heads of each block..., v). For loss, reduction, l1, l2 and m
    see Model (step.py)."""

    sizes: tuple[int, ...]
    loss: str = "cross_entropy"
    reduction: Reduction = "mean"
    approximate: Approximate = "none"
    l1: float = 0.0
    l2: float = 0.0
    m: float = 1
    share: float = 1.0
    names: ClassVar[Names] = MODULE_PATHS
    result: ClassVar[str] = "output"
    usual: ClassVar[Mapping[str, Any]] = {"hidden": (64, 4, 4), "data": "sums"}

    def __post_init__(self) -> None:
        if len(self.sizes) < 4:
            raise ValueError(
                f"GPT: sizes are {self.sizes}, expected (tokens, width, heads..., characters): at "
                "least one block"
            )
        if wrong := [n for n in self.sizes[2:-1] if self.sizes[1] % n]:
            raise ValueError(f"GPT: {wrong[0]} heads do not divide the width {self.sizes[1]}")

    @property
    def description(self) -> str:
        """The model in words, for the first line of a report."""
        t, c, *heads, v = self.sizes
        return (
            f"GPT: sequences of {t} characters, {v} different ones, width {c}, heads of each block "
            f"{', '.join(map(str, heads))} (gelu)"
        )

    @property
    def blocks(self) -> dict[str, int]:
        """The number of heads of blocks.0, blocks.1..."""
        return {f"blocks.{i}": heads for i, heads in enumerate(self.sizes[2:-1])}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """wte.weight: (v, c), wpe.weight: (t, c), blocks.0.ln_1.weight: (c,)..."""
        t, c, *_, v = self.sizes
        affine: dict[str, tuple[int, ...]] = {}
        for b in self.blocks:
            affine |= {f"{b}.ln_1": (c,), f"{b}.attn.q": (c, c), f"{b}.attn.k": (c, c)}
            affine |= {f"{b}.attn.v": (c, c), f"{b}.attn.proj": (c, c), f"{b}.ln_2": (c,)}
            affine |= {f"{b}.mlp.fc": (4 * c, c), f"{b}.mlp.proj": (c, 4 * c)}
        affine |= {"ln_f": (c,), "head": (v, c)}
        shapes: dict[str, tuple[int, ...]] = {"wte.weight": (v, c), "wpe.weight": (t, c)}
        for name, shape in affine.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return shapes

    def example(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """x and y: (m, t) of characters."""
        x, y = rng.integers(0, self.sizes[-1], (2, samples, self.sizes[0]))
        return x, y

    def shapes_of_masks(self, samples: int) -> dict[str, tuple[int, ...]]:
        """drop.mask, blocks.0.attn.drop.mask, blocks.0.mlp.drop.mask...: (m, t, c)"""
        shape = (samples, *self.sizes[:2])
        inner = (f"{b}.{part}.drop.mask" for b in self.blocks for part in ("attn", "mlp"))
        return dict.fromkeys(["drop.mask", *inner], shape)

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        """[m, t] of int -> input, wte, wpe, embed, drop, blocks.0.ln_1, ..., head, output"""
        p, t = params, Tensors()
        t["input"] = identity(x)
        t["wte"] = embedding(t["input"], p["wte.weight"])  # [m, t, c]
        t["wpe"] = narrow(p["wpe.weight"], dim=0, start=0, length=x.shape[1])  # [t, c]
        t["embed"] = t["wte"] + t["wpe"]
        t["drop"] = h = _dropped(t["embed"], masks.get("drop.mask"))
        for b, heads in self.blocks.items():
            t |= self._attention(b, heads, p, h, masks)
            t[f"{b}.sum"] = h + t[f"{b}.attn.drop"]
            t |= self._mlp(b, p, t[f"{b}.sum"], masks)
            t[b] = h = t[f"{b}.sum"] + t[f"{b}.mlp.drop"]
        t["ln_f"] = layer_norm(h, p["ln_f.weight"], p["ln_f.bias"])
        t["head"] = linear(t["ln_f"], p["head.weight"], p["head.bias"])  # [m, t, v]
        t["output"] = permute(t["head"], dims=CLASSES_SECOND)
        return t

    def attention_weights(self, t: Mapping[str, np.ndarray]) -> Tensors:
        """What each query took of each key, from a recorded forward, to look at.

        # blocks.0.attn: [m, heads, t, t]...

        A mean of the rows of the identity matrix is the weights themselves.
        """
        found = Tensors()
        for b, heads in self.blocks.items():
            q, k = (split_heads(t[f"{b}.attn.{name}"], heads) for name in "qk")
            identity_matrix = np.broadcast_to(
                np.eye(q.shape[2], dtype=q.dtype), (*q.shape[:3], q.shape[2])
            )
            found[f"{b}.attn"] = scaled_dot_product_attention(q, k, identity_matrix, is_causal=True)
        return found

    def _attention(
        self,
        b: str,
        heads: int,
        p: Mapping[str, np.ndarray],
        h: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> Tensors:
        """drop(proj(merge(attention(split(q), split(k), split(v))))), of ln_1(h)"""
        t, a = Tensors(), f"{b}.attn"
        _, n, c = h.shape
        t[f"{b}.ln_1"] = x = layer_norm(h, p[f"{b}.ln_1.weight"], p[f"{b}.ln_1.bias"])
        cut = []  # queries, keys and values, [m, heads, t, c / heads]
        for name in ("q", "k", "v"):
            t[f"{a}.{name}"] = linear(x, p[f"{a}.{name}.weight"], p[f"{a}.{name}.bias"])
            in_parts = reshape(t[f"{a}.{name}"], shape=(-1, n, heads, c // heads))
            cut.append(permute(in_parts, dims=HEADS_FIRST))
        found = scaled_dot_product_attention(*cut, is_causal=True)
        side_by_side = permute(found, dims=HEADS_FIRST)
        t[f"{a}.merged"] = reshape(side_by_side, shape=(-1, n, c))
        t[f"{a}.proj"] = linear(t[f"{a}.merged"], p[f"{a}.proj.weight"], p[f"{a}.proj.bias"])
        t[f"{a}.drop"] = _dropped(t[f"{a}.proj"], masks.get(f"{a}.drop.mask"))
        return t

    def _mlp(
        self,
        b: str,
        p: Mapping[str, np.ndarray],
        h: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> Tensors:
        """drop(proj(gelu(fc(ln_2(h)))))"""
        t, f = Tensors(), f"{b}.mlp"
        t[f"{b}.ln_2"] = x = layer_norm(h, p[f"{b}.ln_2.weight"], p[f"{b}.ln_2.bias"])
        t[f"{f}.fc"] = linear(x, p[f"{f}.fc.weight"], p[f"{f}.fc.bias"])
        t[f"{f}.gelu"] = gelu(t[f"{f}.fc"], approximate=self.approximate)
        t[f"{f}.proj"] = linear(t[f"{f}.gelu"], p[f"{f}.proj.weight"], p[f"{f}.proj.bias"])
        t[f"{f}.drop"] = _dropped(t[f"{f}.proj"], masks.get(f"{f}.drop.mask"))
        return t

    def backward(
        self,
        params: Mapping[str, np.ndarray],
        t: Mapping[str, np.ndarray],
        y: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> Tensors:
        """From the output back to the embeddings. g[name] is d cost / d name."""
        p, g = params, Tensors()
        inputs = dict(zip((*self.blocks, "ln_f"), ("drop", *self.blocks), strict=True))

        g["output"] = loss_gradient(self, t["output"], y)
        g["head"] = permute_backward(g["output"], dims=CLASSES_SECOND)
        g["ln_f"], g["head.weight"], g["head.bias"] = linear_backward(
            g["head"], t["ln_f"], p["head.weight"]
        )
        h = inputs["ln_f"]
        g[h], g["ln_f.weight"], g["ln_f.bias"] = layer_norm_backward(
            g["ln_f"], t[h], p["ln_f.weight"]
        )
        for b, heads in reversed(self.blocks.items()):
            h = inputs[b]
            dsum, g[f"{b}.mlp.drop"] = add_backward(g[b], t[f"{b}.sum"], t[f"{b}.mlp.drop"])
            dsum_mlp = self._mlp_backward(b, p, t, g, masks)
            g[f"{b}.sum"] = dsum + dsum_mlp  # the sum is read twice: its gradient is a sum
            dh, g[f"{b}.attn.drop"] = add_backward(g[f"{b}.sum"], t[h], t[f"{b}.attn.drop"])
            dh_attention = self._attention_backward(b, heads, p, t, h, g, masks)
            g[h] = dh + dh_attention
        g["embed"] = _dropped_backward(g["drop"], t["embed"], masks.get("drop.mask"))
        g["wte"], g["wpe"] = add_backward(g["embed"], t["wte"], t["wpe"])
        g["wpe.weight"] = narrow_backward(
            g["wpe"], p["wpe.weight"], dim=0, start=0, length=len(t["wpe"])
        )
        g["wte.weight"] = embedding_backward(g["wte"], t["input"], p["wte.weight"])
        return gradients_of_the_cost(self, params, g)

    def _mlp_backward(
        self,
        b: str,
        p: Mapping[str, np.ndarray],
        t: Mapping[str, np.ndarray],
        g: Tensors,
        masks: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Fills g from mlp.drop back to ln_2, and returns the gradient of what ln_2 reads."""
        f = f"{b}.mlp"
        g[f"{f}.proj"] = _dropped_backward(
            g[f"{f}.drop"], t[f"{f}.proj"], masks.get(f"{f}.drop.mask")
        )
        g[f"{f}.gelu"], g[f"{f}.proj.weight"], g[f"{f}.proj.bias"] = linear_backward(
            g[f"{f}.proj"], t[f"{f}.gelu"], p[f"{f}.proj.weight"]
        )
        g[f"{f}.fc"] = gelu_backward(g[f"{f}.gelu"], t[f"{f}.fc"], approximate=self.approximate)
        g[f"{b}.ln_2"], g[f"{f}.fc.weight"], g[f"{f}.fc.bias"] = linear_backward(
            g[f"{f}.fc"], t[f"{b}.ln_2"], p[f"{f}.fc.weight"]
        )
        dh, g[f"{b}.ln_2.weight"], g[f"{b}.ln_2.bias"] = layer_norm_backward(
            g[f"{b}.ln_2"], t[f"{b}.sum"], p[f"{b}.ln_2.weight"]
        )
        return dh

    def _attention_backward(
        self,
        b: str,
        heads: int,
        p: Mapping[str, np.ndarray],
        t: Mapping[str, np.ndarray],
        h: str,
        g: Tensors,
        masks: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Fills g from attn.drop back to ln_1, and returns the gradient of what ln_1 reads."""
        a = f"{b}.attn"
        g[f"{a}.proj"] = _dropped_backward(
            g[f"{a}.drop"], t[f"{a}.proj"], masks.get(f"{a}.drop.mask")
        )
        g[f"{a}.merged"], g[f"{a}.proj.weight"], g[f"{a}.proj.bias"] = linear_backward(
            g[f"{a}.proj"], t[f"{a}.merged"], p[f"{a}.proj.weight"]
        )
        dfound, *cut = (
            split_heads(x, heads) for x in (g[f"{a}.merged"], *(t[f"{a}.{name}"] for name in "qkv"))
        )
        dcut = scaled_dot_product_attention_backward(dfound, *cut, is_causal=True)
        dx = []  # ln_1 is read three times
        for name, d in zip("qkv", dcut, strict=True):
            d = permute_backward(d, dims=HEADS_FIRST)
            g[f"{a}.{name}"] = reshape_backward(d, t[f"{a}.{name}"])
            share, g[f"{a}.{name}.weight"], g[f"{a}.{name}.bias"] = linear_backward(
                g[f"{a}.{name}"], t[f"{b}.ln_1"], p[f"{a}.{name}.weight"]
            )
            dx.append(share)
        g[f"{b}.ln_1"] = dx[0] + dx[1] + dx[2]
        dh, g[f"{b}.ln_1.weight"], g[f"{b}.ln_1.bias"] = layer_norm_backward(
            g[f"{b}.ln_1"], t[h], p[f"{b}.ln_1.weight"]
        )
        return dh


def _dropped(x: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return identity(x) if mask is None else dropout(x, mask)


def _dropped_backward(dout: np.ndarray, x: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return identity_backward(dout, x) if mask is None else dropout_backward(dout, mask)
