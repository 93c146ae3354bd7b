"""What a client knows of the cluster's members."""

from __future__ import annotations

import pytest
import trio

from casty_trio import ClusterClient, ProtocolError, TopologySnapshot
from casty_trio.client.topology import topology_of
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import wire
from casty_trio.testing import Simulation, simulate
from tests.cluster.clusters import NAME, PORT, cluster


def test_a_client_knows_the_members_and_hears_of_changes() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1", "n2", roles=["web"])
            await nodes.formed("n1", "n2")
            client = ClusterClient([("n1", PORT)], NAME, env=sim.env("client"))
            assert list(client.members) == []
            async with client:
                assert [(member.node_id, member.status, member.roles) for member in client.members] == [
                    ("n1", MemberStatus.UP, ("web",)),
                    ("n2", MemberStatus.UP, ("web",)),
                ]
                assert client.topology.leader == client.members[0]
                nodes.start("n3")
                await nodes.formed("n1", "n2", "n3")
                sim.host("n3").crash()
                while not client.topology.unreachable:  # noqa: ASYNC110 - virtual time
                    await trio.sleep(0.5)
                assert [member.node_id for member in client.topology.unreachable] == ["n3"]
                await nodes.formed("n1", "n2")
                await trio.sleep(0.5)
                assert [member.node_id for member in client.members] == ["n1", "n2"]

    simulate(scenario, 1)


def test_rows_become_members() -> None:
    rows = (wire.MemberState("n1", "h", 1, 7, "weakly up", ("a",)), wire.MemberState("n2", "h", 2, 8, "down", (), True))
    one, two = Member(7, "h", 1, "n1", ("a",), MemberStatus.WEAKLY_UP), Member(8, "h", 2, "n2", (), MemberStatus.DOWN)
    state = wire.StateFrame(1, rows, 1, (wire.ShardTypeState("cart", 2, (0, -1)),))
    assert topology_of(state) == TopologySnapshot((one, two), two, (two,), (("cart", (one, None)),))
    assert topology_of(wire.StateFrame(1, rows, -1, ())).leader is None
    with pytest.raises(ProtocolError, match="'asleep' is no status"):
        topology_of(wire.StateFrame(1, (wire.MemberState("n1", "h", 1, 7, "asleep"),), -1, ()))
