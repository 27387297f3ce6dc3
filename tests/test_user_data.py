"""Data of every kind: what is read, what is refused and why, and in which shape it is handed on."""

import contextlib
import gc
import io
import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from tests.golden_text import Golden
from torch_parity.compare.case import Case
from torch_parity.compare.data import SETS, Data, flower, load, targets
from torch_parity.compare.data.user_data import Raw, read
from torch_parity.compare.errors import InputError

X = np.array([[0.5, -1.0], [2.0, 3.5], [-4.0, 0.25], [1.0, 8.0], [6.0, -7.0]])
Y = np.array([0, 1, 1, 0, 1])
X_TEST = np.array([[9.0, -9.0], [8.0, -8.0], [7.0, -7.0]])
Y_TEST = np.array([1, 0, 1])

Write = Callable[..., str]
Refused = Callable[..., str]


@pytest.fixture
def csv(tmp_path: Path) -> Write:
    """Writes text (or bytes) to a .csv -> its path."""

    def write(content: str | bytes) -> str:
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def npz(tmp_path: Path) -> Write:
    """Writes arrays, or bytes as they come, to a .npz -> its path."""

    def write(content: bytes | None = None, **arrays: Any) -> str:
        path = tmp_path / "arrays.npz"
        path.write_bytes(_archive(**arrays) if content is None else content)
        return str(path)

    return write


def _archive(save: Callable[..., None] = np.savez, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def _table(labels: list[Any], name: str = "y") -> str:
    """A .csv with the features of X, the target between them."""
    rows = (f"{a},{label},{b}" for (a, b), label in zip(X, labels, strict=True))
    return "\n".join([f"a,{name},b", *rows]) + "\n"


@pytest.fixture
def refused(golden: Golden) -> Iterator[Refused]:
    """Reads a file, which must be refused with one line that names it -> the message. Its wording
    is in tests/golden/user-data.txt."""

    def refuse(path: str, target: str | None) -> str:
        with pytest.raises(InputError) as caught:
            read(path, target)
        message = str(caught.value)
        assert Path(path).name in message
        assert len(message.splitlines()) == 1, f"not one line: {message!r}"
        messages[message] = None
        return message

    messages: dict[str, None] = {}  # in order, each once
    yield refuse
    if messages:
        golden.section("user-data", "\n".join(messages))


class TestCsv:
    """Labels decide by what they are: whole numbers and text are classes, the rest are numbers."""

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            pytest.param([0, 1, 1, 0, 2], [0, 1, 1, 0, 2], id="integers"),
            pytest.param(["0.0", "1.0", "1.0", "0.0", "1.0"], [0, 1, 1, 0, 1], id="whole-floats"),
            pytest.param(["dog", "cat", "dog", "ant", "cat"], [2, 1, 2, 0, 1], id="text"),
            pytest.param([True, False, True, True, False], [1, 0, 1, 1, 0], id="booleans"),
            pytest.param([7, "cat", 7, 7, "cat"], [0, 1, 0, 0, 1], id="numbers-and-text"),
            pytest.param(["1_0", "0_1"] * 2 + ["0_1"], [1, 0, 1, 0, 0], id="no-python-literals"),
        ],
    )
    def test_labels_become_class_indices(
        self, csv: Write, labels: list[Any], expected: list[int]
    ) -> None:
        raw = read(csv(_table(labels)), "y")
        assert raw.labels.dtype.kind in "iu"
        np.testing.assert_array_equal(raw.labels, expected)
        np.testing.assert_array_equal(raw.x, X)
        assert raw.x_dev is None
        assert raw.labels_dev is None

    def test_real_labels_stay_numbers(self, csv: Write) -> None:
        labels = [0.5, -3.0, 1e6, 2.0, 0.0]
        raw = read(csv(_table(labels)), "y")
        assert raw.labels.dtype == np.float64
        np.testing.assert_array_equal(raw.labels, labels)

    @pytest.mark.parametrize("name", ["a,b", "größe", "the label"])
    def test_a_target_may_have_any_name(self, csv: Write, name: str) -> None:
        text = _table([0, 1, 1, 0, 1], name=f'"{name}"')
        np.testing.assert_array_equal(read(csv(text), name).labels, Y)

    def test_boolean_and_integer_features_become_float64(self, csv: Write) -> None:
        raw = read(csv("a,b,y\n1,True,0\n2,False,1\n"), "y")
        assert raw.x.dtype == np.float64
        np.testing.assert_array_equal(raw.x, [[1, 1], [2, 0]])


