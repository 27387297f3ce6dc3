"""Runs the cells of many notebooks in a few kernels: starting one with torch takes seconds."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

KERNELS = min(2, os.cpu_count() or 1)
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
FRESH = "%reset -f"  # deletes the names of the notebook before
LONGEST = 600  # seconds that one cell may take

WIDGET = "application/vnd.jupyter.widget-view+json"

Outputs = list[dict[str, Any]]


def run_all(notebooks: Mapping[str, list[str]]) -> dict[str, list[Outputs]]:
    """The outputs of each cell of each notebook, by its name; a notebook is its cells of code.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    return asyncio.run(_run_all(notebooks)) if notebooks else {}


async def _run_all(notebooks: Mapping[str, list[str]]) -> dict[str, list[Outputs]]:
    left = iter(notebooks)  # the kernels share it: each takes the next

    async def work() -> dict[str, list[Outputs]]:
        async with _kernel() as kernel:
            return {name: await _run(kernel, notebooks[name]) for name in left}

    workers = (work() for _ in range(min(KERNELS, len(notebooks))))
    return {name: ran for done in await asyncio.gather(*workers) for name, ran in done.items()}


@asynccontextmanager
async def _kernel() -> AsyncIterator[AsyncKernelManager]:
    with tempfile.TemporaryDirectory() as folder:
        manager = AsyncKernelManager(transport="ipc", ip=f"{folder}/kernel")
        root = Path(__file__).parent.parent  # so that a cell can import book
        paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        environment = os.environ | ALONE | {"COLUMNS": "100", "PYTHONPATH": paths}
        await manager.start_kernel(env=environment, cwd=folder)
        try:
            yield manager
        finally:
            await manager.shutdown_kernel(now=True)


async def _run(kernel: AsyncKernelManager, sources: list[str]) -> list[Outputs]:
    notebook = new_notebook(cells=[new_code_cell(source) for source in (FRESH, *sources)])
    client = NotebookClient(notebook, km=kernel, timeout=LONGEST, coalesce_streams=True)
    try:
        await client.async_execute()
    finally:
        if client.kc:
            client.kc.stop_channels()
    return [[o for o in cell.outputs if not _is_bar(o)] for cell in notebook.cells[1:]]


def _is_bar(output: Mapping[str, Any]) -> bool:
    """A progress bar, which a build with ipywidgets would leave in the notebook."""
    return output["output_type"] == "display_data" and WIDGET in output["data"]
