"""The comments on pages, and the Markdown that replaces each of them."""

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from book import blocks, computed, source
from book.course import Named, headings, named
from book.reference import fields_of_a_case, names_of
from book.words import WORDS
from torch_parity.compare import causes
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.cause import Cause
from torch_parity.compare.sources.files.nodes import known_operations, signature
from torch_parity.lessons import LESSONS
from torch_parity.lessons.lesson import Claim, Table, escaped

ROOT = Path(__file__).parent.parent
Spoken = TypeVar("Spoken", Table, Claim)
KINDS = {
    "data": "Data",
    "precision": "Precision",
    "linear": "The linear layer",
    "gradients": "Gradients of weights and biases",
    "activation": "Activations",
    "activation_options": "Options of activations",
    "dropout": "Dropout",
    "norms": "Normalization",
    "images": "Convolution and pooling",
    "recurrent": "Recurrent networks",
    "sequences": "Symbols",
    "clipping": "Gradient clipping",
    "attention": "Attention",
    "additive": "Additive attention",
    "positions": "Positions",
    "elementary": "Elementary operations",
    "loss": "The loss, and where 1/m goes",
    "loss_options": "Options of losses",
    "penalty": "Penalties and weight decay",
    "optimizer": "Optimizers",
    "adam": "Adam",
    "update_rules": "Nesterov, RMSprop and AdamW",
    "schedules": "Schedules of the learning rate",
    "sums": "Sums and shortcuts",
    "accumulation": "Micro-batches",
    "distributed": "Many ranks",
}


@dataclass
class Here:
    """The page that a shorthand stands on: its language, its text, where it lies in the site, where
    on it the shorthand stands, and what has been asked for so far."""

    language: str
    text: str
    site: str
    at: int = 0
    linked: set[str] = field(default_factory=set)
    pictures: dict[str, Path] = field(default_factory=dict)

    def word(self, name: str) -> str:
        """A word in the page's language."""
        return WORDS[self.language][name]

    def spoken(self, what: Spoken) -> Spoken:
        """A table or a claim in the page's language."""
        return what.chinese() if self.language == "zh" else what

    def to(self, path: str) -> str:
        """A link to a file of the repository, relative to docs/."""
        start = PurePosixPath("docs", self.site).parent
        return os.path.relpath(path, start).replace(os.sep, "/")


def fenced(text: str, language: str = "text") -> str:
    """A code block. Printed tables are called `output`: a phone scrolls them, and folds `text`."""
    lines = "\n".join(line.rstrip() for line in text.rstrip().splitlines())
    table = language == "text" and "──" in text
    return f"```{'output' if table else language}\n{lines}\n```"


def twins(here: Here, arguments: str) -> str:
    """Two columns: PATH: names | PATH: names."""
    columns = (f"<div markdown>\n{part}\n</div>" for part in both(here, arguments))
    return '<div class="twins" markdown>\n' + "\n".join(columns) + "\n</div>"


def both(here: Here, arguments: str) -> list[str]:
    """What stands in the two columns."""
    parts = []
    for label, wanted in zip(("by hand", "in torch"), arguments.split("|"), strict=True):
        of = named(wanted)
        head = f"**{here.word(label)}** [`{of.path}`]({here.to(of.path)})"
        parts.append(f"{head}\n\n{fenced(source.excerpt(of.path, of.names), 'python')}")
    return parts


def code(here: Here, arguments: str) -> str:
    """One file, or some of its definitions: PATH or PATH: names."""
    of = named(arguments)
    language = {".c": "c", ".toml": "toml"}.get(Path(of.path).suffix, "python")
    shown = fenced(source.excerpt(of.path, of.names), language)
    return f"[`{of.path}`]({here.to(of.path)})\n\n{shown}"


def tables(here: Here, arguments: str) -> str:
    """The tables of the lesson."""
    found = (Table(**table) for table in computed.lesson(arguments)["tables"])
    return "\n\n".join(here.spoken(table).markdown() for table in found)


def picture(here: Here, arguments: str) -> str:
    """LESSON NAME | what there is to see."""
    which, _, words = arguments.partition("|")
    lesson, name = which.split()
    file = computed.lesson(lesson)["pictures"][name]
    here.pictures[f"docs/pictures/{file}"] = computed.folder() / file
    return f"![{words.strip()}]({here.to(f'docs/pictures/{file}')})"


def conclusion(here: Here, arguments: str) -> str:
    """The claims that follow from the numbers."""
    found = (Claim(**claim) for claim in computed.lesson(arguments)["claims"])
    return "\n".join(f"- {escaped(str(here.spoken(claim)))}" for claim in found)


def mistakes(here: Here, arguments: str) -> str:
    """Names of causes: each with its sentence, its remedy and the judge's report."""
    return "\n\n".join(_mistake(here, name.strip()) for name in arguments.split(","))


