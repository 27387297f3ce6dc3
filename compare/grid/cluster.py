"""A grid over a Dask cluster.

It does not use joblib's backend for Dask, which waits forever for a case that kills its workers
(seen with joblib 1.6); Dask's own futures report it.
"""

import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from torch_parity.compare.errors import InputError
from torch_parity.compare.grid.outcome import Outcome
from torch_parity.compare.grid.workers import Chunks, Workers

JOINING = 10  # seconds that a scheduler has to answer, and its first worker to join
ABSENT = 30  # seconds without any worker, after which the sweep ends


@contextmanager
def cluster(address: str, chunks: Chunks, made_with: dict[str, str]) -> Iterator[Workers]:
    """The workers of a running scheduler; each judges one case at a time. If a worker is lost,
    another judges its cases.

    Raises:
        InputError: Dask is not installed, no scheduler answers at the address, or it has no worker;
            (while the results are read) the scheduler or every worker is lost, or one of other
            versions.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--cluster needs Dask, which is not installed:  pip install 'torch-parity[cluster]'"
        ) from None
    try:
        client = Client(address, timeout=JOINING, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--cluster {address}: no Dask scheduler answers there ({error}); start one with  "
            "dask scheduler  and give the address that it prints"
        ) from None
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the errors below say what matters
    with client:
        try:
            client.wait_for_workers(1, timeout=JOINING)
        except TimeoutError:
            raise InputError(
                f"--cluster {address}: the scheduler has no workers; start some, on any machine, "
                f"with  dask worker {address} --nthreads 1"
            ) from None
        yield Workers(len(client.nthreads()), _found(client, address, chunks, made_with))


def _found(
    client: Any, address: str, chunks: Chunks, made_with: dict[str, str]
) -> Iterator[Sequence[Outcome]]:
    from distributed import KilledWorker, as_completed

    judge = _judge_there()
    waiting = {
        client.submit(judge, pickle.dumps(chunk), made_with, pure=False): chunk for chunk in chunks
    }
    no_worker = _watch(client, waiting)
    for future in as_completed(list(waiting), loop=client.loop):
        chunk = waiting.pop(future)  # without a reference, Dask drops the result
        try:
            yield future.result()
        except KilledWorker as error:
            yield [
                Outcome(case=n, verdict="error", detail=_killed(len(chunk), error))
                for n, _ in chunk
            ]
        except CancelledError:
            lost = (
                f"there has been no worker for {ABSENT} seconds; start some with  dask worker "
                f"{address} --nthreads 1"
                if no_worker.is_set()
                else "the connection to the scheduler is lost"
            )
            raise InputError(f"--cluster {address}: {lost}") from None
        except ImportError as error:
            raise InputError(
                f"--cluster {address}: a worker has no torch-parity or another version ({error}): "
                f"install {made_with['torch-parity']} there, then restart the worker"
            ) from None


def _watch(client: Any, waiting: dict[Any, Any]) -> threading.Event:
    """Cancel all that waits once the scheduler has had no worker for a while, which Dask itself
    would wait for without end -> whether that has happened."""
    no_worker = threading.Event()

    def watch() -> None:
        seen = time.monotonic()
        while waiting and client.status == "running":
            time.sleep(min(1, ABSENT / 4))
            try:
                if client.nthreads():
                    seen = time.monotonic()
            except Exception:  # the scheduler is lost, which the futures report
                return
            if time.monotonic() - seen > ABSENT:
                no_worker.set()
                client.cancel(list(waiting))
                return

    threading.Thread(target=watch, daemon=True).start()
    return no_worker


def _judge_there() -> Callable[[bytes, dict[str, str]], Any]:
    """A local function, which is sent by value: a worker without torch-parity then fails with an
    error; with a function sent by name, the client would wait forever. The scheduler does not need
    torch-parity. (Annotations are sent too, so they use only built-in types.)
    """

    def judge(chunk: bytes, made_with: dict[str, str]) -> Any:
        import pickle

        from torch_parity.compare.grid.outcome import judge_all

        return judge_all(pickle.loads(chunk), made_with)

    return judge


def _killed(cases: int, error: Any) -> str:
    beside = f", or one of the {cases - 1} judged beside it," if cases > 1 else ""
    return f"this case{beside} killed {error.allowed_failures + 1} workers (out of memory?)"
