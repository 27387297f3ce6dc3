"""Convolutions, pooling, linear and recurrent layers, activations, and what fits anywhere."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.mistakes.planting import (
    ACTIVATED,
    ACTIVATIONS,
    CONVOLVED,
    Spot,
    after,
    before,
    override,
    plant,
)
from benchmarks.zoo.models import bert, graph, llama, own, recurrent, vae

EXACT = ("mlp", "bert", "vit", "translator", "convnext", "lenet", "vae", "bag", "pair:bert_hf")
TANH = ("gpt", "gpt_math", "gpt_dropout", "checkpointed", "pair:gpt2_hf")
NORMS = (nn.LayerNorm, llama.RMSNorm)
ANYWHERE = (*ACTIVATED, "siamese", "translator", "encoder_pre", "moe", "autocast", "pair:llama_hf")


# GELU ----------------------------------------------------------------


def every_gelu(spot: Spot, formula: Callable[[Tensor], Tensor]) -> str:
    paths = spot.paths(nn.GELU)
    for path in paths:
        override(spot.at(path), forward=lambda self, x: formula(x))
    return paths[0]


@plant("gelu_tanh", "gelu_form", EXACT)
def gelu_tanh(spot: Spot) -> str:
    return every_gelu(spot, lambda x: F.gelu(x, approximate="tanh"))


@plant("gelu_exact", "gelu_form", TANH)
def gelu_exact(spot: Spot) -> str:
    return every_gelu(spot, F.gelu)


@plant("gelu_quick", "gelu_form", (*EXACT, *TANH, "siamese", "two_losses"))
def gelu_quick(spot: Spot) -> str:
    return every_gelu(spot, lambda x: x * torch.sigmoid(1.702 * x))


# Convolutions and pooling ----------------------------------------------------------------

CONVS = (nn.Conv1d, nn.Conv2d, own.UnfoldConv2d)


def wide(spot: Spot) -> str:
    """A convolution with a kernel of 3 or more, padded to keep the size or halve it."""
    paths = [p for p in spot.paths(*CONVS) if max(spot.at(p).kernel_size) > 2]
    return spot.draw.choice([p for p in paths if max(spot.at(p).padding) > 0])


def convolve(conv: nn.Module, x: Tensor, weight: Tensor, padding: tuple[int, ...]) -> Tensor:
    run = F.conv1d if weight.dim() == 3 else F.conv2d
    return run(x, weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)


@plant("kernel_flipped", "kernel_flipped", (*CONVOLVED, "tcn", "text"))
def kernel_flipped(spot: Spot) -> str:
    """A true convolution."""

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        return convolve(self, x, self.weight.flip(*range(2, x.dim())), self.padding)

    path = wide(spot)
    override(spot.at(path), forward=forward)
    return path


@plant("kernel_sides_swapped", None, CONVOLVED)
def kernel_sides_swapped(spot: Spot) -> str:
    path = wide(spot)
    override(spot.at(path), forward=lambda self, x: convolve(self, x, self.weight.mT, self.padding))
    return path


@plant("padding_after", "padding_asymmetric", (*CONVOLVED, "tcn", "text"))
def padding_after(spot: Spot) -> str:
    """TensorFlow's SAME with a stride pads at the end."""

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        sides = [side for pad in reversed(self.padding) for side in (0, 2 * pad)]
        return convolve(self, F.pad(x, sides), self.weight, tuple(0 for _ in self.padding))

    path = wide(spot)
    override(spot.at(path), forward=forward)
    return path


@plant("padding_before", "padding_asymmetric", ("tcn", "text", "cnn", "resnet", "pair:conv_taps"))
def padding_before(spot: Spot) -> str:
    """Causal padding."""

    def forward(self: nn.Conv1d, x: Tensor) -> Tensor:
        sides = [side for pad in reversed(self.padding) for side in (2 * pad, 0)]
        return convolve(self, F.pad(x, sides), self.weight, tuple(0 for _ in self.padding))

    paths = spot.paths(*CONVS, own.ShiftedConv1d)
    path = spot.draw.choice([p for p in paths if max(spot.at(p).padding) > 0])
    override(spot.at(path), forward=forward)
    return path


@plant("padding_replicated", None, CONVOLVED)
def padding_replicated(spot: Spot) -> str:
    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        sides = [side for pad in reversed(self.padding) for side in (pad, pad)]
        return convolve(self, F.pad(x, sides, "replicate"), self.weight, (0, 0))

    path = wide(spot)
    override(spot.at(path), forward=forward)
    return path


