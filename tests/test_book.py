"""The book takes what it shows from the sources, covers them, and refuses what it cannot find."""

import inspect
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import torch_parity
from book import computed, docstring, maths, search, source
from book.page import Page, render, split
from book.shorthand import EXPAND, KINDS, Here
from torch_parity import manual
from torch_parity.compare import causes
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.errors import InputError
from torch_parity.compare.models import model_names
from torch_parity.lessons import LESSONS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BOTH = (
    "index",
    "course",
    "numpy-to-pytorch",
    "lessons/index",
    "your-own-code",
    "train-modules",
    "how-to/command-line",
    "how-to/own-data",
    "how-to/dashboard",
    "how-to/notebooks",
    "how-to/pytest",
)  # in both languages, beside the lessons


def written() -> set[str]:
    return {p.name.removesuffix(".md") for p in (DOCS / "lessons").glob("*[a-z].md")} - {"index"}


def test_lessons_and_table_are_there_in_both_languages() -> None:
    english = {name for name in written() if not name.endswith(".zh")}
    assert english == set(LESSONS)
    assert {name.removesuffix(".zh") for name in written() if name.endswith(".zh")} - {
        "index"
    } == english
    for name in BOTH:
        assert (DOCS / f"{name}.md").is_file()
        assert (DOCS / f"{name}.zh.md").is_file()


def test_every_model_has_its_page_and_picture_in_both_languages() -> None:
    for name in model_names():
        for page in (f"{name}.md", f"{name}.zh.md"):
            text = (DOCS / "models" / page).read_text("utf-8")
            assert f"]({name}.png)" in text, page
            assert f"<!-- code: examples/plain/{name}.py -->" in text, page
        assert (DOCS / "models" / f"{name}.png").is_file()


# of manual's names, those that compute nothing
WHAT_DESCRIBES = {"COURSE", "MODULE_PATHS", "Model", "Names", "Optimizer", "weights_of"}


