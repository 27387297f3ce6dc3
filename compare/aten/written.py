"""Which tensors a call writes into."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from torch_parity.compare.torch_private import flattened

# Arguments that these write into in training mode (the sixth argument), although their schemas say
# nothing of it: running statistics.
TRAINING = 5
HIDDEN_WRITES = {
    "aten::native_batch_norm": (3, 4),
    "aten::cudnn_batch_norm": (3, 4),
    "aten::miopen_batch_norm": (3, 4),
}


def written_by(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that the call writes into, in the order of its schema."""
    schema = func._schema
    hidden = HIDDEN_WRITES.get(schema.name, ())
    if hidden and len(args) > TRAINING and not args[TRAINING]:
        hidden = ()
    if not (schema.is_mutable or hidden):
        return []
    found: list[Tensor] = []
    for i, argument in enumerate(schema.arguments):
        marked = argument.alias_info is not None and argument.alias_info.is_write
        if marked or i in hidden:
            value = args[i] if i < len(args) else kwargs.get(argument.name)
            found += [t for t in flattened(value) if isinstance(t, Tensor)]
    return found