def _mistake(here: Here, name: str) -> str:
    said = fenced(computed.fault(name)["short"])
    details = f'??? failure "{here.word("judge")}"\n\n' + _indented(said)
    return f"{remedy(here, name)}\n\n{details}"


def remedy(here: Here, name: str) -> str:
    """A cause by name: its sentence, and what is right on each side."""
    cause = CATALOGUE[name]
    link = f"[`{name}`]({here.to('docs/causes.md')}#{name})"
    return f"**{link}** {cause.sentence}\n\n{_remedy(here, cause)}"


def _remedy(here: Here, cause: Cause) -> str:
    return (
        f"- {here.word('numpy remedy')}: `{cause.manual}`\n"
        f"- {here.word('torch remedy')}: `{cause.torch}`"
    )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())


def output(here: Here, arguments: str) -> str:
    """The output of the code block above."""
    before = [b for b in blocks.find(here.text) if b.runs and not b.title and b.end <= here.at]
    return fenced(computed.outputs(here.text)[len(before) - 1])


def lessons(here: Here, arguments: str) -> str:
    """The lessons in the course's order: those that have a page are links."""
    lines = []
    for name, lesson in LESSONS.items():
        written = (ROOT / "docs" / "lessons" / f"{name}.md").is_file()
        title = f"[{name}]({here.to(f'docs/lessons/{name}.md')})" if written else name
        line = lesson.zh if here.language == "zh" else lesson.line
        lines.append(f"1. **{title}** {line} `parity lesson {name}`")
    return "\n".join(lines)


def course(here: Here, arguments: str) -> str:
    """Every statement of the notes with its code, lesson and tests, heading by heading."""
    columns = ("statement", "by hand", "in torch", "lesson", "test")
    head = "| | " + " | ".join(here.word(column) for column in columns) + " |"
    parts = []
    for heading in headings():
        title = heading.notes if here.language == "zh" else heading.en
        parts.append(f"## {title}\n\n{head}\n|{' --- |' * (len(columns) + 1)}")
        for s in heading.statements:
            cells = (
                s.at,
                escaped(s.zh if here.language == "zh" else s.en),
                _links(here, s.by_hand),
                _links(here, s.in_torch) or here.word("nothing"),
                f"[{s.lesson}]({here.to(f'docs/lessons/{s.lesson}.md')})",
                _links(here, s.tests),
            )
            parts[-1] += f"\n| {' | '.join(cells)} |"
    return "\n\n".join(parts)


def _links(here: Here, files: tuple[Named, ...]) -> str:
    """Each name, as a link to its file; long ones may break after an underscore."""
    return ", ".join(
        f"[<code>{name.replace('_', '&#95;<wbr>')}</code>]({here.to(of.path)})"
        for of in files
        for name in of.names
    )


def catalogue(here: Here, arguments: str) -> str:
    """Every cause, kind by kind."""
    with (ROOT / "docs" / "sources.toml").open("rb") as file:
        met = tomllib.load(file)
    parts = []
    for kind, title in KINDS.items():
        parts.append(f"## {title}")
        parts += [_entry(here, cause, met) for cause in getattr(causes, kind).CAUSES]
    return "\n\n".join(parts)


def _entry(here: Here, cause: Cause, met: dict[str, list[dict[str, str]]]) -> str:
    said = fenced(computed.fault(cause.name)["whole"])
    links = [f"- [{escaped(s['title'])}]({s['url']})" for s in met.get(cause.name, [])]
    sources = f"{here.word('met')}:\n\n" + "\n".join(links) + "\n\n" if links else ""
    return (
        f"### {cause.name} {{#{cause.name}}}\n\n{cause.sentence}\n\n{_remedy(here, cause)}\n\n"
        f'{sources}??? example "parity faults {cause.name}"\n\n{_indented(said)}'
    )


def reference(here: Here, arguments: str) -> str:
    """The public names of a package, with signatures and docstrings."""
    return names_of(arguments, here.to)


def case_fields(here: Here, arguments: str) -> str:
    """Every field of Case."""
    return fields_of_a_case()


def operations(here: Here, arguments: str) -> str:
    """The operations of a trace file with their inputs and outputs, from the register."""
    rows = ["| operation | inputs | outputs | options |", "| --- | --- | --- | --- |"]
    for name in known_operations():
        of = signature(name)
        assert of is not None
        inputs = ", ".join(of.inputs) + (", ..." if of.any_number else "")
        options = ", ".join(of.options)
        outputs = ", ".join(of.outputs) + (", ..." if of.any_outputs else "")
        rows.append(f"| `{name}` | {inputs} | {outputs} | {options} |")
    return "\n".join(rows)


def written(here: Here, name: str) -> str:
    """Marks where a script writes its figures: <!-- written: NAME --> to <!-- written -->."""
    return ""


EXPAND: dict[str, Callable[[Here, str], str]] = {
    f.__name__: f
    for f in (
        *(twins, code, tables, picture, conclusion, mistakes, output),
        *(lessons, course, catalogue, operations, reference, case_fields, written),
    )
}