class TestCsvRefused:
    def test_no_target(self, refused: Refused, csv: Write) -> None:
        assert refused(csv(_table([0, 1, 0, 1, 0])), None).endswith(": a, y, b")

    def test_missing_file(self, refused: Refused, tmp_path: Path) -> None:
        refused(str(tmp_path / "gone.csv"), "y")

    def test_folder(self, refused: Refused, tmp_path: Path) -> None:
        (tmp_path / "folder.csv").mkdir()
        refused(str(tmp_path / "folder.csv"), "y")

    @pytest.mark.parametrize("content", ["", "\n\n", "  \n"])
    def test_empty(self, refused: Refused, csv: Write, content: str) -> None:
        refused(csv(content), "y")

    def test_names_without_rows(self, refused: Refused, csv: Write) -> None:
        refused(csv("a,b,y\n"), "y")

    def test_no_features(self, refused: Refused, csv: Write) -> None:
        refused(csv("y\n0\n1\n0\n"), "y")

    def test_misspelt_target(self, refused: Refused, csv: Write) -> None:
        text = _table([0, 1, 1, 0, 1], name="label")
        refused(csv(text), "lable")

    def test_unlike_target_lists_the_columns(self, refused: Refused, csv: Write) -> None:
        refused(csv(_table([0, 1, 1, 0, 1])), "species")

    def test_two_columns_of_the_targets_name(self, refused: Refused, csv: Write) -> None:
        """Whichever was meant, the other would stay among the features and give the answer away."""
        refused(csv("a,y,y\n1,0,0\n2,1,1\n3,0,0\n"), "y")

    @pytest.mark.parametrize(
        "entry",
        [
            "oops",
            "3;5",
            "",
            "nan",
            "inf",
            "-inf",
            "1_000",
        ],
    )
    def test_entry_that_is_no_finite_number(self, refused: Refused, csv: Write, entry: str) -> None:
        text = f"a,width,y\n1,2,0\n3,4,1\n5,{entry},1\n7,8,0\n"
        message = refused(csv(text), "y")
        assert "np.float64" not in message, "the user wrote no np.float64"

    def test_line_is_that_of_an_editor(self, refused: Refused, csv: Write) -> None:
        """Blank lines are skipped, yet they count for whoever goes to line N to mend it."""
        refused(csv("a,b,y\n1,2,0\n\n\n3,oops,1\n"), "y")

    def test_text_far_down_a_large_file(self, refused: Refused, csv: Write) -> None:
        """A reader that works in chunks can lose count, or decide that the column was text."""
        text = "a,b,y\n" + "1,2,0\n3,4,1\n" * 10_000 + "oops,2,1\n"
        refused(csv(text), "y")

    @pytest.mark.parametrize(
        "labels",
        [
            pytest.param([0, 1, -1, 0, 1], id="negative"),
            pytest.param([0, 1, 3, 0, 1], id="gap"),
            pytest.param([0, 0, 0, 0, 0], id="one-class"),
            pytest.param(["cat"] * 5, id="one-class-of-text"),
            pytest.param([True] * 5, id="one-class-of-booleans"),
            pytest.param([0.5] * 5, id="one-number"),
            pytest.param([0, 1, "", 0, 1], id="none"),
            pytest.param(["cat", "dog", "", "cat", "dog"], id="no-text"),
            pytest.param([0, 1, "inf", 0, 1], id="infinite"),
            pytest.param([0, 1, "NA", 0, 1], id="NA-among-classes"),
            pytest.param([0.5, 1.5, "NA", 2.5, 3.5], id="NA-among-numbers"),
            pytest.param([0.5, 1.5, "oops", 2.5, 3.5], id="text"),
        ],
    )
    def test_labels(self, refused: Refused, csv: Write, labels: list[Any]) -> None:
        """One slip must not turn a column of numbers into as many classes of text."""
        refused(csv(_table(labels)), "y")

    def test_labels_from_1(self, refused: Refused, csv: Write) -> None:
        """The commonest slip. "holds label 1, but must be 0..1" would blame a label in range."""
        message = refused(csv(_table([1, 2, 2, 1, 2])), "y")
        assert "holds label 1," not in message

    @pytest.mark.parametrize("numbers", [True, False])
    def test_rows_longer_than_the_names(self, refused: Refused, csv: Write, numbers: bool) -> None:
        """Many a reader takes the first column for an index, and every name slips by one."""
        rows = "".join(f"{i if numbers else f'r{i}'},{i},{-i},{i % 2}\n" for i in range(6))
        refused(csv("a,b,y\n" + rows), "y")

    @pytest.mark.parametrize(
        ("content", "part"),
        [
            pytest.param(b"a,b,y\n1,2,0\n3,4,1,5,5\n", "line 3", id="ragged"),
            pytest.param(b'a,b,y\n3,4,1\n1,"2"0,0\n3,4,1\n', "line 3", id="stray-quote"),
            pytest.param(b'a,b,y\n3,4,1\n1,"2,0\n3,4,1\n', "line", id="open-quote"),
            pytest.param(b"a,b,y\n\xe9,2,1\n", "UTF-8", id="latin-1"),
            pytest.param("a,b,y\n1,2,1\n".encode("utf-16"), "UTF-8", id="utf-16"),
            pytest.param(bytes(range(256)) * 20, "UTF-8", id="binary"),
        ],
    )
    def test_not_a_table(self, refused: Refused, csv: Write, content: bytes, part: str) -> None:
        message = refused(csv(content), "y")
        assert ("UTF-8" in message) == (part == "UTF-8"), "the encoding is to blame, or it is not"

    def test_short_row(self, refused: Refused, csv: Write) -> None:
        refused(csv("a,b,y\n1,2,0\n3,4\n"), "y")


