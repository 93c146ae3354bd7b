"""The reference to one actor on every member of a cluster. Floor F1: a contract, no behaviour."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from casty_trio.model.ref import ActorRef, M_contra

__all__ = ["BroadcastRef"]

R = TypeVar("R")


class BroadcastRef(ActorRef[M_contra]):
    """A handle to the actors of one name that run on all members that are up; what `Behaviors.broadcasted` is spawned as.

    ``tell`` sends a message once to the actor on each of these members, this node's included; ``send`` waits until there is
    room on the way to each. To ask through it gives a tuple, with the reply of each member, sorted by their addresses:

        >>> # counts: tuple[int, ...] = await system.ask(news, lambda r: GetCount(reply_to=r))

    Which members are up is what the node knows when it sends. One that is up and has no such actor costs a dead letter
    there. In a message it may travel to other members, where it reaches the same actors.
    """

    __slots__ = ()

    @abstractmethod
    async def ask_each(
        self, msg_factory: Callable[[ActorRef[R]], Any], *, timeout: float = 5.0, watch: bool = False
    ) -> tuple[R, ...]:
        """What `ask` does with such a ref; see there."""
