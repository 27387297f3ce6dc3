"""Convolution: one small kernel looks at every place of an image.

  out[y, x] = bias + sum over c, i, j of weight[c, i, j] image[c, y + i, x + j]

  image (m, c, h, w), weight (o, c, k, k), bias (o,) -> out (m, o, h', w')
  h' = (h + 2 padding - k) // stride + 1

One place is a linear unit that sees a window of k x k. All places share its
weights, so a feature is found wherever it is, and there are few weights.

  backward  dbias   = sum of dout over samples and places
            dweight = sum over places of dout * the window seen there
            dimage  : each place adds dout * weight to the window that it saw

A convolution is also a matrix product with a matrix M that is mostly 0 and
repeats the k x k weights in every row; then dimage is M transposed times dout.
Max pooling keeps the largest number of each window, and its backward hands the
gradient to that number alone.

Source: course 4 week 1, "edge detection", "padding", "strided convolutions",
"pooling layers"; LeCun et al. 1989.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from torch_parity import manual
from torch_parity.compare.causes.images import CAUSES
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.sources.recorded import Both
from torch_parity.lessons.by_operations import exact_gradient, in_torch, law
from torch_parity.lessons.convolution_ways import convolved, ways
from torch_parity.lessons.lesson import (
    Claim,
    Lesson,
    Measured,
    Numbers,
    Table,
    claim,
    compared,
    gap,
    worst,
)
from torch_parity.lessons.mistakes import all_named, plant_alone
from torch_parity.lessons.pictures import panels
from torch_parity.manual.models.step import Tensors

SIZES = ((6, 3, 0, 1), (8, 3, 1, 1), (7, 3, 0, 2), (8, 5, 2, 2))  # h, k, padding, stride
KERNELS = {
    "vertical edges": np.array([[1.0, 0, -1]] * 3),
    "horizontal edges": np.array([[1.0, 0, -1]] * 3).T,
    "blur": np.full((3, 3), 1 / 9),
}


def forward(at: Mapping[str, np.ndarray]) -> Tensors:
    """A convolution, ReLU, and max pooling."""
    t = {"z": manual.conv2d(at["x"], at["weight"], at["bias"], padding=1)}
    t["a"] = manual.relu(t["z"])
    t["out"] = manual.max_pool2d(t["a"], kernel_size=2)
    return t


def backward(at: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray]) -> Tensors:
    """The same from the end."""
    g = {"da": manual.max_pool2d_backward(at["dout"], t["a"], kernel_size=2)}
    g["dz"] = manual.relu_backward(g["da"], t["z"])
    g["dx"], g["dweight"], g["dbias"] = manual.conv2d_backward(
        g["dz"], at["x"], at["weight"], padding=1
    )
    return g


def torch_forward(at: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same in torch; autograd does the rest."""
    t = {"z": F.conv2d(at["x"], at["weight"], at["bias"], padding=1)}
    t["a"] = t["z"].relu()
    t["out"] = F.max_pool2d(t["a"], 2)
    return t