@plant("dilation_lost", None, ("tcn", "pair:conv_taps"))
def dilation_lost(spot: Spot) -> str:
    def forward(self: nn.Conv1d, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, padding=1)

    paths = spot.paths(nn.Conv1d, own.ShiftedConv1d)
    path = spot.draw.choice([p for p in paths if spot.at(p).dilation[0] > 1] or [""])
    if not path:
        raise LookupError("no dilation")
    override(spot.at(path), forward=forward)
    return path


@plant("channels_reversed", None, ("resnet", "lenet", "unet", "vit", "convnext", "cnn", "in_place"))
def channels_reversed(spot: Spot) -> str:
    """BGR for RGB."""
    path = spot.paths(nn.Conv2d)[0]
    before(spot.at(path), lambda x: x.flip(1))
    return path


@plant("flattened_by_pixel", "flatten_order", ("lenet", "resnet", "vae", "pair:max_pool"))
def flattened_by_pixel(spot: Spot) -> str:
    path = spot.pick(nn.Flatten)
    override(spot.at(path), forward=lambda self, x: x.permute(0, 2, 3, 1).flatten(1))
    return path


@plant("average_for_max", None, ("lenet", "unet", "resnet"))
def average_for_max(spot: Spot) -> str:
    path = spot.pick(nn.MaxPool2d)

    def forward(self: nn.MaxPool2d, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)

    override(spot.at(path), forward=forward)
    return path


@plant("pool_windows_shifted", None, ("lenet", "unet", "resnet", "cnn"))
def pool_windows_shifted(spot: Spot) -> str:
    """Each window starts a pixel late; the last one reads what the edge holds."""
    path = spot.pick(nn.MaxPool2d, nn.AvgPool2d)
    before(spot.at(path), lambda x: F.pad(x[..., 1:, 1:], (0, 1, 0, 1), "replicate"))
    return path


@plant("pool_stride_of_one", None, ("lenet", "unet"))
def pool_stride_of_one(spot: Spot) -> str:
    """No stride, and the surplus cut off."""
    path = spot.pick(nn.MaxPool2d)

    def forward(self: nn.MaxPool2d, x: Tensor) -> Tensor:
        height, width = x.shape[-2] // 2, x.shape[-1] // 2
        return F.max_pool2d(x, self.kernel_size, 1)[..., :height, :width]

    override(spot.at(path), forward=forward)
    return path


@plant("pool_counts_no_padding", None, ("cnn",))
def pool_counts_no_padding(spot: Spot) -> str:
    spot.at("avg").count_include_pad = False
    return "avg"


@plant("corners_aligned", None, ("cnn",))
def corners_aligned(spot: Spot) -> str:
    spot.at("larger").align_corners = True
    return "larger"


@plant("skip_order", None, ("unet", "pair:conv_transpose"))
def skip_order(spot: Spot) -> str:
    if not hasattr(spot.model, "skip"):
        raise LookupError("no U-Net")
    override(spot.model, skip=lambda self, kept, up: torch.cat([up, kept], 1))
    return ""


# Linear layers ----------------------------------------------------------------

SQUARE = ("mlp", "lenet", "bert", "siamese", "bag", "hooks", "vit", "translator", "pair:gpt2_hf")


def square(spot: Spot) -> str:
    paths = spot.paths(nn.Linear)
    return spot.draw.choice([p for p in paths if spot.at(p).in_features == spot.at(p).out_features])


@plant("weight_transposed", "weight_transposed", SQUARE)
def weight_transposed(spot: Spot) -> str:
    path = square(spot)
    override(spot.at(path), forward=lambda self, x: F.linear(x, self.weight.T, self.bias))
    return path


@plant("weight_loaded_transposed", "weight_transposed", SQUARE)
def weight_loaded_transposed(spot: Spot) -> str:
    """The forward pass is right; what was loaded is (in, out)."""
    path = square(spot)
    spot.at(path).weight.data = spot.at(path).weight.data.T.contiguous()
    return path


