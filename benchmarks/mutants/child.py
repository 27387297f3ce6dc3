"""Run a function in a forked process, so that nothing it changes or breaks stays."""

import json
import os
import resource
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any

MEMORY = 12 * 2**30  # a mutant may ask for any amount
ONE_FORK = threading.Lock()


def in_child(function: Callable[[], Any], limit: float) -> Any:
    """What the function returned, through JSON; None if the process crashed, took over `limit`
    seconds of processor time, or waited for twenty times as long.

    Raises:
        RuntimeError: the function raised; the text is its traceback.
    """
    with ONE_FORK:  # else another child would hold this pipe open
        read, write = os.pipe()
        process = os.fork()
        if not process:
            _run(function, limit, write)
        os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(process, 0)
    if not text:
        return None
    answer, error = json.loads(text)
    if error:
        raise RuntimeError(error)
    return answer


def _run(function: Callable[[], Any], limit: float, write: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit)))
    signal.alarm(20 * int(limit))  # nobody handles it: it ends the process
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    try:
        answer = json.dumps([function(), ""])
    except BaseException:
        answer = json.dumps([None, traceback.format_exc()])
    with os.fdopen(write, "w") as pipe:
        pipe.write(answer)
    os._exit(0)
