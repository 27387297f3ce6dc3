"""Right pairs: two implementations of the same computation, with the same weights and data.

What is random is drawn in the same order on both sides, so that `cases.step` with one seed makes
the same masks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.zoo import cases
from benchmarks.zoo.cases import HAS_TRANSFORMERS, Draw, Parts, ZooCase
from benchmarks.zoo.models import (
    attention,
    bert,
    gpt,
    graph,
    llama,
    moe,
    optimizers,
    own,
    recurrent,
    special,
    text,
    transformer,
    vit,
)
from benchmarks.zoo.models import huggingface as hf
from benchmarks.zoo.models.convnext import ConvNeXt, ConvNeXtLast

Tensors = dict[str, Tensor]
Port = Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class Pair:
    """`port` turns a's parameters, or their gradients, into those of b, by name."""

    kind: str
    a: ZooCase
    b: ZooCase
    port: Port = dict


Maker = Callable[[Draw, int, torch.dtype], Pair]
MAKERS: dict[str, Maker] = {}


def register(kind: str) -> Callable[[Maker], Maker]:
    def keep(maker: Maker) -> Maker:
        MAKERS[kind] = maker
        return maker

    return keep


def pair(kind: str, seed: int, dtype: torch.dtype = torch.float64) -> Pair:
    """A pair of `kind`, its sizes, weights and data drawn from `seed`."""
    return replace(MAKERS[kind](Draw(seed), seed, dtype), kind=kind)


# The same parameters, other layers ----------------------------------------------------------------


def swap(model: nn.Module, other: dict[type[nn.Module], type[nn.Module]]) -> int:
    """Changes the class of every module that has another; how many."""
    found = [module for module in model.modules() if type(module) in other]
    for module in found:
        module.__class__ = other[type(module)]
    return len(found)


