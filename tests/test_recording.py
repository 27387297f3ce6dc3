"""What a record of a hand-written forward keeps, and what its tensors refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from torch_parity import manual
from torch_parity.manual import operations
from torch_parity.manual.recording import (
    HOMES,
    Tape,
    UnrecordedOperationError,
    by_name,
    input_names,
    operation,
    option_names,
    recording,
    takes_any_number,
)


@operation
def parted(z: np.ndarray, *, at: int = 2, name: str = "half") -> tuple[np.ndarray, np.ndarray]:
    return z[:at], z[at:]


@operation
def stacked(*rows: np.ndarray, scale: float) -> np.ndarray:
    return scale * np.stack(rows)


@operation
def shifted(by: np.ndarray, *rows: np.ndarray) -> np.ndarray:
    return by + np.stack(rows)


def test_a_call_keeps_its_tensors_and_all_of_its_options() -> None:
    with recording() as tape:
        x = tape.give({"x": np.arange(5.0)})["x"]
        first, rest = parted(x, at=3)
        both = stacked(first, first, scale=0.5)
    one, two = tape.calls
    assert (one.operation, one.options) == ("parted", {"at": 3, "name": "half"})
    assert one.inputs == (x,)
    assert one.outputs[0] is first
    assert one.outputs[1] is rest
    assert (two.operation, two.options) == ("stacked", {"scale": 0.5})
    assert two.outputs == (both,)
    assert np.array_equal(np.asarray(both), [[0.0, 0.5, 1.0]] * 2)
    assert one.line.startswith("test_recording.py:")
    assert int(two.line.partition(":")[2]) == int(one.line.partition(":")[2]) + 1


def test_a_call_is_found_again_among_others_of_its_operation() -> None:
    with recording() as tape:
        x = tape.give({"x": np.arange(5.0)})["x"]
        parted(parted(x)[1])
    assert tape.calls.index(tape.calls[1]) == 1


def test_what_is_given_is_a_copy_that_cannot_be_written_to() -> None:
    mine = np.ones(3)
    with recording() as tape:
        x = tape.give({"x": mine})["x"]
        y = tape.give({"y": 2 * mine})["y"]
        mine[:] = 7
        h = manual.identity(x)
    assert list(tape.given) == ["x", "y"]
    assert tape.given["y"] is y
    assert np.array_equal(np.asarray(h), [1.0, 1.0, 1.0])
    for tensor in (x, h):
        with pytest.raises(ValueError, match="read-only"):
            tensor[0] = 3.0
    assert set(tape.known) == {id(t) for t in (x, y, h)}


def test_records_are_apart() -> None:
    with recording() as outer:
        with recording() as inner:
            manual.relu(inner.give({"x": np.ones(2)})["x"])
        manual.tanh(outer.give({"x": np.ones(2)})["x"])
    assert [c.operation for c in outer.calls] == ["tanh"]
    assert [c.operation for c in inner.calls] == ["relu"]
    assert not Tape().given
    assert not Tape().calls


def test_a_record_ends_with_an_error() -> None:
    with recording() as tape:
        x = tape.give({"x": np.ones(2)})["x"]
    with pytest.raises(UnrecordedOperationError), recording():
        _ = x * 2
    assert np.array_equal(x * 2, [2.0, 2.0])


LOOKS: dict[str, Callable[[np.ndarray], Any]] = {
    "float": float,
    "int": int,
    "bool": bool,
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
    "an entry": lambda x: x[()],
    "numpy.subtract": lambda x: x - 1,
    "numpy.multiply": lambda x: np.multiply(x, x),
    "a sum in place": lambda x: np.add(x, x, out=np.zeros(())),
    "a sum over an axis": lambda x: np.add.outer(x, x),
    "numpy.where": lambda x: np.where(x, x, 0),
    "a view": lambda x: x.view(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_at_the_numbers_is_refused_while_the_record_is_open(look: str) -> None:
    with recording() as tape:
        x = tape.give({"x": np.asarray(3.0)})["x"]
        with pytest.raises(UnrecordedOperationError, match=r"^test_recording\.py:\d+: "):
            LOOKS[look](x)
    assert not tape.calls
    found = LOOKS[look](x)
    assert found == LOOKS[look](np.asarray(3.0))
    assert type(found) is type(LOOKS[look](np.asarray(3.0))) or look in ("a view", "an entry")


def test_plain_sums_stay_plain_after_the_record() -> None:
    with recording() as tape:
        x = tape.give({"x": np.ones(2)})["x"]
    assert np.array_equal(x + x, [2.0, 2.0])
    assert np.array_equal(np.sqrt(x, out=np.zeros(2)), [1.0, 1.0])
    assert np.array_equal(np.add.reduce(x), 2.0)
    assert not tape.calls


def test_unknown_tensors_are_named_even_among_many() -> None:
    with recording() as tape:
        x = tape.give({"x": np.ones(2)})["x"]
        with pytest.raises(UnrecordedOperationError, match=r"rows\[2\] of stacked was made by no"):
            stacked(x, x, np.ones(2), scale=1.0)
        with pytest.raises(UnrecordedOperationError, match="rows of stacked was made by no"):
            stacked(np.ones(2), x, scale=1.0)
        with pytest.raises(UnrecordedOperationError, match=r"rows\[2\] of shifted was made by no"):
            shifted(x, x, np.ones(2))


@pytest.mark.parametrize("value", [True, 3, 0.5, "mean", (1, 2), None])
def test_options_are_python_values(value: Any) -> None:
    with recording() as tape:
        x = tape.give({"x": np.ones(2)})["x"]
        try:
            parted(x, name=value)
        except UnrecordedOperationError as error:  # pragma: no cover
            pytest.fail(str(error))
        for tensor in (np.ones(1), [1]):
            with pytest.raises(UnrecordedOperationError, match="the option name of parted is a"):
                parted(x, name=tensor)  # type: ignore[arg-type]


@pytest.mark.parametrize(("folder", "name"), [("ops", "gru_cell"), ("losses", "l1_loss")])
def test_an_operation_that_is_not_imported_yet_is_found_by_its_file(folder: str, name: str) -> None:
    found = operations._imported.__wrapped__
    assert found(name) == f"torch_parity.manual.{folder}.{name}"
    for wrong in ("numpy", f"{name}.x", ""):
        with pytest.raises(KeyError):
            found(wrong)


def test_the_signature_of_an_operation() -> None:
    assert (input_names(parted), option_names(parted)) == (("z",), ("at", "name"))
    assert (input_names(stacked), option_names(stacked)) == (("rows",), ("scale",))
    assert (takes_any_number(parted), takes_any_number(stacked)) == (False, True)
    assert HOMES["parted"] == __name__
    assert HOMES["relu"] == "torch_parity.manual.ops.relu"
    assert parted.__name__ == "parted"


def test_arguments_by_name() -> None:
    """One that takes any number has all that are left; one that is left out is not there."""
    x, y, z = (np.ones(1),) * 3
    assert by_name(manual.linear, (x, y)) == {"x": (x,), "W": (y,)}
    of_norms = manual.get_total_norm_backward
    assert by_name(of_norms, (x, y, z)) == {"dtotal_norm": (x,), "tensors": (y, z)}
    assert by_name(of_norms, (x,)) == {"dtotal_norm": (x,), "tensors": ()}
