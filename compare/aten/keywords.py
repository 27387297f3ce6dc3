"""A misspelt option of check_modules is one more keyword for the forward, which refuses it, or
swallows it where it takes any."""

import functools
import re
from collections.abc import Callable
from inspect import Parameter, signature
from typing import ParamSpec, TypeVar

from torch_parity.compare.errors import InputError, suggest

Options = ParamSpec("Options")
Returned = TypeVar("Returned")
NO_INPUTS = {"optimizer", "optimizers"}  # no forward takes these
REFUSED = re.compile("unexpected keyword argument '(.*)'")


def explains_keywords(
    judge: Callable[Options, Returned],
) -> Callable[Options, Returned]:
    """The same function, which names its nearest option where a forward refuses a keyword. What a
    forward takes is not known before, as hooks may take keywords away."""
    options = [
        n for n, p in signature(judge).parameters.items() if p.kind is Parameter.KEYWORD_ONLY
    ]

    @functools.wraps(judge)
    def explained(*args: Options.args, **kwargs: Options.kwargs) -> Returned:
        for name in (NO_INPUTS & kwargs.keys()) - set(options):
            raise InputError(f"{judge.__name__} has no option {name!r}; {suggest(name, options)}")
        try:
            return judge(*args, **kwargs)
        except InputError as error:
            refused = REFUSED.search(str(error.__cause__))
            if not isinstance(error.__cause__, TypeError) or not refused:
                raise
            name = refused[1]
            if name not in kwargs or name in options:
                raise
            raise InputError(
                f"{error}. {judge.__name__} has no option {name!r} either; {suggest(name, options)}"
            ) from error.__cause__

    return explained
