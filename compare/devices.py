"""The device that torch's side computes on; the hand's is always the CPU."""

import torch

from torch_parity.compare.errors import InputError


def found(name: str) -> torch.device:
    """The device of this name, with its index.

    On a GPU products of halves are made to add up in float32, as they do on the CPU: torch would
    let some of them add up in halves.

    Raises:
        InputError: torch sees no such GPU here.
    """
    device = torch.device(name)
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count <= (device.index or 0):
        there = f"{count} GPUs, cuda:0 to cuda:{count - 1}" if count else "no GPU"
        raise InputError(f"device is {name!r}: torch sees {there} here; use --device cpu")
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    return torch.device("cuda", device.index or 0)
