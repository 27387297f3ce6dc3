"""`parity board` as a process: it prints its address once it answers, stops, and leaves nothing."""

import json
import signal
import socket
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

import pytest
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from tests.board_process import BOARD, started
from torch_parity.compare.commands.board import FIRST_PORT, ONE_A_TRAINING, SELECTED
from torch_parity.compare.runs.event_file import EventFile


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A run with a layout of custom scalars, and one without."""
    with SummaryWriter(str(tmp_path / "plain")) as writer:
        writer.add_scalar("loss/train", 0.5, 1)
    with SummaryWriter(str(tmp_path / "laid-out")) as writer:
        writer.add_custom_scalars({"curves": {"loss": ["Multiline", ["loss/train"]]}})
        writer.add_scalar("loss/train", 0.5, 1)
    return tmp_path


def fetched(address: str) -> str:
    """The answer of the server, without a proxy."""
    with build_opener(ProxyHandler({})).open(address, timeout=20) as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_told_to_stop(root: Path, stop: signal.Signals) -> None:
    with started(root, "plain", "--port", "0") as (process, said, address):
        assert len(said) == 2, "nothing but the address and how to stop it"
        assert "TensorBoard" in fetched(address)
        runs = fetched(address.partition("?")[0] + "data/runs")
        assert runs.strip() == '["."]', "the run has been read before the address is printed"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if children.exists():
            assert children.read_text() == "", "no process of its own that could stay behind"
        process.send_signal(stop)
        assert process.wait(timeout=20) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_opens_on_the_layout_where_the_run_has_one(root: Path) -> None:
    with started(root, "laid-out", "--port", "0") as (_, _, address):
        assert address.endswith("#custom_scalars&_smoothingWeight=0")


def test_all_runs(root: Path) -> None:
    with started(root, "--all", "--port", "0") as (_, said, address):
        assert f"TensorBoard on {root}: " in said[0]
        runs = fetched(address.partition("?")[0] + "data/runs")
        assert set(json.loads(runs)) == {"plain", "laid-out"}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 trainings of two sides: lr differs, p does not."""
    root = tmp_path_factory.mktemp("many")
    for i in range(30):
        _, start, _ = hparams({"lr": 0.1 * (1 + i % 3), "p": 0.2}, {})
        for side in ("manual", "torch"):
            log = EventFile(root / f"run-{i}" / side)
            log.add_summary(start)
            tags = ("cost/batch", "loss/dev", "loss/train", "accuracy/dev", "band/loss/dev")
            numbers = [Summary.Value(tag=tag, simple_value=i / 30) for tag in tags]
            log.add_summary(Summary(value=numbers), 1)
            log.close()
    return root


def test_thirty_runs_show_what_varies_and_their_metrics(many: Path) -> None:
    """All have been read when the address is printed; where TensorBoard would select none of so
    many logs, one side of each is selected."""
    with started(many, "--all", "--port", "0") as (_, said, address):
        assert len(said) == 2, "no warning is printed"
        begin = address.partition("?")[0]
        assert len(json.loads(fetched(begin + "data/runs"))) == 60 > SELECTED
        assert f"#hparams&regexInput={ONE_A_TRAINING}" in address
        page = "data/plugin/hparams/experiment?request=" + quote('{"includeMetrics": true}')
        answer = json.loads(fetched(begin + page))
        assert [info["name"] for info in answer["hparamInfos"]] == ["lr"]
        metrics = [info["name"]["tag"] for info in answer["metricInfos"]]
        assert metrics == ["accuracy/dev", "loss/dev"]


def test_the_host_can_be_chosen(root: Path) -> None:
    with started(root, "plain", "--host", "127.0.0.1", "--port", "0") as (_, _, address):
        assert address.startswith("http://127.0.0.1:")
        assert "TensorBoard" in fetched(address)


def test_a_host_that_is_not_this_machine_is_refused(root: Path) -> None:
    """192.0.2.1 is reserved for documentation, so no machine has it."""
    command = [*BOARD, "plain", "--runs", str(root), "--host", "192.0.2.1", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("parity: --host 192.0.2.1 cannot be listened on")
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_refused(root: Path) -> None:
    with socket.create_server(("localhost", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*BOARD, "plain", "--runs", str(root), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"parity: port {port} is taken")
    assert "--port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_port_the_next_free_one_is_taken_and_said(root: Path) -> None:
    with ExitStack() as stack:
        with suppress(OSError):  # somebody else's TensorBoard does as well
            stack.enter_context(socket.create_server(("localhost", FIRST_PORT)))
        with started(root, "plain") as (_, said, address):
            assert f"Port {FIRST_PORT} is taken" in said[0]
            assert f":{FIRST_PORT}/" not in address
            assert "TensorBoard" in fetched(address)
