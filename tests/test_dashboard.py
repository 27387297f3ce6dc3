"""The TensorBoard files of a run, read with TensorBoard's own reader."""

import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.custom_scalar.layout_pb2 import Chart, Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from torch_parity.compare import data
from torch_parity.compare.case import load
from torch_parity.compare.commands.train import train_case
from torch_parity.compare.flow.law import flow
from torch_parity.compare.runs.units import inactive_units
from torch_parity.compare.show.bands import SHARE, Bands, edge
from torch_parity.compare.show.event_logs import markdown
from torch_parity.compare.show.histograms import histogram
from torch_parity.compare.show.pictures import boundary, confusion, misclassified, plane
from torch_parity.compare.show.train_dashboard import moments
from torch_parity.compare.sources import pair

STEPS = 40
SIDES = ("manual", "torch")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: pictures (digits), a plane (moons), numbers (mse_loss)."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(5)
    x = rng.standard_normal((60, 3))
    np.savez(root / "numbers.npz", x=x, y=x @ [1.5, -2.0, 0.5] + 0.1)
    options = {"steps": str(STEPS), "p": "0.3"}
    assert train_case(load(hidden="9,5", **options), "digits", root / "runs") == 0
    moons = load(data="moons", hidden="6,4", activation="tanh", optimizer="adam", **options)
    assert train_case(moons, "moons", root / "runs") == 0
    numbers = load(data=str(root / "numbers.npz"), target="y", hidden="4", **options)
    assert train_case(numbers, "numbers", root / "runs") == 0
    return root / "runs"


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), {"images": 0, "tensors": 0, "histograms": 0})
    return events.Reload()


def test_every_side_has_histograms_of_weights_gradients_and_activations(runs: Path) -> None:
    for side in ("manual", "torch"):
        events = read(runs / "digits" / side)
        layers = (1, 2, 3)
        expected = {f"weights/{p}{k}" for k in layers for p in "Wb"}
        expected |= {f"gradients/d{p}{k}" for k in layers for p in "Wb"}
        expected |= {f"activations/a{k}" for k in layers}
        assert set(events.Tags()["histograms"]) == expected
        seen = [h.step for h in events.Histograms("weights/W1")]
        assert seen == [1, 10, 20, 30, 40]
        last = events.Histograms("weights/W1")[-1].histogram_value
        norm = events.Scalars("weight_norm/W1")[-1].value
        assert last.num == 9 * 64
        assert last.sum_squares == pytest.approx(norm**2, rel=1e-6)
    by_hand, in_torch = (read(runs / "digits" / s).Histograms("gradients/dW2") for s in SIDES)
    for a, b in zip(by_hand, in_torch, strict=True):
        assert a.histogram_value.bucket == b.histogram_value.bucket


@pytest.mark.parametrize(
    "tensor",
    [
        np.arange(12.0).reshape(3, 4),
        np.zeros((2, 3)),
        np.ones(1),
        np.array([1.0, np.nextafter(1, 2)]),
        np.array([-1.6e308, 1.6e308, 0.0]),
    ],
)
def test_a_histogram_counts_every_entry_once(tensor: np.ndarray) -> None:
    h = histogram(tensor)
    assert sum(h.bucket) == h.num == tensor.size
    assert len(h.bucket) == len(h.bucket_limit)
    assert h.bucket[0] == 0
    assert h.bucket_limit[-1] >= tensor.max()
    assert (h.min, h.max, h.sum) == (tensor.min(), tensor.max(), tensor.sum())


def test_a_histograms_buckets_are_where_the_numbers_are() -> None:
    """40 of 50 at -1, 10 at 3: they must not be shifted by a bucket."""
    h = histogram(np.array([-1.0] * 40 + [3.0] * 10).reshape(10, 5))
    filled = {round(h.bucket_limit[i], 1): n for i, n in enumerate(h.bucket) if n}
    width = 4 / 30
    assert filled == {round(-1 + width, 1): 40, 3.0: 10}


def layout(folder: Path) -> list[list[Chart]]:
    """The charts of each group of the Custom Scalars page, as they were written."""
    (event,) = read(folder / "parity").Tensors("custom_scalars__config__")
    found = Layout.FromString(event.tensor_proto.string_val[0])
    return [list(category.chart) for category in found.category]


def values(events: EventAccumulator, tag: str) -> dict[int, float]:
    return {s.step: s.value for s in events.Scalars(tag)}


