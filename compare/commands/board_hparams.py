"""TensorBoard's HParams page for runs of parity: the options that vary, and the usual metrics.

TensorBoard shows five options and then the metrics, so with columns that are the same in every row
the metrics are cut off at the right.
"""

import re
from typing import Any

from tensorboard.plugins.hparams.api_pb2 import Experiment
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin

METRICS = re.compile("(accuracy|R2|loss)/dev")  # runs are chosen by them
ONE_RUN = ("data", "model", "hidden")  # the options to show where none varies


class VaryingHParams(HParamsPlugin):  # type: ignore[misc]  # has no types
    """The same page, with fewer columns."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._context = _FewColumns(context)


class _FewColumns(Context):  # type: ignore[misc]
    def experiment_from_metadata(self, *args: Any, **options: Any) -> Experiment:
        """TensorBoard's answer, without most curves and the options that never differ."""
        whole: Experiment = super().experiment_from_metadata(*args, **options)
        vary = any(info.differs for info in whole.hparam_infos)
        return Experiment(
            name=whole.name,
            hparam_infos=[
                info
                for info in whole.hparam_infos
                if (info.differs if vary else info.name in ONE_RUN)
            ],
            metric_infos=[info for info in whole.metric_infos if METRICS.fullmatch(info.name.tag)],
        )
