"""Underfitting or overfitting? Two differences between three error rates decide.

Bias is what the model does not fit: train error minus the base error that a human (or the Bayes
classifier) reaches. Variance is what does not generalize: dev error minus train error.

Source: course 2 week 1, "bias / variance" and "basic recipe for machine learning".
"""

from dataclasses import dataclass

HIGH_BIAS = ("a bigger network", "train longer", "search for another architecture")
HIGH_VARIANCE = ("more data", "regularization", "search for another architecture")


@dataclass(frozen=True)
class Diagnosis:
    """bias and variance are differences of error rates; verdict and advice follow from them."""

    bias: float
    variance: float
    high_bias: bool
    high_variance: bool

    @property
    def verdict(self) -> str:
        """One of the course's four corners."""
        bias, variance = ("high" if h else "low" for h in (self.high_bias, self.high_variance))
        return f"{bias} bias, {variance} variance"

    @property
    def advice(self) -> tuple[str, ...]:
        """What the course would try next; bias first, because it is reduced first."""
        first = HIGH_BIAS if self.high_bias else ()
        second = HIGH_VARIANCE if self.high_variance else ()
        return tuple(dict.fromkeys(first + second))


def diagnose(
    base_error: float, train_error: float, dev_error: float, gap: float = 0.05
) -> Diagnosis:
    """bias = train_error - base_error;  variance = dev_error - train_error;  high means > gap.

    Errors are shares (0.15 is 15%). The course names no threshold: its examples call 1 point small
    and 10 points large, and the default of 5 points lies between.

    Raises:
        ValueError: an error or the gap is negative or not a number.
    """
    values = {
        "base_error": base_error,
        "train_error": train_error,
        "dev_error": dev_error,
        "gap": gap,
    }
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"diagnose: {name} is {value}, expected a number >= 0 (0.15 is 15%)")
    bias, variance = train_error - base_error, dev_error - train_error
    return Diagnosis(bias, variance, bias > gap, variance > gap)
