"""What reaches an actor as a signal and ends whatever it is at: raised in its task, for its supervision to see. Floor F2."""

from __future__ import annotations

__all__ = ["BackgroundFailure", "Escalated", "Restart"]


class Restart(Exception):  # noqa: N818 - an order, carried as an exception so that it ends whatever the actor is at
    """The order to restart: from the actor's own strategy, or as a signal from that of a sibling in its group."""

    def __init__(self, failure: Exception, delay: float) -> None:
        super().__init__(failure)
        self.failure = failure
        self.delay = delay


class Escalated(Exception):  # noqa: N818 - the failure of a descendant, on its way to the strategy that decides
    """A descendant's failure, handed to an actor as its own."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(failure)
        self.failure = failure


class BackgroundFailure(Exception):  # noqa: N818 - the failure of a background task, on its way to the actor's strategy
    """A background task of the actor failed; its failure is the actor's own."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(failure)
        self.failure = failure