class TestNpz:
    """Samples may be rows, as here, or columns, as in the course."""

    @pytest.mark.parametrize("x", [X, X.T], ids=["rows", "columns"])
    @pytest.mark.parametrize("y", [Y, Y[None], Y[:, None]], ids=["(m,)", "(1, m)", "(m, 1)"])
    @pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32, bool])
    def test_layouts(self, npz: Write, x: np.ndarray, y: np.ndarray, kind: type) -> None:
        raw = read(npz(features=x, y=y.astype(kind)), "y")
        np.testing.assert_array_equal(raw.x, X)
        np.testing.assert_array_equal(raw.labels, Y)
        assert raw.labels.dtype.kind == "i"
        assert raw.x_dev is None

    def test_real_labels_stay_numbers(self, npz: Write) -> None:
        raw = read(npz(x=X, y=Y + 0.5), "y")
        assert raw.labels.dtype == np.float64
        np.testing.assert_array_equal(raw.labels, Y + 0.5)

    def test_compressed(self, npz: Write) -> None:
        raw = read(npz(_archive(np.savez_compressed, x=X, y=Y)), "y")
        np.testing.assert_array_equal(raw.x, X)

    def test_arrays_of_other_lengths_are_left_alone(self, npz: Write) -> None:
        raw = read(npz(x=X, y=Y, mean=X.mean(axis=0), names=np.array(["a", "b"])), "y")
        np.testing.assert_array_equal(raw.x, X)


class TestNpzWithDevSet:
    """The course's files: train_X (2, m), train_Y (1, m), and test_X, test_Y as the dev set."""

    @staticmethod
    def course(word: str = "test", **changes: np.ndarray) -> dict[str, np.ndarray]:
        arrays = {"train_X": X.T, "train_Y": Y[None]}
        arrays |= {f"{word}_X": X_TEST.T, f"{word}_Y": Y_TEST[None]}
        return arrays | changes

    @staticmethod
    def check(raw: Raw, x_dev: np.ndarray, labels_dev: np.ndarray) -> None:
        assert raw.x_dev is not None
        assert raw.labels_dev is not None
        np.testing.assert_array_equal(raw.x, X)
        np.testing.assert_array_equal(raw.labels, Y)
        np.testing.assert_array_equal(raw.x_dev, x_dev)
        np.testing.assert_array_equal(raw.labels_dev, labels_dev)
        assert raw.labels_dev.dtype == raw.labels.dtype

    @pytest.mark.parametrize("word", ["test", "dev", "val"])
    def test_course_layout(self, npz: Write, word: str) -> None:
        self.check(read(npz(**self.course(word)), "train_Y"), X_TEST, Y_TEST)

    def test_samples_as_rows(self, npz: Write) -> None:
        arrays = {"train_X": X, "train_Y": Y, "test_X": X_TEST, "test_Y": Y_TEST}
        self.check(read(npz(**arrays), "train_Y"), X_TEST, Y_TEST)

    def test_as_many_dev_samples_as_train_samples(self, npz: Write) -> None:
        """The names say which is which; that both have m samples makes nothing ambiguous."""
        arrays = self.course(test_X=-X.T, test_Y=1 - Y[None])
        self.check(read(npz(**arrays), "train_Y"), -X, 1 - Y)

    def test_as_many_dev_samples_as_features(self, npz: Write) -> None:
        """A square test_X lies as train_X does: as columns."""
        arrays = self.course(test_X=X_TEST[:2].T, test_Y=Y_TEST[None, :2])
        self.check(read(npz(**arrays), "train_Y"), X_TEST[:2], Y_TEST[:2])

    def test_no_dev_labels_no_dev_set(self, npz: Write) -> None:
        arrays = self.course()
        del arrays["test_Y"]
        assert read(npz(**arrays), "train_Y").x_dev is None

    def test_features_of_train_are_no_dev_set(self, npz: Write) -> None:
        """test_Y without a test_X of its own must not be paired with what was trained on."""
        with contextlib.suppress(InputError):
            assert read(npz(X=X, train_Y=Y, test_Y=1 - Y), "train_Y").x_dev is None

    def test_load_takes_it_as_the_dev_set(self, npz: Write) -> None:
        """Nothing is drawn at random here, so the order of the file is kept."""
        path = npz(**self.course())
        data = load(Case(data=path, target="train_Y", standardize=False, dev_fraction=0.9))
        np.testing.assert_array_equal(data.x_train, X)
        np.testing.assert_array_equal(data.x_dev, X_TEST)
        np.testing.assert_array_equal(data.labels_dev, Y_TEST)

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"test_Y": np.array([0, 1, 3])}, id="label"),
            pytest.param({"test_X": np.ones((3, 3))}, id="features"),
            pytest.param({"test_Y": Y[None]}, id="samples"),
            pytest.param({"test_X": X_TEST.T * np.nan}, id="nan"),
            pytest.param({"test_Y": np.full(3, np.inf)}, id="inf"),
            pytest.param({"test_Y": np.array(["a", "b", "c"])}, id="text"),
        ],
    )
    def test_refused(self, refused: Refused, npz: Write, changes: dict[str, np.ndarray]) -> None:
        refused(npz(**self.course(**changes)), "train_Y")

    def test_empty_dev_set(self, npz: Write) -> None:
        path = npz(**self.course(test_X=np.empty((2, 0)), test_Y=np.empty((1, 0))))
        with pytest.raises(InputError, match=r"test_X|dev"):
            load(Case(data=path, target="train_Y"))


