"""A cluster of one: who is up, and what clients are told."""

import pytest
import trio

from casty_trio import Behaviors, ClusteredActorSystem, WaitTimeoutError
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.testing import Simulation, simulate
from tests.remote.peers import linked
from tests.sim.shop import NAME, PORT, cart, make_node


def test_one_member_is_up_at_once() -> None:
    """C7, for a cluster of one: the wait ends at once, and it is a checkpoint."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            before = trio.current_time()
            await node.wait_for(1)
            assert trio.current_time() == before
            with trio.CancelScope() as scope:
                scope.cancel()
                await node.wait_for(1)
            assert scope.cancelled_caught

    simulate(scenario, 1)


@pytest.mark.parametrize("timeout", [0.0, 2.5, 60.0])
def test_two_members_never_are(timeout: float) -> None:
    """C7: the wait ends exactly at its timeout, by name, and tells how many there are."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            before = trio.current_time()
            with pytest.raises(WaitTimeoutError, match=rf"1 of 2 members is up after {timeout:g} s") as caught:
                await node.wait_for(2, timeout=timeout)
            assert trio.current_time() == before + timeout
            assert isinstance(caught.value, TimeoutError)

    simulate(scenario, 1)


def test_clients_are_told_the_state_and_every_change() -> None:
    """K1: once when they subscribe, and again whenever a type is spawned; versions only go up."""
    states = list[wire.StateFrame]()

    def hear(kind: int, body: memoryview) -> None:
        if kind == Kind.STATE:  # which services there are comes beside it
            states.append(wire.unpack(wire.StateFrame, body))

    async def scenario(sim: Simulation) -> ClusteredActorSystem:
        async with make_node(sim) as node:
            node.spawn(Behaviors.sharded(cart, num_shards=3), "b")
            async with linked(sim, heard=hear) as link:
                await trio.sleep(1)
                assert states == []
                link.write_control(Kind.SUBSCRIBE, b"")
                await trio.sleep(1)
                node.spawn(Behaviors.sharded(cart, num_shards=2), "a")
                node.spawn(Behaviors.receive(lambda ctx, message: None), "plain")
                await trio.sleep(1)
        return node

    node = simulate(scenario, 1).value
    assert [[each.name for each in state.shard_types] for state in states] == [["b"], ["a", "b"]]
    assert states[0].version < states[1].version
    assert states[1].members == (wire.MemberState("node-1", "node-1", PORT, node.uid),)
    assert states[1].shard_types[0] == wire.ShardTypeState("a", 2, (0, 0))
    assert node.name == NAME
