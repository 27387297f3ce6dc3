"""The network by hand, in NumPy: every derivative spelled out, nothing hidden, no torch.

Rows are samples here, as in torch; the course stacks samples as columns. The same numbers, thus:

| the course            | here and in torch      |
| --------------------- | ---------------------- |
| X: (n_in, m)          | x: (m, n_in)           |
| W: (n_out, n_in)      | W: (n_out, n_in), same |
| b: (n_out, 1)         | b: (n_out,)            |
| Z = W X + b           | z = x @ W.T + b        |
| dZ: m times ours      | dz (1/m is in the loss)|
| dW = 1/m dZ A_prev.T  | dW = dz.T @ h_prev     |
| db = 1/m sum of dZ    | db = dz.sum(0)         |
| dA_prev = W.T dZ      | dh_prev = dz @ W       |
| keep_prob             | 1 - p                  |
"""

from typing import Any

from torch_parity.manual.accumulation import accumulated_step, micro_batches
from torch_parity.manual.bias_variance import Diagnosis, diagnose
from torch_parity.manual.clipping import Clipping, clipped_step
from torch_parity.manual.course_gates import lstm_from_course, rnn_from_course
from torch_parity.manual.distributed import all_reduce, sharded_step, shares
from torch_parity.manual.gradients.exact_check import ExactCheck, complex_step_gradient, exact_check
from torch_parity.manual.gradients.exact_gradient import ExactGradient, exact_gradient
from torch_parity.manual.gradients.gradient_check import (
    GradientCheck,
    epsilon_scan,
    gradient_check,
    numerical_gradient,
)
from torch_parity.manual.initialization import (
    kaiming_normal,
    normal,
    xavier_course,
    xavier_normal,
    zeros,
)
from torch_parity.manual.losses.binary_cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
)
from torch_parity.manual.losses.binary_cross_entropy_with_logits import (
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
)
from torch_parity.manual.losses.cross_entropy import cross_entropy, cross_entropy_backward
from torch_parity.manual.losses.huber_loss import huber_loss, huber_loss_backward
from torch_parity.manual.losses.l1_loss import l1_loss, l1_loss_backward
from torch_parity.manual.losses.mse_loss import mse_loss, mse_loss_backward
from torch_parity.manual.losses.multi_margin_loss import (
    multi_margin_loss,
    multi_margin_loss_backward,
)
from torch_parity.manual.losses.regularization import (
    l1_penalty,
    l1_penalty_backward,
    l2_penalty,
    l2_penalty_backward,
    penalty,
    penalty_backward,
)
from torch_parity.manual.losses.smooth_l1_loss import smooth_l1_loss, smooth_l1_loss_backward
from torch_parity.manual.losses.triplet_margin_loss import (
    triplet_margin_loss,
    triplet_margin_loss_backward,
)
from torch_parity.manual.models.char_lstm import CharLSTM
from torch_parity.manual.models.convnet import ConvNet
from torch_parity.manual.models.gpt import GPT
from torch_parity.manual.models.mlp import MLP
from torch_parity.manual.models.residual import Residual
from torch_parity.manual.models.resnet import ResNet
from torch_parity.manual.models.step import (
    Model,
    Optimizer,
    backward,
    cost,
    forward,
    initial_state,
    optimizer_of,
    step,
    update,
    weights_of,
    with_penalty,
)
from torch_parity.manual.names import COURSE, MODULE_PATHS, Names
from torch_parity.manual.operations import find
from torch_parity.manual.ops.adaptive_avg_pool2d import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
)
from torch_parity.manual.ops.add import add, add_backward
from torch_parity.manual.ops.additive_attention import (
    additive_attention,
    additive_attention_backward,
)
from torch_parity.manual.ops.amax import amax, amax_backward
from torch_parity.manual.ops.avg_pool2d import avg_pool2d, avg_pool2d_backward
from torch_parity.manual.ops.batch_norm import batch_norm, batch_norm_backward
from torch_parity.manual.ops.cat import cat, cat_backward
from torch_parity.manual.ops.clip_grads_with_norm import (
    clip_grad_norm,
    clip_grads_with_norm,
    clip_grads_with_norm_backward,
)
from torch_parity.manual.ops.conv2d import conv2d, conv2d_backward
from torch_parity.manual.ops.conv2d_no_bias import conv2d_no_bias, conv2d_no_bias_backward
from torch_parity.manual.ops.conv_transpose2d import conv_transpose2d, conv_transpose2d_backward
from torch_parity.manual.ops.div import div, div_backward
from torch_parity.manual.ops.dropout import dropout, dropout_backward, dropout_mask
from torch_parity.manual.ops.elu import elu, elu_backward
from torch_parity.manual.ops.embedding import embedding, embedding_backward
from torch_parity.manual.ops.exp import exp, exp_backward
from torch_parity.manual.ops.gelu import gelu, gelu_backward
from torch_parity.manual.ops.get_total_norm import get_total_norm, get_total_norm_backward
from torch_parity.manual.ops.group_norm import group_norm, group_norm_backward
from torch_parity.manual.ops.gru import gru, gru_backward
from torch_parity.manual.ops.gru_cell import gru_cell, gru_cell_backward
from torch_parity.manual.ops.identity import identity, identity_backward
from torch_parity.manual.ops.index_select import index_select, index_select_backward
from torch_parity.manual.ops.layer_norm import layer_norm, layer_norm_backward
from torch_parity.manual.ops.leaky_relu import leaky_relu, leaky_relu_backward
from torch_parity.manual.ops.linear import linear, linear_backward
from torch_parity.manual.ops.linear_no_bias import linear_no_bias, linear_no_bias_backward
from torch_parity.manual.ops.log import log, log_backward
from torch_parity.manual.ops.log_softmax import log_softmax, log_softmax_backward
from torch_parity.manual.ops.lstm import lstm, lstm_backward
from torch_parity.manual.ops.lstm_cell import lstm_cell, lstm_cell_backward
from torch_parity.manual.ops.matmul import matmul, matmul_backward
from torch_parity.manual.ops.max_pool2d import max_pool2d, max_pool2d_backward
from torch_parity.manual.ops.mean import mean, mean_backward
from torch_parity.manual.ops.mul import mul, mul_backward
from torch_parity.manual.ops.multi_head_attention import (
    multi_head_attention,
    multi_head_attention_backward,
)
from torch_parity.manual.ops.narrow import narrow, narrow_backward
from torch_parity.manual.ops.pad import pad, pad_backward
from torch_parity.manual.ops.permute import permute, permute_backward
from torch_parity.manual.ops.pow import pow, pow_backward  # noqa: A004
from torch_parity.manual.ops.relu import relu, relu_backward
from torch_parity.manual.ops.reshape import reshape, reshape_backward
from torch_parity.manual.ops.rms_norm import rms_norm, rms_norm_backward
from torch_parity.manual.ops.rnn import rnn, rnn_backward
from torch_parity.manual.ops.rnn_cell import rnn_cell, rnn_cell_backward
from torch_parity.manual.ops.rotary_positions import rotary_positions, rotary_positions_backward
from torch_parity.manual.ops.scale import scale, scale_backward
from torch_parity.manual.ops.scaled_dot_product_attention import (
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)
from torch_parity.manual.ops.sigmoid import sigmoid, sigmoid_backward
from torch_parity.manual.ops.silu import silu, silu_backward
from torch_parity.manual.ops.sinusoidal_positions import (
    sinusoidal_positions,
    sinusoidal_positions_backward,
)
from torch_parity.manual.ops.softmax import softmax, softmax_backward
from torch_parity.manual.ops.softplus import softplus, softplus_backward
from torch_parity.manual.ops.split import split, split_backward
from torch_parity.manual.ops.sub import sub, sub_backward
from torch_parity.manual.ops.sum import sum, sum_backward  # noqa: A004
from torch_parity.manual.ops.tanh import tanh, tanh_backward
from torch_parity.manual.ops.zero_state import zero_state, zero_state_backward
from torch_parity.manual.optimizers.adam import Adam, adam
from torch_parity.manual.optimizers.adamw import AdamW, adamw
from torch_parity.manual.optimizers.momentum import (
    Momentum,
    MomentumCourse,
    momentum,
    momentum_course,
)
from torch_parity.manual.optimizers.nesterov import Nesterov, nesterov
from torch_parity.manual.optimizers.rmsprop import RMSprop, rmsprop
from torch_parity.manual.optimizers.sgd import SGD, sgd
from torch_parity.manual.schedules.cosine_lr import cosine_lr
from torch_parity.manual.schedules.step_lr import step_lr

