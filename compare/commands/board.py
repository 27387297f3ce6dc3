"""`parity board`: TensorBoard on one run, or on all of them to compare."""

import json
import signal
import socket
import threading
import time
import warnings
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from torch_parity.compare.errors import InputError
from torch_parity.compare.runs import folder as runs

FIRST_PORT = 6006
EVENTS = "events.out.tfevents.*"
PATIENCE = 5.0  # seconds without anything new, after which TensorBoard has read the runs
EMPTY = 100  # bytes: a log with less holds only how it begins
SELECTED = 40  # TensorBoard selects no run, where there are more
ONE_A_TRAINING = "%2F(torch|b)%24"  # the log of one side, as a pattern in an address


def serve_board(
    root: Path, name: str | None, everything: bool, host: str, port: int | None
) -> None:
    """Serve until Ctrl-C or SIGTERM; print the address once there is something to show.

    Without a port TensorBoard takes 6006 or the next that is free.

    Raises:
        InputError: there is no such run, nothing in it to show, or host and port cannot be used.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    try:
        folder = _folder(root, name, everything)
        _refuse_foreign(host)
        address = _serve(folder, host, port)
        logs = {path.parent for path in folder.rglob(EVENTS) if path.stat().st_size > EMPTY}
        first = "hparams" if everything else "custom_scalars"
        page = _page(first, _dashboards(address, len(logs)), len(logs))
        if port is None and urlsplit(address).port != FIRST_PORT:
            click.echo(f"Port {FIRST_PORT} is taken; this is the next free one.")
        click.echo(f"TensorBoard on {folder}: {address}{page}\nStop it with Ctrl-C.")
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def _folder(root: Path, name: str | None, everything: bool) -> Path:
    if everything and name:
        raise InputError(f"--all shows every run of {root}: leave out {name!r} or --all")
    folder = runs.find(root, name)
    if everything:
        folder = root
    if not next(folder.rglob(EVENTS), None):
        raise InputError(
            f"{folder} holds nothing that TensorBoard can show; make a run with  parity train  or"
            "  parity lesson NAME"
        )
    return folder


def _serve(folder: Path, host: str, port: int | None) -> str:
    """Start the server in threads of this process, which end with it -> its address.

    TensorBoard's fast loader would be another process, and prints a note when it starts.
    """
    # importing takes a second, which an error message need not wait for
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what TensorBoard itself imports
        from tensorboard import default, program
        from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin

        from torch_parity.compare.commands.board_hparams import VaryingHParams

    plugins = [VaryingHParams if p is HParamsPlugin else p for p in default.get_plugins()]
    server = program.TensorBoard(plugins=plugins)
    server.configure(logdir=str(folder), host=host, port=port, load_fast="false")
    try:
        address: str = server.launch()
    except program.TensorBoardPortInUseError:
        raise InputError(
            f"port {port} is taken, perhaps by another TensorBoard; give another --port, or leave "
            "it out for the next free one"
        ) from None
    except program.TensorBoardServerException as error:
        raise InputError(f"{error.msg}; give another --host or --port") from None
    return address


def _refuse_foreign(host: str) -> None:
    """TensorBoard's server would end the process."""
    try:
        family = socket.getaddrinfo(host, None)[0][0]
        socket.create_server((host, 0), family=family).close()
    except OSError as error:
        raise InputError(
            f"--host {host} cannot be listened on: {error.strerror}; give an address of this "
            "machine"
        ) from None


def _dashboards(address: str, logs: int) -> set[str]:
    """The dashboards that have something to show, once TensorBoard has read all logs. This is so
    when it lists as many logs as there are, and its last two answers are equal.

    TensorBoard answers at once but reads the runs in the background; a page opened before it has
    finished says that there is no data.
    """
    active: set[str] = set()
    seen: Any = None
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        listing = _get(address, "data/plugins_listing")
        active = {name for name, plugin in listing.items() if plugin["enabled"]}
        held = _get(address, "data/plugin/timeseries/tags")
        read = {run for kind in ("scalars", "histograms") for run in held[kind]["runTagInfo"]}
        if active and held == seen and len(read) >= logs:
            break
        if held != seen:
            until = time.monotonic() + PATIENCE
        seen = held
        time.sleep(0.2)
    return active


def _get(address: str, what: str) -> Any:
    """What TensorBoard answers, without a proxy."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
    try:
        connection.request("GET", f"/{what}")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _page(first: str, active: set[str], logs: int) -> str:
    """The part of the address that opens the first dashboard, if active, without smoothing; with
    too many logs for TensorBoard to select any, those of one side."""
    fragment = f"#{first}" if first in active else ""
    if fragment and logs > SELECTED:
        fragment += f"&regexInput={ONE_A_TRAINING}"
    return f"?smoothing=0{fragment}" + "&_smoothingWeight=0" * bool(fragment)
