"""What ends an ask of a client, and by which name."""

import math
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorFailedError,
    ActorStoppedError,
    AskTimeoutError,
    ClusterClient,
    ClusteredActorSystem,
    DeadLetter,
    Lagged,
    MailboxFullError,
    RequestRefusedError,
    ShardCountError,
    ShardEnvelope,
    UnknownActorError,
)
from casty_trio.client.refs import ClientRegionRef
from casty_trio.testing import Conditions, Simulation, simulate
from tests.sim.shop import (
    Carts,
    Fail,
    Fill,
    GetAll,
    Ignore,
    Late,
    Leave,
    Name,
    Put,
    assert_adds_up,
    both,
    carts_of,
    make_client,
    make_node,
    open_shop,
    small_link,
    to,
)

Node = ClusteredActorSystem


def test_a_failing_entity_is_named_with_its_text() -> None:
    """L5: at once; and the next instance of the entity answers."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        before = trio.current_time()
        with pytest.raises(ActorFailedError, match=r"/cart/a failed: RuntimeError: kaputt 100%"):
            await client.ask(carts, to("a", Fail, "kaputt 100%"))
        assert trio.current_time() - before < 0.1
        assert await client.ask(carts, to("a", GetAll)) == ()
        assert_adds_up(node.statistics())

    both(scenario)


def test_a_long_text_of_a_failure_arrives_in_part() -> None:
    """What travels of an exception is bounded."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> str:
        with pytest.raises(ActorFailedError) as caught:
            await client.ask(carts, to("a", Fail, "x" * 100_000))
        return str(caught.value)

    assert 200 < len(both(scenario)) <= 510


def test_an_entity_that_is_stopped_with_the_message_in_its_hands() -> None:
    """L5: at once, when its grace is over."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(ActorStoppedError, match="/cart/a stopped while it handled the message"):
                    await client.ask(carts, to("a", Late, 1, 60.0), timeout=math.inf)
                assert trio.current_time() < 3.5

            nursery.start_soon(ask)
            await trio.sleep(1)
            region = node.lookup("/cart")
            assert region is not None
            await node.stop(region, grace=2.0)
        with pytest.raises(ActorStoppedError, match="cart is stopping on node-1"):
            await client.ask(carts, to("a", GetAll))
        assert_adds_up(node.statistics())

    both(scenario)


def test_an_entity_that_stops_with_asks_queued() -> None:
    """L5 and L4: each of them ends at once, and is a dead letter."""
    ended = list[str]()

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        async def ask() -> None:
            with pytest.raises(ActorStoppedError):
                await client.ask(carts, to("a", GetAll))
            ended.append(f"{trio.current_time():.0f}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.ask, carts, to("a", Late, 1, 1.0))
            await trio.sleep(0.1)
            carts.tell(ShardEnvelope("a", Leave()))
            for _ in range(10):
                nursery.start_soon(ask)
        statistics = node.statistics()
        assert statistics.dead == 10
        assert_adds_up(statistics)

    both(scenario)
    assert ended == ["1"] * 10


def test_a_type_the_cluster_does_not_have() -> None:
    """L5: unknown, by name."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        other: Carts = client.entity_ref("basket", num_shards=5)
        with pytest.raises(UnknownActorError, match="node-1 has no sharded type 'basket'"):
            await client.ask(other, to("a", GetAll))
        other.tell(ShardEnvelope("a", Put(1)))
        await trio.sleep(1)
        assert node.statistics().dead_letters == 2

    both(scenario)


def test_a_number_of_shards_that_the_node_does_not_have() -> None:
    """A client that disagrees all the same is told so by the node."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        wrong = ClientRegionRef[Any](client, "cart", 11)
        with pytest.raises(ShardCountError, match="'cart' has 10 shards on node-1, and 11 at the sender"):
            await client.ask(wrong, to("a", GetAll))

    both(scenario)


def test_a_type_that_is_spawned_later() -> None:
    """K1: the state follows every change, so a ref made before its type works from then on."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, make_client(sim) as client:
            carts = carts_of(client)
            with pytest.raises(UnknownActorError):
                await client.ask(carts, to("a", GetAll))
            open_shop(node)
            assert await client.ask(carts, to("a", GetAll)) == ()
            await trio.sleep(1)
            assert client.num_shards("cart") == 10

    simulate(scenario, 1)


