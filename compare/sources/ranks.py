"""The steps that the ranks of a distributed run recorded, judged twice: against the same shards in
NumPy, and against one process with the whole batch."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from torch_parity import manual
from torch_parity.compare import data, models
from torch_parity.compare.bounds.precision import is_real
from torch_parity.compare.case import Case
from torch_parity.compare.case import load as load_case
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.law import flow, recorded_forward
from torch_parity.compare.flow.sharded import of_all_ranks, sharded_flow
from torch_parity.compare.flow.trace import Tensors, Trace
from torch_parity.compare.judge.judge import judge_traces
from torch_parity.compare.judge.outcome import SEVERITY, Answer
from torch_parity.compare.judge.report import Report
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.files.trace_file import load
from torch_parity.compare.sources.pair import Pair
from torch_parity.manual.models.step import KeepsStatistics
from torch_parity.torch_ref.distributed.job import Called, Job, read
from torch_parity.torch_ref.trace import OPTIMIZERS

# What torch's optimizers call what they remember.
SLOTS = {"momentum_buffer": "v", "exp_avg": "v", "exp_avg_sq": "s", "square_avg": "s", "step": "t"}

Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class RankedStep:
    """One step, judged on first access. shards holds the traces of the NumPy shards and of the
    ranks, whole those of one process and of the ranks' rows put together."""

    step: int
    ranks: int
    shards: tuple[Trace, Trace]
    whole: tuple[Trace, Trace]

    @cached_property
    def by_hand(self) -> Report:
        """The ranks against the same shards in NumPy: every tensor of every rank."""
        called = ("hand", f"{self.ranks} ranks")
        return Report(judge_traces(*self.shards, called), called)

    @cached_property
    def one_process(self) -> Report:
        """The ranks against one process that has the whole batch."""
        called = ("one process", f"{self.ranks} ranks")
        return Report(judge_traces(*self.whole, called), called)

    @property
    def outcome(self) -> Answer:
        """PASS if all three compute the same step."""
        return max((self.by_hand.outcome, self.one_process.outcome), key=SEVERITY.index)

    @property
    def passed(self) -> bool:
        """Whether it is a PASS."""
        return self.outcome == "PASS"


