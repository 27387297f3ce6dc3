"""TensorBoard's margin charts: a line and a pale band beside it, for each run that has the tags.

Curves that coincide hide one another: TensorBoard draws all lines in one width, the last run's
first. So the second side's curve is drawn as the edge of a pale band of its colour, which is seen
beside the first side's line. How far the curves are apart is drawn as well, in the band that
rounding fills, as the perturbed copy of the first side shows.

A band reaches from the curve itself to the tag `band/...`, and not from a lower to an upper edge:
TensorBoard leaves out the parts of it whose upper edge is outside the chart.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Numbers = Mapping[str, float]

SHARE = 0.02  # the width of a visible band: of a score, or of the loss when training began
COPY = "perturbed_copy"
PARAMETERS = "apart/parameters"


def apart(tag: str) -> str:
    """The tag of the distance between the sides' curves called tag."""
    return f"apart/{tag}"


def edge(tag: str) -> str:
    """The tag of the other edge of a curve's band, in a group of their own on the other pages."""
    return f"band/{tag}"


def margins(charts: dict[str, str]) -> dict[str, list[object]]:
    """What torch's custom_scalars takes for a group of margin charts; charts maps titles to tags.
    They are in reverse order, because TensorBoard shows the last one first."""
    return {title: ["Margin", [tag, edge(tag), tag]] for title, tag in reversed(charts.items())}


class Bands:
    """What a step adds to the curves of two sides and of the perturbed copy of the first.

    wide are the tags to draw in a visible band, compared those whose distance is drawn. before has
    the first and the last value of each tag in the log of the first side, which a resumed run has
    already written.
    """

    def __init__(
        self,
        sides: tuple[str, str],
        wide: Sequence[str],
        compared: Sequence[str],
        before: Mapping[str, tuple[float, float]],
    ) -> None:
        self._first, self._second = sides
        self._wide, self._compared = wide, compared
        self._began = {tag: first for tag, (first, _) in before.items() if tag in wide}
        self._reach = {tag: last for tag, (_, last) in before.items()}

    def added(
        self, curves: Mapping[str, Numbers], drift: float, envelope: float
    ) -> dict[str, dict[str, float]]:
        """The tags and values to add, by run. drift is how far the parameters of the second side
        are from those of the first, envelope how far those of the perturbed copy are."""
        runs = (self._first, self._second, COPY)
        found: dict[str, dict[str, float]] = {run: {} for run in runs}
        for tag in (t for t in self._wide if all(t in curves[run] for run in runs)):
            for run in runs:
                found[run][edge(tag)] = curves[run][tag]
            found[self._second][edge(tag)] += self._width(tag, curves[self._first][tag])
        distances = {PARAMETERS: (drift, envelope)} if drift == drift else {}
        for tag in (t for t in self._compared if all(t in curves[run] for run in runs)):
            other, copy = (abs(curves[r][tag] - curves[self._first][tag]) for r in runs[1:])
            end = edge(apart(tag))
            self._reach[end] = max(self._reach.get(end, 0.0), copy)
            distances[apart(tag)] = other, self._reach[end]
        for tag, (other, reach) in distances.items():
            found[self._first] |= {tag: 0.0, edge(tag): reach}
            found[self._second] |= {tag: other, edge(tag): other}
        return found

    def _width(self, tag: str, now: float) -> float:
        """How far the band's edge is from the curve. Above a loss it is a share of the first loss,
        in the precision of the log, so that a resumed run has the same; it is 0 if the first loss
        is infinite. Below a score it is negative."""
        if not tag.startswith("loss"):
            return -SHARE
        with np.errstate(over="ignore"):
            first = abs(self._began.setdefault(tag, float(np.float32(now))))
        return SHARE * first if first < np.inf else 0.0
