"""The device that torch's side computes on; the NumPy side always uses the CPU."""

import torch

from torch_parity.compare.errors import InputError


def resolve_device(name: str) -> torch.device:
    """The device of this name, with its index.

    On a GPU, products of half-precision numbers are set to accumulate in float32, as on the CPU:
    by default torch accumulates some of them in half precision.

    Raises:
        InputError: torch finds no such GPU.
    """
    device = torch.device(name)
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count <= (device.index or 0):
        there = f"{count} GPUs, cuda:0 to cuda:{count - 1}" if count else "no GPU"
        raise InputError(
            f"device is {name!r}: torch finds {there} on this machine; use --device cpu"
        )
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    return torch.device("cuda", device.index or 0)