def test_a_message_of_a_name_the_node_does_not_know() -> None:
    """W1: it costs that message, with the remedy, and the connection lives."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Any) -> None:
        stranger = carts.frame(ShardEnvelope("a", Put(1)), 0, None)
        client.stream.write(stranger[0], stranger[1].replace(b":Put", b":Pot"))
        with pytest.raises(RequestRefusedError, match="no type is registered here under the wire name"):
            await client.ask(Renamed(client, "cart", 10), to("a", GetAll))
        assert await client.ask(carts, to("a", GetAll)) == ()
        assert client.statistics().connections == 1
        statistics = node.statistics()
        assert statistics.dead_letters == 2
        assert_adds_up(statistics)

    both(scenario)


class Renamed(ClientRegionRef[Any]):
    """Sends each message under a name nobody knows."""

    __slots__ = ()

    def frame(self, message: Any, ask: int, budget: float | None) -> tuple[int, bytes]:
        kind, body = super().frame(message, ask, budget)
        return kind, body.replace(b":GetAll", b":GetNil")


class Garbled(ClientRegionRef[Any]):
    """Sends each message with another type where the reply ref stands."""

    __slots__ = ()

    def frame(self, message: Any, ask: int, budget: float | None) -> tuple[int, bytes]:
        kind, body = super().frame(message, ask, budget)
        return kind, body.replace(b"number", b"xxxxxx")


def test_a_message_that_cannot_be_decoded() -> None:
    """W1: the same for a body that is not what its type says."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Any) -> None:
        with pytest.raises(RequestRefusedError, match="number"):
            await client.ask(Garbled(client, "cart", 10), to("a", Late, 5, 0.1))
        assert await client.ask(carts, to("a", Late, 5, 0.1)) == 5
        assert client.statistics().connections == 1

    both(scenario)


# --- Time ------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.0, 0.25, 5.0])
def test_a_timeout_is_exact(timeout: float) -> None:
    """L5: in virtual time, to the last bit; a TimeoutError."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        before = trio.current_time()
        with pytest.raises(AskTimeoutError, match=f"no reply from <ClientRegionRef /cart> within {timeout:g} s") as caught:
            await client.ask(carts, to("a", Ignore), timeout=timeout)
        assert trio.current_time() == before + timeout
        assert isinstance(caught.value, TimeoutError)
        assert client.statistics().asks == 0

    both(scenario)


def test_many_timeouts_each_at_its_own() -> None:
    """L5: five hundred deadlines, given in no order, some answered before."""
    ended = list[tuple[int, bool]]()

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        async def ask(number: int) -> None:
            before = trio.current_time()
            answered = number % 3 == 0
            try:
                if answered:
                    assert (
                        await client.ask(carts, to(f"{number}", Late, number, number / 20), timeout=number / 10 + 1)
                        == number
                    )
                else:
                    await client.ask(carts, to(f"{number}", Ignore), timeout=number / 10)
            except AskTimeoutError:
                assert not answered
                assert trio.current_time() == before + number / 10
            ended.append((number, answered))

        numbers = list(range(500))
        sim.rng("order").shuffle(numbers)
        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(ask, number)
        assert client.statistics().asks == 0
        await trio.sleep(200)
        assert not any(connection.slots for connection in node.connections)

    both(scenario)
    assert len(ended) == 500


def test_no_timeout_waits_as_long_as_it_takes() -> None:
    """L5: ``math.inf``."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        assert await client.ask(carts, to("a", Late, 7, 3_000.0), timeout=math.inf) == 7

    both(scenario)


