"""The contact is killed under load: how soon the client goes on, what it can see then, and which asks fail."""

from __future__ import annotations

import pytest
import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    AskError,
    Behavior,
    Behaviors,
    ClusterClient,
    Connected,
    Disconnected,
    ServiceKey,
)
from casty_trio.client.routes import SETTLED
from casty_trio.testing import Simulation, simulate
from tests.client.test_life import contact_of
from tests.sim.shop import PORT, Carts, Host, Name, carts_of, make_client, to

ADDRESSES = tuple((f"node-{number}", PORT) for number in (1, 2, 3))
NEW: ServiceKey[Name] = ServiceKey("new")
ENTITIES = 40
PERIOD = 0.1
"""Each entity is asked so often, in seconds: four hundred asks a second in all."""


def named(ctx: ActorContext[Name], message: Name) -> None:
    message.reply_to.tell("the new one")


class Load:
    """Asks all entities again and again, and puts down what fails."""

    def __init__(self, client: ClusterClient, carts: Carts) -> None:
        self.answered: int = 0
        self.failed: dict[str, list[str]] = {}
        self._client, self._carts = client, carts

    async def ask_on(self, number: int, over: trio.Event) -> None:
        """Ask one entity until it is over."""
        entity = f"e{number}"
        await trio.sleep(PERIOD * number / ENTITIES)
        while not over.is_set():
            try:
                assert await self._client.ask(self._carts, to(entity, Name), timeout=60) == entity
                self.answered += 1
            except AskError as error:
                self.failed.setdefault(entity, []).append(type(error).__name__)
            await trio.sleep(PERIOD)


@pytest.mark.long
@pytest.mark.parametrize("how", ["killed", "silent"])
def test_the_contact_is_killed_under_load(how: str) -> None:
    """K3, K5: the client goes on through another within 2 s of noticing, sees a service that is new, and asks of entities on
    nodes that live are all answered: those that fail were written to the node that died, and their entities lived there.

    Once the process alone is gone, whose end the client notices at once; once its machine, which says nothing any more.
    """
    loads: list[Load] = []

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            hosts = [Host(sim, nursery, number, seed_nodes=ADDRESSES, required_quorum=3) for number in (1, 2, 3)]
            async with trio.open_nursery() as starting:
                for host in hosts:
                    starting.start_soon(host.start)
            async with make_client(sim, nodes=(1, 2, 3)) as client:
                loads.append(Load(client, carts_of(client)))
                await under_load(hosts, client, loads[0], how)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)
    assert loads[0].answered > 1_000


async def under_load(hosts: list[Host], client: ClusterClient, load: Load, how: str) -> None:
    for number in range(ENTITIES):
        await client.ask(carts_of(client), to(f"e{number}", Name))
    await trio.sleep(SETTLED)
    gone, over = contact_of(hosts, client), trio.Event()
    homes = {f"e{number}": gone.node.entity_home("cart", f"e{number}") for number in range(ENTITIES)}
    there = {entity for entity, home in homes.items() if home is not None and home.uid == gone.node.uid}
    assert 0 < len(there) < ENTITIES
    async with trio.open_nursery() as nursery:
        for number in range(ENTITIES):
            nursery.start_soon(load.ask_on, number, over)
        await trio.sleep(2)
        async with client.events(Disconnected) as ends, client.events(Connected) as connections:
            await anext(connections)
            await gone.kill(silent=how == "silent")
            await anext(ends)
            noticed = trio.current_time()
            await anext(connections)
            assert trio.current_time() - noticed <= 2
        [one, *_] = [host for host in hosts if host is not gone]
        one.node.spawn(Behaviors.discoverable(_new(), key=NEW), "new")
        async with client.subscribe(NEW) as listings:
            with trio.fail_after(2):
                async for listing in listings:
                    if listing.instances:
                        break
        ref: ActorRef[Name] = next(iter(listing.instances)).ref
        assert await client.ask(ref, Name) == "the new one"
        await trio.sleep(30)
        over.set()
    assert set(load.failed) <= there
    assert {name for names in load.failed.values() for name in names} <= {"OutcomeUnknownError"}
    assert all(len(names) <= 1 for names in load.failed.values())


def _new() -> Behavior[Name]:
    return Behaviors.receive(named)
