"""Compiled code (torch.compile) runs below every recorder: only the numbers it makes are known.

While it runs, the recorder steps aside, as torch would otherwise run its eager form. What it makes
has no recorded call; results.py holds it to the bound of the other model's calls.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from torch_parity.compare.aten.leaves import leaves_of
from torch_parity.compare.torch_private import (
    compile_counts,
    compiled_attribute,
    compiled_entries,
    is_compiled_function,
    is_compiled_node,
)

if TYPE_CHECKING:
    from torch_parity.compare.aten.recorder import Recorder


@contextmanager
def compiled_seen(recorder: "Recorder", model: Any) -> Iterator[Any]:
    """While open, the compiled modules of a model run without the recorder, and the record counts
    their calls. The value is what to call in the place of the model."""
    replaced: list[tuple[nn.Module, str, Any]] = []
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    for module in modules:
        name = compiled_attribute(module)
        if name is not None:
            original = getattr(module, name)
            replaced.append((module, name, original))
            object.__setattr__(module, name, partial(_aside, recorder, original))
    if not modules and is_compiled_function(model):
        model = partial(_aside, recorder, model)
    try:
        with compiled_entries(lambda: _entered(recorder)), warnings.catch_warnings():
            # of the recorder's own hooks, which are off while compiled code runs
            warnings.filterwarnings("ignore", ".*there are global hooks on modules")
            yield model
    finally:
        for module, name, original in replaced:
            object.__setattr__(module, name, original)


def _entered(recorder: "Recorder") -> None:
    """Compiled code begins while the recorder is on: torch runs its eager form."""
    if recorder.is_on:
        recorder.record.eager_instead = True


def _aside(recorder: "Recorder", compiled: Any, *args: Any, **kwargs: Any) -> Any:
    """Run compiled code without the recorder."""
    record = recorder.record
    record.compiled += 1
    before = compile_counts()
    with recorder.aside():
        out = compiled(*args, **kwargs)
    graphs, breaks = (now - was for now, was in zip(compile_counts(), before, strict=True))
    record.graphs += graphs
    record.graph_breaks += breaks
    for _, x in leaves_of("", out):
        if isinstance(x, Tensor):
            recorder.ref(x)
    return out


def backward_aside(recorder: "Recorder", loss: Tensor) -> None:
    """The backward of compiled code runs without the recorder as well."""
    if not recorder.record.compiled:
        return
    todo, seen = [loss.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        todo += [following for following, _ in node.next_functions]
        if is_compiled_node(node):
            _step_aside_in(recorder, node)


def _step_aside_in(recorder: "Recorder", node: Any) -> None:
    inside: list[Any] = []

    def begin(gradients: Any) -> None:
        context = recorder.aside()
        context.__enter__()
        inside.append(context)

    def end(*gradients: Any) -> None:
        inside.pop().__exit__(None, None, None)

    node.register_prehook(begin)
    node.register_hook(end)
