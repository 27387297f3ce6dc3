"""Checkpoints of a run on many ranks, by torch.distributed.checkpoint: every rank writes its
part, and any number of ranks can read it.

A checkpoint is a folder, step-20, and a record beside it, step-20.json, with the checksum of every
file and the job. The record is written last, so a checkpoint without one is incomplete. Two are
kept: if the newer one is damaged, this is said and the older one is used.
"""

import pickle
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

from torch_parity.torch_ref.distributed.files import (
    FileError,
    checksum,
    read_record,
    write_record,
)
from torch_parity.torch_ref.distributed.job import Job

KEPT = 2
NAME = re.compile(r"step-([1-9][0-9]*)")  # other files in the folder are left alone


@dataclass(frozen=True)
class Found:
    """The step of the newest checkpoint that can be used, 0 if there is none; notes say why newer
    ones cannot. error is set where there are checkpoints, and none can be used."""

    step: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""


def save(
    folder: Path, step: int, job: Job, net: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Parameters, the optimizer's memory and the generator after a step.

    The generator has the same state on every rank (train.py), so one state is stored.
    """
    home = folder / f"step-{step}"
    first = dist.get_rank() == 0
    if first:
        _delete(home)  # left by ranks that were killed while they wrote it
    dist.barrier()
    state_dict_saver.save(_state(net, optimizer), checkpoint_id=home)
    if first:
        files = {path.name: checksum(path) for path in home.iterdir()}
        write_record(_record(home), {"step": step, "job": _plain(job), "files": files})
        until_now = [path for path in _stored(folder) if _step(path) <= step]
        complete = [path for path in until_now if _record(path).exists()]
        for old in until_now:
            if old not in complete[-KEPT:]:
                _delete(old)


def load(folder: Path, job: Job, net: nn.Module, optimizer: torch.optim.Optimizer) -> Found:
    """Restore the newest checkpoint that is complete, undamaged and of this job.

    Raises:
        FileError: there are checkpoints, and none can be used.
    """
    box = [newest(folder, job) if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(box)
    found = box[0]
    assert found is not None, "rank 0 has sent it"
    if found.error:
        raise FileError(found.error)
    if found.step:
        state = _state(net, optimizer)
        home = folder / f"step-{found.step}"
        state_dict_loader.load(state, storage_reader=Reader(home))
        set_state_dict(
            net, optimizer, model_state_dict=state["net"], optim_state_dict=state["optimizer"]
        )
        torch.set_rng_state(state["generator"])
    return found


def newest(folder: Path, job: Job) -> Found:
    """The checkpoint to resume from, all of whose files are as they were written."""
    notes: list[str] = []
    complete = False
    for home in reversed(_stored(folder)):
        if not _record(home).exists():
            notes.append(f"{home} is not complete, so it is not used")
            continue
        complete = True
        try:
            _check(home, job)
        except FileError as error:
            notes.append(str(error))
            continue
        return Found(_step(home), tuple(notes))
    if not complete:
        return Found(0, tuple(notes))
    why = "; ".join(notes)
    return Found(error=f"{why}\nno checkpoint can be used; delete {folder} to train from the start")


def _check(home: Path, job: Job) -> None:
    """
    Raises:
        FileError: it is damaged, or of another job.
    """
    record = read_record(_record(home))
    was, now, files = record.get("job"), _plain(job), record.get("files")
    if (
        record.get("step") != _step(home)
        or not isinstance(was, dict)
        or not isinstance(files, dict)
    ):
        raise FileError(f"{_record(home)} is damaged: it is not the record of this checkpoint")
    if differing := [name for name in now if was.get(name) != now[name]]:
        name = differing[0]
        raise FileError(
            f"{home} belongs to another job: {name} is {was.get(name)!r} there, {now[name]!r} in "
            "job.json"
        )
    for name, expected in files.items():
        if checksum(home / name) != expected:
            raise FileError(f"{home / name} is damaged: it does not match its checksum")


class Reader(FileSystemReader):
    """Reads a checkpoint whose .metadata, a pickle, names only classes of torch's checkpoints."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        with (Path(self.path) / ".metadata").open("rb") as stream:
            _Unpickler(stream).load()
        return super().read_metadata(*args, **kwargs)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A pickle may call any function that it names, so nothing else is looked up."""
        if module.startswith("torch.distributed.checkpoint.") or module == "torch":
            found = super().find_class(module, name)
            if isinstance(found, type | torch.dtype | torch.layout | torch.memory_format):
                return found
        if (module, name) in ALLOWED:
            return super().find_class(module, name)
        raise FileError(f"a checkpoint names {module}.{name}, which torch's own never do")


ALLOWED = {
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("torch.serialization", "_get_layout"),
}


def _stored(folder: Path) -> list[Path]:
    """The folders of all checkpoints, oldest first."""
    found = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name)]
    return sorted(found, key=_step)


def _delete(home: Path) -> None:
    """The record first: a folder without one is not a checkpoint."""
    _record(home).unlink(missing_ok=True)
    if home.exists():
        shutil.rmtree(home)


def _record(home: Path) -> Path:
    return home.with_name(f"{home.name}.json")


def _plain(job: Job) -> dict[str, Any]:
    """The job as JSON has it: lists for tuples."""
    return {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(job).items()}


def _state(net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    in_net, in_optimizer = get_state_dict(net, optimizer)
    return {"net": in_net, "optimizer": in_optimizer, "generator": torch.get_rng_state()}


def _step(home: Path) -> int:
    return int(home.name.removeprefix("step-"))
