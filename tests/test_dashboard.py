"""The TensorBoard files of a run, read with TensorBoard's own reader."""

import io
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
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from torch_parity.compare import data
from torch_parity.compare.case import load
from torch_parity.compare.commands.train import train_case
from torch_parity.compare.flow.law import flow
from torch_parity.compare.runs.units import inactive_units
from torch_parity.compare.show.event_logs import markdown
from torch_parity.compare.show.histograms import histogram
from torch_parity.compare.show.pictures import boundary, confusion, misclassified, plane
from torch_parity.compare.show.scalars_layout import LAYOUT
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


@pytest.mark.parametrize("name", ["digits", "moons", "numbers"])
def test_each_chart_of_the_layout_finds_curves(runs: Path, name: str) -> None:
    """A renamed tag would leave an empty chart; each chart must show both sides or none."""
    parity = read(runs / name / "parity")
    assert "custom_scalars__config__" in parity.Tags()["tensors"]
    tags = {side: read(runs / name / side).Tags()["scalars"] for side in (*SIDES, "parity")}
    for charts in LAYOUT.values():
        for title, (_, patterns) in charts.items():
            for pattern in patterns:
                found = {s: {t for t in tags[s] if re.fullmatch(pattern, t)} for s in tags}
                assert any(found.values()), (title, pattern)
                assert found["manual"] == found["torch"], title


def test_the_boundary_is_drawn_at_the_moments(runs: Path) -> None:
    images = read(runs / "moons" / "parity").Images("decision boundary")
    assert [i.step for i in images] == sorted(moments(STEPS, 10)) == [1, 10, 20, 40]
    drawn = [Image.open(io.BytesIO(i.encoded_image_string)) for i in images]
    assert all(picture.size == (images[0].width, images[0].height) for picture in drawn)
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
    assert [t.get_text() for t in ax.texts] == ["1 > 9", "4 > manual 7, torch 4"]
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
        content = HParamsPluginData.FromString(
            events.SummaryMetadata("_hparams_/experiment").plugin_data.content
        )
        metrics = {m.name.tag for m in content.experiment.metric_infos}
        assert {"accuracy/dev", "loss/dev"} <= metrics <= set(events.Tags()["scalars"])


def test_the_case_and_the_verdict_are_texts(runs: Path) -> None:
    events = read(runs / "moons" / "parity")
    case = events.Tensors("case/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| p | 0.3 | probability to DROP a hidden unit" in case
    report = events.Tensors("report/text_summary")[0].tensor_proto.string_val[0].decode()
    assert re.match(r"PASS \d+ tensors x 40 steps match; ", report)
    assert re.search(r"\| dW1-3 \| \S+ \| dW\d \| \d+ \| \d+% \| \d+% \| match \|", report)
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