@pytest.mark.parametrize(
    ("name", "score"), [("digits", "accuracy"), ("moons", "accuracy"), ("numbers", "R2")]
)
def test_each_chart_of_the_layout_finds_curves(runs: Path, name: str, score: str) -> None:
    """A renamed tag would leave an empty chart; each chart must show both sides or none. A margin
    chart complains of a run with some of its tags, and of tags with different steps."""
    found = {path.name: read(path) for path in (runs / name).iterdir() if path.is_dir()}
    found = {run: e for run, e in found.items() if e.Tags()["scalars"]}
    assert set(found) == {*SIDES, "bound", "parity", "perturbed_copy"}
    tags = {run: set(events.Tags()["scalars"]) for run, events in found.items()}
    both, alone, same, _ = layout(runs / name)
    pictured = [chart.margin.series[0].value for chart in (*both, *alone)]
    assert pictured == [
        *(f"{score}/dev", f"{score}/train", "loss/dev", "loss/train"),  # shown last first
        *("apart/parameters", "apart/loss/batch", "apart/loss/dev", "apart/loss/train"),
    ]
    for chart in (*both, *alone):
        (series,) = chart.margin.series
        needed = {series.value, series.lower, series.upper}
        for run, its in tags.items():
            assert needed <= its or not needed & its, (chart.title, run)
        for side in SIDES:
            steps = [list(values(found[side], tag)) for tag in needed]
            assert all(s == steps[0] and s[-1] == STEPS for s in steps), chart.title
    assert [chart.multiline.tag[0] for chart in same] == [
        f"log10_difference/{phase}" for phase in ("forward", "backward", "update")
    ]
    for chart in layout(runs / name)[3]:
        (pattern,) = chart.multiline.tag
        drawn = {side: {t for t in tags[side] if re.fullmatch(pattern, t)} for side in SIDES}
        assert drawn["manual"] == drawn["torch"], chart.title
        assert drawn["manual"], chart.title


def test_torch_is_drawn_beside_manual_and_within_rounding(runs: Path) -> None:
    """Both sides' curves are seen: torch's has a band, manual's none. The distances are those of
    curves that coincide to some digits of float64, and are not all 0."""
    manual, torch_ = (read(runs / "digits" / side) for side in SIDES)
    began = values(manual, "loss/train")[1]
    for tag, width in (("loss/train", SHARE * began), ("accuracy/dev", -SHARE)):
        assert values(manual, edge(tag)) == values(manual, tag)
        far = values(torch_, edge(tag))
        for step, value in values(torch_, tag).items():
            assert far[step] - value == pytest.approx(width, rel=1e-4)
    for tag in ("apart/loss/batch", "apart/loss/dev", "apart/parameters"):
        band, distance = values(manual, edge(tag)), values(torch_, tag)
        assert set(values(manual, tag).values()) == {0.0}
        for numbers in (distance, band):
            assert max(numbers.values()) < 1e-12
            # of the five numbers on dev all may be 0, which depends on the processor
            assert "dev" in tag or max(numbers.values()) > 0
    reach = list(values(manual, edge("apart/loss/batch")).values())
    assert reach == sorted(reach)


def test_the_bands_numbers() -> None:
    """The distance is what it is in float64, though a log holds float32; the band never shrinks,
    and goes on where a log ends."""
    begun = {"loss/train": (2.0, 1.0), edge("apart/loss/train"): (0.0, 5e-16)}
    bands = Bands(("a", "b"), ["loss/train"], ["loss/train"], begun)
    curves = {"a": 1.0, "b": 1 - 2**-52, "perturbed_copy": 1 + 2**-51}
    added = bands.added({run: {"loss/train": v} for run, v in curves.items()}, 3.0, 4.0)
    assert added["a"] == {
        "band/loss/train": 1.0,
        **{"apart/loss/train": 0.0, "band/apart/loss/train": 5e-16},
        **{"apart/parameters": 0.0, "band/apart/parameters": 4.0},
    }
    assert added["b"] == {
        "band/loss/train": 1 - 2**-52 + SHARE * 2,
        **{"apart/loss/train": 2**-52, "band/apart/loss/train": 2**-52},
        **{"apart/parameters": 3.0, "band/apart/parameters": 3.0},
    }
    assert added["perturbed_copy"] == {"band/loss/train": 1 + 2**-51}
    curves["perturbed_copy"] = 1 + 2**-50
    added = bands.added({run: {"loss/train": v} for run, v in curves.items()}, math.nan, math.nan)
    assert added["a"]["band/apart/loss/train"] == 2**-50
    assert "apart/parameters" not in added["a"]
    greatest = {run: {"loss/train": 1e300} for run in curves}  # more than a log can hold
    bands = Bands(("a", "b"), ["loss/train"], ["loss/train"], {})
    assert bands.added(greatest, 0.0, 0.0)["b"]["band/loss/train"] == 1e300