def test_a_late_reply_is_counted() -> None:
    """L5: it comes to nobody; here when it is on its way already, and else on the node."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        with pytest.raises(AskTimeoutError):
            await client.ask(carts, to("a", Late, 1, 3.0), timeout=1.0)
        await trio.sleep(5)
        assert node.statistics().dead_letters == 1
        sim.network.set_conditions(Conditions(delay=(0.4, 0.4)))
        with pytest.raises(AskTimeoutError):
            await client.ask(carts, to("a", Late, 1, 0.3), timeout=1.0)
        await trio.sleep(5)
        assert client.statistics().dropped == 1
        assert await client.ask(carts, to("a", GetAll)) == ()

    both(scenario)


async def letters_of(node: Node, seen: list[tuple[str, str]], *, task_status: trio.TaskStatus[None]) -> None:
    """Note every dead letter."""
    async with node.events(DeadLetter) as letters:
        task_status.started()
        async for letter in letters:
            assert not isinstance(letter, Lagged)
            seen.append((type(letter.message).__name__, letter.reason))


@pytest.mark.parametrize("how", ["cancelled", "timeout"])
def test_a_message_is_skipped_when_its_asker_gave_up(how: str) -> None:
    """L5: while it is queued on the node, the asker's end reaches it there; it is a dead letter, and never handled."""
    seen = list[tuple[str, str]]()

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(letters_of, node, seen)
            carts.tell(ShardEnvelope("a", Put(1)))
            nursery.start_soon(client.ask, carts, to("a", Late, 1, 3.0))
            await trio.sleep(0.1)
            if how == "cancelled":
                with trio.move_on_after(1):
                    await client.ask(carts, to("a", Fail, "it was handled"))
            else:
                with pytest.raises(AskTimeoutError):
                    await client.ask(carts, to("a", Fail, "it was handled"), timeout=1.0)
            await trio.sleep(0.1)
            assert not [slot for connection in node.connections for slot in connection.slots.values() if slot.number > 1]
            await trio.sleep(5)
            assert seen == [("Fail", "its asker gave up")]
            assert await client.ask(carts, to("a", GetAll)) == (1,)
            assert_adds_up(node.statistics())
            nursery.cancel_scope.cancel()

    both(scenario)


def test_a_cancellation_overtakes_the_message_it_belongs_to() -> None:
    """L5: control goes first on the wire, so the node may hear of the end before it has the message."""
    seen = list[tuple[str, str]]()

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        sim.network.set_conditions(Conditions(delay=(0.01, 0.01), cut=0, window=1024))
        async with trio.open_nursery() as nursery:
            await nursery.start(letters_of, node, seen)
            for _ in range(300):
                carts.tell(ShardEnvelope("a", Fill(bytes(4_000))))
            with trio.move_on_after(0.5) as scope:
                await client.ask(carts, to("a", Fail, "it was handled"), timeout=math.inf)
            assert scope.cancelled_caught
            link = client.statistics().link
            assert link is not None
            assert link.queued > 100_000  # the message has not left yet
            assert len(await client.ask(carts, to("a", GetAll), timeout=math.inf)) == 300
            assert seen == [("Fail", "its asker gave up")]
            nursery.cancel_scope.cancel()

    both(scenario)


def test_a_full_queue() -> None:
    """W6: a tell is dropped and counted, an ask fails by name, a send waits; then all goes on."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        sim.network.set_conditions(Conditions(delay=(0.5, 0.5), window=1024))
        for _ in range(40):
            carts.tell(ShardEnvelope("a", Fill(bytes(8_000))))
        dropped = client.statistics().dropped
        assert 25 < dropped < 40
        with pytest.raises(MailboxFullError):
            await client.ask(carts, lambda reply_to: ShardEnvelope("a", Fill(bytes(8_000))))
        assert client.statistics().asks == 0
        await carts.send(ShardEnvelope("a", Fill(bytes(8_000))))
        sim.network.set_conditions(Conditions())
        assert len(await client.ask(carts, to("a", GetAll), timeout=math.inf)) == 41 - dropped

    both(scenario, client={"link": small_link()})


def test_the_name_of_an_entity_is_its_own() -> None:
    """Replies to asks that run at once come to those who asked."""

    async def scenario(sim: Simulation, node: Node, client: ClusterClient, carts: Carts) -> None:
        async def ask(entity_id: str) -> None:
            assert await client.ask(carts, to(entity_id, Name)) == entity_id

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(ask, f"{number}")

    both(scenario)
