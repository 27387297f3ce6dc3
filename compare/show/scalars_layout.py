"""The layout of TensorBoard's Custom Scalars page: the main charts, in reading order.

Each is drawn from the tags of every run that has them. The title of a group says how to read it.
"""

from collections.abc import Iterable, Mapping

from torch_parity.compare.flow.phases import PHASES
from torch_parity.compare.show.bands import PARAMETERS, apart, margins

Layout = Mapping[str, Mapping[str, list[object]]]

COMPARED = ("loss/train", "loss/dev", "loss/batch")  # the curves whose distance is drawn
TRAINED_ALONE = "Trained on their own: distance of {1} from {0}, in the band that rounding fills"


def wide(score: str) -> tuple[str, ...]:
    """The curves of both sides that are drawn in a visible band; score is accuracy or R2."""
    return ("loss/train", "loss/dev", f"{score}/train", f"{score}/dev")


def training(score: str) -> Layout:
    """The charts of `parity train`."""
    both = {f"{tag.replace('/', ' on ')}": tag for tag in wide(score)}
    return {
        "Both sides: manual is the line, torch the edge of the pale band": margins(both),
        TRAINED_ALONE.format("manual", "torch"): margins(
            {
                "distance of the losses on train": apart("loss/train"),
                "distance of the losses on dev": apart("loss/dev"),
                "distance of the losses of each batch": apart("loss/batch"),
                "distance of the parameters": PARAMETERS,
            }
        ),
        "From the same state: log10 of the greatest difference, and the bound above it": {
            phase: _lines(f"log10_difference/{phase}") for phase in PHASES
        },
        "Batches and layers": {
            "loss of each batch": _lines("loss/batch"),
            "units that no longer learn": _lines("(dead_units|saturated)/.*"),
            "norm of the gradients": _lines("gradient_norm/.*"),
            "norm of the weights": _lines("weight_norm/.*"),
        },
    }


def modules(losses: Iterable[str]) -> Layout:
    """The charts of two modules that are trained side by side; losses are the tags of theirs."""
    titles = {f"{tag.removesuffix('/batch')} of each batch": tag for tag in losses}
    distances = {f"distance: {title}": apart(tag) for title, tag in titles.items()}
    distances["distance of the parameters"] = PARAMETERS
    return {
        "Both modules: a is the line, b the edge of the pale band": margins(titles),
        TRAINED_ALONE.format("a", "b"): margins(distances),
        "From the same state: share of its bound that a result used; above 1 it is wrong": {
            "share of the bound": _lines("of_bound/.*")
        },
        "Parameters": {
            "norm of the gradients": _lines("gradient_norm/.*"),
            "norm of the weights": _lines("weight_norm/.*"),
        },
    }


def _lines(pattern: str) -> list[object]:
    return ["Multiline", [pattern]]