def test_differences_lie_below_their_bounds(runs: Path) -> None:
    """Each phase has both; no bound where all is replayed."""
    differences, bounds = (read(runs / "digits" / run) for run in ("parity", "bound"))
    for phase in ("forward", "backward", "update"):
        tag = f"log10_difference/{phase}"
        bound = values(bounds, tag)
        assert set(bound) == set(range(1, STEPS + 1)) - {1, 10, 20, 30, 40}
        assert all(-15.5 < b < -13 for b in bound.values()), phase
        found = values(differences, tag)
        below = [found[step] < b for step, b in bound.items() if step in found]
        assert len(below) > STEPS / 2
        assert sum(below) > 0.9 * len(below), phase
    largest = max(values(differences, f"difference/{kind}")[10] for kind in ("dW", "db", "da"))
    assert values(differences, "log10_difference/backward")[10] >= math.log10(largest) - 1e-6


def test_the_boundary_is_drawn_at_the_moments(runs: Path) -> None:
    images = read(runs / "moons" / "parity").Images("decision boundary")
    assert [i.step for i in images] == sorted(moments(STEPS, 10)) == [1, 10, 20, 40]
    drawn = [Image.open(io.BytesIO(i.encoded_image_string)) for i in images]
    assert {picture.size for picture in drawn} == {(2 * images[0].width, 2 * images[0].height)}
    assert {i.width for i in images} == {350}, "TensorBoard's cards are 350 pixels wide"
    assert len({picture.tobytes() for picture in drawn}) == len(drawn)
    assert "decision boundary" not in read(runs / "digits" / "parity").Tags()["images"]


def test_moments_are_evaluated_steps() -> None:
    assert moments(500, 10) == {1, 40, 70, 130, 250, 500}
    assert moments(3, 10) == {1, 3}
    for steps, every in ((7, 3), (1, 1), (100, 7), (64, 64)):
        assert all(m % every == 0 or m in (1, steps) for m in moments(steps, every))


def test_digits_show_what_is_misclassified_and_confused(runs: Path) -> None:
    assert set(read(runs / "digits" / "parity").Tags()["images"]) == {"confusion", "misclassified"}
    assert read(runs / "numbers" / "parity").Tags()["images"] == []


def test_a_confusion_counts_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(11)
    labels, by_hand, in_torch = rng.integers(0, 4, (3, 50))
    figure = confusion(labels, {"manual": by_hand, "torch": in_torch}, 4)
    for ax, found in zip(figure.axes, (by_hand, in_torch), strict=True):
        expected = confusion_matrix(labels, found, labels=range(4))
        shown = np.zeros((4, 4), dtype=int)
        for text in ax.texts:
            column, row = text.get_position()
            shown[int(row), int(column)] = int(text.get_text())
        assert np.array_equal(shown, expected)
        assert f"{(labels == found).sum()} of 50 right" in ax.get_title()


def test_misclassified_shows_the_wrong_ones_and_whose_fault() -> None:
    images = np.arange(6 * 4.0).reshape(6, 2, 2)
    labels = np.array([0, 1, 2, 3, 4, 5])
    by_hand, in_torch = labels.copy(), labels.copy()
    by_hand[[1, 4]] = 9, 7
    in_torch[[1]] = 9
    figure = misclassified(images, labels, {"manual": by_hand, "torch": in_torch})
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.texts] == ["1 > 9", "4 > manual 7\ntorch 4"]
    assert np.array_equal([image.get_array() for image in ax.images], images[[1, 4]])
    for image, words in zip(ax.images, ax.texts, strict=True):
        left, right, low, high = image.get_extent()
        x, y = words.get_position()
        assert left < x < right
        assert y < min(low, high), "the words stand above their image"
    assert "2 of 6 dev samples wrong" in figure.get_suptitle()
    none = misclassified(images, labels, {"manual": labels, "torch": labels})
    assert "0 of 6" in none.get_suptitle()
    assert not none.axes[0].images


def test_a_boundary_holds_both_sides() -> None:
    """The filled areas show manual, the line torch: if they differ, both are visible."""
    x0, x1, rows = plane(np.array([[0.0, 0.0], [1.0, 2.0], [0.4, 1.0]]), 30)
    assert rows.shape == (900, 2)
    assert np.array_equal(rows[:, 0].reshape(30, 30), x0)
    ax = Figure().subplots()
    points, labels = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([0, 1])
    boundary(ax, x0, x1, (x0 > 0.5) * 1.0, (x1 > 1.0) * 1.0, points, labels)
    line = np.concatenate(ax.collections[1].get_paths()[0].to_polygons(closed_only=False))
    assert np.ptp(line[:, 0]) > 1.5, "torch's line runs along x0"
    assert np.ptp(line[:, 1]) < 0.2


