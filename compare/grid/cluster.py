"""A grid over a Dask cluster.

Not through joblib's backend for Dask: that one waits for ever for a case that kills its workers
(seen with joblib 1.6), where Dask's own futures say so.
"""

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from torch_parity.compare.errors import InputError
from torch_parity.compare.grid.outcome import Outcome
from torch_parity.compare.grid.workers import Chunks, Workers

JOINING = 10  # seconds that a scheduler has to answer, and its first worker to join


@contextmanager
def cluster(address: str, chunks: Chunks, made_with: dict[str, str]) -> Iterator[Workers]:
    """The workers of a running scheduler, each of which judges a case at a time. What a worker had
    at hand when it was lost is judged by another.

    Raises:
        InputError: Dask is not installed, nobody answers at the address or no worker is there;
            (while the results are read) the scheduler is lost, or a worker cannot be used.
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
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said below
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
    for future in as_completed(list(waiting), loop=client.loop):
        chunk = waiting.pop(future)  # Dask forgets a result that nobody waits for
        try:
            yield future.result()
        except KilledWorker as error:
            yield [
                Outcome(case=n, verdict="error", detail=_killed(len(chunk), error))
                for n, _ in chunk
            ]
        except CancelledError:
            raise InputError(
                f"--cluster {address}: the connection to the scheduler is lost"
            ) from None
        except ImportError as error:
            raise InputError(
                f"--cluster {address}: a worker has no torch-parity, or another one ({error}): "
                f"install {made_with['torch-parity']} there, then start the worker anew"
            ) from None


def _judge_there() -> Callable[[bytes, dict[str, str]], Any]:
    """Travels by value, for it is no module's own: a worker without torch-parity then says so as
    the task's error, where an unknown name would leave the client waiting; a scheduler needs none.
    (Its annotations travel too, so they name nothing of ours.)
    """

    def judge(chunk: bytes, made_with: dict[str, str]) -> Any:
        import pickle

        from torch_parity.compare.grid.outcome import judge_all

        return judge_all(pickle.loads(chunk), made_with)

    return judge


def _killed(cases: int, error: Any) -> str:
    beside = f", or one of the {cases - 1} judged beside it," if cases > 1 else ""
    return f"this case{beside} killed {error.allowed_failures + 1} workers (out of memory?)"
