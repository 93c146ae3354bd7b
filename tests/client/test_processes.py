"""A client of nodes in real processes: a contact that is killed, one that is started again, and the end of the cluster."""

from __future__ import annotations

import pytest
import trio

from casty_trio import ClientSettings, ClusterClient, Connected, Disconnected, LinkSettings, Settings
from tests.client.serving import KEY, PATH, Count, Hi
from tests.cluster.chaos.child import HOST, NAME
from tests.cluster.chaos.processes import Processes, processes

MODULE = "tests.client.serving"
AGREED = 30.0
QUICK = {
    "detector": {"heartbeat": 0.5, "pause": 1.5, "probe_timeout": 0.25},
    "cluster": {"stable_after": 1.0},
    "link": {"handshake_timeout": 3.0, "keep_alive": 1.0, "dead_after": 5.0},
}


def client_of(cluster: Processes, *names: str) -> ClusterClient:
    """A client that was told of these nodes."""
    link = LinkSettings(handshake_timeout=3.0, keep_alive=1.0, dead_after=5.0)
    settings = Settings(link=link, client=ClientSettings(refresh=1.0, reconnect_timeout=30.0))
    points = [(HOST, cluster.nodes[name].port) for name in names]
    return ClusterClient(points, NAME, messages=[Hi, Count], settings=settings, connect_timeout=20.0)


async def hi(client: ClusterClient) -> tuple[str, int]:
    """Greet whoever is near."""
    service = client.service_ref(PATH, local_affinity=True)
    answer: tuple[str, int] = await client.ask(service, Hi, timeout=20)
    return answer


@pytest.mark.slow
async def test_hard_exit_of_the_contact() -> None:
    """K3, K5: its process is killed: within 2 s of noticing the client goes on through another, which gets what is sent from
    then on, and nothing of before; the service of the dead one disappears, and its node from the contact points."""
    async with processes(3, module=MODULE) as cluster:
        names = cluster.all_names
        for name in names:
            await cluster.start(name, names[:1], settings=QUICK)
        await cluster.agreed(*names, within=AGREED)
        async with client_of(cluster, *names) as client:
            for _ in range(3):
                client.send(PATH, Count(), local_affinity=True)
            gone, count = await hi(client)
            assert count == 3
            others = [(HOST, cluster.nodes[name].port) for name in names if name != gone]
            client.contacts.given = ()
            async with client.events(Disconnected) as ends, client.events(Connected) as connections:
                await anext(connections)
                await cluster.kill(gone)
                await anext(ends)
                noticed = trio.current_time()
                await anext(connections)
                assert trio.current_time() - noticed <= 2
            other, count = await hi(client)
            assert other != gone
            assert count == 0
            with trio.fail_after(AGREED):
                async with client.subscribe(KEY) as listings:
                    async for listing in listings:
                        if {instance.node for instance in listing.instances} == set(others):
                            break
            assert set(client.contact_points) == set(others)


@pytest.mark.slow
async def test_the_same_port_again() -> None:
    """K3: the only node is killed and started again at its port: told as lost and connected, and messages flow."""
    async with processes(1, module=MODULE) as cluster:
        await cluster.start("n1", settings=QUICK)
        await cluster.agreed("n1", within=AGREED)
        async with client_of(cluster, "n1") as client:
            client.send(PATH, Count())
            assert await hi(client) == ("n1", 1)
            before = client.members[0].uid
            async with client.events(Disconnected) as ends, client.events(Connected) as connections:
                await anext(connections)
                await cluster.kill("n1")
                await anext(ends)
                await cluster.start("n1", settings=QUICK)
                with trio.fail_after(AGREED):
                    await anext(connections)
            assert await hi(client) == ("n1", 0)
            assert client.members[0].uid != before