def measure(seed: int) -> Measured:
    """A step on both sides, three ways to the same numbers, sizes, edges, and planted mistakes."""
    given, dout = _given(seed)
    start = {**given, "dout": dout}
    by_hand = forward(given)
    by_hand |= backward(start, by_hand)
    both = Both(
        law(forward, given), start, by_hand, in_torch(torch_forward, given, dout, constants=())
    )
    numbers = compared(by_hand, both.torch, start, both.nodes)
    exact = {f"d{n}": exact_gradient(forward, given, dout, n) for n in given}
    images = load_digits().images[:1, None] / 16
    for side in SIDES:
        t = both.trace(side)
        numbers |= ways(given, t, side) | {
            f"exact/{side}": max(gap(t[n], exact[n]) for n in exact),
            f"shift/{side}": _shifted(side, images, given["weight"][:, :1]),
            f"edge/{side}": float(_edge(side).max()),
            f"flat/{side}": float(np.abs(_edge(side)[:, [0, -1]]).max()),
            f"sizes/{side}": float(sum(_size(side, *s) == _expected(*s) for s in SIZES)),
        }
    planted, mistakes = plant_alone(CAUSES)
    return Measured(numbers | planted, (_sizes(), _edges(), mistakes), {"maps": _draw(images)})


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Exact, three ways, the same feature everywhere, edges, sizes, few weights, mistakes."""
    return _exact(n), _matrix(n), _everywhere(n), _finds_edges(n), _fits(n), all_named(n, CAUSES)


def _exact(n: Numbers) -> Claim:
    exact, loops = worst(n, "exact"), worst(n, "loops")
    return claim(
        max(exact, loops) < 1e-12,
        f"The backward is the exact derivative (up to {exact:.1e} of the largest entry), and the "
        f"loops over places give the same numbers (up to {loops:.1e}).",
        f"The backward is NOT the exact derivative (off by {exact:.1e}), or the loops give other "
        f"numbers (off by {loops:.1e}).",
        f"反向传播得到的就是精确导数（误差不超过最大元素的 {exact:.1e}），逐个位置的循环"
        f"得到同样的数（误差不超过 {loops:.1e}）。",
        f"反向传播得到的不是精确导数（相差 {exact:.1e}），或者循环得到的数不同（相差 "
        f"{loops:.1e}）。",
    )


def _matrix(n: Numbers) -> Claim:
    there, back = worst(n, "matrix"), worst(n, "transposed")
    size, zeros = f"{n['entries']:.0f}", f"{n['zeros']:.0%}"
    weights, different = f"{n['weights']:.0f}", f"{n['different']:.0f}"
    return claim(
        max(there, back) < 1e-12 and n["different"] == n["weights"],
        f"A convolution is a product with one matrix of {size} entries: {zeros} of them are 0, and "
        f"the others are its {weights} weights, repeated. z differs by {there:.1e}; dx is the "
        f"product with the transposed matrix, and differs by {back:.1e}.",
        f"A convolution is NOT a product with one matrix ({different} different entries for "
        f"{weights} weights): z differs by {there:.1e}, dx by {back:.1e}; {size} entries, {zeros} "
        "of them 0.",
        f"卷积就是乘以一个有 {size} 个元素的矩阵：其中 {zeros} 是 0，其余的是重复出现的 {weights} "
        f"个权重。z 相差 {there:.1e}；dx 是乘以它的转置，相差 {back:.1e}。",
        f"卷积不等于乘以一个矩阵（{weights} 个权重，却有 {different} 个不同的元素）：z 相差 "
        f"{there:.1e}，dx 相差 {back:.1e}；共 {size} 个元素，{zeros} 是 0。",
    )


def _everywhere(n: Numbers) -> Claim:
    gap = worst(n, "shift")
    return claim(
        gap < 1e-12,
        "The same feature is found everywhere: if the image moves by one place, so does the "
        f"result (up to {gap:.1e}).",
        f"The result does NOT move with the image: it differs by {gap:.1e}.",
        f"同一个特征在哪里都能找到：图像平移一格，结果也平移一格（误差不超过 {gap:.1e}）。",
        f"结果没有随图像平移：相差 {gap:.1e}。",
    )


def _finds_edges(n: Numbers) -> Claim:
    edge, flat = ([n[f"{what}/{s}"] for s in SIDES] for what in ("edge", "flat"))
    return claim(
        edge == [30, 30] and flat == [0, 0],
        f"The course's example: at the edge between 10 and 0 the vertical kernel gives "
        f"{edge[0]:g}, elsewhere {flat[0]:g}.",
        f"NOT the numbers of the course's example, 30 at the edge and 0 elsewhere: {edge[0]:g} and "
        f"{edge[1]:g} at the edge, {flat[0]:g} and {flat[1]:g} elsewhere.",
        f"课程里的例子：在 10 与 0 之间的边缘处，竖直边缘的卷积核得到 {edge[0]:g}，其他地方是 "
        f"{flat[0]:g}。",
        f"与课程例子的数值（边缘处 30，其他地方 0）不同：边缘处是 {edge[0]:g} 和 {edge[1]:g}，"
        f"其他地方是 {flat[0]:g} 和 {flat[1]:g}。",
    )


def _fits(n: Numbers) -> Claim:
    right = min(n[f"sizes/{s}"] for s in SIDES)
    return claim(
        right == len(SIZES),
        f"The formula gives the size of the output in all {len(SIZES)} examples.",
        f"The formula does NOT give the size of the output: only in {right:.0f} of {len(SIZES)} "
        "examples.",
        f"{len(SIZES)} 个例子中，公式都给出了正确的输出大小。",
        f"{len(SIZES)} 个例子中，公式只给出了 {right:.0f} 个正确的输出大小。",
    )


def _given(seed: int) -> tuple[Tensors, np.ndarray]:
    rng = np.random.default_rng([seed, 10])
    given = {
        "x": rng.standard_normal((2, 2, 4, 6)),
        "weight": rng.standard_normal((3, 2, 3, 3)),
        "bias": rng.standard_normal(3),
    }
    return given, rng.standard_normal((2, 3, 2, 3))


def _shifted(side: Side, images: np.ndarray, weight: np.ndarray) -> float:
    """How far conv(image moved right) is from conv(image) moved right."""
    framed = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    before, after = (convolved(side, x, weight) for x in (framed, np.roll(framed, 1, axis=3)))
    return gap(np.roll(before, 1, axis=3), after)


def _edge(side: Side) -> np.ndarray:
    """The course's image, 10 on the left and 0 on the right, by the vertical kernel."""
    image = np.zeros((1, 1, 6, 6))
    image[..., :3] = 10
    return convolved(side, image, KERNELS["vertical edges"][None, None])[0, 0]