def rows(page: str) -> dict[str, str]:
    """Of the table from NumPy to PyTorch: each name by hand, and the file that it links to."""
    links = r"\[`(\w+)`\]\(\.\./(manual/[\w/]+\.py)\)"
    first = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| [")]
    return dict(pair for cell in first for pair in re.findall(links, cell))


@pytest.mark.parametrize("page", ["numpy-to-pytorch.md", "numpy-to-pytorch.zh.md"])
def test_every_function_by_hand_is_in_the_table(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    found, expected = rows(text), set(manual.__all__) - WHAT_DESCRIBES
    assert set(found) == expected
    for name, path in found.items():
        assert name in source.definitions(path), f"{path} does not define {name}"
    assert set(rows(text.replace("[`softmax`]", "softmax"))) != expected


BAR = re.compile(r"(?<!\\)\|")
GENERATED = ("reference/case", "reference/manual", "trace-format", "course", "course.zh")


def split_rows(page: str) -> list[str]:
    """Rows of tables that have another number of cells than the first row: a bare | is in one."""
    found, cells = [], None
    for is_code, part in split(page):
        for line in () if is_code else part.splitlines():
            bars = len(BAR.findall(line)) if line.lstrip().startswith("|") else None
            if bars and cells and bars != cells:
                found.append(line)
            cells = cells or bars if bars else None
    return found


def test_no_row_of_a_table_is_split_by_a_bar_inside_a_cell() -> None:
    head = "| a | b |\n| --- | --- |\n"
    assert split_rows(f"{head}| 1 | `x | y` |\n\n| one |\n") == ["| 1 | `x | y` |"]
    assert split_rows(f"{head}| 1 | \\|x\\| |\n") == []
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
    texts = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in pages}
    texts |= {name: render(Page(f"docs/{name}.md"))[0] for name in GENERATED}
    assert sum(text.count("| --- |") for text in texts.values()) > 50
    assert {name: wrong for name, text in texts.items() if (wrong := split_rows(text))} == {}


def test_sources_belong_to_causes_that_exist() -> None:
    with (DOCS / "sources.toml").open("rb") as file:
        met = tomllib.load(file)
    assert set(met) <= set(CATALOGUE)
    for name, found in met.items():
        assert found, name
        assert all(set(s) == {"title", "url"} for s in found), name
        assert all(s["url"].startswith("https://") for s in found), name
        assert len({s["url"] for s in found}) == len(found), name


def test_the_catalogue_has_an_entry_for_every_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the judge says of it, which tests/test_site.py looks for on the built page."""
    listed = [cause.name for kind in KINDS for cause in getattr(causes, kind).CAUSES]
    assert sorted(listed) == sorted(CATALOGUE)
    monkeypatch.setattr(computed, "fault", lambda name: {"whole": f"said of {name}"})
    page = EXPAND["catalogue"](Here("en", "", "causes.md"), "")
    for name, cause in CATALOGUE.items():
        entry = page.partition(f"### {name} {{#{name}}}")[2].partition("\n### ")[0]
        for part in (cause.sentence, cause.manual, cause.torch, f"said of {name}\n"):
            assert part in entry


def test_what_the_judge_says_is_what_the_command_prints() -> None:
    said = computed.fault("keep_prob")
    assert "Cause (manual): keep_prob, seen in h1" in said["short"]
    assert said["short"] in said["whole"]
    assert said["whole"].rstrip().endswith("Planted: keep_prob. Found: keep_prob.")
    assert said["short"].rstrip().endswith("nn.Dropout(p)  # p = 1 - keep_prob")


def test_code_is_taken_from_the_files() -> None:
    shown = source.excerpt("manual/ops/dropout.py", ["dropout", "dropout_backward"])
    assert (
        shown
        == f"{inspect.getsource(manual.dropout)}\n\n{inspect.getsource(manual.dropout_backward)}"
    )
    method = source.excerpt("manual/optimizers/momentum.py", ["Momentum.update"])
    assert method.startswith("def update(self")
    assert source.excerpt("manual/optimizers/momentum.py", ["Momentum"]).startswith(
        "@dataclass(frozen=True)\n"
    )
    with pytest.raises(KeyError, match=r"manual/ops/dropout\.py defines no 'drop'"):
        source.excerpt("manual/ops/dropout.py", ["drop"])


@pytest.mark.parametrize("package", [torch_parity, manual])
def test_the_reference_has_every_public_name(package: ModuleType) -> None:
    name = package.__name__
    page = EXPAND["reference"](Here("en", "", f"reference/{name}.md"), name)
    for public in set(package.__all__) - {"__version__"}:
        assert f"## {public} {{#{name}.{public}}}" in page


def test_docstrings_become_prose_equations_and_lists() -> None:
    text = """out = a * b   # [m, n], [m, n] -> [m, n]

    A product of two_names, where `a * b`
    goes on.

        assert out.shape

    Raises:
        ValueError: a < 0; or b
            is.
        KeyError: none.
    """
    assert docstring.as_markdown(inspect.cleandoc(text)).split("\n\n") == [
        "```text\nout = a * b   # [m, n], [m, n] -> [m, n]\n```",
        "A product of two&#95;names, where `a * b` goes on.",
        "```python\nassert out.shape\n```",
        "**Raises:**",
        "- `ValueError`: a &#60; 0; or b is.\n- `KeyError`: none.",
    ]


def test_every_field_of_a_case_is_listed_with_its_default() -> None:
    page = EXPAND["case_fields"](Here("en", "", "reference/case.md"), "")
    listed = {row.split("`")[1]: row.split(" | ") for row in page.splitlines()[2:]}
    assert set(listed) == set(Case.model_fields)
    assert listed["hidden"][1] == "`128,64`"
    assert listed["p"][1::2] == ["`0.2`", "≥ 0, < 1 |"]
    assert listed["reduction"][3] == "`mean`, `sum`, `batchmean` |"
    assert "`gpt`" in listed["model"][3]


def test_the_reference_shows_signatures_and_docstrings_as_they_stand() -> None:
    assert "noqa" not in source.described("manual/ops/conv2d.py", "conv2d").signature
    shown = source.described("manual/optimizers/adam.py", "adam")
    written = inspect.getsource(manual.adam)
    assert written.startswith(shown.signature)
    assert shown.text == inspect.getdoc(manual.adam)
    whole = source.described("manual/optimizers/momentum.py", "Momentum").signature
    assert whole.startswith("class Momentum:\n    lr: float\n")
    assert "    def update(self, W: np.ndarray" in whole


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "<!-- twin: manual/a.py | torch_ref/a.py -->",
            "<!-- twin --> is none of twins",
        ),
        ("Words <!-- output --> within a line.", "is no shorthand on a line of its own"),
        ("[dead](nowhere.md)", "the link 'nowhere.md' leads to no file"),
        ("[dead](../manual/nothing.py)", "leads to no file"),
        ("<!-- mistakes: keep_probs -->", "keep_probs"),
        ("<!-- tables: dropouts -->", "dropouts"),
    ],
)
def test_a_page_that_asks_for_what_is_not_there_is_refused(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text  # others read as well: importlib.metadata, for the cache's name
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda file, *args, **named: (
            text if file.name == "planted.md" else read(file, *args, **named)
        ),
    )
    with pytest.raises((ValueError, KeyError, InputError), match=re.escape(said)):
        render(Page("docs/planted.md"))


def test_links_lead_out_of_docs_to_a_page_that_shows_the_file() -> None:
    page, linked, _ = render(Page("docs/numpy-to-pytorch.md"))
    assert "](source/manual/ops/linear-py.md)" in page
    assert {"manual/ops/linear.py", "torch_ref/ops/linear.py"} <= linked
    shown, _, _ = render(Page("manual/ops/linear.py"))
    assert (ROOT / "manual" / "ops" / "linear.py").read_text("utf-8") in shown


def test_formulas_become_mathml_and_code_stays() -> None:
    assert maths.inline("a `$HOME$` b") == "a `$HOME$` b"
    assert maths.inline("costs $5 and $6") == "costs $5 and $6"
    made = maths.inline("of $a * b_1$, and $x_2 * y$")
    assert made.count("<math") == made.count("</math>") == 2
    assert "*" not in made
    assert "_" not in made
    assert maths.block("a\nb").count('display="block"') == 2


def test_each_language_has_its_own_index() -> None:
    """Pages that are not translated are in both, as the site has a copy of them in both folders."""
    pages = ["a.html", "a.html#1", "b.html", "zh/a.html", "zh/a.html#1"]
    index = {"config": {}, "docs": [{"location": page, "text": page} for page in pages]}
    english, chinese = search.divided(index)
    assert [d["location"] for d in english["docs"]] == pages[:3]
    assert [d["text"] for d in chinese["docs"]] == ["zh/a.html", "zh/a.html#1", "b.html"]
    assert [d["location"] for d in chinese["docs"]] == pages[:3]
    assert ["boost" in d for d in chinese["docs"]] == [True, True, False]


@pytest.mark.parametrize(("base", "expected"), [("..", "."), ("../..", ".."), ("/", "/")])
def test_pages_in_chinese_look_for_the_index_in_their_folder(base: str, expected: str) -> None:
    page = '<p><script id="__config" type="application/json">{"base": "%s", "x": "中"}</script></p>'
    assert search.rebased(page % base) == page % expected
