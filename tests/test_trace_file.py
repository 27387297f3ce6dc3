"""Trace files: what is written is read back, what is judged is right, what is bad is refused."""

import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from book.page import Page, render
from tests.command import Ended, refusal
from tests.drawn import case_and_data, steps
from tests.golden_text import Golden
from tests.trace_samples import as_npz, as_safetensors, metadata, named, trace
from torch_parity.compare.commands.diff import diff
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.functions import FUNCTIONS
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.sources.files.nodes import known_operations, option_type, signature
from torch_parity.compare.sources.files.streamed import BLOCK
from torch_parity.compare.sources.files.trace_file import load, save

DOCS = Path(__file__).parents[1] / "docs" / "trace-format.md"

Parity = Callable[..., Ended]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Both sides of a step, as files."""
    paths = tmp_path / "manual.safetensors", tmp_path / "torch.safetensors"
    for path in paths:
        save(path, trace(path.stem), {"side": path.stem})
    return paths


def changed(**tensors: np.ndarray) -> dict[str, np.ndarray]:
    """The sample's tensors with some replaced; z1 is made/z1, given_x is given/x."""
    new = {
        f"given/{n.removeprefix('given_')}" if n.startswith("given_") else f"made/{n}": a
        for n, a in tensors.items()
    }
    return named(trace()) | new


def test_what_was_saved_is_loaded(pair: tuple[Path, Path]) -> None:
    file, original = load(pair[0]), trace()
    assert list(file.made) == list(original.made)
    assert file.about == {"side": "manual"}
    for mine, theirs in ((file.given, original.given), (file.made, original.made)):
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[n], theirs[n]) for n in mine)
        assert all(mine[n].dtype == np.asarray(theirs[n]).dtype for n in mine)
    for a, b in zip(file.nodes, original.nodes, strict=True):
        parts = ("operation", "inputs", "outputs", "layer")
        assert all(getattr(a, part) == getattr(b, part) for part in parts)
        assert dict(a.options) == dict(b.options)
        assert (a.forward and a.forward.outputs) == (b.forward and b.forward.outputs)


@pytest.mark.parametrize("kind", [as_safetensors, as_npz])
def test_two_right_sides_agree_whoever_wrote_the_files(
    kind: Callable[..., bytes], tmp_path: Path
) -> None:
    for side in ("manual", "torch"):
        said = metadata(trace(side))
        (tmp_path / side).write_bytes(kind(named(trace(side)), said))
    report = diff(tmp_path / "manual", tmp_path / "torch")
    assert report.passed, str(report)
    assert len(report.judgement.replays["torch"]) == len(trace().made)


def test_a_wrong_tensor_is_named_with_its_operation_cause_and_side(
    pair: tuple[Path, Path],
) -> None:
    made = {n: np.asarray(a) for n, a in trace("torch").made.items()}
    wrong = made["z1"] - trace().given["b1"]
    save(pair[1], replace(trace("torch"), made=made | {"z1": wrong}), {})
    said = diff(*pair).short
    assert said.startswith("FAIL First wrong: torch's linear -> z1")
    assert "Cause: torch: bias_missing" in said


@pytest.mark.parametrize(
    ("output", "inputs", "said"),
    [
        ("z1", lambda x, W, b: (x, b, W), "linear takes x, W, b; it was given {}, {}, {}"),
        ("z1", lambda x, W, b: (W, x, b), "linear: b has shape (3,), expected (5,)"),  # own words
        ("h1", lambda a, mask: (a, "W1"), "dropout"),
    ],
)
def test_inputs_that_do_not_fit_an_operation_are_listed(
    pair: tuple[Path, Path], output: str, inputs: Any, said: str
) -> None:
    right = trace("torch")
    (node,) = (n for n in right.nodes if n.outputs == (output,))
    other = replace(node, inputs=inputs(*node.inputs))
    nodes = tuple(other if n is node else n for n in right.nodes)
    save(pair[1], replace(right, nodes=nodes), {})
    root = diff(*pair).judgement.root
    assert root is not None
    assert (root.side, root.found.outcome) == ("torch", "shape")
    known = {**right.made, **right.given}
    given = [f"{n} {np.shape(known[n])}" for n in other.inputs]
    assert said.format(*given) in root.found.detail


def test_a_file_without_nodes_is_compared_and_the_report_says_so(
    pair: tuple[Path, Path], golden: Golden
) -> None:
    for path in pair:
        save(path, replace(trace(path.stem), nodes=()), {})
    report = diff(*pair)
    assert report.outcome == "UNJUDGED"
    assert not report.judgement.replays
    verdicts = {d.verdict for d in report.judgement.differences}
    assert verdicts == {"match", "unjudged"}
    golden.section("trace-files", "\n".join(report.notes))


