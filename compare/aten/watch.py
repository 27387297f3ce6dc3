"""How far a long judgement is: told to whoever watches."""

from collections.abc import Callable

# watch("replaying a", 412) returns what is called after each of the 412 steps; None: unknown many.
Tick = Callable[[], None]
Watch = Callable[[str, int | None], Tick]


def unwatched(what: str, total: int | None) -> Tick:
    """Nobody watches."""
    return lambda: None
