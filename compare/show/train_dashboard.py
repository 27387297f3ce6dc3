"""What `parity train` adds to the curves: what the run is, how it looks, how it ended."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.text import Text
from tensorboard.compat.proto.event_pb2 import Event as LogEvent
from torch.utils.tensorboard.summary import hparams

from torch_parity.compare.bounds.precision import all_widened
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.data.text import decode
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.runs.summary import Summary
from torch_parity.compare.runs.text_model import gates, written
from torch_parity.compare.runs.training import StepRecord, predict, score_name
from torch_parity.compare.show import card, scalars_layout
from torch_parity.compare.show.attention_maps import attention_maps
from torch_parity.compare.show.dashboard import Dashboard
from torch_parity.compare.show.event_logs import markdown
from torch_parity.compare.show.feature_maps import feature_maps, kernels
from torch_parity.compare.show.gate_activations import gate_activations
from torch_parity.compare.show.graph import graph
from torch_parity.compare.show.pictures import boundary, confusion, misclassified, plane
from torch_parity.compare.show.terminal import note, rows, verdict
from torch_parity.compare.sources.pair import Pair
from torch_parity.manual.models.step import Attends, Tensors

HALVINGS = 4
NO_HPARAMS = ("target", "threads", "base_error", "log_every")  # they do not change what is learned
COLUMNS = ("tensors", "greatest difference", "in", "step", "of bound: manual", "torch", "verdict")


def moments(steps: int, every: int) -> set[int]:
    """The first step, the last, and those at 1/16, 1/8, 1/4 and 1/2 of the way, each put off to a
    step that is evaluated: a boundary moves most at the start."""
    between = {-(-steps // 2**k // every) * every for k in range(1, HALVINGS + 1)}
    return {1, steps} | {step for step in between if 0 < step <= steps}


class TrainDashboard(Dashboard):
    """begin, write each record, finish."""

    def __init__(self, folder: Path, case: Case, data: Data, pair: Pair) -> None:
        super().__init__(folder, score_name(data))
        self._case, self._data, self._pair = case, data, pair
        self._moments = moments(case.steps, case.log_every)

    def begin(self) -> None:
        """The case, as text and as hparams to sort runs by; the layout of the custom scalars.

        Without torch's summary of the experiment TensorBoard finds out itself which options differ
        between the runs, and shows those first.
        """
        fields = self.show_case()
        self.layout(scalars_layout.training(score_name(self._data)))
        tuned = {k: v for k, v in fields.items() if k not in NO_HPARAMS}
        for side in SIDES:
            _, start, _ = hparams(tuned, {})  # type: ignore[no-untyped-call]
            self.add(side, start)

    def show_case(self, step: int = 0) -> dict[str, Any]:
        """The case as text, from this step on -> its fields."""
        fields = {k: v for k, v in self._case.model_dump().items() if v is not None}
        fields["hidden"] = ",".join(map(str, self._case.hidden))
        self.text("case", _described(fields), step)
        return fields

    def write(self, record: StepRecord) -> None:
        """The curves; with the first step the graph; at some moments the decision boundary, and
        the first kernels of a convolutional network."""
        super().write(record)
        if record.step == 1 and record.traces:
            self._graph(record)
        flat = self._data.classes and self._data.x_train.shape[1] == 2
        if flat and record.step in self._moments and record.traces:
            self.picture("decision boundary", self._boundary(record), record.step)
        kernel = self._pair.first_kernel
        if kernel and record.step in self._moments and record.traces:
            by_side = {side: record.traces[side][kernel] for side in SIDES}
            self.picture("kernels", kernels(by_side), record.step)

    def finish(self, params: Tensors, summary: Summary) -> None:
        """The table and the verdict; of a classifier its confusions, and what it gets wrong; of a
        convolutional network what its layers make of one image.

        params are those by hand after the last step; torch's are in its module.
        """
        table = markdown(COLUMNS, (cells for _, cells in rows(summary)))
        words = Text.from_markup(verdict(summary)).plain
        self.text("report", f"{words}\n\n{table}\n\n{note(summary)}", summary.steps)
        d = self._data
        if d.images_dev is not None and self._pair.first_kernel:
            maps = {s: self._maps(s, params) for s in SIDES}
            self.picture("feature maps", feature_maps(d.images_dev[0], maps), summary.steps)
        if d.alphabet:
            self._read_and_written(params, summary.steps)
        outputs = {s: self._output(s, params, d.x_dev) for s in SIDES}
        if not d.classes or not all(np.isfinite(output).all() for output in outputs.values()):
            return
        found = {s: predict(output, self._pair.targets.loss) for s, output in outputs.items()}
        self.picture("confusion", confusion(d.labels_dev, found, d.classes), summary.steps)
        if d.images_dev is not None:
            wrong = misclassified(d.images_dev, d.labels_dev, found)
            self.picture("misclassified", wrong, summary.steps)

    def _read_and_written(self, params: Tensors, step: int) -> None:
        """Of a model of text: what happens inside while it reads the first dev sequence, and what
        it writes after it."""
        alphabet, begin = self._data.alphabet, self._data.x_dev[0]
        read = decode(begin, alphabet)
        inside = {side: self._outputs(side, params, begin[None]) for side in SIDES}
        net, lstm = self._pair.manual.net, self._pair.lstm
        if lstm:
            own = {"manual": params, "torch": all_widened(self._pair.torch.params())}
            opened = {side: gates(lstm, own[side], inside[side]) for side in SIDES}
            self.picture("gates", gate_activations(read, opened), step)
        if isinstance(net, Attends):
            looked = {side: net.attention_weights(inside[side]) for side in SIDES}
            weights = {s: {name: a[0] for name, a in looked[s].items()} for s in SIDES}
            self.picture("attention", attention_maps(read, weights), step)
        texts = []
        for side in SIDES:
            scores = partial(self._output, side, params)
            texts.append((side, repr(written(scores, begin, alphabet, self._case.seed))[1:-1]))
        self.text("written after the first dev sequence", markdown(("side", "text"), texts), step)

    def _graph(self, record: StepRecord) -> None:
        samples = min(self._case.batch, len(self._data.x_train))
        nodes = self._pair.manual.nodes(self._case.p > 0, samples)
        drawn = graph(nodes, record.traces["manual"])
        self.log("parity", LogEvent(graph_def=drawn.SerializeToString()))

    def _output(self, side: Side, params: Tensors, x: np.ndarray) -> np.ndarray:
        """The last a, dropout off                                      # [m, n_in] -> [m, n_out]"""
        return self._outputs(side, params, x)[self._pair.manual.net.result]

    def _outputs(self, side: Side, params: Tensors, x: np.ndarray) -> Tensors:
        """Every tensor to the output, in evaluation."""
        with np.errstate(over="ignore", invalid="ignore"):  # of a run that is about to diverge
            if side == "torch":
                return self._pair.torch.outputs(x)
            return self._pair.manual.outputs(params, x)

    def _maps(self, side: Side, params: Tensors) -> Tensors:
        """What each hidden activation on images makes of the first dev sample, each [c, h, w]"""
        outputs = self._outputs(side, params, self._data.x_dev[:1])
        named = (name for _, name in self._pair.hidden_activations)
        return {name: outputs[name][0] for name in named if outputs[name].ndim == 4}

    def _boundary(self, record: StepRecord) -> Figure:
        d = self._data
        x0, x1, points = plane(np.concatenate([d.x_train, d.x_dev]))
        by_side = [self._output(side, record.params, points) for side in SIDES]
        if d.classes == 2:
            surfaces = [self._probability(outputs) for outputs in by_side]
        else:
            surfaces = [predict(outputs, self._pair.targets.loss) for outputs in by_side]
        figure = card.figure(3.3)
        ax = figure.subplots()
        by_hand, in_torch = (s.reshape(x0.shape) for s in surfaces)
        boundary(ax, x0, x1, by_hand, in_torch, d.x_train, d.labels_train, d.classes)
        title = f"step {record.step}: filled is manual, the line is torch"
        ax.set_title(title, fontsize=card.TITLE)
        return figure

    def _probability(self, output: np.ndarray) -> np.ndarray:
        """Of class 1, from a single output or logit, held to 0..1 where mse_loss leaves it."""
        a = output[:, 0]
        if self._pair.targets.loss == "binary_cross_entropy_with_logits":
            with np.errstate(over="ignore"):
                return 1 / (1 + np.exp(-a))
        return np.clip(a, 0, 1)


def _described(fields: Mapping[str, object]) -> str:
    """Every option, those that differ from their default first. A list, not a table: TensorBoard
    breaks the words of a narrow column."""
    usual = {name: field.default for name, field in Case.model_fields.items()}
    usual["hidden"] = ",".join(map(str, usual["hidden"]))
    lines = [f"- **{k}** = {v} ({Case.model_fields[k].description})" for k, v in fields.items()]
    given = [fields[k] != usual[k] for k in fields]
    parts = {
        "Given": [line for line, own in zip(lines, given, strict=True) if own],
        "By default": [line for line, own in zip(lines, given, strict=True) if not own],
    }
    return "\n\n".join(f"**{title}**\n\n" + "\n".join(p) for title, p in parts.items() if p)
