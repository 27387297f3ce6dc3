"""What a notebook shows of the public records: one cell each, run in a real kernel."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import torch_parity as tp

CELLS = {
    "import": "import numpy as np, torch, torch_parity as tp",
    "case": "at = tp.given(tp.Case(data='moons', hidden=(4,), p=0.0)); at",
    "wrong": (
        "z1 = at['x'] @ at['W1'].T + at['b1']\n"
        "report = tp.check({'z1': z1, 'a1': np.maximum(z1, 0) * 1.01}, at); report"
    ),
    "text": "print(str(report))",
    "repr": "print(repr(report))",
    "model": "tp.check_model(torch.nn.Linear(3, 2), torch.ones(4, 3))",
    "modules": (
        "a, b = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)\n"
        "b.load_state_dict(a.state_dict())\n"
        "tp.check_modules(a, b, torch.ones(4, 3))"
    ),
    "recording": "tp.record_model(torch.nn.Linear(3, 2), torch.ones(4, 3))",
}


@pytest.fixture(scope="module")
def shown() -> Mapping[str, list[dict[str, Any]]]:
    """The outputs of each cell, without the progress bar that ipywidgets would show."""
    cells = [nbformat.v4.new_code_cell(code) for code in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return {
        name: [o for o in cell.outputs if o.output_type != "display_data"]
        for name, cell in zip(CELLS, notebook.cells, strict=True)
    }


def test_a_report_is_one_card(shown: Mapping[str, list[dict[str, Any]]]) -> None:
    """The verdict, the sentences, and the table folded away: one output of one cell."""
    (output,) = shown["wrong"]
    html = output["data"]["text/html"]
    assert "FAIL" in html
    assert "relu" in html
    assert "<details" in html
    assert len(output["data"]["text/plain"]) < 200


@pytest.mark.parametrize("cell", ["model", "modules"])
def test_a_passing_report_is_one_card(shown: Mapping[str, list[dict[str, Any]]], cell: str) -> None:
    (output,) = shown[cell]
    assert "PASS" in output["data"]["text/html"]
    assert output["data"]["text/plain"].startswith("<Mod")


TRAINED = """
import copy, torch, torch_parity as tp
x, net = torch.ones(4, 3), torch.nn.Linear(3, 3)
other = copy.deepcopy(net)
optimizers = tuple(torch.optim.SGD(n.parameters(), 0.1) for n in (net, other))
tp.train_modules(net, other, [(x, x)] * 3, loss=torch.nn.MSELoss(), optimizers=optimizers)
"""


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("ipywidgets"), reason="ipywidgets is not installed")
def test_a_long_call_shows_how_far_it_is() -> None:
    """rich's bar is a widget beside the card of the report."""
    cells = [nbformat.v4.new_code_cell(code) for code in (TRAINED, "tp.check_model(net, x)")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.execute()
    for cell in cells:
        kinds = {kind for output in cell.outputs for kind in output.get("data", ())}
        assert {"application/vnd.jupyter.widget-view+json", "text/html"} <= kinds
    shown = [str(w.get("outputs")) for w in client.widget_state.values() if "outputs" in w]
    assert "training both" in shown[0]
    assert "replaying the model" in shown[1]


def test_text_is_the_whole_report(shown: Mapping[str, list[dict[str, Any]]]) -> None:
    """rich displays a table of its own in a notebook, unless it is told that it writes text."""
    (output,) = shown["text"]
    assert output["output_type"] == "stream"
    assert "of bound" in output["text"]
    assert "First wrong" in output["text"]


@pytest.mark.parametrize("cell", ["case", "recording"])
def test_what_holds_arrays_is_short(shown: Mapping[str, list[dict[str, Any]]], cell: str) -> None:
    (output,) = shown[cell]
    assert len(output["data"]["text/plain"]) < 300


def test_a_card_escapes_what_a_report_holds() -> None:
    """A tensor's name is anybody's text."""
    at = tp.given(tp.Case(data="moons", hidden=(4,), p=0.0))
    report = tp.check({"z1": np.zeros((64, 4)), "<script>": np.zeros(3)}, at)
    assert "<script>" in str(report)
    assert "<script>" not in report._repr_html_()


def test_a_case_shows_what_was_chosen() -> None:
    assert repr(tp.Case(lr=0.1, hidden=(3,))) == "Case(hidden=(3,), lr=0.1)"
    assert re.fullmatch(r"Case\(\)", repr(tp.Case()))
