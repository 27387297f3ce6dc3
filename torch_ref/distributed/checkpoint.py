"""Checkpoints of a run on many ranks, by torch.distributed.checkpoint: every rank writes its
part, and any number of ranks can read it.

A checkpoint is complete once its .metadata exists, which is written last and by renaming; so an
incomplete checkpoint of a killed worker is never read.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict


def save(folder: Path, step: int, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Parameters, the optimizer's memory and the generator after a step; replaces the one before.

    The generator has the same state on every rank (train.py), so one state is stored.
    """
    state_dict_saver.save(_state(net, optimizer), checkpoint_id=folder / f"step-{step}")
    if dist.get_rank() == 0:
        for old in folder.glob("step-*"):
            if _step(old) < step:
                shutil.rmtree(old)


def load(folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore the last complete checkpoint -> its step, 0 if there is none."""
    whole = [path.parent for path in folder.glob("step-*/.metadata")]
    if not whole:
        return 0
    last = max(whole, key=_step)
    state = _state(net, optimizer)
    state_dict_loader.load(state, checkpoint_id=last)
    set_state_dict(
        net, optimizer, model_state_dict=state["net"], optim_state_dict=state["optimizer"]
    )
    torch.set_rng_state(state["generator"])
    return _step(last)


def _state(net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    in_net, in_optimizer = get_state_dict(net, optimizer)
    return {"net": in_net, "optimizer": in_optimizer, "generator": torch.get_rng_state()}


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
