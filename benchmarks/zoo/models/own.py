"""The same layers written another way. Most keep torch's parameters, so that a layer becomes one of
these by changing its class."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.models import attention, bert, gpt, graph, llama, moe, text, transformer, vit


class LayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean).pow(2).mean(-1, keepdim=True)
        return (x - mean) / (variance + self.eps).sqrt() * self.weight + self.bias


class _BatchNorm:
    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (x.dim() - 2))
        dims = [0, *range(2, x.dim())]
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean, variance = x.mean(dims), x.var(dims, unbiased=False)
            count = x.numel() // x.shape[1]
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        normal = (x - mean.view(shape)) * torch.rsqrt(variance.view(shape) + self.eps)
        return normal * self.weight.view(shape) + self.bias.view(shape)


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    pass


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    pass


class GroupNorm(nn.GroupNorm):
    def forward(self, x: Tensor) -> Tensor:
        groups = x.reshape(x.shape[0], self.num_groups, -1)
        variance, mean = torch.var_mean(groups, -1, unbiased=False, keepdim=True)
        normal = ((groups - mean) / (variance + self.eps).sqrt()).view_as(x)
        return normal * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class TorchRMSNorm(llama.RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Linear(nn.Linear):
    """A product by einsum, the bias added after it."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("...i,oi->...o", x, self.weight)
        return y if self.bias is None else y + self.bias


class InOutLinear(nn.Module):
    """Weights (in, out), as Keras and GPT-2's Conv1D hold them."""

    def __init__(self, features: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, out))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class PointwiseLinear(nn.Linear):
    """A convolution with a kernel of 1 over the rows."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2).T[None]
        y = F.conv1d(rows, self.weight[:, :, None], self.bias)
        return y[0].T.reshape(*x.shape[:-1], -1)


class UnfoldConv2d(nn.Conv2d):
    """Patches as columns, and one product a group."""

    def forward(self, x: Tensor) -> Tensor:
        columns = F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)
        columns = columns.view(x.shape[0], self.groups, -1, columns.shape[-1])
        weight = self.weight.view(self.groups, self.out_channels // self.groups, -1)
        y = (weight @ columns).flatten(1, 2)
        if self.bias is not None:
            y = y + self.bias[:, None]
        height = (x.shape[2] + 2 * self.padding[0] - self.kernel_size[0]) // self.stride[0] + 1
        return y.unflatten(2, (height, -1))


class ShiftedConv1d(nn.Conv1d):
    """A sum of products, one for each tap of the kernel."""

    def forward(self, x: Tensor) -> Tensor:
        (pad,), (gap,), (taps,) = self.padding, self.dilation, self.kernel_size
        x = F.pad(x, (pad, pad))
        length = x.shape[-1] - gap * (taps - 1)
        y = self.bias[:, None]
        for tap in range(taps):
            y = y + self.weight[:, :, tap] @ x[..., tap * gap : tap * gap + length]
        return y


class SumConvTranspose2d(nn.ConvTranspose2d):
    """Kernel and stride of 2: every pixel becomes a square of its own."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bihw,ioyx->bohywx", x, self.weight)
        return y.flatten(4, 5).flatten(2, 3) + self.bias[:, None, None]


class UnfoldMaxPool2d(nn.MaxPool2d):
    def forward(self, x: Tensor) -> Tensor:
        size = self.kernel_size
        return x.unfold(2, size, size).unfold(3, size, size).amax((-2, -1))


class ReshapeAvgPool2d(nn.AvgPool2d):
    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        size = self.kernel_size
        return x.view(b, c, h // size, size, w // size, size).mean((3, 5))


class GELU(nn.GELU):
    def forward(self, x: Tensor) -> Tensor:
        if self.approximate == "tanh":
            return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


class SiLU(nn.SiLU):
    def forward(self, x: Tensor) -> Tensor:
        return x / (1 + torch.exp(-x))


class Softplus(nn.Softplus):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))


class ELU(nn.ELU):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, self.alpha * torch.expm1(x.clamp(max=0)))


class Dropout(nn.Dropout):
    """Draws what torch's does, from the same generator."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.p)
        return x * (kept / (1 - self.p))


class OneHotEmbedding(nn.Embedding):
    def forward(self, ids: Tensor) -> Tensor:
        hot = F.one_hot(ids, self.num_embeddings).to(self.weight.dtype)
        if self.padding_idx is None:
            return hot @ self.weight
        row = torch.zeros_like(self.weight)
        row[self.padding_idx] = 1
        return hot @ torch.where(row > 0, self.weight.detach(), self.weight)


class LoopBag(nn.EmbeddingBag):
    def forward(self, ids: Tensor, starts: Tensor) -> Tensor:
        ends = [*starts[1:].tolist(), len(ids)]
        pairs = zip(starts.tolist(), ends, strict=True)
        return torch.stack([self.weight[ids[a:b]].mean(0) for a, b in pairs])


# Attention ----------------------------------------------------------------------------------------


class Einsum(attention.Attention):
    """Heads by chunks, products by einsum, softmax by hand."""

    def split(self, x: Tensor, heads: int) -> Tensor:
        return torch.stack(x.chunk(heads, -1), 1)

    def repeat(self, x: Tensor) -> Tensor:
        times = self.heads // self.kv_heads
        return x[:, :, None].expand(-1, -1, times, -1, -1).flatten(1, 2)

    def weights(self, scores: Tensor) -> Tensor:
        powers = (scores - scores.amax(-1, keepdim=True)).exp()
        return powers / powers.sum(-1, keepdim=True)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None) -> Tensor:
        scores = torch.einsum("bhqd,bhkd->bhqk", q / math.sqrt(q.shape[-1]), k)
        return torch.einsum("bhqk,bhkd->bhqd", self.weights(self.masked(scores, keep)), v)

    def masked(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        if self.causal:
            scores = scores + torch.full_like(scores[0, 0], -math.inf).triu(1)
        return scores if keep is None else torch.where(keep, scores, -math.inf)

    def merge(self, y: Tensor) -> Tensor:
        return torch.cat(y.unbind(1), -1)


class EinsumFused(Einsum, attention.FusedAttention):
    pass


class EinsumRotary(Einsum, attention.RotaryAttention):
    pass


class ComplexRotary(attention.RotaryAttention):
    """Meta's layout: neighbours are the parts of a complex number."""

    def with_positions(self, x: Tensor) -> Tensor:
        cos, sin = self.angles(x)
        turned = torch.view_as_complex(x.unflatten(-1, (-1, 2))) * torch.complex(cos, sin)
        return torch.view_as_real(turned).flatten(-2)


