"""The parts of which connections between nodes are made, one at a time."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio import ActorAddress, ActorRef, AskTimeoutError, Behaviors, DeadLetter, ShardEnvelope
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Dial, Offer
from casty_trio.remote import adapters, peer as peer_module, peers
from casty_trio.testing import Simulation, simulate
from tests.remote.nodes import GetAll, Hand, Ignore, Late, Note, Put, heard, opened, peer_of, sink, until, uri, watcher
from tests.remote.peers import linked
from tests.sim.shop import NAME, PORT, cart, open_shop, wants


def offer(uid: int, dial: int, seen: tuple[int, int] = (0, 0)) -> Offer:
    return Offer((1,), NAME, "node", "node-2", uid, "node-2", PORT, bytes(32), 1024, 1024, dial, *seen)


def test_who_is_let_in() -> None:
    """W7: an earlier dial never comes after a later one; both ends keep the dial of the lower uid."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim, 1) as [one]:
            one.resolve(uri(2, "/x"))
            peer = peer_of(one, 2)
            low, high = one.uid - 1, one.uid + 1
            assert peer.admit_accepted(offer(high, 2)) is None
            assert peer.next_dial() == Dial(1, high, 2)
            refusals = [peer.admit_accepted(offer(high, dial)) for dial in (1, 2)]
            assert [refusal and refusal.code for refusal in refusals] == ["crossing"] * 2
            assert "quicker" in str(peer.admit_dialled(offer(high, 3)))
            peer.accept_over()
            assert peer.admit_dialled(offer(high, 3)) is None
            assert "at the same time" in str(peer.admit_accepted(offer(high, 3)))
            peer.dial_over()
            assert peer.admit_accepted(offer(high, 3)) is None
            peer.accept_over()
            assert peer.admit_dialled(offer(low, 1)) is None
            assert peer.admit_accepted(offer(low, 1)) is None
            peer.accept_over()
            peer.dial_over()
            one.peers.gone[low] = "for a test"
            for refusal in (peer.admit_dialled(offer(low, 2)), one.peers.admit(offer(low, 2))):
                assert refusal is not None
                assert refusal.code == "gone"
            for host, port in (("", PORT), ("node-2", 0), ("node-1", PORT)):
                refusal = one.peers.admit(Offer((1,), NAME, "node", "x", 5, host, port, bytes(32), 1024, 1024))
                assert refusal is not None

    simulate(scenario, 1)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """W6: starts that are gone, starts nobody knew, adapters: the oldest are forgotten."""
    monkeypatch.setattr(peers, "GONE_MOST", 3)
    monkeypatch.setattr(peer_module, "STALE_MOST", 3)
    monkeypatch.setattr(adapters, "KEPT_MOST", 3)

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other]:
            hands = list[Hand]()
            one.spawn(sink(hands), "sink")
            for uid in range(1, 6):
                other.resolve(ActorAddress(NAME, "/sink", "node-1", PORT, uid, 1)).tell(Note(uid))
            await until(lambda: other.statistics().dead_letters == 5)
            peer = peer_of(other, 1)
            assert [uid for uid in range(1, 6) if peer.why_gone(uid)] == [3, 4, 5]

            def adapt(ctx: Any, message: Any) -> None:
                for number in range(5):
                    other.resolve(uri(1, "/sink")).tell(Hand(ctx.adapter(lambda _, number=number: number)))

            user = other.spawn(Behaviors.receive(adapt), "user")
            user.tell("go")
            await until(lambda: len(hands) == 5)
            assert len(other.peers.adapters) == 3
            other.resolve(uri(1, "/sink")).tell(hands[4])
            letters = heard(other, DeadLetter)
            hands[0].ref.tell("forgotten")
            await until(lambda: letters)
            await other.stop(user)
            assert len(other.peers.adapters) == 0
            hands[4].ref.tell("over")
            await until(lambda: len(letters) == 2)
            for uid in range(100, 105):
                peer.uid = uid
                other.peers.declare_gone(peer, "for a test")
            assert list(other.peers.gone) == [102, 103, 104]

    simulate(scenario, 1)


