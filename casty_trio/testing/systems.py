"""The systems that simulated nodes run. Floor: testing."""

from __future__ import annotations

from typing import Any

from casty_trio.cluster import ClusteredActorSystem
from casty_trio.testing.observer import Life

__all__ = ["system_of"]


def system_of(life: Life) -> ClusteredActorSystem:
    """The system of a start of a node, on a bench whose nodes are of a cluster."""
    system: Any = life.system
    return system  # type: ignore[no-any-return] # nodes of such a bench are of no other kind