class TorchAttention(nn.Module):
    """nn.MultiheadAttention in the place of `Attention`."""

    def __init__(self, dim: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.causal = causal

    def forward(
        self, x: Tensor, memory: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        memory = x if memory is None else memory
        length = x.shape[1]
        ahead = torch.ones(length, length, dtype=torch.bool).triu(1) if self.causal else None
        padding = None if keep is None else ~keep[:, 0, 0]
        y, _ = self.inner(x, memory, memory, padding, need_weights=False, attn_mask=ahead)
        return y


# Blocks -------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """What transformer.Encoder does, with blocks of our own."""

    def __init__(self, dim: int, depth: int, classes: int, norm_first: bool) -> None:
        super().__init__()
        block = PreNormBlock if norm_first else transformer.EncoderBlock
        self.layers = nn.ModuleList(block(dim, 2) for _ in range(depth))
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, keep[:, None, None])
        return self.head(
            torch.stack([row[kept].mean(0) for row, kept in zip(x, keep, strict=True)])
        )


class PreNormBlock(transformer.EncoderBlock):
    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x), keep=keep)
        return x + self.mlp(self.ln2(x))


class Seq2Seq(nn.Module):
    """What transformer.Seq2Seq does, with blocks of our own."""

    def __init__(self, vocabulary: int, length: int, dim: int, heads: int) -> None:
        super().__init__()
        self.embed = transformer.Embedding(vocabulary, dim)
        self.positions = transformer.Positions(length, dim)
        self.encoder = transformer.EncoderBlock(dim, heads)
        self.encoder_norm = nn.LayerNorm(dim)
        self.decoder = transformer.DecoderBlock(dim, heads)
        self.decoder_norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocabulary)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        keep = (source != 0)[:, None, None]
        memory = self.encoder_norm(self.encoder(self.positions(self.embed(source)), keep))
        y = self.decoder(self.positions(self.embed(target)), memory, keep)
        return self.head(self.decoder_norm(y))


class SwappedBlock(gpt.Block):
    """The residual written in the other order, in place."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.attn(self.ln1(x)).add_(x)
        return self.mlp(self.ln2(x)) + x


class SwappedLlamaBlock(llama.Block):
    def forward(self, x: Tensor) -> Tensor:
        skip = x
        x = self.attn(self.ln1(x)) + skip
        return torch.add(self.mlp(self.ln2(x)), x)


class SwappedLayer(bert.Layer):
    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        x = self.ln1(self.attn(x, keep=keep) + x)
        y = self.proj(self.gelu(self.fc(x)))
        y += x
        return self.ln2(y)


class DenseExperts(moe.Experts):
    """Every expert computes every token; those not chosen count 0 times."""

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.route(x)
        share = torch.zeros_like(self.gate(x)).scatter(-1, chosen, weights)
        return torch.einsum("bte,ebtd->btd", share, torch.stack([e(x) for e in self.experts]))


class DenseConvolution(graph.Convolution):
    """Messages by a matrix of neighbours, which counts repeated edges."""

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        matrix = x.new_zeros(len(x), len(x))
        matrix = matrix.index_put((target, source), x.new_ones(len(source)), accumulate=True)
        scale = (matrix.sum(1) + 1).pow(-0.5)
        return self.own(x) + (scale[:, None] * matrix * scale) @ self.other(x)


class OneHotGraph(graph.Convolution):
    """The sum at each target as a product with one-hot rows."""

    def collect(self, messages: Tensor, target: Tensor, nodes: int) -> Tensor:
        return F.one_hot(target, nodes).to(messages.dtype).T @ messages


class JoinedSiamese(text.Siamese):
    """Both texts in one batch, the cosine by hand."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        length = max(left.shape[1], right.shape[1])
        ids = torch.cat([F.pad(x, (0, length - x.shape[1])) for x in (left, right)])
        a, b = self.tower(ids).chunk(2)
        return 5.0 * (F.normalize(a, dim=-1) * F.normalize(b, dim=-1)).sum(-1)


class ReshapedViT(vit.ViT):
    """Patches by reshaping and a product."""

    def tokens(self, x: Tensor) -> Tensor:
        size = self.patches.kernel_size[0]
        b, c, h, w = x.shape
        x = x.view(b, c, h // size, size, w // size, size).permute(0, 2, 4, 1, 3, 5)
        rows = x.reshape(b, -1, c * size * size)
        return rows @ self.patches.weight.flatten(1).T + self.patches.bias
