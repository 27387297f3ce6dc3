"""The layout of TensorBoard's Custom Scalars page: the main charts, in reading order.

Each is drawn from the tags of every run that has them, so manual and torch lie over one another.
"""

LAYOUT = {
    "Learning": {
        "loss on train and dev": ["Multiline", ["loss/train", "loss/dev"]],
        "accuracy (R2 for numbers) on train and dev": ["Multiline", ["(accuracy|R2)/.*"]],
        "loss of each batch": ["Multiline", ["loss/batch"]],
    },
    "Manual against torch": {
        "free-running sides apart, and what one ulp a step does": ["Multiline", ["drift/.*"]],
        "greatest difference from the same state": ["Multiline", ["difference/.*"]],
    },
    "Layers": {
        "units that no longer learn": ["Multiline", ["(dead_units|saturated)/.*"]],
        "norm of the gradients": ["Multiline", ["gradient_norm/.*"]],
        "norm of the weights": ["Multiline", ["weight_norm/.*"]],
    },
}

MODULES = {
    "Learning": {"loss of each batch": ["Multiline", ["loss.*/batch"]]},
    "a against b": {
        "free-running sides apart, and what one ulp a step does": ["Multiline", ["drift/.*"]],
        "share of its bound used, from the same state": ["Multiline", ["of_bound/.*"]],
    },
    "Parameters": {
        "norm of the gradients": ["Multiline", ["gradient_norm/.*"]],
        "norm of the weights": ["Multiline", ["weight_norm/.*"]],
    },
}
