"""docs/speed.md: the tables of `make bench` as a page, so that no figure on it is typed in."""

import io
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "speed.md"

INTRODUCTION = """\
# How fast it is

Written by `make bench` on {machine}, float64 and one thread unless a table says otherwise. What is
compared runs in turn in one process; times are medians, and ratios are medians of the ratios round
by round. A target that was missed is marked with `!`.

The machine is a virtual one and not always equally fast: from one run of all this to the next, the
ratios of the small networks moved by up to a third, so a target missed here by less may be met
elsewhere, or the other way round.

NumPy and torch each keep a pool of threads. With more than one thread in each, the two pools spin
against each other when both sides work in one process, and a small step takes twenty times as long;
`--threads` is for networks so wide that a single product fills the cores.
"""

# What profiling found, by the title of the table that it explains.
WHY = {
    "One training step, ms": """\
`bare` is the least that NumPy can do for the same new parameters: a - y for the slope of loss and
output together, results written over their inputs, nothing checked, named or kept. Between it and
`manual` lies the price of a step that can be judged: every tensor by name in memory of its own, the
loss and the output differentiated one after the other, shapes checked. On 2-4-1 that is more than
half of the step, some fifty NumPy calls of 1 to 8 us each on 400 rows; the dearest are the
logarithms of the loss and the sums over the rows of narrow matrices. On the widest network it is a
few hundredths: what keeps that one under the rate of a single large product is memory traffic, as
activations, gradients and new parameters are each written and read again.
""",
    "One step of 64-128-64-10, batch 64, float64, one thread": """\
scikit-learn computes its gradients into arrays that it allocated once, and writes each activation
over the product it came from; nothing is left of a step that one could look at. Bare NumPy, which
keeps as little, is about at the target: no room is left in it for a step that keeps its tensors.
JAX compiles the whole step into one program, which pays no call between two operations and keeps
only the parameters.
""",
    "Judging, of the steps": """\
`read once` is one subtraction of the two sides, entry by entry, and nothing else. The comparison
needs five such passes (gap, its size and its greatest; greatest and least entry), all but the first
in the cache. On the digits network about a third of it is Python calls, a few for each of 41 small
tensors; on the widest it is memory: 14 million entries a side, and one pass alone takes most of the
target. In float32, rounding may exceed what can be told from a fault without a closer look; such a
step is in doubt and is replayed.

Replaying runs every operation in extended precision and carries a bound with each number: two
arrays where the step has one, in a format for which processors have no vector instructions. So only
some steps are replayed (`--log-every`, 10 by default, the first and the last), and the verdict says
how many.
""",
    "Logging": """\
The share is that of a whole default run: curves at every step, histograms of every tensor at every
tenth, the pictures at its end.
""",
}


def write(tables: list[Table], machine: str) -> None:
    """Each table under its title."""
    text = io.StringIO()
    text.write(INTRODUCTION.format(machine=machine))
    console = Console(file=text, width=400)
    for table in tables:
        text.write(f"\n## {table.title}\n\n")
        why = WHY.get(str(table.title), "")
        table.title, table.box = None, box.MARKDOWN
        console.print(table)
        text.write(f"\n{why}")
    lines = (line.strip() for line in text.getvalue().splitlines())
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")
