"""The course as experiments, one file a lesson, each run on both sides; and their register."""

from torch_parity.lessons import (
    activations,
    backprop,
    backprop_ninja,
    batch_norm,
    bias_variance,
    convolution,
    dropout,
    forward,
    gradient_check,
    initialization,
    planar,
    regularization,
    residual,
    why_nonlinear,
)
from torch_parity.lessons.lesson import Lesson

LESSONS: dict[str, Lesson] = {
    module.LESSON.name: module.LESSON
    for module in (
        forward,
        activations,
        why_nonlinear,
        backprop,
        initialization,
        bias_variance,
        regularization,
        dropout,
        gradient_check,
        planar,
        convolution,
        batch_norm,
        residual,
        backprop_ninja,
    )
}
