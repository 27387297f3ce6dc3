"""How far a long judgement is: told to whoever watches."""

from collections.abc import Callable

# watch("replaying a", 412) returns what is called after each of the 412 steps.
Tick = Callable[[], None]
Watch = Callable[[str, int], Tick]


def unwatched(what: str, total: int) -> Tick:
    """Nobody watches."""
    return lambda: None
