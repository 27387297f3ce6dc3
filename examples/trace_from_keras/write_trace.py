"""One training step of a Keras model on TensorFlow, written as a trace that `parity diff` judges.

    parity record --data moons --hidden 5 --activation tanh --p 0 --l2 0 --dtype float32 \
        --loss binary_cross_entropy_with_logits --optimizer sgd --out torch.safetensors
    python write_trace.py torch.safetensors from_keras.safetensors
    parity diff from_keras.safetensors torch.safetensors

It needs keras, tensorflow and safetensors, nothing of torch-parity. A third argument plants a
mistake: `sum`.
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file, save_file

LAYERS = ("1", "2")


def network(width):
    """Two layers, as a model of every tensor on the way."""
    x = keras.Input((2,))
    z1 = keras.layers.Dense(width, name="layer1")(x)
    a1 = keras.layers.Activation("tanh")(z1)
    z2 = keras.layers.Dense(1, name="layer2")(a1)
    return keras.Model(x, {"z1": z1, "a1": a1, "z2": z2})


def step(given, mistake=None):
    """Loss, gradients and update from what is given, under the names of the trace."""
    x, y = tf.constant(given["x"]), tf.constant(given["y"])
    net = network(len(given["b1"]))
    for n in LAYERS:  # a kernel of Keras is (in, out), and W in the trace (out, in)
        net.get_layer(f"layer{n}").set_weights([given[f"W{n}"].T, given[f"b{n}"]])
    averaged = "sum" if mistake == "sum" else "sum_over_batch_size"
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True, reduction=averaged)
    optimizer = keras.optimizers.SGD(learning_rate=0.05)

    with tf.GradientTape() as tape:
        values = net(x, training=True)
        loss = loss_of(y, values["z2"])
    weights, felt = tape.gradient(loss, (net.trainable_variables, values))
    optimizer.apply_gradients(zip(weights, net.trainable_variables, strict=True))

    made = {"h0": x, **values, "h1": values["a1"], "a2": values["z2"], "loss": loss}
    made |= {f"d{name}": gradient for name, gradient in felt.items()}
    made |= {"dh1": felt["a1"], "da2": felt["z2"]}
    for n, kernel, bias in zip(LAYERS, weights[::2], weights[1::2], strict=True):
        made |= {f"dW{n}": tf.transpose(kernel), f"db{n}": bias}
        kernel, bias = net.get_layer(f"layer{n}").get_weights()
        made |= {f"W{n}": kernel.T, f"b{n}": bias}
    return made


def main(source, target, mistake=None):
    """Read what torch's step began from, take the same step, and write both."""
    read = load_file(source)
    given = {n.removeprefix("given/"): a for n, a in read.items() if n.startswith("given/")}
    made = step(given, mistake)
    tensors = {f"given/{n}": a for n, a in given.items()}
    tensors |= {f"made/{n}": np.array(a, order="C") for n, a in made.items()}
    save_file(tensors, target, {"format": "torch-parity trace", "version": "1"})


if __name__ == "__main__":
    main(*sys.argv[1:])
