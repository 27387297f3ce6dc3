"""What the metadata of a recorded step say, as JSON; every field is checked."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt

VERSION = "1"


def _printable(text: str) -> str:
    if not text.isprintable() or len(text) > 1000:
        raise ValueError("expected at most 1,000 printable characters")
    return text


Text = Annotated[str, AfterValidator(_printable)]
Number = NonNegativeInt  # of a tensor in the list of tensors


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class TensorData(_Strict):
    """See TensorRef."""

    at: Annotated[list[int], Field(min_length=2, max_length=2)]
    shape: list[NonNegativeInt]
    stride: list[NonNegativeInt] = []
    offset: NonNegativeInt = 0
    dtype: Text
    unjudged: Text = ""
    device: Text = "cpu"
    complex: bool = False


class CallData(_Strict):
    """See Call."""

    operation: Text
    args: list[Any] = []
    kwargs: dict[Text, Any] = {}
    outputs: list[Number] = []
    phase: Literal["forward", "backward", "update"] = "forward"
    module: Text = ""
    visit: NonNegativeInt = 0
    line: Text = ""
    forward: NonNegativeInt | None = None
    node: Text = ""
    function: NonNegativeInt | None = None


class FunctionData(_Strict):
    """See FunctionCall."""

    name: Text
    args: list[Any]
    needs: list[bool]
    module: Text = ""
    line: Text = ""
    first: NonNegativeInt
    end: NonNegativeInt
    outputs: list[Number] = []
    upstream: list[Number | None] | None = None
    gradients: list[Number | None] | None = None


class RecordData(_Strict):
    """See Record."""

    tensors: list[TensorData]
    calls: list[CallData]
    functions: list[FunctionData] = []
    given: dict[Text, Number] = {}
    results: dict[Text, Number] = {}
    outside: list[Text] = []
    others: dict[Text, Any] = {}
    named: dict[Text, Number] = {}
    notes: list[Text] = []
    compiled: Number = 0
    graphs: Number = 0
    graph_breaks: Number = 0
    eager_instead: bool = False
    undrawn: bool = False
    stored: list[Text] = []
    unregistered: list[list[NonNegativeInt]] = []
    seeded: bool = False
    attributes: dict[Text, Any] = {}


class FileData(_Strict):
    """All that a file says: the step as it is, and in float64 (None where that is the same, or
    could not be run, for which reason says why); the optimizer's settings of each parameter; which
    program wrote the file."""

    own: RecordData
    float64: RecordData | None = None
    reason: Text = ""
    options: dict[Text, dict[Text, Any]] = {}
    written_by: Text = ""
