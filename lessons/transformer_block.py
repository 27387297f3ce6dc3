"""One block of a transformer with its embeddings and scores: forward, backward, and in torch.

The lesson transformer.py derives the lines and measures them.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from torch_parity import manual
from torch_parity.compare.data.text import encode
from torch_parity.manual.models.step import Tensors

TEXT, ALPHABET = "17+25=42", "+0123456789="
C, INNER = 6, 12  # the width of h, and that of the small network


def forward(at: Mapping[str, np.ndarray]) -> Tensors:
    """Characters and places, one block with one head, and the scores."""
    t = {"token": manual.embedding(at["x"], at["wte"])}
    t["h0"] = manual.add(t["token"], at["wpe"])

    t["n0"] = manual.layer_norm(t["h0"], at["weight0"], at["bias0"])
    for p in "qkv":
        t[p] = manual.linear(t["n0"], at[f"W{p}"], at[f"b{p}"])
    t["found"] = manual.scaled_dot_product_attention(t["q"], t["k"], t["v"], is_causal=True)
    t["attention"] = manual.linear(t["found"], at["Wo"], at["bo"])
    t["h1"] = manual.add(t["h0"], t["attention"])

    t["n1"] = manual.layer_norm(t["h1"], at["weight1"], at["bias1"])
    t["z"] = manual.linear(t["n1"], at["W1"], at["b1"])
    t["a"] = manual.gelu(t["z"])
    t["mlp"] = manual.linear(t["a"], at["W2"], at["b2"])
    t["h2"] = manual.add(t["h1"], t["mlp"])

    t["n2"] = manual.layer_norm(t["h2"], at["weight2"], at["bias2"])
    t["scores"] = manual.linear(t["n2"], at["Wh"], at["bh"])
    return t


def backward(at: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray]) -> Tensors:
    """From the scores back to the embeddings, each part in one line."""
    g = {}
    g["dn2"], g["dWh"], g["dbh"] = manual.linear_backward(at["dscores"], t["n2"], at["Wh"])
    g["dh2"], g["dweight2"], g["dbias2"] = manual.layer_norm_backward(
        g["dn2"], t["h2"], at["weight2"]
    )
    g["dmlp"] = g["dh2"]
    g["da"], g["dW2"], g["db2"] = manual.linear_backward(g["dmlp"], t["a"], at["W2"])
    g["dz"] = manual.gelu_backward(g["da"], t["z"])
    g["dn1"], g["dW1"], g["db1"] = manual.linear_backward(g["dz"], t["n1"], at["W1"])
    through_mlp, g["dweight1"], g["dbias1"] = manual.layer_norm_backward(
        g["dn1"], t["h1"], at["weight1"]
    )
    g["dh1"] = g["dh2"] + through_mlp

    g["dattention"] = g["dh1"]
    g["dfound"], g["dWo"], g["dbo"] = manual.linear_backward(g["dattention"], t["found"], at["Wo"])
    g["dq"], g["dk"], g["dv"] = manual.scaled_dot_product_attention_backward(
        g["dfound"], t["q"], t["k"], t["v"], is_causal=True
    )
    g["dn0"] = np.zeros_like(t["n0"])
    for p in "qkv":
        share, g[f"dW{p}"], g[f"db{p}"] = manual.linear_backward(g[f"d{p}"], t["n0"], at[f"W{p}"])
        g["dn0"] += share
    through_attention, g["dweight0"], g["dbias0"] = manual.layer_norm_backward(
        g["dn0"], t["h0"], at["weight0"]
    )
    g["dh0"] = g["dh1"] + through_attention

    g["dtoken"] = g["dwpe"] = g["dh0"]
    g["dwte"] = manual.embedding_backward(g["dtoken"], at["x"], at["wte"])
    return g


def torch_forward(at: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same in torch; autograd does the rest."""
    t = {"token": F.embedding(at["x"], at["wte"])}
    t["h0"] = t["token"] + at["wpe"]

    t["n0"] = F.layer_norm(t["h0"], (C,), at["weight0"], at["bias0"])
    for p in "qkv":
        t[p] = F.linear(t["n0"], at[f"W{p}"], at[f"b{p}"])
    t["found"] = F.scaled_dot_product_attention(t["q"], t["k"], t["v"], is_causal=True)
    t["attention"] = F.linear(t["found"], at["Wo"], at["bo"])
    t["h1"] = t["h0"] + t["attention"]

    t["n1"] = F.layer_norm(t["h1"], (C,), at["weight1"], at["bias1"])
    t["z"] = F.linear(t["n1"], at["W1"], at["b1"])
    t["a"] = F.gelu(t["z"])
    t["mlp"] = F.linear(t["a"], at["W2"], at["b2"])
    t["h2"] = t["h1"] + t["mlp"]

    t["n2"] = F.layer_norm(t["h2"], (C,), at["weight2"], at["bias2"])
    t["scores"] = F.linear(t["n2"], at["Wh"], at["bh"])
    return t


def given_at_first(seed: int) -> tuple[Tensors, np.ndarray]:
    """The text but its last character, the parameters, and dscores for the text but its first."""
    rng = np.random.default_rng([seed, 18])
    symbols = encode(TEXT, ALPHABET)
    x, y = symbols[:-1], symbols[1:]
    given = {"x": x, "wte": rng.standard_normal((len(ALPHABET), C))}
    given["wpe"] = rng.standard_normal((len(x), C))
    shapes = {"q": (C, C), "k": (C, C), "v": (C, C), "o": (C, C)}
    shapes |= {"1": (INNER, C), "2": (C, INNER), "h": (len(ALPHABET), C)}
    for name, shape in shapes.items():
        given[f"W{name}"] = rng.standard_normal(shape) / np.sqrt(shape[1])
        given[f"b{name}"] = rng.normal(0, 0.1, shape[0])
    for k in range(3):
        given |= {f"weight{k}": rng.uniform(0.5, 1.5, C), f"bias{k}": rng.normal(0, 0.1, C)}
    return given, manual.cross_entropy_backward(forward(given)["scores"], y)
