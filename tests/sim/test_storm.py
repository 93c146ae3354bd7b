"""Clients of a node that comes and goes, on many seeds: what must hold in every run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorRef,
    ActorStoppedError,
    AskTimeoutError,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    MailboxFullError,
    OutcomeUnknownError,
    ShardEnvelope,
)
from casty_trio.testing import Conditions, Simulation, simulate
from tests.sim.shop import NAME, PORT, Ctx, assert_adds_up, census, make_client, small_link, to

ENDS = (ActorStoppedError, AskTimeoutError, MailboxFullError, OutcomeUnknownError)
"""How an ask may end without a reply while its node leaves or dies, or the client is flooded."""


@dataclass(frozen=True)
class Note:
    """One of a sender's row."""

    sender: int
    number: int
    ballast: bytes


@dataclass(frozen=True)
class Echo:
    """Wants itself back."""

    sender: int
    number: int
    delay: float
    reply_to: ActorRef[tuple[int, int]]


class Storm:
    """What the entities of all nodes saw, in order."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.told = dict[tuple[str, int], list[int]]()
        self.handled = list[tuple[int, int]]()
        self.asked = 0
        self.answered = 0

    def witness(self, entity_id: str) -> Behavior[Note | Echo]:
        async def receive(ctx: Ctx, message: Note | Echo) -> None:
            if isinstance(message, Note):
                self.told.setdefault((entity_id, message.sender), []).append(message.number)
            else:
                self.handled.append((message.sender, message.number))
                if message.delay:
                    await trio.sleep(message.delay)
                message.reply_to.tell((message.sender, message.number))

        return Behaviors.receive(receive)

    async def node(self) -> None:
        """A node that leaves, is killed, and comes back, six times."""
        rng = self.sim.rng("node")
        for life in range(6):
            with trio.CancelScope() as scope:
                settings: dict[str, Any] = {"link": small_link(), "env": self.sim.env("node-1"), "insecure": True}
                async with ClusteredActorSystem(NAME, "node-1", PORT, "node-1", **settings) as system:
                    system.spawn(Behaviors.sharded(self.witness, num_shards=7), "witness")
                    await trio.sleep(rng.uniform(0.5, 5) if life < 5 else 60)
                    assert_adds_up(system.statistics())
                    if rng.random() < 0.5:
                        scope.cancel()
                assert_adds_up(system.statistics())
            await trio.sleep(rng.choice((0, rng.uniform(0, 3))))

    async def client(self, sender: int) -> None:
        """Tells and asks for half a minute."""
        rng = self.sim.rng(f"client {sender}")
        number = 0
        async with make_client(self.sim, sender, connect_timeout=60, link=small_link()) as client:
            ref: ActorRef[ShardEnvelope[Any]] = client.entity_ref("witness", num_shards=7)
            async with trio.open_nursery() as nursery:
                while trio.current_time() < 30:
                    await trio.sleep(rng.choice((0, 0, 0.001, rng.uniform(0, 0.5))))
                    number += 1
                    entity_id = f"entity-{rng.randrange(3)}"
                    if rng.random() < 0.8:
                        ballast = bytes(rng.choice((0, 10, 1_500, rng.randrange(15_000))))
                        ref.tell(ShardEnvelope(entity_id, Note(sender, number, ballast)))
                    else:
                        delay = rng.choice((0, 0, rng.uniform(0, 0.2)))
                        nursery.start_soon(
                            self.ask, client, ref, to(entity_id, Echo, sender, number, delay), (sender, number)
                        )
            assert client.statistics().asks == 0

    async def ask(self, client: ClusterClient, ref: ActorRef[Any], factory: Any, expected: tuple[int, int]) -> None:
        """One ask: its own reply, or an error by name, and never after its time."""
        timeout = self.sim.rng("timeouts").choice((0.05, 0.5, 2.0))
        before = trio.current_time()
        self.asked += 1
        try:
            assert await client.ask(ref, factory, timeout=timeout) == expected
            self.answered += 1
        except ENDS:
            pass
        assert trio.current_time() - before <= timeout + 1e-9


@pytest.mark.parametrize("seed", range(12))
def test_a_storm(seed: int) -> None:
    """W5, K2, K4, K5, L3, L4: in order and never twice across nodes; asks end in time; nothing is left."""

    async def scenario(sim: Simulation) -> Storm:
        storm = Storm(sim)
        sim.network.set_conditions(Conditions(delay=(0.000_1, 0.05), cut=0.5, window=8_192))
        before = census()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(storm.node)
            for sender in range(4):
                nursery.start_soon(storm.client, sender)
        assert census() == before
        assert "0 open ends" in repr(sim.network)
        return storm

    storm = simulate(scenario, seed).value
    for numbers in storm.told.values():
        assert numbers == sorted(set(numbers))
    assert sum(map(len, storm.told.values())) > 400
    assert len(set(storm.handled)) == len(storm.handled) >= storm.answered
    assert storm.answered > storm.asked / 4
