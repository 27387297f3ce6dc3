"""Workers end when their sweep was killed; loky's own would wait for work for minutes.

Nothing is imported here that takes time: a worker's first act is to look after its own end.
"""

import os
import threading
import time


def exit_with(sweep: int) -> None:
    """End this process within a second after its parent, the process `sweep`, is gone."""

    def watch() -> None:
        while os.getppid() == sweep:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