def test_an_adapter_that_comes_home() -> None:
    """W8: it is the same one, and is told things like any."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other]:
            got, hands = list[Any](), list[Hand]()
            other.spawn(sink(hands), "sink")
            one.spawn(sink(got), "home")
            kept = list[ActorRef[Any]]()

            def begin(ctx: Any) -> Any:
                kept.append(ctx.adapter(lambda text: ("adapted", text)))
                return sink(got)

            one.spawn(Behaviors.setup(begin))
            await until(lambda: kept)
            one.resolve(uri(2, "/sink")).tell(Hand(kept[0]))
            one.resolve(uri(2, "/sink")).tell(Hand(kept[0]))
            await until(lambda: len(hands) == 2)
            hands[0].ref.tell("a")
            other.resolve(uri(1, "/home")).tell(hands[0])
            await until(lambda: len(got) == 2)
            assert ("adapted", "a") in got
            assert Hand(kept[0]) in got
            assert next(item for item in got if isinstance(item, Hand)).ref is kept[0]
            timed_out = False
            try:
                await other.ask(hands[0].ref, lambda reply_to: "no answer", timeout=1)
            except AskTimeoutError:
                timed_out = True
            assert timed_out

    simulate(scenario, 1)


def test_refs_of_entities_between_nodes() -> None:
    """W1: named by type and id; where the type is not known the message is refused, and the connection lives."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other]:
            hands, kept = list[Hand](), list[ActorRef[Any]]()

            def desk(entity_id: str) -> Any:
                return Behaviors.receive(lambda ctx, message: kept.append(ctx.self))

            region = one.spawn(Behaviors.sharded(desk, num_shards=10), "desk")
            other.spawn(sink(hands), "sink")
            from_cart(region)
            await until(lambda: kept)
            there: ActorRef[Any] = one.resolve(uri(2, "/sink"))
            letters = heard(other, DeadLetter)
            there.tell(Hand(kept[0]))
            await until(lambda: letters)
            other.spawn(Behaviors.sharded(desk, num_shards=10), "desk")
            there.tell(Hand(kept[0]))
            await until(lambda: hands)
            assert hands[0].ref.path == kept[0].path
            assert len(other.connections) == 1

    simulate(scenario, 1)


def from_cart(region: ActorRef[Any]) -> None:
    """Wake one entity."""

    region.tell(ShardEnvelope("a", Put(1)))


@pytest.mark.parametrize("kind", [Kind.REPLY, Kind.WATCH, Kind.UNWATCH, Kind.TERMINATED, Kind.NACK])
def test_a_client_is_no_node(kind: int) -> None:
    """K7: what only nodes say ends a client's connection."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim, 1) as [one]:
            open_shop(one)
            async with linked(sim) as link:
                body = wire.pack((1, "x", "y"))
                if kind == Kind.NACK:
                    link.write_control(kind, body)
                else:
                    link.write(kind, body)
                await until(lambda: one.protocol_errors)
                assert "no business" in link.reason or "protocol error" in link.reason

    simulate(scenario, 1)


def test_late_replies_and_second_ones() -> None:
    """L5: dead letters on the node that asked."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other]:
            one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            assert await other.ask(ref, wants(Late, 1, 0.0)) == 1
            letters = heard(other, DeadLetter)
            await trio.sleep(0.1)
            [connection] = one.connections
            connection.link.write(Kind.REPLY, wire.pack_reply(1, "builtins:int", b"\x01"))
            await until(lambda: letters)
            assert "late or second" in letters[0].reason
            story = list[Any]()
            watching = other.spawn(watcher(story, ref))
            await trio.sleep(1)
            [there] = other.connections
            assert "node-1" in repr(there)
            for _ in range(2):
                connection.link.write(Kind.TERMINATED, wire.pack(wire.TerminatedFrame("/nobody", 1, None)))
                there.link.write(Kind.UNWATCH, wire.pack(wire.UnwatchFrame("/nobody", 1)))
                there.link.write(Kind.WATCH, wire.pack(wire.WatchFrame("/cart", 0)))
            await trio.sleep(1)
            assert story == []
            assert peer_of(one, 2).watches.watched == 1
            await other.stop(watching)
            with pytest.raises(AskTimeoutError):
                await other.ask(ref, wants(Ignore), timeout=1)
            assert await other.ask(ref, wants(GetAll)) == ()

    simulate(scenario, 1)
