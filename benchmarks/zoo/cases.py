"""Random small models, each with inputs, a loss and an optimizer, all drawn from one seed.

`case("resnet", seed=3)` makes one; `step` trains it by one step.
"""

import importlib.util
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.zoo.models import huggingface as hf
from benchmarks.zoo.models import recurrent, special
from benchmarks.zoo.models.bert import BERT
from benchmarks.zoo.models.cnn import CNN, TCN, LeNet
from benchmarks.zoo.models.convnext import ConvNeXt
from benchmarks.zoo.models.gpt import GPT
from benchmarks.zoo.models.graph import GraphNetwork
from benchmarks.zoo.models.llama import Llama
from benchmarks.zoo.models.mlp import MLP, Regressor
from benchmarks.zoo.models.moe import MoE
from benchmarks.zoo.models.resnet import ResNet
from benchmarks.zoo.models.text import Bag, Siamese, TextCNN
from benchmarks.zoo.models.transformer import Encoder, Seq2Seq, Translator
from benchmarks.zoo.models.unet import UNet
from benchmarks.zoo.models.vae import VAE, elbo
from benchmarks.zoo.models.vit import ViT

HAS_TRANSFORMERS = importlib.util.find_spec("transformers") is not None


@dataclass(frozen=True)
class ZooCase:
    """`loss(output, target)`, or `loss(output)` where target is None; a scalar or a list of them.
    Of several losses each is propagated on its own, in order."""

    name: str
    model: nn.Module
    inputs: tuple[Any, ...]
    keywords: dict[str, Any]
    loss: Callable[..., Any]
    target: Any
    optimizer: Optimizer


@dataclass
class Parts:
    """What a builder makes; the rest of a case is the same for all."""

    model: nn.Module
    inputs: tuple[Any, ...]
    loss: Callable[..., Any]
    target: Any = None
    keywords: dict[str, Any] = field(default_factory=dict)


class Draw:
    """Sizes and data, from one seed; tensors come from torch's generator, which `case` seeds."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.between = self.random.randint
        self.choice = self.random.choice

    def ids(self, vocabulary: int, *shape: int) -> Tensor:
        """Tokens; 0 is kept for padding."""
        return torch.randint(1, vocabulary, shape)

    def padded(self, vocabulary: int, batch: int, length: int) -> Tensor:
        """Tokens, each row but the first padded by 0 from a place of its own."""
        ends = torch.tensor([length, *(self.between(2, length - 1) for _ in range(batch - 1))])
        kept = torch.arange(length) < ends[:, None]
        return self.ids(vocabulary, batch, length) * kept

    def classes(self, classes: int, *shape: int) -> Tensor:
        return torch.randint(classes, shape)


def weights_and_others(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices with weight decay, biases and norms without."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


optim = torch.optim
OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "sgd": lambda m: optim.SGD(m.parameters(), lr=0.1),
    "momentum": lambda m: optim.SGD(m.parameters(), lr=0.05, momentum=0.9, foreach=True),
    "nesterov": lambda m: optim.SGD(
        m.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01
    ),
    "adam": lambda m: optim.Adam(m.parameters(), lr=0.01, foreach=False),
    "adam_l2": lambda m: optim.Adam(m.parameters(), lr=0.01, weight_decay=0.1, foreach=True),
    "adam_fused": lambda m: optim.Adam(m.parameters(), lr=0.01, fused=True),
    "amsgrad": lambda m: optim.Adam(m.parameters(), lr=0.01, amsgrad=True, foreach=False),
    "adamw": lambda m: optim.AdamW(m.parameters(), lr=0.01, weight_decay=0.1, foreach=False),
    "adamw_foreach": lambda m: optim.AdamW(weights_and_others(m, 0.1), lr=0.01, foreach=True),
    "adamw_fused": lambda m: optim.AdamW(weights_and_others(m, 0.1), lr=0.01, fused=True),
    "rmsprop": lambda m: optim.RMSprop(m.parameters(), lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda m: optim.Adagrad(m.parameters(), lr=0.05, weight_decay=0.01),
}


# Losses -------------------------------------------------------------------------------------------


def logits(output: Any) -> Tensor:
    """Hugging Face's models return a record."""
    return output if isinstance(output, Tensor) else output.logits


def classify(output: Any, target: Tensor) -> Tensor:
    return F.cross_entropy(logits(output), target)


def smoothed(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, label_smoothing=0.1)