def register_swap(
    kind: str, names: tuple[str, ...], other: dict[type[nn.Module], type[nn.Module]]
) -> None:
    """One of the cases `names`, with the layers of `other` replaced."""

    @register(kind)
    def make(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
        name = draw.choice(names)
        a, b = cases.case(name, seed, dtype), cases.case(name, seed, dtype)
        if not swap(b.model, other):
            raise ValueError(f"{name} has none of {other}")
        return Pair(kind, a, b)


BATCH_NORMS = {nn.BatchNorm2d: own.BatchNorm2d, nn.BatchNorm1d: own.BatchNorm1d}
EINSUM = {
    attention.Attention: own.Einsum,
    attention.FusedAttention: own.EinsumFused,
    attention.RotaryAttention: own.EinsumRotary,
}
BLOCKS = {
    gpt.Block: own.SwappedBlock,
    llama.Block: own.SwappedLlamaBlock,
    bert.Layer: own.SwappedLayer,
}
GRAPHS = {graph.Convolution: own.DenseConvolution}

register_swap("layer_norm", ("mlp", "gpt", "vit", "bert", "encoder"), {nn.LayerNorm: own.LayerNorm})
register_swap("batch_norm", ("resnet", "unet", "tcn", "in_place"), BATCH_NORMS)
register_swap("group_norm", ("cnn",), {nn.GroupNorm: own.GroupNorm})
register_swap("rms_norm", ("llama", "moe"), {llama.RMSNorm: own.TorchRMSNorm})
register_swap("linear_einsum", ("mlp", "bert", "translator", "graph"), {nn.Linear: own.Linear})
register_swap("linear_conv", ("mlp", "vit", "lstm", "llama"), {nn.Linear: own.PointwiseLinear})
register_swap(
    "conv_unfold", ("lenet", "resnet", "vit", "convnext", "vae"), {nn.Conv2d: own.UnfoldConv2d}
)
register_swap("conv_taps", ("tcn", "text", "cnn"), {nn.Conv1d: own.ShiftedConv1d})
register_swap("conv_transpose", ("unet", "cnn"), {nn.ConvTranspose2d: own.SumConvTranspose2d})
register_swap("max_pool", ("lenet",), {nn.MaxPool2d: own.UnfoldMaxPool2d})
register_swap("avg_pool", ("lenet",), {nn.AvgPool2d: own.ReshapeAvgPool2d})
register_swap("gelu_tanh", ("gpt", "gpt_math", "gpt_dropout"), {nn.GELU: own.GELU})
register_swap("gelu_exact", ("mlp", "vit", "bert", "translator", "convnext"), {nn.GELU: own.GELU})
register_swap("silu", ("mlp", "llama", "moe", "tcn", "hooks"), {nn.SiLU: own.SiLU})
register_swap("softplus_elu", ("regressor",), {nn.Softplus: own.Softplus, nn.ELU: own.ELU})
register_swap("dropout", ("mlp", "lenet", "encoder", "gpt_dropout"), {nn.Dropout: own.Dropout})
register_swap(
    "embedding", ("gpt", "lstm_own", "text", "siamese", "bert"), {nn.Embedding: own.OneHotEmbedding}
)
register_swap("embedding_bag", ("bag",), {nn.EmbeddingBag: own.LoopBag})
register_swap("attention_einsum", ("gpt_math", "gpt", "bert", "vit", "llama", "translator"), EINSUM)
register_swap("residual_order", ("gpt", "vit", "llama", "moe", "bert"), BLOCKS)
register_swap("experts_dense", ("moe",), {moe.Experts: own.DenseExperts})
register_swap("graph_dense", ("graph",), GRAPHS)
register_swap("graph_one_hot", ("graph",), {graph.Convolution: own.OneHotGraph})
register_swap("siamese_joined", ("siamese",), {text.Siamese: own.JoinedSiamese})
register_swap("patches_reshaped", ("vit",), {vit.ViT: own.ReshapedViT})
register_swap(
    "checkpointed", ("gpt", "gpt_math", "gpt_dropout"), {gpt.GPT: special.CheckpointedGPT}
)


@register("flash_or_math")
def flash_or_math(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    name = draw.choice(("gpt", "bert", "vit", "translator", "llama"))
    a, b = cases.case(name, seed, dtype), cases.case(name, seed, dtype)
    for module in b.model.modules():
        if isinstance(module, attention.Attention):
            module.flash = not module.flash
    return Pair("", a, b)


# The same losses and optimizers ----------------------------------------------------------------


def nll(output: Any, target: Tensor) -> Tensor:
    return F.nll_loss(cases.logits(output).log_softmax(-1), target)


def log_sum_exp(output: Any, target: Tensor) -> Tensor:
    scores = cases.logits(output)
    right = scores[torch.arange(len(target)), target]
    return (scores.logsumexp(-1) - right).mean()


def one_hot_entropy(output: Any, target: Tensor) -> Tensor:
    scores = cases.logits(output)
    hot = F.one_hot(target, scores.shape[-1]).to(scores.dtype)
    return -(hot * F.log_softmax(scores, -1)).sum() / len(target)


def register_loss(kind: str, names: tuple[str, ...], loss: Callable[..., Tensor]) -> None:
    @register(kind)
    def make(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
        name = draw.choice(names)
        a, b = cases.case(name, seed, dtype), cases.case(name, seed, dtype)
        return Pair(kind, a, replace(b, loss=loss))


CLASSIFIERS = ("mlp", "resnet", "bert", "graph", "lstm", "bag")
register_loss("cross_entropy_nll", CLASSIFIERS, nll)
register_loss("cross_entropy_log_sum_exp", CLASSIFIERS, log_sum_exp)
register_loss("cross_entropy_one_hot", CLASSIFIERS, one_hot_entropy)


def next_token_shifted(output: Any, ids: Tensor) -> Tensor:
    """The targets shifted and padded, the last place ignored."""
    labels = F.pad(ids, (0, 1), value=-100)[:, 1:]
    return F.cross_entropy(cases.logits(output).transpose(1, 2), labels)


def tokens_masked(output: Any, target: Tensor) -> Tensor:
    """A sum of kept terms, divided by their number."""
    losses = F.cross_entropy(output.transpose(1, 2), target, reduction="none")
    keep = (target != 0).to(losses.dtype)
    return (losses * keep).sum() / keep.sum()


def bce(output: Tensor, target: Tensor) -> Tensor:
    return (output.clamp(min=0) - output * target + torch.log1p((-output.abs()).exp())).mean()


def smoothed(output: Tensor, target: Tensor) -> Tensor:
    logs = output.log_softmax(-1)
    right = logs.gather(1, target[:, None]).squeeze(1)
    return -(0.9 * right + 0.1 * logs.mean(-1)).mean()


register_loss("next_token_padded", ("gpt", "llama", "lstm_own", "moe"), next_token_shifted)
register_loss("mean_over_tokens", ("translator", "seq2seq"), tokens_masked)
register_loss("bce", ("siamese",), bce)
register_loss("label_smoothing", ("text",), smoothed)


def register_optimizer(
    kind: str, a: Callable[[nn.Module], Optimizer], b: Callable[[nn.Module], Optimizer]
) -> None:
    """Two optimizers with the same state, of one or two steps made by the first."""

    @register(kind)
    def make(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
        name, steps = draw.choice(("mlp", "gpt", "resnet", "lstm", "bert")), draw.between(0, 2)
        one, two = (cases.case(name, seed, dtype, warm=0) for _ in range(2))
        first, second = a(one.model), b(two.model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cases.warm_up(first, steps)
        copy_state(first, second)
        return Pair(kind, replace(one, optimizer=first), replace(two, optimizer=second))


@torch.no_grad()
def copy_state(source: Optimizer, target: Optimizer) -> None:
    """Parameters and state, keeping the target's own options."""
    parts = zip(source.param_groups, target.param_groups, strict=True)
    for old, new in (
        (p, q) for g, h in parts for p, q in zip(g["params"], h["params"], strict=True)
    ):
        new.copy_(old)
        kept = {k: v.clone() for k, v in source.state[old].items() if v is not None}
        if kept:
            target.state[new] = kept


optim = torch.optim
register_optimizer(
    "adam_foreach",
    lambda m: optim.Adam(m.parameters(), lr=0.01, weight_decay=0.1, foreach=False),
    lambda m: optim.Adam(m.parameters(), lr=0.01, weight_decay=0.1, foreach=True),
)
register_optimizer(
    "adam_fused",
    lambda m: optim.Adam(m.parameters(), lr=0.01, weight_decay=0.1, foreach=False),
    lambda m: optim.Adam(m.parameters(), lr=0.01, weight_decay=0.1, fused=True),
)
register_optimizer(
    "adamw_fused",
    lambda m: optim.AdamW(cases.weights_and_others(m, 0.1), lr=0.01, foreach=True),
    lambda m: optim.AdamW(cases.weights_and_others(m, 0.1), lr=0.01, fused=True),
)
register_optimizer(
    "adamw_own",
    lambda m: optim.AdamW(m.parameters(), lr=0.01, weight_decay=0.1),
    lambda m: optimizers.AdamW(m.parameters(), lr=0.01, weight_decay=0.1),
)
register_optimizer(
    "adam_own",
    lambda m: optim.Adam(m.parameters(), lr=0.01, weight_decay=0.1, fused=True),
    lambda m: optimizers.Adam(m.parameters(), lr=0.01, weight_decay=0.1),
)
register_optimizer(
    "nesterov_own",
    lambda m: optim.SGD(m.parameters(), 0.05, 0.9, weight_decay=0.1, nesterov=True),
    lambda m: optimizers.Nesterov(m.parameters(), 0.05, 0.9, 0.1),
)
register_optimizer(
    "sgd_fused",
    lambda m: optim.SGD(m.parameters(), 0.05, 0.9, weight_decay=0.1, foreach=False),
    lambda m: optim.SGD(m.parameters(), 0.05, 0.9, weight_decay=0.1, fused=True),
)
register_optimizer(
    "rmsprop_own",
    lambda m: optim.RMSprop(m.parameters(), lr=0.01, foreach=True),
    lambda m: optimizers.RMSprop(m.parameters(), lr=0.01),
)


# Other parameters ----------------------------------------------------------------


def renamed(*rules: tuple[str, str]) -> Port:
    """Each rule a pattern and its replacement, applied in order."""

    def port(tensors: Tensors) -> Tensors:
        made = {}
        for name, value in tensors.items():
            for pattern, new in rules:
                name = re.sub(pattern, new, name)
            made[name] = value
        return made

    return port


def split_into(pattern: str, names: tuple[str, ...]) -> Port:
    """Cuts what matches into equal parts, along the first dimension; {} stands for the part."""

    def port(tensors: Tensors) -> Tensors:
        made = {}
        for name, value in tensors.items():
            found = re.search(pattern, name)
            parts = value.chunk(len(names)) if found else ()
            made |= {re.sub(pattern, n, name): p for n, p in zip(names, parts, strict=bool(found))}
            if not found:
                made[name] = value
        return made

    return port


def transposed(pattern: str) -> Port:
    def port(tensors: Tensors) -> Tensors:
        return {k: v.T if re.search(pattern, k) and v.dim() == 2 else v for k, v in tensors.items()}

    return port


def in_turn(*ports: Port) -> Port:
    def port(tensors: Tensors) -> Tensors:
        for one in ports:
            tensors = one(tensors)
        return tensors

    return port


def ported(
    parts: Parts,
    other: nn.Module,
    port: Port,
    optimizer: str,
    seed: int,
    dtype: torch.dtype,
    **changes: Any,
) -> Pair:
    """A pair of two models: the first's weights drawn, the second's made of them by `port`.
    `changes` holds what differs in the second case, such as its inputs."""
    a, b = parts.model.to(dtype).train(), other.to(dtype).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        cases.perturb(a)
    expected = dict(b.named_parameters())
    with torch.no_grad():
        weights = port(dict(a.named_parameters()))
        if weights.keys() != expected.keys():
            raise ValueError(f"left over: {weights.keys() ^ expected.keys()}")
        for name, parameter in expected.items():
            parameter.copy_(weights[name])
    data = (parts.inputs, parts.keywords, parts.target)
    inputs, keywords, target = cases.convert(data, dtype)
    make = cases.OPTIMIZERS[optimizer]
    one = ZooCase("a", a, inputs, keywords, parts.loss, target, make(a))
    two = replace(one, name="b", model=b, optimizer=make(b), **cases.convert(changes, dtype))
    return Pair("", one, two, port)


def with_seed(maker: Callable[..., Pair]) -> Maker:
    """Runs a maker that draws with torch's generator seeded."""

    def seeded(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return maker(draw, seed, dtype)

    return seeded


SPLIT_QKV = split_into("qkv", ("q", "k", "v"))
SPLIT_IN_PROJ = split_into(r"in_proj_(weight|bias)", (r"q.\1", r"k.\1", r"v.\1"))


@register("qkv_fused_or_split")
@with_seed
def qkv(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    flash, dim, length = draw.choice([True, False]), 8 * draw.between(1, 2), draw.between(5, 8)
    a, b = (gpt.GPT(17, length, dim, 2, 2, flash, fused) for fused in (True, False))
    parts = cases.language(draw, a, 17, length)
    return ported(parts, b, SPLIT_QKV, "adamw_fused", seed, dtype)


def with_torch_attention(model: nn.Module) -> nn.Module:
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, attention.Attention):
                dim = child.out.in_features
                setattr(module, name, own.TorchAttention(dim, child.heads, child.causal))
    return model


def join_qkv(tensors: Tensors) -> Tensors:
    """q, k and v of an attention into in_proj."""
    made: Tensors = {}
    for name, value in tensors.items():
        found = re.fullmatch(r"(.*(?:attn|cross)\.)([qkv])\.(\w+)", name)
        if not found:
            made[re.sub(r"((?:attn|cross)\.)out\.", r"\1inner.out_proj.", name)] = value
        elif found[2] == "q":
            parts = [tensors[f"{found[1]}{x}.{found[3]}"] for x in "qkv"]
            made[f"{found[1]}inner.in_proj_{found[3]}"] = torch.cat(parts)
    return made


@register("attention_torch")
@with_seed
def attention_torch(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    name = draw.choice(["vit", "bert", "translator", "gpt_split"])
    builder = cases.BUILDERS[name][0] if name != "gpt_split" else split_gpt
    parts, again = (builder(Draw(seed)) for _ in range(2))
    return ported(parts, with_torch_attention(again.model), join_qkv, "adam", seed, dtype)


def split_gpt(draw: Draw) -> Parts:
    return cases.gpt(draw, flash=draw.choice([True, False]), fused=False)


@register("linear_in_out")
@with_seed
def linear_in_out(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    builder = cases.BUILDERS[draw.choice(["mlp", "bert", "graph"])][0]
    parts, again = (builder(Draw(seed)) for _ in range(2))
    names = {
        n for n, m in again.model.named_modules() if type(m) is nn.Linear and m.bias is not None
    }
    for name in names:
        old = again.model.get_submodule(name)
        new = own.InOutLinear(old.in_features, old.out_features)
        again.model.set_submodule(name, new)
    pattern = "^(" + "|".join(map(re.escape, names)) + r")\.weight$"
    return ported(parts, again.model, transposed(pattern), "adamw", seed, dtype)


# Recurrent


def recurrent_pair(
    draw: Draw, seed: int, dtype: torch.dtype, a: nn.Module, b: nn.Module, port: Port, both: int = 1
) -> Pair:
    kind = recurrent.Classifier if both == 1 else recurrent.MeanClassifier
    parts = cases.sequences(draw, kind(a, both * 7, 4), 6, 4)
    return ported(parts, kind(b, both * 7, 4), port, "adam", seed, dtype)


CELL = renamed(("_l0", ""), (r"^rnn\.", "rnn.cell."))
GATES = renamed((r"(weight|bias)_ih_l0", r"x.\1"), (r"(weight|bias)_hh_l0", r"h.\1"))
FROM_CELL = renamed((r"cell\.(weight|bias)_ih", r"x.\1"), (r"cell\.(weight|bias)_hh", r"h.\1"))
BOTH = in_turn(
    renamed((r"rnn\.(\w+)_reverse", r"rnn.back.\1"), (r"rnn\.(\w+_l0)", r"rnn.forth.\1")), GATES
)


@register("lstm_cells")
@with_seed
def lstm_cells(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    a, b = nn.LSTM(6, 7, batch_first=True), recurrent.LSTMCells(6, 7)
    return recurrent_pair(draw, seed, dtype, a, b, CELL)


@register("lstm_gates")
@with_seed
def lstm_gates(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    a, b = nn.LSTM(6, 7, batch_first=True), recurrent.LSTM(6, 7)
    return recurrent_pair(draw, seed, dtype, a, b, GATES)


@register("lstm_cells_gates")
@with_seed
def lstm_cells_gates(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    a, b = recurrent.LSTMCells(6, 7), recurrent.LSTM(6, 7)
    return recurrent_pair(draw, seed, dtype, a, b, FROM_CELL)


@register("gru_cells")
@with_seed
def gru_cells(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    a, b = nn.GRU(6, 7, batch_first=True), recurrent.GRUCells(6, 7)
    return recurrent_pair(draw, seed, dtype, a, b, CELL)


@register("gru_gates")
@with_seed
def gru_gates(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    a, b = nn.GRU(6, 7, batch_first=True), recurrent.GRU(6, 7)
    return recurrent_pair(draw, seed, dtype, a, b, GATES)


@register("bilstm_gates")
@with_seed
def bilstm_gates(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    a = nn.LSTM(6, 7, batch_first=True, bidirectional=True)
    b = recurrent.Bidirectional(recurrent.LSTM(6, 7), recurrent.LSTM(6, 7))
    return recurrent_pair(draw, seed, dtype, a, b, BOTH, both=2)


@register("bigru_gates")
@with_seed
def bigru_gates(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    a = nn.GRU(6, 7, batch_first=True, bidirectional=True)
    b = recurrent.Bidirectional(recurrent.GRU(6, 7), recurrent.GRU(6, 7))
    return recurrent_pair(draw, seed, dtype, a, b, BOTH, both=2)


# Transformers

ENCODER_LAYER = in_turn(
    SPLIT_IN_PROJ,
    renamed(
        (r"^encoder\.layers", "layers"),
        (r"self_attn\.out_proj", "self_attn.out"),
        ("self_attn", "attn"),
        ("linear1", "mlp.fc"),
        ("linear2", "mlp.proj"),
        ("norm", "ln"),
    ),
)


def encoder_pair(draw: Draw, seed: int, dtype: torch.dtype, norm_first: bool) -> Pair:
    dim, batch, length = 4 * draw.between(2, 4), draw.between(3, 5), draw.between(5, 8)
    options = {"activation": "gelu", "batch_first": True, "norm_first": norm_first}
    layer = nn.TransformerEncoderLayer(dim, 2, 4 * dim, 0.0, **options)
    keep = draw.padded(9, batch, length) != 0
    inputs = torch.randn(batch, length, dim), keep
    a, b = transformer.Encoder(layer, dim, 2, 4), own.Encoder(dim, 2, 4, norm_first)
    parts = Parts(a, inputs, cases.classify, draw.classes(4, batch))
    return ported(parts, b, ENCODER_LAYER, "adamw", seed, dtype)


@register("encoder_post_norm")
@with_seed
def encoder_post_norm(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    return encoder_pair(draw, seed, dtype, False)


@register("encoder_pre_norm")
@with_seed
def encoder_pre_norm(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    return encoder_pair(draw, seed, dtype, True)


SEQ2SEQ = in_turn(
    SPLIT_IN_PROJ,
    renamed(
        (r"^transformer\.(encoder|decoder)\.norm", r"\1_norm"),
        (r"^transformer\.(encoder|decoder)\.layers\.0", r"\1"),
        (r"(self_attn|multihead_attn)\.out_proj", r"\1.out"),
        ("self_attn", "attn"),
        ("multihead_attn", "cross"),
        ("linear1", "mlp.fc"),
        ("linear2", "mlp.proj"),
        (r"\.norm(\d)", r".ln\1"),
    ),
)


@register("seq2seq")
@with_seed
def seq2seq(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    parts = cases.translation(draw, lambda *sizes: transformer.Seq2Seq(*sizes, dropout=0.0))
    table = parts.model.positions.table
    length, dim = table.shape
    parts.model.transformer = nn.Transformer(dim, 2, 1, 1, 4 * dim, 0.0, F.gelu, batch_first=True)
    return ported(parts, own.Seq2Seq(13, length, dim, 2), SEQ2SEQ, "adam", seed, dtype)


def neighbours(tensors: Tensors) -> Tensors:
    """Rotary halves (Hugging Face's layout) to neighbours (Meta's): the rows of q and k move."""
    made = dict(tensors)
    for name, value in tensors.items():
        if re.search(r"attn\.[qk]\.weight", name):
            made[name] = value.view(-1, 2, HEAD // 2, value.shape[1]).transpose(1, 2).flatten(0, 2)
    return made


HEAD = 4  # the size of a head in `cases.llama`


@register("rope_complex")
@with_seed
def rope_complex(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    parts, again = (cases.llama(Draw(seed)) for _ in range(2))
    swap(again.model, {attention.RotaryAttention: own.ComplexRotary})
    return ported(parts, again.model, neighbours, "adamw", seed, dtype)


@register("channels_last")
@with_seed
def channels_last(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
    width = draw.between(4, 8)
    parts = cases.images(draw, ConvNeXt(width, 5), 8, 5)

    def port(tensors: Tensors) -> Tensors:
        one = re.compile(r"(wide|narrow|patches)\.weight")
        return {k: v.flatten(1) if one.search(k) else v for k, v in tensors.items()}

    inputs = (parts.inputs[0].permute(0, 2, 3, 1).contiguous(),)
    return ported(parts, ConvNeXtLast(width, 5), port, "adamw", seed, dtype, inputs=inputs)


# Hugging Face

GPT2 = in_turn(
    transposed(r"(c_attn|c_proj|c_fc)\.weight"),
    renamed(
        (r"^transformer\.", ""),
        (r"^h\.", "blocks."),
        (r"ln_(\d)", r"ln\1"),
        ("ln_f", "ln"),
        (r"attn\.c_attn", "attn.qkv"),
        (r"attn\.c_proj", "attn.out"),
        (r"mlp\.c_", "mlp."),
    ),
)
LLAMA = renamed(
    (r"^model\.", ""),
    ("embed_tokens", "embed"),
    (r"^layers", "blocks"),
    ("input_layernorm", "ln1"),
    ("post_attention_layernorm", "ln2"),
    (r"self_attn\.o_proj", "self_attn.out"),
    ("self_attn", "attn"),
    ("_proj", ""),
    (r"^norm", "ln"),
    ("lm_head", "head"),
)
HF_BERT = renamed(
    (r"^bert\.", ""),
    (r"embeddings\.(word|position|token_type)_embeddings", r"embed.\1s"),
    ("token_types", "types"),
    (r"embeddings\.LayerNorm", "embed.ln"),
    (r"encoder\.layer\.", "layers."),
    (r"attention\.self\.(.)\w*", r"attn.\1"),
    (r"attention\.output\.dense", "attn.out"),
    (r"attention\.output\.LayerNorm", "ln1"),
    (r"intermediate\.dense", "fc"),
    (r"output\.dense", "proj"),
    (r"output\.LayerNorm", "ln2"),
    (r"pooler\.dense", "pool"),
    ("classifier", "head"),
)
HF_VIT = renamed(
    (r"^vit\.", ""),
    (r"embeddings\.cls_token", "cls"),
    (r"embeddings\.position_embeddings", "positions"),
    (r"embeddings\.patch_embeddings\.projection", "patches"),
    (r"^layers", "blocks"),
    (r"attention\.o_proj", "attention.out"),
    (r"attention\.(.)_proj", r"attention.\1"),
    (r"attention\.", "attn."),
    ("layernorm_before", "ln1"),
    ("layernorm_after", "ln2"),
    (r"mlp\.fc1", "mlp.fc"),
    (r"mlp\.fc2", "mlp.proj"),
    (r"^layernorm", "ln"),
    ("classifier", "head"),
)


def set_norms(model: nn.Module, eps: float) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = eps
    return model


if HAS_TRANSFORMERS:

    @register("gpt2_hf")
    @with_seed
    def gpt2_hf(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
        length, dim = draw.between(5, 8), 8 * draw.between(1, 2)
        theirs = hf.gpt2(17, length, dim, 2, 2, attn_implementation=draw.choice(["sdpa", "eager"]))
        ours = gpt.GPT(17, length, dim, 2, 2, flash=draw.choice([True, False]))
        parts = cases.language(draw, theirs, 17, length)
        return ported(parts, ours, GPT2, "adamw_fused", seed, dtype)

    @register("llama_hf")
    @with_seed
    def llama_hf(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
        """Theirs with torch's RMSNorm: their own computes in float32 whatever the model's type."""
        kv_heads, implementation = draw.choice([1, 2, 4]), draw.choice(["sdpa", "eager"])
        if dtype == torch.float64:  # their eager softmax is in float32 as well
            implementation = "sdpa"
        theirs = hf.llama(17, 16, 4, kv_heads, 2, attn_implementation=implementation)
        for name, module in list(theirs.named_modules()):
            if type(module).__name__ == "LlamaRMSNorm":
                theirs.set_submodule(name, nn.RMSNorm(16, eps=module.variance_epsilon))
        ours = llama.Llama(17, 16, 4, kv_heads, 2, flash=draw.choice([True, False]))
        parts = cases.language(draw, theirs, 17, draw.between(5, 8))
        return ported(parts, ours, LLAMA, "adamw_foreach", seed, dtype)

    @register("bert_hf")
    @with_seed
    def bert_hf(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
        batch, length, dim = draw.between(2, 3), draw.between(5, 8), 8 * draw.between(1, 2)
        ids, target = draw.padded(17, batch, length), draw.classes(3, batch)
        types = (torch.arange(length) > length // 2).long().expand(batch, -1)
        implementation = draw.choice(["sdpa", "eager"])
        theirs = hf.bert(17, length, dim, 2, 2, num_labels=3, attn_implementation=implementation)
        ours = bert.BERT(17, length, dim, 2, 2, 3)
        keywords = {"input_ids": ids, "attention_mask": (ids != 0).long(), "token_type_ids": types}
        parts = Parts(theirs, (), cases.classify, target, keywords)
        inputs = (ids, ids != 0, types)
        return ported(parts, ours, HF_BERT, "adamw", seed, dtype, inputs=inputs, keywords={})

    @register("vit_hf")
    @with_seed
    def vit_hf(draw: Draw, seed: int, dtype: torch.dtype) -> Pair:
        dim = 8 * draw.between(1, 2)
        theirs = hf.vit(12, 4, dim, 2, 2, 5, width=4 * dim, dropout=0.0)
        ours = set_norms(vit.ViT(12, 4, dim, 2, 2, 5), 1e-12)
        return ported(cases.images(draw, theirs, 12, 5), ours, HF_VIT, "adam", seed, dtype)


KINDS: tuple[str, ...] = tuple(MAKERS)
