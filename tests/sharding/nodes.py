"""Programs on one node, for the tests of sharding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from casty_trio import ClusteredActorSystem
from tests.sim.shop import Carts

Program = Callable[[ClusteredActorSystem, Carts], Awaitable[None]]
Runner = Callable[..., None]