def test_the_graph_holds_every_operation_of_the_step(runs: Path) -> None:
    case = load(runs / "moons" / "case.toml")
    built = pair.build(case, data.load(case))
    expected = [
        n.operation for n in flow(built.manual.net, built.manual.optimizer, ["mask1", "mask2"])
    ]
    drawn = GraphDef()
    drawn.ParseFromString(read(runs / "moons" / "parity").Graph().SerializeToString())
    names = {n.name for n in drawn.node}
    assert len(names) == len(drawn.node)
    assert sorted(n.op for n in drawn.node if n.op != "given") == sorted(expected)
    for node in drawn.node:
        assert all(source.split(":")[0] in names for source in node.input), node
    by_name = {n.name: n for n in drawn.node}
    assert by_name["update/layer1/adam"].input[0] == "given/W1"
    assert by_name["backward/layer2/linear_backward"].input[1] == "forward/layer1/dropout"
    shapes = by_name["forward/layer1/linear"].attr["_output_shapes"].list.shape
    assert [[d.size for d in s.dim] for s in shapes] == [[64, 6]]


def test_runs_can_be_sorted_by_their_hparams(runs: Path) -> None:
    for side in SIDES:
        events = read(runs / "moons" / side)
        content = HParamsPluginData.FromString(
            events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        )
        held = content.session_start_info.hparams
        assert held["hidden"].string_value == "6,4"
        assert held["p"].number_value == 0.3
        # with it, TensorBoard would not say which options differ between the runs
        assert "_hparams_/experiment" not in events.Tags()["tensors"]


def test_the_case_and_the_verdict_are_texts(runs: Path) -> None:
    events = read(runs / "moons" / "parity")
    case = events.Tensors("case/text_summary")[0].tensor_proto.string_val[0].decode()
    given, by_default = case.split("**By default**")
    assert "- **p** = 0.3 (probability to DROP a hidden unit" in given
    assert "- **hidden** = 6,4 (" in given
    assert "- **seed** = 0 (" in by_default
    report = events.Tensors("report/text_summary")[0].tensor_proto.string_val[0].decode()
    assert re.match(r"PASS \d+ tensors x 40 steps match; ", report)
    assert re.search(r"\| dW1-3 \| \S+ \| dW\d \| \d+ \| \d+% \| \d+% \| match \|", report)
    assert "in theory" not in report
    assert markdown(("a", "b"), [("1|2", "x")]) == "| a | b |\n| --- | --- |\n| 1\\|2 | x |"


def test_a_run_that_fails_says_so_on_the_dashboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask that the backward never applies: FAIL, the operation and the cause are the text."""
    monkeypatch.setattr("torch_parity.manual.models.mlp.dropout_backward", lambda dh, mask: dh)
    case = load(data="circles", hidden="6,4", steps="3", p="0.4")
    assert train_case(case, "circles", tmp_path) == 1
    events = read(tmp_path / "circles" / "parity")
    report = events.Tensors("report/text_summary")[0].tensor_proto.string_val[0].decode()
    assert report.startswith("FAIL in step 1: First wrong: manual's dropout_backward")
    assert "mask_not_applied_backward" in report
    assert re.search(r"\| da1-\d \|.*\| (?!match)", report)
    assert values(events, "log10_difference/forward")[1] < -14
    assert values(events, "log10_difference/backward")[1] > -2
    manual, torch_ = (read(tmp_path / "circles" / side) for side in SIDES)
    band = values(manual, edge("apart/loss/dev"))
    outside = values(torch_, "apart/loss/dev")
    assert all(outside[step] > 1e9 * band[step] for step in (1, 3))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_saturated_units_are_those_with_flat_slopes(activation: str) -> None:
    seed = 31
    z = np.random.default_rng(seed).standard_normal((40, 7)) * 3
    at = torch.tensor(z, requires_grad=True)
    a = getattr(torch, activation)(at)
    a.sum().backward()
    steepest = {"sigmoid": 0.25, "tanh": 1.0}[activation]
    expected = float((at.grad <= 0.05 * steepest).double().mean())
    assert 0.1 < expected < 0.9
    outputs = {"z1": z, "a1": a.detach().numpy(), "z2": z, "a2": z}
    hidden = [(activation, "a1")]
    assert inactive_units(hidden, outputs) == {"saturated/layer1": expected}, seed


def test_a_dead_unit_is_zero_on_every_sample() -> None:
    z = np.random.default_rng(2).standard_normal((30, 5))
    z[:, 3] = -abs(z[:, 3])
    z[1:, 0] = -1.0
    z[0, 0] = 2.0
    outputs = {"a1": np.maximum(z, 0), "a2": np.maximum(z, 0), "a3": z}
    hidden = [("relu", "a1"), ("relu", "a2")]
    expected = {"dead_units/layer1": 0.2, "dead_units/layer2": 0.2}
    assert inactive_units(hidden, outputs) == expected
    for other in ("leaky_relu", "identity"):
        assert inactive_units([(other, "a1"), (other, "a2")], outputs) == {}
