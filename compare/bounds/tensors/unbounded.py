"""What has no bound."""


class Unbounded(NotImplementedError):
    """No bound can be derived for this ATen call; the message names it and says why."""


class Undetermined:
    """Stands for a result that the inputs do not determine: random numbers, memory that nothing was
    written into, a workspace, places that ties leave undecided.

    as_computed is what torch's own kernel would go on with, where there is such a thing.
    """

    def __init__(self, as_computed: object = None) -> None:
        self.as_computed = as_computed
