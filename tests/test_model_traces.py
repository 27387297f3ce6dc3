"""A recorded step in a file: judged as the live one is, the same bytes twice, and nothing believed
that a file says."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from torch import Tensor, nn

import torch_parity as tp
from benchmarks.zoo import cases
from tests.command import Ended, refusal
from tests.damage import edit
from torch_parity.compare.aten.check import check_step
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.aten.recording import Recording, recording_of
from torch_parity.compare.aten.report import ModelReport
from torch_parity.compare.aten.step import Step
from torch_parity.compare.errors import InputError

SEED = 3
ZOO = ("mlp", "lstm", "gpt_dropout", "autocast", "custom_function", "in_place", "two_losses", "bag")


def zoo_step(name: str) -> Step:
    case = cases.case(name, SEED)
    return Step(
        case.model, case.inputs, case.keywords, case.loss, case.target, case.optimizer, name
    )


def judged(report: ModelReport) -> list[Any]:
    """All that was said about each output of each call."""
    calls = [
        (v.call.name, v.call.module, v.call.line, v.call.phase, v.output, v.outcome, v.reason)
        for v in report.verdicts
    ]
    return [*calls, *(repr(v.held) for v in report.verdicts), *map(repr, report.functions)]


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.every(2)
def test_a_file_gets_the_verdicts_of_the_live_record(name: str, tmp_path: Path) -> None:
    recording = recording_of(zoo_step(name))
    read = tp.load_recording(recording.save(tmp_path / "t.safetensors"))
    pairs = [(recording.record, read.record), (recording.float64, read.float64)]
    for live, stored in pairs:
        assert live is not None, (name, SEED)
        assert stored is not None, (name, SEED)
        reports = [check_step(Recording(record, called=name)) for record in (live, stored)]
        assert judged(reports[0]) == judged(reports[1]), (name, SEED)
        assert reports[0].verdict == reports[1].verdict, (name, SEED)
    assert read.options == recording.options, (name, SEED)


@pytest.mark.parametrize("name", ZOO)
def test_the_same_step_makes_the_same_bytes(name: str, tmp_path: Path) -> None:
    files = []
    for i in range(2):
        torch.manual_seed(SEED)
        rubbish = [torch.full((n,), float(i + 1)) for n in range(1, 4000)]
        del rubbish  # memory that is not written into holds other numbers now
        path = recording_of(zoo_step(name)).save(tmp_path / f"{i}.safetensors")
        files.append(path.read_bytes())
    assert files[0] == files[1], (name, SEED)


class Net(nn.Module):
    def __init__(self, form: str, p: float = 0.3) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.fc, self.norm, self.out = nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.form, self.drop = form, nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.gelu(self.fc(x), approximate=self.form)
        out: Tensor = self.out(self.drop(self.norm(h)))
        return out


def step(form: str = "none", **more: Any) -> dict[str, Any]:
    """What record_model takes, and check_modules but for the model."""
    torch.manual_seed(SEED)
    return {"loss": lambda out: out.square().mean(), **more}


X = torch.linspace(-2, 2, 20).reshape(5, 4)


def recorded(form: str, path: Path, **more: Any) -> Path:
    return tp.record_model(Net(form), X, **step(**more)).save(path)


def told(report: ModulesReport) -> tuple[Any, ...]:
    call = report.call
    place = None if call is None else (call.operation, call.module, call.phase)
    ends = [(e.end.name, e.outcome, e.of_a, e.of_b) for e in report.alignment.ends]
    return report.outcome, report.causes, report.precision, place, ends


def test_a_mistake_is_placed_and_named_in_two_files_one_file_and_none(tmp_path: Path) -> None:
    a, b = (recorded(f, tmp_path / f"{f}.safetensors") for f in ("none", "tanh"))
    live = tp.check_modules(Net("none"), Net("tanh"), X, **step())
    assert live.causes == ("gelu_form",)
    assert told(tp.check_modules(a, b)) == told(live)
    assert told(tp.check_modules(str(a), Net("tanh"), X, **step())) == told(live)
    assert told(tp.check_modules(Net("none"), tp.load_recording(b), X, **step())) == told(live)


def test_two_recordings_of_the_same_computation_agree(tmp_path: Path) -> None:
    a, b = (recorded("none", tmp_path / f"{n}.safetensors") for n in "ab")
    report = tp.check_modules(a, b)
    assert (report.outcome, report.precision) == ("PASS", "float64")
    assert tp.check_model(a).outcome == "PASS"


def test_other_random_numbers_are_no_verdict(tmp_path: Path) -> None:
    """Two right models with other dropout masks differ; b can be recorded with those of a."""
    net, loss = Net("none"), step()["loss"]
    a = tp.record_model(net, X, loss=loss)
    torch.manual_seed(SEED + 1)
    with pytest.raises(InputError, match="drew other random numbers"):
        tp.check_modules(a, tp.record_model(net, X, loss=loss))
    b = tp.record_model(net, X, loss=loss, draws_of=a)
    assert tp.check_modules(a.save(tmp_path / "a.x"), b.save(tmp_path / "b.x")).outcome == "PASS"


def test_a_wrong_kernel_is_found_in_a_file(tmp_path: Path) -> None:
    """One bit of one output, changed in the file: that call is wrong, and nothing else."""
    path = recorded("none", tmp_path / "t.safetensors")
    record = tp.load_recording(path).record
    call = next(c for c in record.calls if c.operation == "native_layer_norm")
    place = call.outputs[0].place
    tensors, said = parts(path)
    changed = tensors[f"own/{place[0]}.{place[1]}"].copy()
    changed[5] *= 1 + 1e-4
    tensors[f"own/{place[0]}.{place[1]}"] = changed
    path.write_bytes(save(tensors, said))
    first = tp.check_model(path).first
    assert first is not None
    assert (first.call.index, first.output) == (call.index, 0)


def test_a_backward_that_is_not_the_derivative_is_found_in_a_file(tmp_path: Path) -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, factor: object) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
            return g * 3, None

    def model(x: Tensor) -> Tensor:
        out: Tensor = Doubled.apply(x, object())  # type: ignore[no-untyped-call]
        return out

    x = torch.ones(3, requires_grad=True)
    recording = tp.record_model(model, x, loss=lambda out: out.sum())
    report = tp.check_model(recording.save(tmp_path / "t.safetensors"))
    assert [f.outcome for f in report.functions] == ["wrong"]


def test_what_a_file_cannot_hold_is_not_judged(tmp_path: Path) -> None:
    generator = torch.Generator()
    paths = []
    for name in "ab":
        recording = tp.record_model(lambda x: (x + 1, generator), torch.ones(2))
        paths.append(recording.save(tmp_path / name))
    report = tp.check_modules(*paths)
    assert report.outcome == "UNJUDGED"
    assert [o.outcome for o in report.others] == ["unjudged"]
    assert "Generator" in report.others[0].sentence


def test_a_model_that_does_not_run_in_float64_is_compared_as_it_is(tmp_path: Path) -> None:
    def single(x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise TypeError("float32 only")
        return x.exp()

    paths = [tp.record_model(single, X).save(tmp_path / n) for n in "ab"]
    report = tp.check_modules(*paths)
    assert (report.outcome, report.precision) == ("PASS", "float32")
    assert report.notes


@pytest.mark.parametrize(
    "given",
    [{"loss": nn.MSELoss()}, {"target": torch.ones(1)}, {"optimizer": "sgd"}, {"mask": None}],
)
def test_a_recording_has_its_own_inputs(given: dict[str, Any], tmp_path: Path) -> None:
    path = recorded("none", tmp_path / "t.safetensors")
    with pytest.raises(InputError, match="is a recording, which has its own"):
        tp.check_model(path, **given)
    with pytest.raises(InputError, match="the same file"):
        tp.check_modules(path, path.parent / "." / path.name)


# Bad files ------------------------------------------------------------------------------------


def parts(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata, as others than we read them."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return load(content), json.loads(content[8:end])["__metadata__"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded("none", tmp_path_factory.mktemp("sound") / "t.safetensors")


def edited(sound: Path, path: Path, edit: Callable[[Any], Any]) -> Path:
    """The file with another recording in its metadata."""
    tensors, said = parts(sound)
    recording = json.loads(said["recording"])
    edit(recording)
    path.write_bytes(save(tensors, {**said, "recording": json.dumps(recording)}))
    return path


def first_call(recording: Any, **changes: Any) -> None:
    recording["own"]["calls"][0].update(changes)


@pytest.mark.parametrize(
    "operation",
    [
        *("aten.save.default", "aten.from_file.default", "aten.set_grad_enabled.default"),
        *("os.system.default", "aten.__class__.mro", "builtins.exec.default"),
        "aten.nothing.default",
    ],
)
def test_an_operation_that_is_not_torchs_is_never_called(
    operation: str, sound: Path, tmp_path: Path
) -> None:
    target = tmp_path / "written"
    arguments = [str(target), True, 64]
    path = edited(
        sound, tmp_path / "t", lambda r: first_call(r, operation=operation, args=arguments)
    )
    report = tp.check_model(path)
    assert report.outcome == "UNJUDGED"
    assert operation in report.unjudged[0].reason
    assert not target.exists()


@pytest.mark.parametrize(
    ("operation", "args"),
    [
        ("aten.zeros.default", [[2**40]]),
        ("aten.arange.default", [2**50]),
        ("aten.repeat.default", [{"tensor": 0}, [2**30, 2**20]]),
        ("aten.bincount.default", [{"tensor": 0}, None, 2**45]),
    ],
)
def test_a_call_that_asks_for_too_much_memory_is_not_made(
    operation: str, args: list[Any], sound: Path, tmp_path: Path
) -> None:
    path = edited(sound, tmp_path / "t", lambda r: first_call(r, operation=operation, args=args))
    report = tp.check_model(path)
    assert report.outcome in ("UNJUDGED", "FAIL")
    assert any(v.call.index == 0 for v in report.unjudged)


BAD: dict[str, Callable[[Any], Any]] = {
    "no_name": lambda r: first_call(r, operation="rm -rf"),
    "phase": lambda r: first_call(r, phase="sideways"),
    "unknown_field": lambda r: first_call(r, pickle="gASVBQ=="),
    "argument": lambda r: first_call(r, args=[{"global": "os.system"}]),
    "two_kinds": lambda r: first_call(r, args=[{"tensor": 0, "tuple": []}]),
    "device": lambda r: first_call(r, args=[{"device": "moon"}]),
    "no_such_tensor": lambda r: first_call(r, args=[{"tensor": 10**6}]),
    "no_such_output": lambda r: first_call(r, outputs=[10**6]),
    "later_forward": lambda r: first_call(r, forward=0),
    "function": lambda r: first_call(r, function=7),
    "escape": lambda r: first_call(r, module="\x1b[2J"),
    "dtype": lambda r: r["own"]["tensors"][0].update(dtype="tensor"),
    "complex": lambda r: r["own"]["tensors"][0].update(dtype="complex64"),
    "storage": lambda r: r["own"]["tensors"][0].update(at=[999, 0]),
    "offset": lambda r: r["own"]["tensors"][0].update(offset=2**60),
    "shape": lambda r: r["own"]["tensors"][0].update(shape=[2**20, 4]),
    "huge_shape": lambda r: r["own"]["tensors"][0].update(shape=[2**62], stride=[0]),
    "negative": lambda r: r["own"]["tensors"][0].update(shape=[-1, 4]),
    "stride": lambda r: r["own"]["tensors"][0].update(stride=[1]),
    "given": lambda r: r["own"]["given"].update(x=10**6),
    "deep": lambda r: first_call(r, args=[json.loads("[" * 900 + "]" * 900)]),
    "no_record": lambda r: r.pop("own"),
    "less": lambda r: r.pop("float64"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_lies_is_refused(
    kind: str, sound: Path, tmp_path: Path, parity: Callable[..., Ended]
) -> None:
    path = edited(sound, tmp_path / "t.safetensors", BAD[kind])
    for command in (("model", str(path)), ("modules", str(sound), str(path))):
        ran = parity(*command)
        said = refusal(ran)
        assert said.startswith(f"parity: {path}"), (kind, said)
        assert len(said.splitlines()) == 1, (kind, said)


def test_a_name_twice_is_refused(sound: Path, tmp_path: Path) -> None:
    tensors, said = parts(sound)
    twice = said["recording"].replace('{"own":', '{"own":{},"own":', 1)
    (tmp_path / "t").write_bytes(save(tensors, {**said, "recording": twice}))
    with pytest.raises(InputError, match="'own' is in it twice"):
        tp.load_recording(tmp_path / "t")


def test_other_files_are_refused(sound: Path, tmp_path: Path) -> None:
    content = sound.read_bytes()
    tensors, said = parts(sound)
    files = {
        "empty": b"",
        "text": b"hello, this is text",
        "truncated": content[: len(content) // 2],
        "no_metadata": save(tensors),
        "version": save(tensors, {**said, "version": "2"}),
        "not_json": save(tensors, {**said, "recording": "{"}),
        "more": save({**tensors, "own/x.1": np.ones(1)}, said),
        "more_storages": save({**tensors, "own/9999.0": np.ones(1)}, said),
        "trace": save({"made/z1": np.ones(3)}, {"format": "torch-parity trace", "version": "1"}),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError):
            tp.load_recording(tmp_path / name)
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError):
            tp.load_recording(path)


WILD = [None, True, -1, 0, 1, 2**31, 2**63, "x", [], {}, [2**62], 0.5, {"tensor": 1}]


@pytest.mark.parametrize("chunk", range(2))
def test_no_damaged_file_crashes(chunk: int, sound: Path, tmp_path: Path) -> None:
    """Each is refused in one line, or judged."""
    ended = {"refused": 0, "judged": 0}
    for seed in range(chunk * 25, chunk * 25 + 25):
        rng = Random(seed)
        path = edited(sound, tmp_path / "t", lambda r, rng=rng: edit(rng, r, WILD))
        try:
            _ = tp.check_model(path).verdict
            _ = tp.check_modules(sound, path).verdict
        except InputError as error:
            said = str(error)
            ended["refused"] += 1
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        else:
            said = ""
            ended["judged"] += 1
        assert said.isprintable() or not said, (seed, said)
    assert all(ended.values()), (chunk, ended)


# Commands -------------------------------------------------------------------------------------

NETS = """
import torch
from torch import nn

