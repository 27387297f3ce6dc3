"""torch_parity.torch_ref.distributed, whose rank 0 is killed in step 25 of the first attempt: it is
the one that writes the curves. It leaves a file beside the run's folder before it dies: torchrun
reports whichever rank it sees fail first, and that may be one that lost its neighbour."""

import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch_parity.torch_ref.distributed import train as distributed
from torch_parity.torch_ref.distributed.train import Trainer

step = Trainer.step


def step_or_die(self: Trainer, number: int) -> Any:
    if number == 25 and self.rank == 0 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        Path(sys.argv[1]).with_name("rank-0-killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, number)


with patch.object(Trainer, "step", step_or_die):
    distributed.main()
