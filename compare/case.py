"""One case: every choice that both sides must share, validated once, before anything is built.

Each field is an option of the command line and a line of a TOML case file; its description is the
text that --help shows.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from torch_parity.compare.choices import (
    ACTIVATION,
    LOSS,
    MODEL,
    OPTIMIZER,
    OUTPUT,
    SCHEDULE,
    each,
    listed,
    one_of,
    outputs_of,
    widths,
)
from torch_parity.compare.errors import InputError, has_control_characters, shown, suggest
from torch_parity.compare.models import usual_choices

LONGEST = 20_000  # bytes of a case file: the parser is slow with long dotted keys

Initializer = Literal["kaiming_normal", "xavier_normal", "xavier_course", "normal", "zeros"]


class CaseError(InputError):
    """A case that is refused; refused says why, field by field."""

    def __init__(self, refused: ValidationError) -> None:
        super().__init__(explain(refused))
        self.refused = refused

    def __reduce__(self) -> tuple[type[Self], tuple[ValidationError]]:
        """Pickled, it crosses to another process."""
        return type(self), (self.refused,)


class Case(BaseModel):
    """What to train, on what, and how.

    Raises:
        InputError: (a ValueError) a field is unknown, out of range or at odds with another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # a type checker knows the fields

        def __init__(self, **chosen: Any) -> None:
            try:
                super().__init__(**chosen)
            except ValidationError as error:
                raise CaseError(error) from None

    data: str = Field(
        default="digits",
        description="digits, breast-cancer, moons, circles, flower, sums (text), or the path of "
        "your own .csv, .npz or .txt file",
    )
    target: str | None = Field(
        default=None,
        description="the column (.csv) or array (.npz) that holds the labels of your own file",
    )
    samples: int = Field(
        default=400,
        ge=8,
        le=10_000_000,
        description="points to draw for moons, circles and flower; sums to draw for sums",
    )
    length: int = Field(default=16, ge=2, le=4096, description="characters in a sequence of text")
    noise: float | None = Field(
        default=None,
        ge=0,
        le=1e100,
        description="spread of those points; by default each data set's own",
    )
    dev_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="share of the samples kept for dev"
    )
    standardize: bool = Field(
        default=True, description="scale features to mean 0 and deviation 1, as measured on train"
    )

    model: Annotated[str, MODEL, AfterValidator(MODEL.check)] = Field(
        default="mlp",
        description="mlp: layer after layer; residual: blocks with a shortcut; convnet: "
        "convolutions and pooling; resnet: convolutions with batch norm and shortcuts; char_lstm "
        "and gpt: text, character by character",
    )
    hidden: Annotated[tuple[PositiveInt, ...], BeforeValidator(widths)] = Field(
        default=(128, 64),
        max_length=500,
        description='widths of the hidden layers; "" is logistic regression. Of residual: the '
        "width, then the inner width of each block. Of convnet: the channels of both convolutions, "
        "then widths (8,16,32 unless given). Of resnet: the channels of the first convolution, "
        "then of each block (8,8,16). Of char_lstm: the widths of embedding and LSTM (16,64). Of "
        "gpt: the width, then the heads of each block (64,4,4)",
    )
    activation: Annotated[
        str, ACTIVATION, BeforeValidator(listed), AfterValidator(each(ACTIVATION))
    ] = Field(
        default="relu",
        description="activation of the hidden layers, or one for each layer of mlp: relu,tanh",
    )
    bias: bool = Field(default=True, description="whether the layers of mlp have a bias")
    negative_slope: float = Field(default=0.01, description="slope of leaky_relu for z < 0")
    approximate: Literal["none", "tanh"] = Field(
        default="none", description="form of gelu: exact by erf, or approximated by tanh"
    )
    branch_scale: float = Field(
        default=1.0, description="with residual: factor of each block's branch before it is added"
    )
    output: Annotated[str, OUTPUT, AfterValidator(OUTPUT.check)] = Field(
        default="auto",
        description="activation of the last layer; auto: the one for the loss",
    )
    loss: Annotated[str, LOSS, AfterValidator(LOSS.check)] = Field(
        default="auto",
        description="auto: binary_cross_entropy for 2 classes, cross_entropy for more, mse_loss "
        "for targets that are not whole numbers",
    )
    reduction: Literal["mean", "sum", "batchmean"] = Field(
        default="mean",
        description="mean or sum of the samples' losses, as in torch; batchmean divides their sum "
        "by the number of samples, not also by the number of outputs",
    )
    p: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="probability to DROP a hidden unit (keep_prob is 1 - p)",
    )
    l2: float = Field(default=0.7, ge=0, description="lambda of L2 (weights only, divided by 2m)")
    l1: float = Field(default=0.0, ge=0, description="lambda of L1 (weights only, divided by 2m)")
    penalty: Literal["mean", "half_sum", "sum"] = Field(
        default="mean",
        description="what the lambdas are taken of: mean has lambda / (2m) * sum(W^2), m being the "
        "size of the training set; half_sum lambda / 2 * sum(W^2); sum lambda * sum(W^2)",
    )
    l2_route: Literal["weight_decay", "loss"] = Field(
        default="weight_decay",
        description="where torch adds L2: weight_decay of the optimizer, or a term of the loss",
    )
    initializer: Initializer = Field(
        default="kaiming_normal",
        description="draw of the weights; kaiming_normal is He's, xavier_course N(0, 1/n_in)",
    )
    scale: float = Field(
        default=0.01, ge=0, le=1e100, description="deviation of the initializer normal"
    )
    bias_scale: float = Field(
        default=0.01,
        ge=0,
        le=1e100,
        description="deviation of the first biases; 0 hides a forgotten bias",
    )

    optimizer: Annotated[str, OPTIMIZER, AfterValidator(OPTIMIZER.check)] = Field(
        default="momentum",
        description="momentum adds gradients up (torch), momentum_course averages them; adamw "
        "decays the weights by lambda / m on their own, where the others have L2 in the gradient",
    )
    lr: float = Field(default=0.05, gt=0, description="learning rate")
    schedule: Annotated[str, SCHEDULE, AfterValidator(SCHEDULE.check)] = Field(
        default="constant",
        description="how lr changes: step_lr multiplies it by gamma every step_size steps, "
        "cosine_lr lets it fall to 0 along a cosine, after a warm-up",
    )
    step_size: int = Field(default=100, ge=1, description="steps between two decays of step_lr")
    gamma: float = Field(default=0.1, gt=0, le=1, description="factor of each decay of step_lr")
    warmup: int = Field(
        default=0, ge=0, description="steps in which cosine_lr rises to lr before it falls"
    )
    momentum: float = Field(
        default=0.9,
        ge=0,
        lt=1,
        description="factor of momentum and of nesterov, which needs more than 0; beta of "
        "momentum_course",
    )
    alpha: float = Field(default=0.99, ge=0, lt=1, description="alpha of rmsprop")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="beta1 of adam and adamw")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="beta2 of adam and adamw")
    eps: float = Field(
        default=1e-8, ge=1e-15, description="epsilon of rmsprop, adam and adamw, outside the root"
    )
    steps: int = Field(default=500, ge=1, le=10**9, description="mini-batches to train on")
    batch: int = Field(
        default=64, ge=1, le=2**31, description="samples in a mini-batch (the last may be short)"
    )

    accumulate: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="micro-batches that each batch is cut into; their gradients are added up "
        "before the update",
    )
    clip_norm: float | None = Field(
        default=None,
        gt=0,
        description="largest norm of all gradients together; longer ones are scaled down to it "
        "before the update, and weight_decay is added afterwards",
    )

    dtype: Literal["float64", "float32", "bfloat16", "float16"] = Field(
        default="float64",
        description="precision of both sides; with 16 bits, the NumPy side computes in float32 "
        "from the numbers that torch has",
    )
    device: str = Field(default="cpu", description="where torch computes: cpu, cuda or cuda:1")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="seed of the data, parameters, batches and masks"
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="threads for NumPy and for torch; more than one compete for few cores",
    )
    base_error: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="error rate a human would reach, for the bias diagnosis; left out, it is 0 for "
        "classes, and numbers (R2) and text have no diagnosis",
    )
    log_every: int = Field(
        default=10, ge=1, le=10**9, description="steps between two evaluations on train and dev"
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_choices_of_the_model(cls, values: Any) -> Any:
        """A model that does not suit the defaults says what is usual: its sizes, its data."""
        if isinstance(values, dict) and values.get("model"):
            return {**usual_choices(str(values["model"])), **values}
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """TOML's true would otherwise pass for 1."""
        values = value if isinstance(value, list | tuple) else [value]
        if (
            any(isinstance(v, bool) for v in values)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise ValueError("expected an integer, a number or text, not true or false")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_control_characters(cls, value: Any) -> Any:
        """A case may come from somebody else, and its values are printed."""
        if isinstance(value, str) and has_control_characters(value):
            raise ValueError("expected text without control characters")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", value):
            raise ValueError("expected cpu, cuda, or cuda: and the number of a GPU")
        return value

    @model_validator(mode="after")
    def _fits_precision(self) -> Self:
        from torch_parity.compare.bounds.precision import most

        for name in ("lr", "l1", "l2", "negative_slope", "scale", "bias_scale", "branch_scale"):
            if abs(getattr(self, name)) > most(self.dtype):
                raise ValueError(f"{name} is {getattr(self, name)}: too large for {self.dtype}")
        if self.dtype == "float16" and self.optimizer in ("rmsprop", "adam", "adamw"):
            raise ValueError(
                f"optimizer {self.optimizer} in float16: the square of a gradient "
                "under 0.0002 is rounded to 0, so the step is wrong; use --dtype bfloat16, or "
                "--optimizer momentum"
            )
        if self.optimizer == "adamw" and self.l2_route == "loss":
            raise ValueError(
                "l2_route is loss, but adamw decays the weights apart from the loss; leave it out, "
                "or use --optimizer adam"
            )
        return self

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise ValueError(
                "momentum is 0, but nesterov needs more, as torch.optim.SGD(nesterov=True) does: "
                "use optimizer sgd, which takes the same step without one"
            )
        return self

    @model_validator(mode="after")
    def _micro_batches_and_clipping_fit(self) -> Self:
        if self.accumulate > self.batch:
            raise ValueError(
                f"accumulate is {self.accumulate}, but a batch has only {self.batch} samples: "
                "choose fewer micro-batches"
            )
        decays = self.l2 > 0 and self.l2_route == "weight_decay" and self.optimizer != "adamw"
        if self.clip_norm is not None and self.l1 > 0 and decays:
            raise ValueError(
                "clip_norm with l1 and with l2 by weight_decay: in torch one is added before "
                "clipping, the other after it; use --l2-route loss"
            )
        return self

    @model_validator(mode="after")
    def _schedule_fits_steps(self) -> Self:
        if self.schedule == "cosine_lr" and self.warmup >= self.steps:
            raise ValueError(
                f"warmup is {self.warmup}, but there are only {self.steps} steps: choose a smaller "
                "warmup"
            )
        return self

    @model_validator(mode="after")
    def _activations_fit_layers(self) -> Self:
        many = self.activation.count(",") + 1
        if many > 1 and (self.model != "mlp" or many != len(self.hidden)):
            raise ValueError(
                f"activation names {many}, for {len(self.hidden)} hidden layers of {self.model}: "
                "give one for all, or, of mlp, one for each hidden layer"
            )
        if self.model != "mlp" and not self.bias:
            raise ValueError(f"bias is off, which {self.model} does not offer: use model mlp")
        return self

    @model_validator(mode="after")
    def _output_fits_loss(self) -> Self:
        if "auto" not in (self.loss, self.output) and self.output not in outputs_of(self.loss):
            fitting = " or ".join(outputs_of(self.loss))
            raise ValueError(f"output {self.output} does not fit loss {self.loss}: use {fitting}")
        return self

    @property
    def update_rule(self) -> str:
        """The optimizer; sgd where the momentum is 0, as torch.optim.SGD keeps no buffer then."""
        averages = self.optimizer in ("momentum", "momentum_course")
        return "sgd" if averages and self.momentum == 0 else self.optimizer

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """What differs from the defaults."""
        for name, value in super().__repr_args__():
            if name and value != type(self).model_fields[name].default:
                yield name, value


CHECKED: Mapping[str, Any] = {"steps": 3, "log_every": 1}
"""The defaults of `parity check`: a few steps, each of them judged as a whole."""


def load(file: Path | None = None, usual: Mapping[str, Any] | None = None, **options: Any) -> Case:
    """A case from a TOML file, from options, or from both (options win, but for those of None).
    usual holds a command's own defaults.

    Raises:
        InputError: the file cannot be read, or a value is refused.
    """
    values = {**(usual or {}), **(read(file) if file else {})}
    try:
        return Case(**(values | {k: v for k, v in options.items() if v is not None}))
    except CaseError as error:
        where = f" in {file}" if file else ""
        raise InputError(explain(error.refused, where)) from None


def read(file: Path) -> dict[str, Any]:
    """What a TOML case file says, unchecked.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise InputError(
                f"case file {file} has more than {LONGEST:,} bytes; expected a few lines"
            )
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"case file {file}: {reason}; expected a TOML file") from None
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"case file {file} has too many brackets inside each other") from None
    except ValueError as error:  # no TOML, no UTF-8, or a number that Python does not read
        raise InputError(
            f'case file {file} is not TOML: {error}; lines look like  lr = 0.05  or  data = "moons"'
        ) from None


def explain(error: ValidationError, where: str = "") -> str:
    """What Case refuses and what it expected, in two lines at most."""
    lines = dict.fromkeys(_line(e, where) for e in error.errors())
    return "\n".join(list(lines)[:2])


def _line(error: Any, where: str) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"unknown key {shown(name)}{where}: {suggest(name, Case.model_fields)}"
    message = error["msg"].removeprefix("Value error, ")
    if not name:
        return message
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        message = one_of(error["input"], get_args(Case.model_fields[name].annotation))
    expected = message[0].lower() + message[1:]
    described = (Case.model_fields[name].description or "").partition(". ")[0]
    return f"{name} is {shown(error['input'])}: {expected} ({name}: {described})"