def test_layouts_of_arrays_do_not_matter(tmp_path: Path) -> None:
    """Big-endian, by columns, cut out of a larger array, read-only."""
    tensors = named(trace())
    odd = {n: a.astype(a.dtype.newbyteorder(">")) for n, a in tensors.items()}
    odd["made/z1"] = np.asfortranarray(odd["made/z1"])
    wider = np.repeat(odd["made/a1"], 2, axis=1)
    odd["made/a1"] = wider[:, ::2]
    (tmp_path / "odd").write_bytes(as_npz(odd, metadata(trace())))
    (tmp_path / "plain").write_bytes(as_safetensors(tensors, metadata(trace())))
    assert diff(tmp_path / "odd", tmp_path / "plain").passed
    strided = np.lib.stride_tricks.as_strided(wider, wider[:, ::2].shape, wider[:, ::2].strides)
    strided.flags.writeable = False
    save(tmp_path / "strided", replace(trace(), made={**trace().made, "a1": strided}), {})
    assert diff(tmp_path / "strided", tmp_path / "plain").passed


def test_half_precision_is_read_as_it_is_and_the_report_says_so(
    tmp_path: Path, golden: Golden
) -> None:
    numbers = np.array([[1.5, -2.0, 3.140625]], np.float32)
    bits = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    header = json.dumps({"z1": {"dtype": "BF16", "shape": [1, 3], "data_offsets": [0, 6]}}).encode()
    (tmp_path / "b").write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    (tmp_path / "h").write_bytes(as_safetensors({"z1": numbers.astype(np.float16)}))
    for name, dtype in (("b", "bfloat16"), ("h", "float16")):
        read = load(tmp_path / name).made["z1"]
        assert (read.dtype, read.tolist()) == (np.dtype(dtype), numbers.tolist())
    report = diff(tmp_path / "b", tmp_path / "h")
    assert report.passed
    golden.section("trace-files", "\n".join(report.notes))


def test_a_tensor_of_one_file_fails_unless_it_is_ignored(
    pair: tuple[Path, Path], golden: Golden
) -> None:
    save(pair[1], replace(trace("torch"), made={**trace("torch").made, "mine": np.ones(3)}), {})
    assert "only torch has mine" in diff(*pair).short
    assert diff(*pair, ["mine"]).passed
    assert diff(*pair, ["made/m?ne", "a1"]).passed
    said = []
    for bad in ("nothing", "given/W1"):
        with pytest.raises(InputError) as caught:
            diff(*pair, [bad])
        said.append(str(caught.value))
    golden.section("trace-files", "\n".join(said))


