"""Too small or too eager? Two differences of errors tell, and what to do next.

  bias      = train error - base error    what the model cannot even fit
  variance  = dev error - train error     what it fits but does not carry over

High bias: a bigger network, then longer training. High variance: more data,
then regularization. Each advice is followed here and its effect measured, on
circles with so much noise that nobody gets all points right. With enough data
a bigger network lowers bias and leaves variance alone: no trade.

The base error is what a human would reach; here, the dev error of the network
with the most data. High means more than 5 points.

Source: course 2 week 1, "bias / variance" and "basic recipe for machine
learning".
"""

from matplotlib.figure import Figure

from torch_parity.compare.case import Case
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.lessons.experiment import Trained, train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.pictures import boundaries, panels
from torch_parity.manual import Diagnosis, diagnose

MODELS: dict[str, dict[str, object]] = {
    "too small": {"hidden": (), "steps": 60},
    "bigger": {"steps": 4},
    "trained longer": {},
    "more data": {"samples": 1500},
    "regularized": {"l2": 1.0},
}
EXAMPLES = ((0.01, 0.11), (0.15, 0.16), (0.15, 0.30), (0.005, 0.01))


def measure(seed: int) -> Measured:
    """Five models, one advice apart, each diagnosed from its own errors on both sides."""
    runs = {label: train(_case(seed, options)) for label, options in MODELS.items()}
    numbers = judged(runs.values())
    rows = []
    for label, trained in runs.items():
        for side in SIDES:
            errors, found = errors_of(trained, side), diagnosed(trained, runs["more data"], side)
            values = dict(zip(("train", "dev"), errors, strict=True))
            values |= {"bias": found.bias, "variance": found.variance}
            values |= {"high bias": found.high_bias, "high variance": found.high_variance}
            numbers |= {f"{label}/{what}/{side}": float(v) for what, v in values.items()}
            shown = (*errors, found.bias, found.variance)
            advice = ", ".join(found.advice[:2]) or "none"
            rows.append((label, side, *(f"{v:.1%}" for v in shown), found.verdict, advice))
    columns = ("model", "side", "train", "dev", "bias", "variance", "diagnosis", "advice")
    return Measured(
        numbers,
        (Table("Errors, and what they mean", columns, tuple(rows)), _examples()),
        {"errors": _draw(numbers), "boundaries": boundaries(runs, len(runs))},
        runs,
    )


def errors_of(trained: Trained, side: Side) -> tuple[float, float]:
    """The shares of train and of dev that are wrong."""
    return 1 - trained.last(side, "accuracy/train"), 1 - trained.last(side, "accuracy/dev")


def diagnosed(trained: Trained, most_data: Trained, side: Side) -> Diagnosis:
    """By manual.diagnose; the base error is the dev error of the network with the most data."""
    return diagnose(errors_of(most_data, side)[1], *errors_of(trained, side))


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Each diagnosis, and what following its advice did."""

    def both(label: str, what: str) -> tuple[float, float]:
        return n[f"{label}/{what}/manual"], n[f"{label}/{what}/torch"]

    bias = {label: both(label, "bias") for label in MODELS}
    variance = {label: both(label, "variance") for label in MODELS}
    short, long, small = (bias[k] for k in ("bigger", "trained longer", "too small"))
    eager, data, held = (variance[k] for k in ("trained longer", "more data", "regularized"))
    return (
        claim(
            all(both("too small", "high bias")) and max(long) < min(small),
            f"The small model has high bias ({small[0]:.1%}); a bigger network, trained longer, "
            f"brings it to {long[0]:.1%}{_noise(long)}.",
            f"The small model's bias is {small[0]:.1%}, that of a bigger one, trained longer, "
            f"{long[0]:.1%}: NOT a high bias that this mends.",
        ),
        claim(
            all(both("bigger", "high bias")) and max(long) < min(short),
            f"Size alone is not enough: after {MODELS['bigger']['steps']} steps the bias is "
            f"{short[0]:.1%}; training longer takes it from there.",
            f"After {MODELS['bigger']['steps']} steps the bias is {short[0]:.1%}, later "
            f"{long[0]:.1%}: NOT a high bias that training longer mends.",
        ),
        claim(
            all(both("trained longer", "high variance")) and max(*data, *held) < min(eager),
            f"The trained network has high variance ({eager[0]:.1%}): more data brings it to "
            f"{data[0]:.1%}, L2 to {held[0]:.1%}.",
            f"Variance was {eager[0]:.1%} and is {data[0]:.1%} with more data, {held[0]:.1%} with "
            "L2: NOT a high variance that both advices mend.",
        ),
        claim(
            max(bias["more data"]) < min(small) and not any(both("more data", "high variance")),
            f"With enough data there is no trade: the big network's bias is "
            f"{bias['more data'][0]:.1%} and its variance {data[0]:.1%}.",
            f"Even with more data there is a trade: bias {bias['more data'][0]:.1%}, variance "
            f"{data[0]:.1%}.",
        ),
    )


def _noise(bias: tuple[float, float]) -> str:
    """A train error below what anybody could reach on new points has been learnt by heart."""
    return " (less than nothing: it has learnt the noise by heart)" if max(bias) < 0 else ""


def _case(seed: int, options: dict[str, object]) -> Case:
    base: dict[str, object] = {
        "data": "circles",
        "samples": 150,
        "noise": 0.2,
        "dev_fraction": 0.6,
        "hidden": (30, 30),
        "activation": "tanh",
        "initializer": "xavier_normal",
        "p": 0,
        "l2": 0,
        "optimizer": "adam",
        "lr": 0.02,
        "steps": 250,
        "batch": 64,
        "log_every": 50,
        "seed": seed,
    }
    return Case.model_validate(base | options)


def _examples() -> Table:
    rows = tuple((f"{a:.1%}", f"{b:.1%}", diagnose(0, a, b).verdict) for a, b in EXAMPLES)
    return Table("The examples of the notes, base error 0", ("train", "dev", "diagnosis"), rows)


def _draw(n: Numbers) -> Figure:
    """Train error and dev error beside one another, a pair of bars a model and side."""
    figure, axes = panels(1, 2, width=5)
    for ax, side in zip(axes, SIDES, strict=True):
        for i, split in enumerate(("train", "dev")):
            at = [k + 0.4 * i for k in range(len(MODELS))]
            ax.bar(at, [n[f"{label}/{split}/{side}"] for label in MODELS], 0.4, label=split)
        ax.set(title=f"error, {side}", xticks=[k + 0.2 for k in range(len(MODELS))])
        ax.set_xticklabels([label.replace(" ", "\n") for label in MODELS])
    axes[0].legend(frameon=False)
    return figure


LESSON = Lesson("bias-variance", ("Bias和Variance",), __doc__, measure, conclude)