def next_token(output: Any, ids: Tensor) -> Tensor:
    """Each place predicts the token after it."""
    return F.cross_entropy(logits(output)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def tokens(output: Any, target: Tensor) -> Tensor:
    """Each place predicts its own target; padding (0) does not count."""
    return F.cross_entropy(logits(output).flatten(0, 1), target.flatten(), ignore_index=0)


def actor_critic(output: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> list[Tensor]:
    policy, value = output
    actions, returns = target
    taken = policy.log_softmax(-1).gather(1, actions[:, None]).squeeze(1)
    return [-(taken * (returns - value.detach())).mean(), F.smooth_l1_loss(value, returns)]


# Builders -----------------------------------------------------------------------------------------

Builder = Callable[[Draw], Parts]
BUILDERS: dict[str, tuple[Builder, str]] = {}


def register(name: str, optimizer: str) -> Callable[[Builder], Builder]:
    def keep(builder: Builder) -> Builder:
        BUILDERS[name] = builder, optimizer
        return builder

    return keep


@register("mlp", "adamw")
def mlp(draw: Draw) -> Parts:
    batch, features, classes = draw.between(4, 8), draw.between(6, 20), draw.between(3, 6)
    model = MLP(features, draw.between(8, 24), classes, 0.2)
    return Parts(model, (torch.randn(batch, features),), classify, draw.classes(classes, batch))


@register("regressor", "adagrad")
def regressor(draw: Draw) -> Parts:
    batch, features = draw.between(4, 8), draw.between(5, 10)
    loss = draw.choice([F.mse_loss, F.smooth_l1_loss, F.l1_loss, F.huber_loss])
    x = 1.5 * torch.randn(batch, features)
    return Parts(Regressor(features, draw.between(8, 16)), (x,), loss, torch.rand(batch, 2))


def images(draw: Draw, model: nn.Module, size: int, classes: int) -> Parts:
    batch = draw.between(2, 4)
    x = torch.randn(batch, 3, size, size)
    return Parts(model, (x,), classify, draw.classes(classes, batch))


@register("resnet", "nesterov")
def resnet(draw: Draw) -> Parts:
    return images(draw, ResNet(draw.between(4, 8), 5), draw.choice([24, 32]), 5)


@register("unet", "adam")
def unet(draw: Draw) -> Parts:
    size, batch = draw.choice([8, 16]), draw.between(2, 3)
    target = draw.classes(4, batch, size, size)
    return Parts(
        UNet(draw.between(3, 6), 4), (torch.randn(batch, 3, size, size),), classify, target
    )


@register("cnn", "rmsprop")
def cnn(draw: Draw) -> Parts:
    return images(draw, CNN(2 * draw.between(2, 4), 5), draw.choice([8, 12]), 5)


@register("lenet", "amsgrad")
def lenet(draw: Draw) -> Parts:
    return images(draw, LeNet(draw.between(3, 6), 4), 16, 4)


@register("convnext", "adamw")
def convnext(draw: Draw) -> Parts:
    return images(draw, ConvNeXt(draw.between(4, 8), 5), 8, 5)


def sequences(draw: Draw, model: nn.Module, features: int, classes: int) -> Parts:
    batch = draw.between(3, 6)
    x = torch.randn(batch, draw.between(4, 8), features)
    return Parts(model, (x,), classify, draw.classes(classes, batch))


@register("tcn", "momentum")
def tcn(draw: Draw) -> Parts:
    return sequences(draw, TCN(5, 2 * draw.between(2, 6), 4), 5, 4)


@register("lstm", "adam")
def lstm(draw: Draw) -> Parts:
    width, layers = draw.between(5, 12), draw.between(1, 2)
    rnn = nn.LSTM(6, width, layers, batch_first=True, dropout=0.2 if layers > 1 else 0.0)
    return sequences(draw, recurrent.Classifier(rnn, width, 4), 6, 4)


@register("bilstm", "adam_l2")
def bilstm(draw: Draw) -> Parts:
    width = draw.between(4, 9)
    rnn = nn.LSTM(6, width, 2, batch_first=True, bidirectional=True)
    return sequences(draw, recurrent.MeanClassifier(rnn, 2 * width, 4), 6, 4)


@register("gru", "adam_fused")
def gru(draw: Draw) -> Parts:
    width = draw.between(5, 12)
    rnn = nn.GRU(6, width, 2, batch_first=True)
    return sequences(draw, recurrent.Classifier(rnn, width, 4), 6, 4)


@register("rnn_relu", "sgd")
def rnn_relu(draw: Draw) -> Parts:
    width = draw.between(5, 12)
    rnn = nn.RNN(6, width, nonlinearity=draw.choice(["relu", "tanh"]), batch_first=True)
    return sequences(draw, recurrent.Classifier(rnn, width, 4), 6, 4)


def language(draw: Draw, model: nn.Module, vocabulary: int, length: int) -> Parts:
    ids = draw.ids(vocabulary, draw.between(2, 3), length)
    return Parts(model, (ids,), next_token, ids)


def recurrent_language(draw: Draw, layer: type[nn.Module]) -> Parts:
    width = draw.between(5, 12)
    rnn = layer(width, width)
    return language(draw, recurrent.LanguageModel(13, rnn, width), 13, draw.between(5, 8))


@register("lstm_own", "adamw")
def lstm_own(draw: Draw) -> Parts:
    return recurrent_language(draw, recurrent.LSTM)


@register("gru_own", "rmsprop")
def gru_own(draw: Draw) -> Parts:
    return recurrent_language(draw, recurrent.GRU)


@register("lstm_cells", "adagrad")
def lstm_cells(draw: Draw) -> Parts:
    return recurrent_language(draw, recurrent.LSTMCells)


@register("gru_cells", "momentum")
def gru_cells(draw: Draw) -> Parts:
    return recurrent_language(draw, recurrent.GRUCells)


@register("bilstm_own", "adam")
def bilstm_own(draw: Draw) -> Parts:
    width = draw.between(4, 8)
    rnn = recurrent.Bidirectional(recurrent.LSTM(6, width), recurrent.LSTM(6, width))
    return sequences(draw, recurrent.MeanClassifier(rnn, 2 * width, 4), 6, 4)


@register("bigru_own", "adam")
def bigru_own(draw: Draw) -> Parts:
    width = draw.between(4, 8)
    rnn = recurrent.Bidirectional(recurrent.GRU(6, width), recurrent.GRU(6, width))
    return sequences(draw, recurrent.MeanClassifier(rnn, 2 * width, 4), 6, 4)


def encoder(draw: Draw, **layer: Any) -> Parts:
    dim, batch, length = 4 * draw.between(2, 4), draw.between(3, 5), draw.between(5, 8)
    block = nn.TransformerEncoderLayer(dim, 2, 2 * dim, batch_first=True, **layer)
    keep = draw.padded(9, batch, length) != 0
    x = torch.randn(batch, length, dim)
    return Parts(Encoder(block, dim, 2, 4), (x, keep), classify, draw.classes(4, batch))


@register("encoder", "adamw_fused")
def encoder_post(draw: Draw) -> Parts:
    return encoder(draw, dropout=0.1)


@register("encoder_pre", "adamw_foreach")
def encoder_pre(draw: Draw) -> Parts:
    return encoder(draw, dropout=0.0, norm_first=True, activation="gelu")


def translation(draw: Draw, model: Callable[..., nn.Module]) -> Parts:
    batch, length, vocabulary = draw.between(2, 3), draw.between(5, 8), 13
    source, ids = draw.padded(vocabulary, batch, length), draw.padded(vocabulary, batch, length)
    made = model(vocabulary, length, 4 * draw.between(2, 4), 2)
    return Parts(made, (source, ids[:, :-1]), tokens, ids[:, 1:])


@register("seq2seq", "adam")
def seq2seq(draw: Draw) -> Parts:
    return translation(draw, lambda *sizes: Seq2Seq(*sizes, dropout=0.1))


@register("translator", "adam_l2")
def translator(draw: Draw) -> Parts:
    return translation(draw, Translator)


def gpt(draw: Draw, kind: Callable[..., nn.Module] = GPT, **more: Any) -> Parts:
    length, dim = draw.between(6, 9), 8 * draw.between(1, 3)
    return language(draw, kind(17, length + 1, dim, 2, 2, **more), 17, length)


@register("gpt", "adamw_fused")
def gpt_flash(draw: Draw) -> Parts:
    return gpt(draw)


@register("gpt_math", "adamw_foreach")
def gpt_math(draw: Draw) -> Parts:
    return gpt(draw, flash=False)


@register("gpt_dropout", "adamw")
def gpt_dropout(draw: Draw) -> Parts:
    return gpt(draw, fused=False, dropout=0.1)


@register("llama", "adamw_foreach")
def llama(draw: Draw) -> Parts:
    model = Llama(17, 16, 4, draw.choice([1, 2]), draw.between(1, 2))
    return language(draw, model, 17, draw.between(5, 8))


@register("moe", "adamw")
def moe(draw: Draw) -> Parts:
    model = MoE(17, 8 * draw.between(1, 2), 2, draw.between(3, 4), 2)
    return language(draw, model, 17, draw.between(6, 9))


@register("bert", "adamw")
def bert(draw: Draw) -> Parts:
    batch, length = draw.between(2, 4), draw.between(5, 9)
    ids = draw.padded(17, batch, length)
    model = BERT(17, length + 1, 8 * draw.between(1, 2), 2, 2, 3)
    types = (torch.arange(length) > length // 2).long().expand(batch, -1)
    return Parts(model, (ids, ids != 0, types), classify, draw.classes(3, batch))


@register("vit", "adamw_fused")
def vit(draw: Draw) -> Parts:
    return images(draw, ViT(12, 4, 8 * draw.between(1, 2), 2, 2, 5), 12, 5)


@register("vae", "adam")
def vae(draw: Draw) -> Parts:
    size = draw.choice([8, 12])
    x = torch.rand(draw.between(3, 5), 1, size, size)
    return Parts(VAE(size, draw.between(2, 4), 3), (x,), elbo, x)


@register("graph", "adam")
def graph(draw: Draw) -> Parts:
    nodes, features = draw.between(8, 14), 5
    edges = torch.randint(nodes, (2, 3 * nodes))
    model = GraphNetwork(features, draw.between(6, 10), 4)
    return Parts(model, (torch.randn(nodes, features), edges), classify, draw.classes(4, nodes))


@register("bag", "sgd")
def bag(draw: Draw) -> Parts:
    lengths = [draw.between(2, 6) for _ in range(draw.between(3, 6))]
    starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
    model = Bag(11, draw.between(6, 12), 4)
    inputs = draw.ids(11, sum(lengths)), starts
    return Parts(model, inputs, classify, draw.classes(4, len(lengths)))


@register("text", "adam_fused")
def text(draw: Draw) -> Parts:
    batch = draw.between(3, 5)
    ids = draw.padded(11, batch, draw.between(6, 9))
    return Parts(TextCNN(11, draw.between(6, 12), 4), (ids,), smoothed, draw.classes(4, batch))


@register("siamese", "momentum")
def siamese(draw: Draw) -> Parts:
    batch, length = draw.between(3, 5), draw.between(4, 7)
    inputs = draw.padded(11, batch, length), draw.padded(11, batch, length)
    target = torch.randint(2, (batch,)).float()
    model = Siamese(11, draw.between(6, 12))
    return Parts(model, inputs, F.binary_cross_entropy_with_logits, target)


@register("checkpointed", "adamw_foreach")
def checkpointed(draw: Draw) -> Parts:
    return gpt(draw, special.CheckpointedGPT, dropout=0.1)


@register("autocast", "adamw")
def autocast(draw: Draw) -> Parts:
    parts = draw.choice([mlp, lenet, gpt_math])(draw)
    return Parts(special.Autocast(parts.model), parts.inputs, parts.loss, parts.target)


def vectors(draw: Draw, kind: Callable[[int, int, int], nn.Module]) -> Parts:
    batch, features = draw.between(4, 8), draw.between(5, 10)
    model = kind(features, draw.between(6, 14), 4)
    return Parts(model, (torch.randn(batch, features),), classify, draw.classes(4, batch))


@register("custom_function", "adam")
def custom_function(draw: Draw) -> Parts:
    return vectors(draw, special.OwnFunctions)


@register("hooks", "nesterov")
def hooks(draw: Draw) -> Parts:
    return vectors(draw, special.Hooked)


@register("in_place", "momentum")
def in_place(draw: Draw) -> Parts:
    return images(draw, special.InPlace(draw.between(4, 8), 4), 6, 4)


@register("two_losses", "adam")
def two_losses(draw: Draw) -> Parts:
    parts = vectors(draw, special.ActorCritic)
    target = parts.target, torch.randn(len(parts.target))
    return Parts(parts.model, parts.inputs, actor_critic, target)


# Hugging Face -------------------------------------------------------------------------------------

if HAS_TRANSFORMERS:

    @register("hf_gpt2", "adamw")
    def hf_gpt2(draw: Draw) -> Parts:
        return gpt(draw, hf.gpt2, dropout=0.1, attn_implementation=draw.choice(["sdpa", "eager"]))

    @register("hf_bert", "adamw_foreach")
    def hf_bert(draw: Draw) -> Parts:
        batch, length = draw.between(2, 3), draw.between(5, 8)
        ids, classes = draw.padded(17, batch, length), draw.classes(3, batch)
        model = hf.bert(17, length + 1, 8 * draw.between(1, 2), 2, 2, dropout=0.1, num_labels=3)
        return Parts(model, (), classify, classes, {"input_ids": ids, "attention_mask": ids != 0})

    @register("hf_llama", "adamw_fused")
    def hf_llama(draw: Draw) -> Parts:
        implementation = draw.choice(["sdpa", "eager"])
        model = hf.llama(17, 16, 4, draw.choice([1, 2]), 2, attn_implementation=implementation)
        return language(draw, model, 17, draw.between(5, 8))

    @register("hf_vit", "adam")
    def hf_vit(draw: Draw) -> Parts:
        return images(draw, hf.vit(12, 4, 8 * draw.between(1, 2), 2, 2, 5), 12, 5)

    @register("hf_t5", "adagrad")
    def hf_t5(draw: Draw) -> Parts:
        batch, length = 2, draw.between(5, 7)
        source, ids = draw.padded(13, batch, length), draw.padded(13, batch, length)
        keywords = {
            "input_ids": source,
            "attention_mask": (source != 0).long(),
            "decoder_input_ids": ids[:, :-1],
        }
        return Parts(hf.t5(13, 8, 2), (), tokens, ids[:, 1:], keywords)


NAMES: tuple[str, ...] = tuple(BUILDERS)


# Cases --------------------------------------------------------------------------------------------


def convert(value: Any, dtype: torch.dtype) -> Any:
    """Every floating tensor of a nest, in `dtype`."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: convert(part, dtype) for name, part in value.items()}
    return type(value)(convert(part, dtype) for part in value) if value is not None else None


@torch.no_grad()
def perturb(model: nn.Module) -> None:
    """Moves what starts at 0 or 1: biases, norm weights, padding rows, running statistics."""
    for parameter in model.parameters():
        plain = (parameter == 0) | (parameter == 1)
        if parameter.dim() < 2 or plain.any():
            parameter.add_(0.2 * torch.randn_like(parameter))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.2)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)


def fit_half(optimizer: Optimizer) -> None:
    """An eps that is no 0 in float16."""
    for group in optimizer.param_groups:
        if "eps" in group:
            group["eps"] = 1e-4


def warm_up(optimizer: Optimizer, steps: int) -> None:
    """Fills the optimizer's state by steps with random gradients."""
    for _ in range(steps):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = 0.1 * torch.randn_like(parameter)
        optimizer.step()
    optimizer.zero_grad()


def case(
    name: str, seed: int, dtype: torch.dtype = torch.float32, warm: int | None = None
) -> ZooCase:
    """The case `name` with the sizes, weights and data of `seed`, in training mode. Its optimizer
    has made `warm` steps (0 to 2, from the seed, unless given). Torch's own seed is left alone.
    With autocast, `dtype` is what the products run in, if it is a half."""
    builder, optimizer = BUILDERS[name]
    draw = Draw(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = builder(draw)
        if isinstance(parts.model, special.Autocast) and dtype.itemsize == 2:
            parts.model.half, dtype = dtype, torch.float32
        model = parts.model.to(dtype).train()
        perturb(model)
        made = OPTIMIZERS[optimizer](model)
        if dtype == torch.float16:
            fit_half(made)
        warm_up(made, draw.between(0, 2) if warm is None else warm)
    inputs, keywords, target = convert((parts.inputs, parts.keywords, parts.target), dtype)
    return ZooCase(name, model, inputs, keywords, parts.loss, target, made)


def losses_of(case: ZooCase, output: Any) -> list[Tensor]:
    """The losses of an output, as a list of scalars."""
    found = case.loss(output) if case.target is None else case.loss(output, case.target)
    return list(found) if isinstance(found, list | tuple) else [found]


def step(case: ZooCase, seed: int = 0) -> tuple[Any, list[Tensor]]:
    """Forward, backward of each loss, update; leaves the gradients in place. Two models that draw
    alike drop the same units. Returns the output and the losses."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        case.optimizer.zero_grad()
        output = case.model(*case.inputs, **case.keywords)
        losses = losses_of(case, output)
        for number, loss in enumerate(losses, 1):
            loss.backward(retain_graph=number < len(losses))
        case.optimizer.step()
    return output, losses