@plant("bias_missing", None, ("mlp", "lenet", "vit", "siamese", "graph", "bert", "pair:bert_hf"))
def bias_missing(spot: Spot) -> str:
    paths = [p for p in spot.paths(nn.Linear, without=("k",)) if spot.at(p).bias is not None]
    path = spot.draw.choice(paths)
    override(spot.at(path), forward=lambda self, x: F.linear(x, self.weight))
    return path


# Recurrent layers ----------------------------------------------------------------

OWN_LSTM = ("lstm_own", "bilstm_own", "pair:lstm_gates", "pair:lstm_cells_gates")
OWN_LSTM += ("pair:bilstm_gates",)
OWN_GRU = ("gru_own", "bigru_own", "pair:gru_gates", "pair:bigru_gates")


@plant("lstm_gates_swapped", "gate_order", OWN_LSTM)
def lstm_gates_swapped(spot: Spot) -> str:
    """Forget and candidate in the other order (i, g, f, o: TensorFlow's)."""

    def gates(self: recurrent.LSTM, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        i, g, f, o = (self.x(x) + self.h(h)).chunk(4, -1)
        return i, f, g, o

    path = spot.pick(recurrent.LSTM)
    override(spot.at(path), gates=gates)
    return path


@plant("gru_gates_swapped", "gate_order", OWN_GRU)
def gru_gates_swapped(spot: Spot) -> str:
    """Update before reset (Keras's order)."""

    def cell(self: recurrent.GRU, x: Tensor, h: Tensor) -> Tensor:
        xz, xr, xn = self.x(x).chunk(3, -1)
        hz, hr, hn = self.h(h).chunk(3, -1)
        z = (xz + hz).sigmoid()
        return (1 - z) * (xn + (xr + hr).sigmoid() * hn).tanh() + z * h

    path = spot.pick(recurrent.GRU)
    override(spot.at(path), cell=cell)
    return path


@plant("gates_loaded_swapped", "gate_order", ("lstm", "bilstm", "lstm_cells", "gru", "gru_cells"))
def gates_loaded_swapped(spot: Spot) -> str:
    """Weights of another library: the second and third part (of a GRU the first two) swapped."""
    path = spot.pick(nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell)
    rnn = spot.at(path)
    lstm = isinstance(rnn, nn.LSTM | nn.LSTMCell)
    for parameter in rnn.parameters():
        parts = parameter.data.chunk(4 if lstm else 3)
        order = (0, 2, 1, 3) if lstm else (1, 0, 2)
        parameter.data.copy_(torch.cat([parts[i] for i in order]))
    return path


@plant("gru_reset_before", "gru_reset_after", OWN_GRU)
def gru_reset_before(spot: Spot) -> str:
    """The reset gate on the state, before the product, as in the paper."""

    def cell(self: recurrent.GRU, x: Tensor, h: Tensor) -> Tensor:
        xr, xz, xn = self.x(x).chunk(3, -1)
        hr, hz, _ = self.h(h).chunk(3, -1)
        r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        n = (xn + self.h(r * h).chunk(3, -1)[2]).tanh()
        return (1 - z) * n + z * h

    path = spot.pick(recurrent.GRU)
    override(spot.at(path), cell=cell)
    return path


@plant("gru_update_inverted", None, OWN_GRU)
def gru_update_inverted(spot: Spot) -> str:
    def cell(self: recurrent.GRU, x: Tensor, h: Tensor) -> Tensor:
        xr, xz, xn = self.x(x).chunk(3, -1)
        hr, hz, hn = self.h(h).chunk(3, -1)
        z = (xz + hz).sigmoid()
        n = (xn + (xr + hr).sigmoid() * hn).tanh()
        return z * n + (1 - z) * h

    path = spot.pick(recurrent.GRU)
    override(spot.at(path), cell=cell)
    return path


@plant("one_bias", "two_biases", (*OWN_LSTM, *OWN_GRU))
def one_bias(spot: Spot) -> str:
    """The hidden product has no bias of its own."""
    path = spot.pick(recurrent.LSTM, recurrent.GRU)
    override(spot.at(f"{path}.h"), forward=lambda self, x: F.linear(x, self.weight))
    spot.others.append(path)
    return f"{path}.h"


@plant("state_starts_at_one", None, (*OWN_LSTM, *OWN_GRU))
def state_starts_at_one(spot: Spot) -> str:
    path = spot.pick(recurrent.LSTM, recurrent.GRU)
    override(spot.at(path), start=lambda self, x: x.new_ones(x.shape[0], self.width))
    return path


@plant("cell_not_squashed", None, OWN_LSTM)
def cell_not_squashed(spot: Spot) -> str:
    """The cell given out without its tanh."""

    def forward(self: recurrent.LSTM, x: Tensor) -> tuple[Tensor, None]:
        h = c = self.start(x)
        outputs = []
        for t in range(x.shape[1]):
            i, f, g, o = self.gates(x[:, t], h)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c
            outputs.append(h)
        return torch.stack(outputs, 1), None

    path = spot.pick(recurrent.LSTM)
    override(spot.at(path), forward=forward)
    return path


BOTH_WAYS = ("bilstm_own", "bigru_own", "pair:bilstm_gates", "pair:bigru_gates")


@plant("backward_not_turned", None, BOTH_WAYS)
def backward_not_turned(spot: Spot) -> str:
    """The second direction's outputs stay in its own order. Read at one time, for the mean over
    time would hide it."""

    def forward(self: recurrent.Bidirectional, x: Tensor) -> tuple[Tensor, None]:
        return torch.cat([self.forth(x)[0], self.back(x.flip(1))[0]], -1), None

    for model in (spot.right.model, spot.model):
        override(model, pool=lambda self, y: y[:, 1])
    override(spot.at("rnn"), forward=forward)
    return "rnn"


@plant("directions_swapped", None, BOTH_WAYS)
def directions_swapped(spot: Spot) -> str:
    def forward(self: recurrent.Bidirectional, x: Tensor) -> tuple[Tensor, None]:
        y, z = self.forth(x)[0], self.back(x.flip(1))[0]
        return torch.cat([z.flip(1), y], -1), None

    override(spot.at("rnn"), forward=forward)
    return "rnn"


@plant("last_but_one", None, ("lstm", "gru", "rnn_relu", "pair:lstm_cells", "pair:gru_gates"))
def last_but_one(spot: Spot) -> str:
    override(spot.model, pool=lambda self, y: y[:, -2])
    return ""


# Graphs and the rest ----------------------------------------------------------------


@plant("messages_overwritten", "repeated_indices_lost", ("graph", "pair:graph_one_hot"))
def messages_overwritten(spot: Spot) -> str:
    """Of several messages to a node only one is kept."""

    def collect(self: graph.Convolution, messages: Tensor, target: Tensor, nodes: int) -> Tensor:
        out = messages.new_zeros(nodes, messages.shape[1])
        return out.index_put((target,), out[target] + messages)

    path = spot.pick(graph.Convolution, own.OneHotGraph)
    override(spot.at(path), collect=collect)
    return path


@plant("edges_reversed", None, ("graph", "pair:graph_dense", "pair:graph_one_hot"))
def edges_reversed(spot: Spot) -> str:
    path = spot.pick(graph.Convolution, own.OneHotGraph, own.DenseConvolution)
    base = type(spot.at(path))
    override(spot.at(path), forward=lambda self, x, edges: base.forward(self, x, edges.flip(0)))
    return path


@plant("deviation_not_halved", None, ("vae",))
def deviation_not_halved(spot: Spot) -> str:
    """The variance where its root belongs."""

    def sample(self: vae.VAE, mean: Tensor, logvar: Tensor) -> Tensor:
        return mean + logvar.exp() * torch.randn_like(mean)

    override(spot.model, sample=sample)
    return ""


@plant("clamp_lost", None, ("regressor", "vae", "pair:softplus_elu"))
def clamp_lost(spot: Spot) -> str:
    base, limited = type(spot.model), []

    def limit(self: nn.Module, x: Tensor) -> Tensor:
        limited.append(not torch.equal(base.limit(self, x), x))
        return x

    override(spot.model, limit=limit)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        spot.model(*spot.wrong.inputs)
    if not limited[0]:
        raise LookupError("nothing reaches the limit")
    override(spot.model, limit=lambda self, x: x)
    return ""


@plant("pooled_last", None, ("bert", "pair:bert_hf"))
def pooled_last(spot: Spot) -> str:
    """BERT reads the second token, not the first."""

    def forward(self: bert.BERT, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        x = self.embed(ids, types)
        for layer in self.layers:
            x = layer(x, mask.bool()[:, None, None])
        return self.head(self.tanh(self.pool(x[:, 1])))

    override(spot.model, forward=forward)
    return ""


@plant("hook_twice", None, ("hooks",))
def hook_twice(spot: Spot) -> str:
    spot.at("act").register_forward_hook(lambda module, inputs, output: output * 1.25)
    return "act"


# Anywhere ----------------------------------------------------------------

ELSE = {
    nn.GELU: F.relu,
    nn.SiLU: F.gelu,
    nn.ReLU: F.leaky_relu,
    nn.ELU: F.relu,
    nn.Tanh: torch.sigmoid,
    nn.LeakyReLU: F.relu,
    nn.Hardswish: F.silu,
    nn.Sigmoid: F.hardsigmoid,
}


@plant("activation_else", None, ACTIVATED)
def activation_else(spot: Spot) -> str:
    path = spot.pick(*ACTIVATIONS)
    other = ELSE[type(spot.at(path))]
    override(spot.at(path), forward=lambda self, x: other(x))
    return path


@plant("activation_missing", None, ACTIVATED)
def activation_missing(spot: Spot) -> str:
    path = spot.pick(*ACTIVATIONS)
    override(spot.at(path), forward=lambda self, x: x)
    return path


@plant("activation_slope", None, ("lenet", "in_place", "regressor", "cnn"))
def activation_slope(spot: Spot) -> str:
    path = spot.pick(nn.LeakyReLU, nn.ELU)
    name = "alpha" if isinstance(spot.at(path), nn.ELU) else "negative_slope"
    setattr(spot.at(path), name, 0.5 * getattr(spot.at(path), name))
    return path


def anywhere(spot: Spot) -> str:
    """An activation or a norm."""
    return spot.pick(*ACTIVATIONS, *NORMS)


@plant("extra_tanh", None, ANYWHERE)
def extra_tanh(spot: Spot) -> str:
    path = anywhere(spot)
    after(spot.at(path), torch.tanh)
    return path


@plant("constant_added", None, ANYWHERE)
def constant_added(spot: Spot) -> str:
    path = anywhere(spot)
    after(spot.at(path), lambda y: y + 0.01)
    return path


@plant("batch_permuted", None, ANYWHERE)
def batch_permuted(spot: Spot) -> str:
    target = spot.wrong.target
    if isinstance(target, Tensor) and torch.equal(target, target.flip(0)):
        raise LookupError("the same targets either way")
    path = anywhere(spot)
    after(spot.at(path), lambda y: y.flip(0))
    return path


@plant("output_shifted", None, ("gpt", "llama", "vit", "bert", "translator", "moe", "tcn"))
def output_shifted(spot: Spot) -> str:
    """Off by one along time."""
    path = anywhere(spot)
    after(spot.at(path), lambda y: y.roll(1, 1))
    return path


# the cosine of two negated outputs is the same
@plant("output_negated", "wrong_sign", tuple(a for a in ANYWHERE if a != "siamese"))
def output_negated(spot: Spot) -> str:
    path = anywhere(spot)
    after(spot.at(path), torch.neg)
    return path


@plant("rounded_to_single", "lower_precision", tuple(a for a in ANYWHERE if a != "autocast"))
def rounded_to_single(spot: Spot) -> str:
    """float32 inside float64; bfloat16 inside float32."""
    path = anywhere(spot)
    lower = torch.float32 if spot.dtype == torch.float64 else torch.bfloat16
    after(spot.at(path), lambda y: y.to(lower).to(y.dtype))
    return path


@plant("product_in_bfloat16", "lower_precision", ("mlp", "gpt", "vit", "llama", "bert", "graph"))
def product_in_bfloat16(spot: Spot) -> str:
    def forward(self: nn.Linear, x: Tensor) -> Tensor:
        y = F.linear(x.bfloat16(), self.weight.bfloat16()).to(x.dtype)
        return y if self.bias is None else y + self.bias

    path = spot.pick(nn.Linear)
    override(spot.at(path), forward=forward)
    return path


@plant("norm_in_single", "lower_precision", ("mlp", "gpt", "vit", "llama", "moe", "pair:llama_hf"))
def norm_in_single(spot: Spot) -> str:
    """As Llama's own RMSNorm: the input cast, and what is made of it."""
    path = spot.pick(*NORMS)
    base = type(spot.at(path))
    lower = torch.float32 if spot.dtype == torch.float64 else torch.bfloat16

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        return base.forward(self, x.to(lower).to(x.dtype))

    override(spot.at(path), forward=forward)
    return path