def _expected(h: int, k: int, padding: int, stride: int) -> int:
    return (h + 2 * padding - k) // stride + 1


def _size(side: Side, h: int, k: int, padding: int, stride: int) -> int:
    x, weight = np.ones((1, 1, h, h)), np.ones((1, 1, k, k))
    return convolved(side, x, weight, padding=padding, stride=stride).shape[2]


def _sizes() -> Table:
    rows = tuple(
        (*map(str, s), str(_expected(*s)), *(str(_size(side, *s)) for side in SIDES)) for s in SIZES
    )
    zh = {
        "Size of the output": "输出的大小",
        "padding": "填充",
        "stride": "步幅",
        "formula": "公式",
    }
    return Table("Size of the output", ("h", "k", "padding", "stride", "formula", *SIDES), rows, zh)


def _edges() -> Table:
    title = "The course's image of 10 and 0, by the vertical kernel: one row of the result"
    row = {side: _edge(side)[0] for side in SIDES}
    rows = tuple((side, *(f"{v:g}" for v in row[side])) for side in SIDES)
    zh = {title: "课程里左边 10、右边 0 的图像，用竖直边缘的卷积核：结果的一行"}
    return Table(title, ("side", "0", "1", "2", "3"), rows, zh)


def _draw(images: np.ndarray) -> Figure:
    """A digit, and what three kernels make of it: above in NumPy, below in torch."""
    figure, axes = panels(2, 1 + len(KERNELS), width=2.2)
    weight = np.stack(list(KERNELS.values()))[:, None]
    for i, side in enumerate(SIDES):
        maps = (images[0, 0], *convolved(side, images, weight, padding=1)[0])
        for k, (name, shown) in enumerate(zip(("image", *KERNELS), maps, strict=True)):
            ax = axes[i * len(maps) + k]
            limit = np.abs(shown).max()
            ax.imshow(shown, cmap="RdBu", vmin=-limit, vmax=limit)
            ax.set(title=f"{name}, {side}", xticks=[], yticks=[])
    return figure


ZH = "卷积：用一个小的卷积核看遍图像的每个位置。"
LESSON = Lesson("convolution", (), __doc__, measure, conclude, ZH)
