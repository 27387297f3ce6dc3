"""`parity board`: TensorBoard on one run, or on all of them to compare."""

import json
import signal
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import click

from torch_parity.compare.errors import InputError
from torch_parity.compare.runs import folder as runs

FIRST_PORT = 6006
PATIENCE = 10.0  # seconds that TensorBoard has to read the run


def serve_board(root: Path, name: str | None, everything: bool, port: int | None) -> None:
    """Serve until Ctrl-C or SIGTERM; print the address once there is something to show.

    Without a port TensorBoard takes 6006 or the next that is free.

    Raises:
        InputError: there is no such run, nothing in it to show, or the port is taken.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    try:
        folder = _folder(root, name, everything)
        address = _serve(folder, port)
        first = "hparams" if everything else "custom_scalars"
        page = _page(first, _dashboards(address))
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
    if not next(folder.rglob("events.out.tfevents.*"), None):
        raise InputError(
            f"{folder} holds nothing that TensorBoard can show; make a run with  parity train  or"
            "  parity lesson NAME"
        )
    return folder


def _serve(folder: Path, port: int | None) -> str:
    """Start the server in threads of this process, which end with it -> its address.

    TensorBoard's fast loader would be another process, and prints a note when it starts.
    """
    from tensorboard import (
        default,
        program,
    )  # importing takes a second, which an error message need not wait for

    server = program.TensorBoard(plugins=default.get_plugins())
    server.configure(logdir=str(folder), port=port, load_fast="false")
    try:
        address: str = server.launch()
    except program.TensorBoardPortInUseError:
        raise InputError(
            f"port {port} is taken, perhaps by another TensorBoard; give another --port, or leave "
            "it out for the next free one"
        ) from None
    except program.TensorBoardServerException as error:
        raise InputError(f"{error.msg}; give another --port") from None
    return address


def _dashboards(address: str) -> set[str]:
    """The dashboards that have something to show, requested until two answers agree.

    TensorBoard answers at once but reads the run in the background; a page opened before it has
    finished says that there is no data.
    """
    seen: set[str] = set()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        connection = HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)
        connection.request("GET", "/data/plugins_listing")
        listing = json.loads(connection.getresponse().read())
        connection.close()
        active = {name for name, plugin in listing.items() if plugin["enabled"]}
        if active and active == seen:
            break
        seen = active
        time.sleep(0.2)
    return seen


def _page(first: str, active: set[str]) -> str:
    """The part of the address that opens the first dashboard, if active, without smoothing."""
    fragment = f"#{first}" if first in active else ""
    return f"?smoothing=0{fragment}" + "&_smoothingWeight=0" * (fragment == "#custom_scalars")
