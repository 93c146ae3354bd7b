"""What names the workers of `Behaviors.daemons`, and the handle that `spawn` gives for them. Floor F1: no behaviour.

A worker is the entity of an id that has its number in front, and a tail that puts it into the shard of that number: so
there is one worker a shard, and workers are spread as evenly as shards are.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.ref import ActorRef, M_contra

__all__ = ["DAEMONS_MOST", "TAIL", "DaemonsRef", "index_of"]

DAEMONS_MOST: Final = 10_000
"""So many workers one name has at most: all of them may have to start on one node, at once."""

TAIL: Final = "~"
"""What stands between the number and the tail of an id."""


def index_of(entity_id: str) -> int:
    """The number that stands in front of a worker's id.

    Example:
        >>> index_of("3~17")
        3
    """
    return int(entity_id.partition(TAIL)[0])


class DaemonsRef(ActorRef[ShardEnvelope[M_contra]]):
    """A handle to the workers of one name; what `Behaviors.daemons` is spawned as.

        >>> # indexers = system.spawn(Behaviors.daemons(indexer, 8), "indexers")
        >>> # indexers.worker(3).tell(Reindex())

    It takes envelopes as the ref of any sharded type does, with the ids that `daemon_id` gives.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many workers there are in the cluster."""

    @abstractmethod
    def worker(self, index: int) -> ActorRef[M_contra]:
        """The ref of one worker, wherever it lives: good while it stops, starts again, or moves.

        Parameters:
            index: which, from 0 to ``count - 1``.

        Raises:
            SettingsError: there is no such worker.
        """
