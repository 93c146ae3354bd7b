"""Services that come and go on all nodes of a bench, and what has to hold of their listings. Floor F6."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio

from casty_trio.actors.system import ActorSystem
from casty_trio.client import ClusterClient
from casty_trio.errors import ConnectError, SystemClosedError
from casty_trio.model.behavior import Behaviors
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import Listing, ServiceKey
from casty_trio.testing.clock import sleep
from casty_trio.testing.observer import Invariant
from casty_trio.testing.world import SimulatedEnv

__all__ = ["Listed"]

KEY: Final[ServiceKey[Any]] = ServiceKey("bench")

STILL: Final = 5.0
"""So many seconds after the last fault nothing comes or goes any more."""

MOST: Final = 5
"""So many services a node has at most."""

Place = tuple[int, str, int]


class Listed(Invariant):
    """In the end every node lists exactly the actors that live and are registered, wherever they are; who subscribes hears
    of changes only.

    So does every client.

    Parameters:
        pace: how often a service comes or goes on each node, in seconds, at the mean.

    Attributes:
        changes: how often one came or went.
        told: how many listings subscribers were told.
        clients: those that are inside their blocks, and the host of each.
        compared: how many of them there were in the end.
    """

    name = "R1 listings"

    def __init__(self, pace: float = 2.0) -> None:
        self.changes: int = 0
        self.told: int = 0
        self.clients: dict[ClusterClient, str] = {}
        self.compared: int = 0
        self._pace = pace

    async def churn(self, system: ActorSystem, rng: random.Random) -> None:
        """Let services come and go on a node until faults are over; for its program, until it is cancelled."""
        living: list[ActorRef[Any]] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, system)
            while trio.current_time() < self.observer.healed_at + STILL:
                await sleep(rng.expovariate(1 / self._pace))
                try:
                    if len(living) < MOST and rng.random() < 0.6:
                        living.append(system.spawn(Behaviors.discoverable(Behaviors.ignore(), key=KEY)))
                    elif living:
                        await system.stop(living.pop(rng.randrange(len(living))))
                except SystemClosedError:
                    break  # the node is down, and its actors stop
                self.changes += 1

    async def visit(self, env: SimulatedEnv, name: str, contacts: Sequence[tuple[str, int]], system_name: str) -> None:
        """Be a client on a node's host that hears of services; enter again when nobody is there. It runs until cancelled."""
        while True:
            client = ClusterClient(contacts, system_name, env=env)
            try:
                async with client:
                    self.clients[client] = name
                    await self._hear(client)
            except ConnectError:
                continue
            finally:
                self.clients.pop(client, None)

    async def _hear(self, client: ClusterClient) -> None:
        last: Listing[Any] | None = None
        async with client.subscribe(KEY) as listings:
            async for listing in listings:
                self.told += 1
                if last is not None and _same(listing, last):
                    self.fail(f"a client is told the same twice: {listing}")
                last = listing

    async def _listen(self, system: ActorSystem) -> None:
        last: Listing[Any] | None = None
        async with system.subscribe(KEY) as listings:
            async for listing in listings:
                self.told += 1
                if last is not None and _same(listing, last):
                    self.fail(f"a subscriber is told the same twice: {listing}")
                last = listing

    def at_rest(self) -> None:
        lives = self.observer.living()
        expected = {_place(ref) for life in lives for name, ref in life.system.services.offered() if name == KEY.name}
        for life in lives:
            listed = [_place(instance.ref) for instance in life.system.services.find(KEY).instances]
            if set(listed) != expected or len(listed) != len(expected):
                self.fail(self._difference(set(listed), expected), life.node)
                return
        self.compared = len(self.clients)
        for client, name in self.clients.items():
            found = {_place(instance.ref) for instance in client.lookup(KEY).instances}
            if found != expected:
                self.fail(f"to its client, {client!r}, {self._difference(found, expected)}", name)
                return

    def _difference(self, listed: set[Place], expected: set[Place]) -> str:
        missing = ", ".join(map(self._show, sorted(expected - listed)))
        gone = ", ".join(map(self._show, sorted(listed - expected)))
        return f"it lists {len(listed)} services; missing are [{missing}], and gone are [{gone}]"

    def _show(self, place: Place) -> str:
        life = self.observer.lives.get(place[0])
        return f"{place[1]} on {life.node if life is not None else 'nobody'}"

    def report(self) -> Mapping[str, float]:
        return {"services": self.changes, "listings": self.told, "clients": self.compared}


def _same(one: Listing[Any], other: Listing[Any]) -> bool:
    return one == other


def _place(ref: ActorRef[Any]) -> Place:
    address = ref.address
    return address.uid, address.path, address.incarnation