def test_nothing_in_common_is_no_pass(tmp_path: Path, golden: Golden) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(as_safetensors({"given/x": np.ones(3), "z": np.ones(3)}))
    b.write_bytes(as_safetensors({"given/x": np.ones(3), "q": np.ones(3)}))
    said = []
    for ignored in ([], ["[zq]"]):
        with pytest.raises(InputError) as caught:
            diff(a, b, ignored)
        said.append(str(caught.value))
    golden.section("trace-files", "\n".join(said))
    b.unlink()
    b.symlink_to(a)
    with pytest.raises(InputError, match="are the same file"):
        diff(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_never_pass(value: float, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for tensors, said in ((changed(z1=np.full((5, 3), value)), metadata(trace())), ({}, None)):
        tensors = tensors or {"big": np.full(BLOCK + 7, value)}
        for path in (a, b):
            path.write_bytes(as_safetensors(tensors, said))
        assert not diff(a, b).passed


def test_an_empty_tensor_is_loaded_and_fails(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tensors = changed(z1=np.ones((0, 3)), given_x=np.ones((10**6, 0)))
        (tmp_path / name).write_bytes(as_safetensors(tensors, metadata(trace())))
    report = diff(tmp_path / "a", tmp_path / "b")
    assert {d.name for d in report.judgement.differences if d.verdict == "empty"} == {
        "z1",
        "given x",
    }


def test_large_tensors_are_compared_block_by_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    big = rng.normal(size=(3, BLOCK // 2))
    wrong = big.copy()
    wrong[2, 5] += 1e-3
    for name, a in (("a", big), ("b", big * (1 + 1e-15)), ("c", wrong)):
        (tmp_path / name).write_bytes(as_safetensors({"W": a}))
    (tmp_path / "again").write_bytes((tmp_path / "a").read_bytes())
    assert diff(tmp_path / "a", tmp_path / "again").passed
    assert diff(tmp_path / "a", tmp_path / "b").outcome == "UNJUDGED"
    (d,) = diff(tmp_path / "a", tmp_path / "c").judgement.differences
    assert (d.verdict, d.index) == ("differs", (2, 5))
    assert d.relative == pytest.approx(1e-3 / np.abs(big).max())
    assert d.detail.startswith("at [2, 5] a ")


MEASURE = """
import sys
from pathlib import Path
from torch_parity.compare.commands.diff import diff

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

before = peak()
assert diff(Path(sys.argv[1]), Path(sys.argv[2])).passed
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_files_of_300_MB_take_less_than_100_MB(tmp_path: Path) -> None:
    """One tensor of 200 MB and four of 25. VmHWM, for getrusage counts the parent's peak too."""
    sizes = {"W": 200_000_000, **{f"v{i}": 25_000_000 for i in range(4)}}
    header, end = {}, 0
    for name, size in sizes.items():
        offsets = [end, end := end + size]
        header[name] = {"dtype": "F32", "shape": [size // 4], "data_offsets": offsets}
    text = json.dumps(header).encode()
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + end)  # zeros that take no room on the disk
            file.seek(-4_000_000, os.SEEK_END)
            file.write(b"\x00\x00\x80?" * 1_000_000)  # ones
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    done = subprocess.run(command, cwd=DOCS.parents[1], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100, f"the peak grew by {done.stdout} MB"


def header_of(content: bytes, edit: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another header."""
    n = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:n])
    edit(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[n:]


def whole() -> bytes:
    return as_safetensors(named(trace()), metadata(trace()))


def with_node(**fields: Any) -> bytes:
    """The first node is linear's twin with some fields replaced."""
    said = metadata(trace())
    nodes = json.loads(said["nodes"])
    nodes[-1] |= fields
    return as_safetensors(named(trace()), said | {"nodes": json.dumps(nodes)})


def edited(name: str, **fields: Any) -> bytes:
    return header_of(whole(), lambda h: h[name].update(fields))


def raw(text: str, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + data


def bomb() -> bytes:
    """An .npz whose header declares 8 TB."""
    npy = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        npy, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("z1.npy", npy.getvalue() + bytes(10**6))
    return file.getvalue()


def twice() -> bytes:
    file = io.BytesIO()
    npy = io.BytesIO()
    np.save(npy, np.ones(3))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("made/z1.npy", npy.getvalue())
        archive.writestr("z1.npy", npy.getvalue())
    return file.getvalue()


def with_order(order: str) -> bytes:
    """The sample with another order in its metadata."""
    return as_safetensors(named(trace()), metadata(trace(), order=order))


ONE = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
ADAM = {"lr": 0.05, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

# how Python's json says it, which differs between versions
BY_PYTHON = re.compile(r"(header is damaged:) (maximum|Exceeds|Expecting|'utf-8').*")

BAD: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"a,b\n1,2\n" * 9,
    "a pickle": lambda: pickle.dumps({"z1": [1.0] * 99}),
    "header longer than the file": lambda: (10**6).to_bytes(8, "little") + b"{}",
    "header over 100 MB": lambda: (2**40).to_bytes(8, "little") + b"{}",
    "no JSON": lambda: raw("{z1}", bytes(4)),
    "JSON nested deeply": lambda: raw("[" * 100_000),
    "JSON without end": lambda: raw('{"z1":' + "9" * 9999 + "}"),
    "NaN in JSON": lambda: raw('{"z1":NaN}'),
    "a list": lambda: raw("[1]"),
    "not UTF-8": lambda: b"\x02" + bytes(7) + b"\xff\xff",
    "no tensors": lambda: raw("{}"),
    "equal names": lambda: raw(f'{{"z1":{ONE},"z1":{ONE}}}', bytes(4)),
    "equal roles": lambda: as_safetensors({"z1": np.ones(1), "made/z1": np.ones(1)}),
    "overlap": lambda: raw(f'{{"a":{ONE},"b":{ONE}}}', bytes(4)),
    "a gap": lambda: raw(f'{{"a":{ONE}}}'.replace("[0,4]", "[4,8]"), bytes(8)),
    "out of bounds": lambda: raw(f'{{"a":{ONE}}}', bytes(3)),
    "too much": lambda: whole() + b"\0",
    "negative offset": lambda: edited("made/z1", data_offsets=[-8, 0]),
    "unknown dtype": lambda: edited("made/z1", dtype="F8_E4M3"),
    "bool": lambda: as_safetensors({"z1": np.ones(3, bool)}),
    "complex": lambda: edited("made/z1", dtype="C64"),
    "wrong shape": lambda: edited("made/z1", shape=[5, 4]),
    "negative side": lambda: edited("made/z1", shape=[-5, -3]),
    "endless sides": lambda: edited("made/z1", shape=[0, 2**62]),
    "a name to obey": lambda: as_safetensors({"\x1b[2J": np.ones(1)}),
    "a reserved name": lambda: as_safetensors({"new_W1": np.ones(1)}),
    "wrong version": lambda: as_safetensors(named(trace()), metadata(trace(), version="2")),
    "wrong format": lambda: as_safetensors(named(trace()), metadata(trace(), format="pt")),
    "unknown metadata": lambda: as_safetensors(named(trace()), metadata(trace(), node="[]")),
    "order of what is not there": lambda: as_safetensors(
        named(trace()), metadata(trace(), order='["z9"]')
    ),
    "order leaves out": lambda: as_safetensors(named(trace()), metadata(trace(), order='["z1"]')),
    "unknown operation": lambda: with_node(operation="__import__"),
    "absent input": lambda: with_node(inputs=["b2", "q", "vb2", "sb2", "new_tb2"]),
    "too many inputs": lambda: with_node(inputs=["b2"] * 9),
    "made twice": lambda: with_node(outputs=["vb2", "sb2", "W1"]),
    "wild options": lambda: with_node(options={"lr": 1, "cmd": "rm"}),
    "a list as an option": lambda: with_node(options=ADAM | {"lr": [1]}),
    "lr as text": lambda: with_node(options=ADAM | {"lr": "0.1"}),
    "infinite lr": lambda: with_node(options=ADAM | {"lr": 1e300}),
    "wild layer": lambda: with_node(layer=10**12),
    "npz of objects": lambda: as_npz({"z1": np.array([{}], object)}),
    "npz of text": lambda: as_npz({"z1": np.array(["a"])}),
    "npz of complex": lambda: as_npz({"z1": np.ones(2, complex)}),
    "npz of bool": lambda: as_npz({"z1": np.ones(2, bool)}),
    "npz of long doubles": lambda: as_npz({"z1": np.ones(2, np.longdouble)}),
    "npz of records": lambda: as_npz({"z1": np.zeros(2, "i4,f4")}),
    "npz with nothing": lambda: as_npz({}),
    "npz bomb": bomb,
    "npz names twice": twice,
    "npz cut short": lambda: as_npz(named(trace()))[:-9],
    "npz with bad metadata": lambda: as_npz({"__metadata__": np.ones(3)}),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_files_end_with_one_line_and_status_2(
    bad: str, parity: Parity, pair: tuple[Path, Path], tmp_path: Path, golden: Golden
) -> None:
    (tmp_path / "bad").write_bytes(BAD[bad]())
    for files in ((str(pair[0]), "bad"), ("bad", str(pair[0]))):
        said = refusal(parity("diff", *files))
        assert said.startswith("parity: bad")
        assert said.count("\n") == 1
        golden.section("trace-files", BY_PYTHON.sub(r"\1 ...", said))


def test_no_file_and_no_plain_file(
    parity: Parity, pair: tuple[Path, Path], tmp_path: Path, golden: Golden
) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = [refusal(parity("diff", name, str(pair[0]))) for name in ("none", ".", "pipe")]
    golden.section("trace-files", "".join(said))


@pytest.mark.parametrize("kind", [as_safetensors, as_npz])
def test_a_file_cut_at_any_byte_is_refused(kind: Callable[..., bytes], tmp_path: Path) -> None:
    content = kind({"made/z1": np.ones((2, 3)), "made/a1": np.ones(2)})
    for length in range(len(content)):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(InputError):
            load(tmp_path / "cut")


def test_a_file_that_changes_while_it_is_judged_is_refused(pair: tuple[Path, Path]) -> None:
    file = load(pair[0])
    pair[0].write_bytes(pair[0].read_bytes()[:-400])
    with pytest.raises(InputError, match="ends too early"):
        dict(file.made), dict(file.given)


def test_record_writes_what_diff_can_judge(parity: Parity, tmp_path: Path, golden: Golden) -> None:
    case = ("--data", "moons", "--hidden", "4", "--optimizer", "adam", "--dtype", "float32")
    for side in ("manual", "torch"):
        ended = parity("record", *case, "--side", side, "--out", f"{side}.safetensors")
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith(f"{side}.safetensors: step 3 of {side}, ")
    ended = parity("diff", "manual.safetensors", "torch.safetensors", "--json")
    record = json.loads(ended.out)
    assert (ended.status, record["passed"]) == (0, True)
    assert record["called"] == {"manual": "manual", "torch": "torch"}
    assert load(tmp_path / "torch.safetensors").about["case"]["optimizer"] == "adam"
    other = ("record", *case, "--seed", "1", "--out", "manual.safetensors")
    golden.section("trace-files", refusal(parity(*other)))
    assert parity(*other, "--force").status == 0
    ended = parity("diff", "manual.safetensors", "torch.safetensors")
    assert ended.status == 1
    assert "FAIL The two do not begin from the same numbers" in ended.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["manual.safetensors", "torch.safetensors"]


def test_record_writes_npz_where_the_name_says_so(parity: Parity, tmp_path: Path) -> None:
    """The same tensors, nodes and description as in safetensors."""
    for name in ("torch.npz", "again.npz", "torch.safetensors"):
        assert parity("record", "--data", "moons", "--hidden", "4", "--out", name).status == 0
    one, other = load(tmp_path / "torch.npz"), load(tmp_path / "torch.safetensors")
    assert repr(one.nodes) == repr(other.nodes)
    assert (one.about, one.notes) == (other.about, other.notes)
    assert list(one.made) == list(other.made)
    for role in ("given", "made"):
        tensors = dict(getattr(other, role))
        with np.load(tmp_path / "torch.npz") as plain:
            for name, tensor in tensors.items():
                np.testing.assert_array_equal(plain[f"{role}/{name}"], tensor)
    assert Path("torch.npz").read_bytes() == Path("again.npz").read_bytes()
    record = json.loads(parity("diff", "torch.npz", "torch.safetensors", "--json").out)
    assert record["passed"]
    assert record["replays"]["manual"], "nothing was replayed"


def test_no_npz_of_what_it_cannot_hold(parity: Parity, tmp_path: Path) -> None:
    halves = ("record", "--data", "moons", "--hidden", "4", "--dtype", "bfloat16")
    assert "bfloat16" in refusal(parity(*halves, "--out", "torch.npz"))
    module = ("record", "--module", "net.py:make", "--out", "net.npz")
    assert ".safetensors" in refusal(parity(*module))
    assert [*tmp_path.iterdir()] == []


def test_record_refuses_what_it_cannot_write(parity: Parity, golden: Golden) -> None:
    case = ("record", "--data", "moons", "--hidden", "4")
    nowhere = refusal(parity(*case, "--out", "no/such/folder/file"))
    diverged = refusal(parity(*case, "--lr", "1e200", "--step", "9", "--out", "file"))
    golden.section("trace-files", nowhere + diverged)


def test_the_docs_list_every_operation_with_what_it_takes() -> None:
    of_ranks = {"shard", "all_reduce"}  # a file holds one rank's step; parity ranks joins them
    assert set(known_operations()) == set(FUNCTIONS) - of_ranks - {"zeros"}
    text, _, _ = render(Page("docs/trace-format.md"))
    for name in known_operations():
        s = signature(name)
        assert s is not None
        inputs = ", ".join(s.inputs) + (", ..." if s.any_number else "")
        outputs = ", ".join(s.outputs) + (", ..." if s.any_outputs else "")
        row = f"| `{name}` | {inputs} | {outputs} | {', '.join(s.options)} |"
        assert row in text, row


def test_a_file_without_nodes_is_judged_by_those_of_the_other(
    pair: tuple[Path, Path], golden: Golden
) -> None:
    made = {n: np.asarray(a) for n, a in trace("torch").made.items()}
    save(pair[1], replace(trace("torch"), nodes=()), {})
    assert diff(*pair).passed
    other = replace(trace("torch"), made=made | {"z1": made["z1"] * (1 + 1e-9)}, nodes=())
    save(pair[1], other, {})
    report = diff(*pair)
    assert report.outcome == "FAIL"
    assert report.judgement.root is not None
    assert (report.judgement.root.side, report.judgement.root.found.name) == ("torch", "z1")
    assert len(report.notes) == 1
    pair[1].write_bytes(as_safetensors(named(trace("torch"))))  # and without metadata
    report = diff(*pair)
    assert report.passed
    assert len(report.judgement.replays["torch"]) > 10
    golden.section("trace-files", "\n".join(report.notes))


def test_an_older_file_has_a_softmax_without_an_axis(tmp_path: Path) -> None:
    case, data = case_and_data(3, activation="softmax", hidden=(6,))
    r = steps(case, data)[-1]
    bare = tuple(
        replace(n, options={}) if n.operation.startswith("softmax") else n for n in r.nodes
    )
    save(tmp_path / "old.safetensors", Trace(r.start, r.manual, bare), {})
    loaded = load(tmp_path / "old.safetensors").nodes
    assert [dict(n.options) for n in loaded] == [dict(n.options) for n in r.nodes]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_and_its_options_survive_a_file(name: str, tmp_path: Path) -> None:
    row = OPERATIONS[name]
    for options in row.options:
        at = row.samples(np.random.default_rng(0), np.float64)
        made = row.forward(*at.values(), **options)
        many = made if isinstance(made, tuple) else (made,)
        names = [f"part{i}" for i in range(len(many))] if row.any_outputs else row.outputs
        out = dict(zip(names, many, strict=True))
        node = Node(name, tuple(at), tuple(names), options)
        save(tmp_path / "one.safetensors", Trace(at, out, (node,)), {})
        (read,) = load(tmp_path / "one.safetensors").nodes
        assert (read.operation, read.inputs, read.outputs) == (name, node.inputs, node.outputs)
        assert dict(read.options) == dict(options)


@pytest.mark.parametrize(
    ("operation", "option", "wrong"),
    [
        ("conv2d", "stride", (1, 2, 3)),
        ("conv2d", "padding", 10**6),
        ("conv2d", "padding", -1),
        ("conv2d", "groups", (1, 1)),
        ("max_pool2d", "stride", "2"),
        ("batch_norm", "training", 1),
        ("pad", "pad", 1),
        ("pad", "pad", (1, 10**6)),
        ("pad", "pad", (1, -1)),
    ],
)
def test_an_option_of_another_type_is_refused(operation: str, option: str, wrong: Any) -> None:
    with pytest.raises(ValidationError):
        option_type(operation, option).validate_python(wrong)


MASKED = OPERATIONS["scaled_dot_product_attention"]


def attention(*masks: str, **replaced: np.ndarray) -> Trace:
    """One step of attention, with the mask or without, and what is replaced."""
    options = MASKED.options[0]
    at = MASKED.samples(np.random.default_rng(0), np.float64)
    at = {n: a for n, a in at.items() if n != "attn_mask" or n in masks}
    made = {"out": MASKED.forward(*at.values(), **options)}
    node = Node(MASKED.name, tuple(at), ("out",), options)
    at |= {n: a for n, a in replaced.items() if n in at}
    made |= {n: a for n, a in replaced.items() if n in made}
    return Trace(at, made, (node,))


@pytest.mark.parametrize("kind", [as_safetensors, as_npz])
def test_a_mask_of_booleans_is_judged(kind: Callable[..., bytes], tmp_path: Path) -> None:
    def outcome(one: Trace, other: Trace) -> str:
        for name, side in (("a", one), ("b", other)):
            (tmp_path / name).write_bytes(kind(named(side), metadata(side)))
        return diff(tmp_path / "a", tmp_path / "b").outcome

    right = attention("attn_mask")
    assert outcome(right, right) == "PASS"
    assert outcome(attention(), attention()) == "PASS"  # a mask may be left out
    unmasked = attention().made["out"]
    assert outcome(right, attention("attn_mask", out=unmasked)) == "FAIL"
    both = attention("attn_mask", out=unmasked)
    assert outcome(both, both) == "FAIL"
    mask = right.given["attn_mask"]
    assert outcome(right, attention("attn_mask", attn_mask=~mask)) == "FAIL"


def test_booleans_are_nothing_but_masks(tmp_path: Path) -> None:
    query = attention("attn_mask", query=np.ones((2, 2, 4, 3), bool))
    (tmp_path / "query").write_bytes(as_safetensors(named(query), metadata(query)))
    with pytest.raises(InputError, match="takes 'query', which is of booleans"):
        load(tmp_path / "query")
    twos = header_of(
        as_safetensors({"given/attn_mask": np.array([0, 2], np.uint8)}),
        lambda h: h["given/attn_mask"].update(dtype="BOOL"),
    )
    (tmp_path / "twos").write_bytes(twos)
    with pytest.raises(InputError, match="neither 0 nor 1"):
        load(tmp_path / "twos").given["attn_mask"]