def net(form):
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(approximate=form), nn.Dropout(0.5))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return model, torch.randn(5, 4), lambda out: out.pow(2).mean(), optimizer

def exact(): return net("none")
def tanh(): return net("tanh")
"""


def test_record_then_judge(tmp_path: Path, parity: Callable[..., Ended]) -> None:
    nets = tmp_path / "nets.py"
    nets.write_text(NETS, "utf-8")
    a, b, c = (str(tmp_path / f"{n}.safetensors") for n in "abc")
    for name, out in (("exact", a), ("exact", b), ("tanh", c)):
        ran = parity("record", "--module", f"{nets}:{name}", "--out", out)
        assert ran.status == 0, ran
        assert "ATen calls" in ran.out
    assert Path(a).read_bytes() == Path(b).read_bytes()
    assert parity("model", a).status == 0
    assert parity("modules", a, b).status == 0
    ran = parity("modules", f"{nets}:exact", c, "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["causes"] == ["gelu_form"]
    assert json.loads(ran.out)["called"] == ["exact", "c"]
    for command in (("diff", a, b), ("record", "--module", f"{nets}:exact", "--out", a)):
        assert parity(*command).status == 2
    other = ("record", "--module", f"{nets}:exact", "--out", a, "--force", "--seed", "1")
    assert parity(*other).status == 0
    assert parity("modules", a, b).status == 2  # other masks, and other weights
    assert parity(*other, "--draws", b).status == 0
    assert parity("modules", a, b).status == 1


@pytest.mark.parametrize(
    "more",
    [("--step", "2"), ("--side", "torch"), ("--hidden", "3"), ("--seed", "x"), ("--draws", "none")],
)
def test_bad_options_of_record(
    more: tuple[str, ...], tmp_path: Path, parity: Callable[..., Ended]
) -> None:
    (tmp_path / "nets.py").write_text(NETS, "utf-8")
    out = tmp_path / "t.safetensors"
    ran = parity("record", "--module", f"{tmp_path}/nets.py:exact", "--out", str(out), *more)
    assert ran.status == 2
    assert "Traceback" not in ran.err
    assert not out.exists()
    assert parity("record", "--draws", "x", "--out", str(out)).status == 2