__all__ = [
    "COURSE",
    "GPT",
    "MLP",
    "MODULE_PATHS",
    "SGD",
    "Adam",
    "AdamW",
    "CharLSTM",
    "Clipping",
    "ConvNet",
    "Diagnosis",
    "ExactCheck",
    "ExactGradient",
    "GradientCheck",
    "Model",
    "Momentum",
    "MomentumCourse",
    "Names",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "ResNet",
    "Residual",
    "accumulated_step",
    "adam",
    "adamw",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "add",
    "add_backward",
    "additive_attention",
    "additive_attention_backward",
    "all_reduce",
    "amax",
    "amax_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "backward",
    "batch_norm",
    "batch_norm_backward",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "cat",
    "cat_backward",
    "clip_grad_norm",
    "clip_grads_with_norm",
    "clip_grads_with_norm_backward",
    "clipped_step",
    "complex_step_gradient",
    "conv2d",
    "conv2d_backward",
    "conv2d_no_bias",
    "conv2d_no_bias_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "cosine_lr",
    "cost",
    "cross_entropy",
    "cross_entropy_backward",
    "diagnose",
    "div",
    "div_backward",
    "dropout",
    "dropout_backward",
    "dropout_mask",
    "elu",
    "elu_backward",
    "embedding",
    "embedding_backward",
    "epsilon_scan",
    "exact_check",
    "exact_gradient",
    "exp",
    "exp_backward",
    "forward",
    "gelu",
    "gelu_backward",
    "get_total_norm",
    "get_total_norm_backward",
    "gradient_check",
    "group_norm",
    "group_norm_backward",
    "gru",
    "gru_backward",
    "gru_cell",
    "gru_cell_backward",
    "huber_loss",
    "huber_loss_backward",
    "identity",
    "identity_backward",
    "index_select",
    "index_select_backward",
    "initial_state",
    "kaiming_normal",
    "l1_loss",
    "l1_loss_backward",
    "l1_penalty",
    "l1_penalty_backward",
    "l2_penalty",
    "l2_penalty_backward",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "linear_no_bias",
    "linear_no_bias_backward",
    "log",
    "log_backward",
    "log_softmax",
    "log_softmax_backward",
    "lstm",
    "lstm_backward",
    "lstm_cell",
    "lstm_cell_backward",
    "lstm_from_course",
    "matmul",
    "matmul_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mean",
    "mean_backward",
    "micro_batches",
    "momentum",
    "momentum_course",
    "mse_loss",
    "mse_loss_backward",
    "mul",
    "mul_backward",
    "multi_head_attention",
    "multi_head_attention_backward",
    "multi_margin_loss",
    "multi_margin_loss_backward",
    "narrow",
    "narrow_backward",
    "nesterov",
    "normal",
    "numerical_gradient",
    "optimizer_of",
    "pad",
    "pad_backward",
    "penalty",
    "penalty_backward",
    "permute",
    "permute_backward",
    "pow",
    "pow_backward",
    "relu",
    "relu_backward",
    "reshape",
    "reshape_backward",
    "rms_norm",
    "rms_norm_backward",
    "rmsprop",
    "rnn",
    "rnn_backward",
    "rnn_cell",
    "rnn_cell_backward",
    "rnn_from_course",
    "rotary_positions",
    "rotary_positions_backward",
    "scale",
    "scale_backward",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
    "sgd",
    "sharded_step",
    "shares",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "sinusoidal_positions",
    "sinusoidal_positions_backward",
    "smooth_l1_loss",
    "smooth_l1_loss_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "split",
    "split_backward",
    "step",
    "step_lr",
    "sub",
    "sub_backward",
    "sum",
    "sum_backward",
    "tanh",
    "tanh_backward",
    "triplet_margin_loss",
    "triplet_margin_loss_backward",
    "update",
    "weights_of",
    "with_penalty",
    "xavier_course",
    "xavier_normal",
    "zero_state",
    "zero_state_backward",
    "zeros",
]


def __getattr__(name: str) -> Any:
    """An operation in a file that is not listed above: its forward, or name_backward."""
    try:
        forward, backward = find(name.removesuffix("_backward"))
    except KeyError:
        raise AttributeError(f"module 'torch_parity.manual' has no attribute {name!r}") from None
    return backward if name.endswith("_backward") else forward