def judge_run(folder: Path) -> Iterator[RankedStep]:
    """Every step that the ranks of the run in this folder recorded, in order.

    Raises:
        InputError: the folder was not written by parity shard, or has no complete traces.
    """
    if not (folder / "job.json").is_file():
        raise InputError(f"{folder} holds no job.json; write one:  parity shard --out {folder}")
    case = load_case(folder / "case.toml")
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    try:
        job = read(folder)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(str(error)) from None
    if job != job_of(case, sides, job.rows):
        raise InputError(
            f"{folder}: job.json does not belong to case.toml; write both again with parity shard"
        )
    batches = _batches(job, loaded.x_train, sides.targets.y_train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        for step, (x, y) in enumerate(batches, start=1):
            ranks = _traces(folder, step)
            if not ranks:
                if step == 1:
                    raise InputError(
                        f"{folder} holds no traces; let the ranks write some:  torchrun ... -m "
                        f"torch_parity.torch_ref.distributed {folder} --traces 3"
                    )
                return
            _begin_as(sides, ranks[0].given)
            given = sides.torch.params(), sides.torch.state()
            by_torch, masks = sides.torch.step(x, y)
            yield _step(sides, job, step, (x, y), masks, given, by_torch, ranks)


def _begin_as(sides: Pair, given: Tensors) -> None:
    """Let the one process begin its step from what the ranks began theirs from: trained on its own
    it would drift away from them."""
    one, called = sides.torch, {p: name for name, p in sides.torch.task.params.items()}
    order = [(called[p], group) for group in one.optimizer.param_groups for p in group["params"]]
    memory = {}
    for key, own in one.memory().items():
        i, kept = key.split("/")
        name, group = order[int(i)]
        v = given.get(one.task.names.slot(SLOTS[kept], name), own).astype(own.dtype)
        is_course = one.task.read is OPTIMIZERS["momentum_course"][1]
        memory[key] = _divided(v, 1 - group["momentum"]) if is_course else v
    one.restore({name: given[name] for name in one.task.params}, memory)


def _divided(v: np.ndarray, factor: float) -> np.ndarray:
    """The buffer whose product with the factor is v to the last bit, where there is one."""
    found = v / factor
    for towards in (-np.inf, np.inf):
        near = np.nextafter(v / factor, np.asarray(towards, v.dtype))
        found = np.where(found * factor == v, found, near)
    return np.asarray(np.where(found * factor == v, found, v / factor))


def job_of(case: Case, sides: Pair, rows: tuple[int, ...]) -> Job:
    """The case as a Job of torch_ref, with all defaults filled in.

    Raises:
        InputError: the step of its model depends on how the rows are divided, or on more than a
            job holds.
    """
    net = sides.manual.net
    if isinstance(net, KeepsStatistics):
        raise InputError(
            f"--model {case.model}: on many ranks, batch norm takes the mean and the variance of "
            "each rank's own rows, so the step depends on the number of ranks"
        )
    if case.model in models.ADDED:
        raise InputError(f"--model {case.model}: ranks train the models of this package only")
    if sides.schedule:
        raise InputError(f"--schedule {case.schedule}: ranks train with a constant lr only")
    if case.accumulate > 1:
        raise InputError(f"--accumulate {case.accumulate}: ranks train whole batches only")
    if case.clip_norm is not None:
        raise InputError(f"--clip-norm {case.clip_norm:g}: ranks train without clipping only")
    to_rows = sum(rows) / net.m  # a job divides its lambdas by all rows
    return Job(
        model=case.model,
        kind=type(net).__name__,
        choices=_choices(case, sides),
        called=_called(sides),
        masks={name: list(shape[1:]) for name, shape in net.shapes_of_masks(1).items()},
        mask_axes=_mask_axes(case, sides),
        loss=net.loss,
        reduction=cast(Any, net.reduction),
        p=case.p,
        l1=net.l1 * to_rows,
        l2=net.l2 * to_rows,
        l2_route=case.l2_route,
        optimizer=case.update_rule,
        options=asdict(cast(Any, sides.manual.optimizer)),
        dtype=case.dtype,
        steps=case.steps,
        batch=case.batch,
        seed=case.seed,
        rows=rows,
    )


def _choices(case: Case, sides: Pair) -> dict[str, Any]:
    """The arguments of torch's module, as json has them."""
    taken = signature(models.find(case.model).in_torch).parameters
    known = {**case.model_dump(), **asdict(cast(Any, sides.manual.net))}
    chosen = {name: known[name] for name in taken if name in known}
    return {n: list(c) if isinstance(c, tuple) else c for n, c in chosen.items()}


def _mask_axes(case: Case, sides: Pair) -> dict[str, list[int]]:
    """As what each dropout is given lies in memory, from a step of two samples."""
    found: dict[str, list[int]] = {}

    def look(name: str, given: Tensor) -> None:
        strides = given.stride()
        found[name] = sorted(range(given.ndim), key=lambda i: -strides[i])

    module, x = sides.torch.net, sides.manual.net.example(np.random.default_rng(0), 2)[0]
    handles = [
        module.get_submodule(path).register_forward_pre_hook(
            lambda _, args, name=name: look(name, args[0])
        )
        for path, name in sides.torch.task.names.masks.items()
    ]
    x = x.astype(case.dtype) if is_real(x.dtype) else x
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        module(torch.tensor(x, device=sides.torch.device))
    for handle in handles:
        handle.remove()
    return found


def _called(sides: Pair) -> Called:
    names = sides.torch.task.names
    return Called(
        parameters=list(sides.manual.net.shapes()),
        input=names.input,
        outputs={path: list(made) for path, made in names.outputs.items()},
        inputs=dict(names.inputs),
        masks=dict(names.masks),
        gradient=names.gradient("{}"),
        loss_gradient=names.loss_gradient("{}"),
        slot=names.slot("{0}", "{1}"),
    )


def _batches(job: Job, x: np.ndarray, y: np.ndarray) -> Iterator[Batch]:
    """The whole batch of each step, shard after shard."""
    begins = np.cumsum((0, *job.rows))
    for step in range(1, job.steps + 1):
        rows = [b + job.rows_of(i, step).numpy() for i, b in enumerate(begins[:-1])]
        at = np.concatenate(rows)
        yield x[at], y[at]


def _traces(folder: Path, step: int) -> list[Trace]:
    """Of each rank, in order.

    Raises:
        InputError: a rank's trace is missing between two others', or cannot be read.
    """
    found = [*(folder / "traces").glob(f"step-{step}-rank-*.safetensors")]
    files = [
        load(folder / "traces" / f"step-{step}-rank-{r}.safetensors") for r in range(len(found))
    ]
    return [Trace(dict(f.given), dict(f.made)) for f in files]


def _step(
    sides: Pair,
    job: Job,
    step: int,
    batch: Batch,
    masks: Tensors,
    given: tuple[Tensors, Tensors],
    by_torch: Tensors,
    ranks: list[Trace],
) -> RankedStep:
    net, optimizer = sides.manual.net, sides.manual.optimizer
    cuts = job.cuts(step, len(ranks))
    rows = [end - begin for begin, end in pairwise(cuts)]
    whole: dict[str, np.ndarray] = {"x": batch[0], "y": batch[1], **masks}
    begun = [
        {**sides.state, **rank.given} for rank in ranks
    ]  # torch has no optimizer state at first
    params = {name: begun[0][name] for name in sides.params}
    state = {name: begun[0][name] for name in sides.state}
    by_hand = manual.sharded_step(net, optimizer, params, state, *batch, masks, rows)
    nodes = sharded_flow(net, optimizer, masks, rows)
    shards = (
        Trace(whole | of_all_ranks([params | state] * len(ranks)), of_all_ranks(by_hand), nodes),
        Trace(whole | of_all_ranks(begun), of_all_ranks([rank.made for rank in ranks]), nodes),
    )
    gathered = _gathered(net, [rank.made for rank in ranks], by_torch)
    one_flow = flow(net, optimizer, masks)
    alone = {**sides.state, **given[0], **given[1]}
    one_and_all = (
        Trace(whole | alone, {n: by_torch[n] for n in gathered}, one_flow),
        Trace({**whole, **begun[0]}, gathered, one_flow),
    )
    return RankedStep(step, len(ranks), shards, one_and_all)


def _gathered(net: manual.Model, ranks: list[Tensors], like: Tensors) -> Tensors:
    """The tensors of the ranks as one process would have them: their rows one below the other.

    The gradients of what the forward made are left out: a rank's are m / m_r times those of one
    process. They are judged against the NumPy shards, and through the gradients of the parameters.
    """
    made = {n for node in recorded_forward(net, list(net.shapes_of_masks(1))) for n in node.outputs}
    made -= {"loss"}
    left_out = {net.names.gradient(name) for name in made}
    gathered = {}
    for name in like:
        parts = [rank[name] for rank in ranks if name in rank]
        if name in made and parts[0].shape != like[name].shape:
            gathered[name] = np.concatenate(parts)
        elif name not in left_out:
            gathered[name] = parts[0]
    return gathered