class TestNpzRefused:
    def test_no_target(self, refused: Refused, npz: Write) -> None:
        assert refused(npz(x=X, label=Y), None).endswith(": x, label")

    def test_missing_file(self, refused: Refused, tmp_path: Path) -> None:
        refused(str(tmp_path / "gone.npz"), "y")

    def test_misspelt_target(self, refused: Refused, npz: Write) -> None:
        refused(npz(x=X, label=Y), "lable")

    @pytest.mark.parametrize(
        "arrays",
        [
            pytest.param({"x": X, "y": Y - 1}, id="negative-label"),
            pytest.param({"x": X, "y": 2 * Y}, id="gap-in-labels"),
            pytest.param({"x": X, "y": 0 * Y}, id="one-class"),
            pytest.param({"x": np.where(X > 7, np.nan, X), "y": Y}, id="nan"),
            pytest.param({"x": np.where(X > 7, np.inf, X), "y": Y}, id="inf"),
            pytest.param({"x": X, "y": [0, 1, np.nan, 0, 1]}, id="nan-label"),
            pytest.param({"x": X, "y": Y.astype(str)}, id="text-labels"),
            pytest.param({"x": X.astype(str), "y": Y}, id="text"),
            pytest.param({"x": X * 1j, "y": Y}, id="complex"),
            pytest.param({"y": Y}, id="no-features"),
            pytest.param({"x": X[:, :0], "y": Y}, id="no-columns"),
            pytest.param({"x": X[:0], "y": Y[:0]}, id="no-samples"),
            pytest.param({"x": X[:4], "y": Y}, id="too-short"),
            pytest.param({"x": X[:, 0], "y": Y}, id="1-D-features"),
            pytest.param({"x": X, "z": X, "y": Y}, id="two"),
        ],
    )
    def test_arrays(self, refused: Refused, npz: Write, arrays: dict[str, Any]) -> None:
        refused(npz(**arrays), "y")

    def test_no_features_are_not_to_be_kept(self, refused: Refused, npz: Write) -> None:
        """ "keep one" is the remedy for two candidates; for none it sends the user astray."""
        assert "keep one" not in refused(npz(x=X[:4], y=Y), "y")

    def test_pickled_objects_are_not_run(
        self, refused: Refused, npz: Write, tmp_path: Path
    ) -> None:
        """A pickle can run anything; no file of data is worth that."""
        trap = tmp_path / "sprung"

        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (trap,)

        objects = np.array([Trap(), Trap()], dtype=object)
        refused(npz(x=X, y=objects), "y")
        refused(npz(pickle.dumps(Trap())), "y")
        assert not trap.exists()

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"a,b,y\n1,2,0\n", id="text"),
            pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), id="image"),
        ],
    )
    def test_not_a_zip(self, refused: Refused, npz: Write, content: bytes) -> None:
        """NumPy takes any such file for a pickle, and its advice to trust it must not be ours."""
        message = refused(npz(content), "y")
        assert "allow_pickle" not in message
        assert "unsafely" not in message

    @pytest.mark.parametrize("keep", [100, -10])
    def test_file_is_closed_again(self, refused: Refused, npz: Write, keep: int) -> None:
        """A handle left open keeps the user, on Windows, from replacing the broken file."""
        path = npz(_archive(x=X, y=Y)[:keep])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            refused(path, "y")
            gc.collect()
        assert [str(w.message) for w in caught if w.category is ResourceWarning] == []

    def test_npy_in_disguise(self, refused: Refused, npz: Write) -> None:
        buffer = io.BytesIO()
        np.save(buffer, X)
        refused(npz(buffer.getvalue()), "y")

    def test_zip_without_arrays(self, refused: Refused, npz: Write) -> None:
        message = refused(npz(_archive()), "y")
        assert not message.endswith(": "), "a list of nothing says nothing"

    @pytest.mark.parametrize("target", ["y", "notes.txt"])
    def test_zip_with_something_else(self, refused: Refused, npz: Write, target: str) -> None:
        """NumPy hands such a member over as bytes. It may be ignored, unless it is the target."""
        buffer = io.BytesIO(_archive(x=X, y=Y))
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("notes.txt", "not an array")
        path = npz(buffer.getvalue())
        if target == "y":
            with contextlib.suppress(InputError):
                np.testing.assert_array_equal(read(path, target).x, X)
        else:
            refused(path, target)

    def test_member_that_is_no_array(self, refused: Refused, npz: Write) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("y.npy", "not an array")
        refused(npz(buffer.getvalue()), "y")

    def test_monstrous_header(self, refused: Refused, npz: Write) -> None:
        """NumPy's refusal is three lines long, and the user gets one."""
        fields = np.zeros(5, dtype=[(f"field_{i:04}", float) for i in range(500)])
        refused(npz(x=fields, y=Y), "y")

    def test_header_that_promises_more_than_any_memory(self, refused: Refused, npz: Write) -> None:
        """The file is to blame, not --samples. (15 digits are more than can be addressed.)"""
        buffer = io.BytesIO()
        np.save(buffer, X)
        array = buffer.getvalue()
        lie = array.replace(b"(5, 2), }              ", b"(5, 999999999999999), }")
        assert len(lie) == len(array)
        assert lie != array
        buffer = io.BytesIO(_archive(y=Y))
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("x.npy", lie)
        refused(npz(buffer.getvalue()), "y")

    def test_encrypted(self, refused: Refused, npz: Write) -> None:
        """zipfile asks for a password by an error of no particular kind."""
        content = bytearray(_archive(x=X, y=Y))
        content[content.index(b"PK\3\4") + 6] |= 1
        content[content.index(b"PK\1\2") + 8] |= 1
        refused(npz(bytes(content)), "y")

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_cut_short_anywhere(
        self, refused: Refused, npz: Write, save: Callable[..., None]
    ) -> None:
        whole = _archive(save, x=X, y=Y)
        for length in range(0, len(whole) - 1, 3):
            refused(npz(whole[:length]), "y")

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_damaged_anywhere(self, npz: Write, save: Callable[..., None]) -> None:
        """A flipped byte is refused, or lies where nothing depends on it; never a crash."""
        whole = _archive(save, x=X, y=Y)
        outcomes = {"read": 0, "refused": 0}
        for at in range(len(whole)):
            path = npz(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
            try:
                raw = read(path, "y")
            except InputError:
                outcomes["refused"] += 1
            else:
                outcomes["read"] += 1
                np.testing.assert_array_equal(raw.x, X, f"byte {at}")
                np.testing.assert_array_equal(raw.labels, Y, f"byte {at}")
        assert outcomes["refused"] > len(whole) / 4, outcomes


class TestFlower:
    def test_formula(self) -> None:
        """Point by point from the formula, with the math of scalars alone."""
        raw = flower(9, 0.0, np.random.default_rng(0))
        expected, labels = [], []
        for j, count in enumerate((5, 4)):
            for k in range(count):
                t = 3.12 * (j + k / (count - 1))
                r = 4 * math.sin(4 * t)
                expected.append((r * math.sin(t), r * math.cos(t)))
                labels.append(j)
        np.testing.assert_allclose(raw.x, expected, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(raw.labels, labels)

    def test_noise_is_of_the_given_size(self) -> None:
        """With t moved by e and r by f, a point moves by (f + 16 cos(4t) e, r e) along and across
        its ray: for small noise s, E|move|^2 / s^2 = 1 + 16^2 / 2 + 4^2 / 2 = 137 on average."""
        clean = flower(20_000, 0.0, np.random.default_rng(1)).x
        noisy = flower(20_000, 1e-3, np.random.default_rng(1)).x
        moved = np.mean(np.sum((noisy - clean) ** 2, axis=1)) / 1e-3**2
        assert moved == pytest.approx(137, rel=0.05)


def _raw(name: str, **options: Any) -> Data:
    return load(Case(data=name, standardize=False, **options))


def _sorted_rows(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Every sample with its label, in an order that no split can change."""
    rows = np.column_stack([x, labels])
    return rows[np.lexsort(rows.T)]


class TestLoad:
    @pytest.mark.parametrize(
        ("name", "classes", "features", "samples"),
        [
            ("digits", 10, 64, 1797),
            ("breast-cancer", 2, 30, 569),
            ("moons", 2, 2, 400),
            ("circles", 2, 2, 400),
            ("flower", 2, 2, 400),
        ],
    )
    def test_bundled(self, name: str, classes: int, features: int, samples: int) -> None:
        data = load(Case(data=name))
        assert data.name == name
        assert data.classes == classes
        n_dev = round(samples * 0.2)
        assert data.x_train.shape == (samples - n_dev, features)
        assert data.x_dev.shape == (n_dev, features)
        for labels, x in ((data.labels_train, data.x_train), (data.labels_dev, data.x_dev)):
            assert labels.shape == (len(x),)
            assert labels.dtype.kind == "i"
            np.testing.assert_array_equal(np.unique(labels), np.arange(classes))

    def test_every_bundled_set_is_tested_above(self) -> None:
        """sums, which is text, in tests/test_char_lstm.py."""
        assert sorted(SETS) == ["breast-cancer", "circles", "digits", "flower", "moons", "sums"]

    @pytest.mark.parametrize(
        ("name", "sklearn_load"),
        [("digits", datasets.load_digits), ("breast-cancer", datasets.load_breast_cancer)],
    )
    def test_split_loses_and_repeats_nothing(
        self, name: str, sklearn_load: Callable[..., tuple[np.ndarray, np.ndarray]]
    ) -> None:
        data = _raw(name)
        both = _sorted_rows(
            np.concatenate([data.x_train, data.x_dev]),
            np.concatenate([data.labels_train, data.labels_dev]),
        )
        np.testing.assert_array_equal(both, _sorted_rows(*sklearn_load(return_X_y=True)))

    def test_split_keeps_the_share_of_each_class(self) -> None:
        data = load(Case(data="digits"))
        train, dev = np.bincount(data.labels_train), np.bincount(data.labels_dev)
        np.testing.assert_allclose(dev, 0.2 * (train + dev), rtol=0, atol=1)

    @pytest.mark.parametrize(
        ("samples", "fraction", "n_dev"), [(100, 0.25, 25), (41, 0.5, 20), (8, 0.1, 1)]
    )
    def test_split_sizes(self, samples: int, fraction: float, n_dev: int) -> None:
        data = load(Case(data="moons", samples=samples, dev_fraction=fraction))
        assert (len(data.x_train), len(data.x_dev)) == (samples - n_dev, n_dev)

    @pytest.mark.parametrize("fraction", [0.05, 0.99])
    def test_split_that_leaves_nothing(self, fraction: float) -> None:
        with pytest.raises(InputError, match=rf"8 samples.*dev_fraction {fraction}.*at least 1"):
            load(Case(data="moons", samples=8, dev_fraction=fraction))

    def test_split_that_leaves_fewer_train_samples_than_classes(self) -> None:
        """No share of each class can be kept then; scikit-learn's own error must not come out."""
        with contextlib.suppress(InputError):
            data = load(Case(data="moons", samples=8, dev_fraction=0.9))
            assert (len(data.x_train), len(data.x_dev)) == (1, 7)

    def test_class_with_one_sample(self, npz: Write) -> None:
        """It cannot be in train and in dev, and is no reason to give up."""
        path = npz(x=np.arange(40.0).reshape(20, 2), y=np.array([0, 1] * 9 + [0, 2]))
        data = load(Case(data=path, target="y"))
        assert (len(data.x_train), len(data.x_dev), data.classes) == (16, 4, 3)

    @pytest.mark.parametrize("name", ["digits", "moons", "circles", "flower"])
    def test_seed_decides(self, name: str) -> None:
        first, again, other = (load(Case(data=name, seed=seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.x_train, again.x_train)
        np.testing.assert_array_equal(first.labels_dev, again.labels_dev)
        assert not np.array_equal(first.x_train, other.x_train)

    @pytest.mark.parametrize(("name", "noise"), [("moons", 0.2), ("circles", 0.1), ("flower", 0.2)])
    def test_noise(self, name: str, noise: float) -> None:
        """Each set has a noise of its own; 0 is a noise too, and no lack of one."""
        own, given, none = (_raw(name, noise=n).x_train for n in (None, noise, 0.0))
        np.testing.assert_array_equal(own, given)
        assert not np.array_equal(own, none)

    def test_circles_without_noise_are_circles(self) -> None:
        data = _raw("circles", noise=0)
        radii = np.linalg.norm(data.x_train, axis=1)
        np.testing.assert_allclose(radii, np.where(data.labels_train == 0, 1.0, 0.5))

    def test_flower_reaches_the_user(self) -> None:
        data = _raw("flower", noise=0, samples=50)
        both = _sorted_rows(
            np.concatenate([data.x_train, data.x_dev]),
            np.concatenate([data.labels_train, data.labels_dev]),
        )
        raw = flower(50, 0.0, np.random.default_rng(0))
        np.testing.assert_array_equal(both, _sorted_rows(raw.x, raw.labels))

    def test_csv(self, csv: Write) -> None:
        data = load(Case(data=csv(_table(["dog", "cat", "dog", "ant", "cat"])), target="y"))
        assert (data.classes, len(data.x_train), len(data.x_dev)) == (3, 4, 1)

    def test_unknown_name(self) -> None:
        with pytest.raises(
            InputError, match=r"'moon'.*did you mean 'moons'.*\.csv, \.npz or \.txt"
        ):
            load(Case(data="moon"))

    def test_target_of_a_bundled_set(self) -> None:
        with pytest.raises(InputError, match="target is 'y', but moons has its own labels"):
            load(Case(data="moons", target="y"))


class TestStandardize:
    def test_train_has_mean_0_and_deviation_1(self) -> None:
        x = load(Case(data="breast-cancer")).x_train
        np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-12)

    def test_dev_is_scaled_as_measured_on_train(self) -> None:
        """Dev must not be measured: nobody has it before the network is done."""
        raw, data = _raw("breast-cancer"), load(Case(data="breast-cancer"))
        mean, deviation = raw.x_train.mean(axis=0), raw.x_train.std(axis=0)
        np.testing.assert_allclose(data.x_dev, (raw.x_dev - mean) / deviation, atol=1e-9)

    @pytest.mark.parametrize("constant", [0.0, 3.0, 0.1, -1e12])
    def test_constant_column_becomes_0(self, npz: Write, constant: float) -> None:
        """digits has such columns. 0 / 0 would be NaN, and rounding / rounding would be noise."""
        x = np.column_stack([np.full(20, constant), np.arange(20.0)])
        data = load(Case(data=npz(x=x, y=np.arange(20) % 2), target="y"))
        np.testing.assert_allclose(data.x_train[:, 0], 0, atol=1e-15)
        np.testing.assert_allclose(data.x_dev[:, 0], 0, atol=1e-15)
        assert data.x_train[:, 1].std() == pytest.approx(1)

    def test_digits_stay_finite(self) -> None:
        data = load(Case(data="digits"))
        assert np.isfinite(data.x_train).all()
        assert np.isfinite(data.x_dev).all()

    def test_numbers_to_predict_are_scaled_as_measured_on_train(self, npz: Write) -> None:
        labels = 1e6 + np.arange(20) / 3
        path = npz(x=np.arange(40.0).reshape(20, 2), y=labels)
        raw = load(Case(data=path, target="y", standardize=False))
        data = load(Case(data=path, target="y"))
        assert raw.classes == data.classes == 0
        np.testing.assert_array_equal(
            np.sort(np.concatenate([raw.labels_train, raw.labels_dev])), labels
        )
        mean, deviation = raw.labels_train.mean(), raw.labels_train.std()
        np.testing.assert_allclose(data.labels_train, (raw.labels_train - mean) / deviation)
        np.testing.assert_allclose(data.labels_dev, (raw.labels_dev - mean) / deviation)

    def test_numbers_too_large_to_be_squared(self, npz: Write) -> None:
        """Finite, and so accepted, until their variance overflows: refuse them, or scale them."""
        path = npz(x=np.arange(1.0, 41).reshape(20, 2) * 1e300, y=np.arange(20) % 2)
        with contextlib.suppress(InputError):
            x = load(Case(data=path, target="y")).x_train
            np.testing.assert_allclose(x.std(axis=0), 1)

    def test_numbers_too_large_for_float32(self, npz: Write) -> None:
        path = npz(x=np.arange(1.0, 41).reshape(20, 2) * 1e60, y=np.arange(20) % 2)
        with pytest.raises(InputError, match=r"float32|finite"):
            load(Case(data=path, target="y", dtype="float32", standardize=False))

    @pytest.mark.parametrize(
        ("scale", "options"),
        [(1e308, {}), (1e60, {"dtype": "float32", "standardize": False})],
        ids=["float64", "float32"],
    )
    def test_numbers_to_predict_that_overflow(
        self, npz: Write, scale: float, options: dict[str, Any]
    ) -> None:
        """Either they are refused by name, or nothing that is trained on is infinite, or all 0."""
        labels = np.where(np.arange(20) % 2, -1.0, 1.0) * (1 - np.arange(20) / 40) * scale
        labels[0] = 0.5  # so large a float is a whole number, and whole numbers are classes
        case = Case(data=npz(x=np.arange(40.0).reshape(20, 2), y=labels), target="y", **options)
        with contextlib.suppress(InputError):
            t = targets(case, load(case))
            assert np.isfinite(t.y_train).all()
            assert np.isfinite(t.y_dev).all()
            assert np.ptp(t.y_train) > 0


@pytest.fixture
def numbers(npz: Write) -> str:
    """A file whose target is a number, not a class."""
    return npz(x=np.arange(40.0).reshape(20, 2), y=np.arange(20) / 3)


class TestDtype:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("standardize", [True, False])
    @pytest.mark.parametrize("loss", ["mse_loss", "binary_cross_entropy", "cross_entropy"])
    def test_of_everything_that_is_computed_with(
        self, dtype: Any, standardize: bool, loss: Any
    ) -> None:
        case = Case(data="moons", dtype=dtype, standardize=standardize, loss=loss)
        data = load(case)
        t = targets(case, data)
        assert data.x_train.dtype == data.x_dev.dtype == np.dtype(dtype)
        expected = np.dtype(np.int64 if loss == "cross_entropy" else dtype)
        assert t.y_train.dtype == t.y_dev.dtype == expected

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_of_numbers_to_predict(self, numbers: str, dtype: Any) -> None:
        case = Case(data=numbers, target="y", dtype=dtype)
        assert targets(case, load(case)).y_train.dtype == np.dtype(dtype)


class TestTargets:
    @pytest.mark.parametrize(
        ("name", "loss", "chosen", "output", "n_out", "columns"),
        [
            ("moons", "auto", "binary_cross_entropy", "sigmoid", 1, 1),
            ("moons", "binary_cross_entropy", "binary_cross_entropy", "sigmoid", 1, 1),
            ("moons", "binary_cross_entropy_with_logits", None, "identity", 1, 1),
            ("moons", "mse_loss", None, "sigmoid", 1, 1),
            ("moons", "cross_entropy", None, "identity", 2, None),
            ("digits", "auto", "cross_entropy", "identity", 10, None),
            ("digits", "cross_entropy", None, "identity", 10, None),
            ("digits", "binary_cross_entropy", None, "sigmoid", 10, 10),
            ("digits", "binary_cross_entropy_with_logits", None, "identity", 10, 10),
            ("digits", "mse_loss", None, "sigmoid", 10, 10),
        ],
    )
    def test_classes(
        self, name: str, loss: Any, chosen: str | None, output: str, n_out: int, columns: int | None
    ) -> None:
        """Indices (m,) for cross_entropy; else 0 and 1, in one column or one-hot."""
        case = Case(data=name, loss=loss)
        data = load(case)
        t = targets(case, data)
        assert (t.loss, t.output, t.n_out) == (chosen or loss, output, n_out)
        for y, labels in ((t.y_train, data.labels_train), (t.y_dev, data.labels_dev)):
            if columns is None:
                np.testing.assert_array_equal(y, labels)
                continue
            assert y.shape == (len(labels), columns)
            expected = labels[:, None] if columns == 1 else labels[:, None] == np.arange(columns)
            np.testing.assert_array_equal(y, expected)

    @pytest.mark.parametrize("loss", ["auto", "mse_loss"])
    def test_numbers(self, numbers: str, loss: Any) -> None:
        case = Case(data=numbers, target="y", loss=loss)
        data = load(case)
        t = targets(case, data)
        assert (t.loss, t.output, t.n_out) == ("mse_loss", "identity", 1)
        assert t.y_train.shape == (16, 1)
        assert t.y_dev.shape == (4, 1)
        np.testing.assert_array_equal(t.y_dev[:, 0], data.labels_dev)

    @pytest.mark.parametrize(
        "loss", ["cross_entropy", "binary_cross_entropy", "binary_cross_entropy_with_logits"]
    )
    def test_numbers_are_no_classes(self, numbers: str, loss: Any) -> None:
        case = Case(data=numbers, target="y", loss=loss)
        said = rf"loss is {loss}, .*{re.escape(Path(numbers).name)} holds numbers.*--loss mse_loss"
        with pytest.raises(InputError, match=said):
            targets(case, load(case))

    @pytest.mark.parametrize("output", ["softmax", "tanh", "relu"])
    def test_output_of_the_users_choice(self, output: Any) -> None:
        case = Case(data="digits", loss="mse_loss", output=output)
        assert targets(case, load(case)).output == output

    @pytest.mark.parametrize(
        ("name", "output", "loss", "fitting"),
        [
            ("moons", "relu", "binary_cross_entropy", "use sigmoid"),
            ("digits", "softmax", "cross_entropy", "use identity"),
        ],
    )
    def test_output_that_does_not_fit_the_chosen_loss(
        self, name: str, output: Any, loss: str, fitting: str
    ) -> None:
        """Only the data tell which loss `auto` is, so Case cannot have refused this."""
        case = Case(data=name, output=output)
        with pytest.raises(InputError, match=f"output {output} does not fit loss {loss}: "):
            targets(case, load(case))
        with pytest.raises(InputError, match=fitting):
            targets(case, load(case))
