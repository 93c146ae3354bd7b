"""One actor on every node, reached by one ref: on simulated hosts."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio import (
    ActorContext,
    ActorFailedError,
    ActorRef,
    ActorStoppedError,
    ActorSystem,
    AskError,
    AskTimeoutError,
    Behavior,
    Behaviors,
    BroadcastAskError,
    BroadcastAskTimeoutError,
    BroadcastRef,
    ClusteredActorSystem,
    DeadLetter,
    DecodeError,
    EncodeError,
    Mailbox,
    MailboxFullError,
    NameInUseError,
    OutcomeUnknownError,
    SelfAskError,
    SettingsError,
    UnknownActorError,
    UnknownMessageTypeError,
    UsageError,
)
from casty_trio.env import Env
from casty_trio.protocol import refs
from casty_trio.testing import Simulation
from tests.broadcasting.listeners import (
    Count,
    Fail,
    GetNews,
    Hang,
    Message,
    News,
    Relay,
    begin,
    heard,
    listener,
    news,
    settle,
)
from tests.cluster.clusters import Cluster, cluster, run

THREE = ("n1", "n2", "n3")


async def three(nodes: Cluster, **keywords: Any) -> None:
    """Three nodes that listen to the news."""
    nodes.start(*THREE, begin=begin, **keywords)
    await nodes.formed(*THREE)


def test_a_message_reaches_every_member_once() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            news(nodes, "n1").tell(News(1))
            await news(nodes, "n1").send(News(2))
            news(nodes, "n1").tell(News(3))
            await settle()
            assert {name: await heard(system) for name, system in nodes.systems.items()} == dict.fromkeys(THREE, (1, 2, 3))

    run(scenario)


@pytest.mark.long
@pytest.mark.parametrize("block", range(4))
def test_c7_wait_for_5_followed_at_once_by_150_sends_reads_150_on_every_node(block: int) -> None:
    """C7, on 200 seeds: who waited for five members and sends at once reaches all five, in order."""
    names = ("n1", "n2", "n3", "n4", "n5")

    async def program(system: ClusteredActorSystem, read: dict[str, tuple[int, ...]]) -> None:
        ref = begin(system)
        await system.wait_for(5)
        if system.node_id == "n1":
            for number in range(150):
                ref.tell(News(number))
            assert await system.ask(ref, Count) == (150,) * 5
        else:
            await settle()
        read[system.node_id] = await heard(system)
        await settle()

    async def scenario(sim: Simulation) -> None:
        read: dict[str, tuple[int, ...]] = {}

        async def node(name: str) -> None:
            async def host(env: Env, _: str) -> None:
                await trio.sleep(sim.rng(name).random())
                seeds = [("n1", 2_000), ("n2", 2_000)]
                async with ClusteredActorSystem(
                    "shop", name, 2_000, name, seed_nodes=seeds, insecure=True, env=env
                ) as system:
                    await program(system, read)

            await sim.host(name).run(host)

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(node, name)
        assert read == dict.fromkeys(names, tuple(range(150)))

    for seed in range(50 * block, 50 * block + 50):
        run(scenario, seed)


def test_an_ask_gives_one_reply_per_member_sorted_by_address() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            for number, name in enumerate(THREE, 1):
                actor = nodes.systems[name].lookup("/news")
                assert actor is not None
                for _ in range(number):
                    actor.tell(News(number))
            for name in THREE:
                system = nodes.systems[name]
                assert [member.node_id for member in system.members] == list(THREE)
                assert await system.ask(news(nodes, name), Count) == (1, 2, 3)
                assert await system.ask_or_none(news(nodes, name), Count) == (1, 2, 3)

    run(scenario)


def test_an_ask_comes_after_what_the_same_sender_told_before() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            for number in range(20):
                news(nodes, "n2").tell(News(number))
                assert await nodes.systems["n2"].ask(news(nodes, "n2"), Count) == (number + 1,) * 3

    run(scenario)


def test_a_member_that_has_not_spawned_it_costs_a_dead_letter_there() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1", "n2", begin=begin)
            nodes.start("n3")
            await nodes.formed(*THREE)
            late = nodes.systems["n3"]
            before = late.statistics().dead_letters
            news(nodes, "n1").tell(News(1))
            await settle()
            assert late.statistics().dead_letters == before + 1
            with pytest.raises(
                BroadcastAskError, match=r"2 of 3 members have answered /news: n3: .*no such actor"
            ) as caught:
                await nodes.systems["n1"].ask(news(nodes, "n1"), Count)
            error = caught.value
            assert {member.node_id: reply for member, reply in error.replies.items()} == {"n1": 1, "n2": 1}
            assert {m.node_id: type(why) for m, why in error.missing.items()} == {"n3": UnknownActorError}
            assert not isinstance(error, TimeoutError)
            begin(late)
            assert await nodes.systems["n1"].ask(news(nodes, "n1"), Count) == (1, 1, 0)

    run(scenario)


def test_a_node_that_has_not_spawned_it_has_dead_letters_of_its_own() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1")
            await nodes.formed("n1")
            system = nodes.systems["n1"]
            ref = news(nodes, "n1")
            async with system.events(DeadLetter) as letters:
                ref.tell(News(1))
                await ref.send(News(2))
                for number in (1, 2):
                    letter = await anext(letters)
                    assert isinstance(letter, DeadLetter)
                    assert letter.message == News(number)
            with pytest.raises(BroadcastAskError) as caught:
                await system.ask(ref, Count)
            assert [type(error) for error in caught.value.missing.values()] == [UnknownActorError]

    run(scenario)


def test_before_any_member_is_up_it_is_a_dead_letter() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n9") as nodes:
            nodes.start("n1", begin=begin)
            await settle()
            system, ref = nodes.systems["n1"], news(nodes, "n1")
            ref.tell(News(1))
            await ref.send(News(2))
            assert system.statistics().dead_letters == 2
            assert await heard(system) == ()
            with pytest.raises(BroadcastAskError, match="no member") as caught:
                await system.ask(ref, Count)
            assert caught.value.replies == caught.value.missing == {}

    run(scenario)


def test_late_replies_are_a_timeout_that_carries_the_others() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            system = nodes.systems["n1"]

            def ask_in_vain(reply_to: ActorRef[int]) -> Message:
                asked.append(reply_to)
                return Hang(reply_to) if len(asked) % 3 == 2 else Count(reply_to)

            asked: list[ActorRef[int]] = []
            before = trio.current_time()
            with pytest.raises(BroadcastAskTimeoutError) as caught:
                await system.ask(news(nodes, "n1"), ask_in_vain, timeout=2.0)
            assert trio.current_time() == before + 2.0
            assert isinstance(caught.value, AskTimeoutError)
            assert [member.node_id for member in caught.value.replies] == ["n1", "n3"]
            assert [member.node_id for member in caught.value.missing] == ["n2"]
            assert await system.ask_or_none(news(nodes, "n1"), ask_in_vain, timeout=2.0) is None
            assert system.statistics().asks == 0

    run(scenario)


def test_one_that_fails_does_not_keep_the_replies_of_the_others() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            system = nodes.systems["n2"]
            asked: list[int] = []

            def fail_one(reply_to: ActorRef[int]) -> Message:
                asked.append(1)
                return Fail(reply_to) if len(asked) == 2 else Count(reply_to)

            with pytest.raises(BroadcastAskError) as caught:
                await system.ask(news(nodes, "n2"), fail_one)
            assert list(caught.value.replies.values()) == [0, 0]
            [failed] = caught.value.missing.values()
            assert isinstance(failed, ActorFailedError)
            with pytest.raises(BroadcastAskError) as caught:
                await system.ask(news(nodes, "n2"), Count)  # it has no strategy, so it has stopped
            [stopped] = caught.value.missing.values()
            assert isinstance(stopped, AskError)

    run(scenario)


def test_a_member_that_crashes_ends_the_ask() -> None:
    """K5: what was written to it is unknown, and nobody waits for its timeout."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            system = nodes.systems["n1"]
            begun = trio.current_time()

            async def crash() -> None:
                await trio.sleep(1.0)
                sim.host("n3").crash()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(crash)
                with pytest.raises(BroadcastAskError) as caught:
                    await system.ask(news(nodes, "n1"), Hang, timeout=60.0)
                assert trio.current_time() - begun == 60.0
                unknown = [error for error in caught.value.missing.values() if isinstance(error, OutcomeUnknownError)]
                assert len(unknown) == 1
            await nodes.formed("n1", "n2")
            assert await system.ask(news(nodes, "n1"), Count) == (0, 0)

    run(scenario)


def test_a_watching_ask_ends_with_the_actors() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)

            async def stop() -> None:
                await trio.sleep(1.0)
                for system in nodes.systems.values():
                    actor = system.lookup("/news")
                    assert actor is not None
                    await system.stop(actor)

            begun = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop)
                with pytest.raises(BroadcastAskError) as caught:
                    await nodes.systems["n1"].ask(news(nodes, "n1"), Hang, timeout=60.0, watch=True)
            assert trio.current_time() - begun < 2.0
            assert {type(error) for error in caught.value.missing.values()} == {ActorStoppedError}
            peers = nodes.systems["n1"].peer_statistics()
            assert sum(peer.watching for peer in peers) == 0

    run(scenario)


def test_a_caller_that_gives_up_leaves_no_ask_behind() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            system = nodes.systems["n1"]
            with trio.move_on_after(1.0):
                await system.ask(news(nodes, "n1"), Hang, timeout=60.0, watch=True)
            assert system.statistics().asks == 0
            assert sum(peer.asks for peer in system.peer_statistics()) == 0

    run(scenario)


def test_an_actor_among_them_cannot_ask_itself() -> None:
    async def scenario(sim: Simulation) -> None:
        raised: list[type[BaseException]] = []

        def curious() -> Behavior[Count]:
            async def receive(ctx: ActorContext[Count], message: Count) -> None:
                system: Any = ctx.system
                try:
                    await ctx.ask(system.resolve_broadcast("news"), Count)
                except SelfAskError as error:
                    raised.append(type(error))
                message.reply_to.tell(0)

            return Behaviors.receive(receive)

        def start(system: ClusteredActorSystem) -> None:
            system.spawn(Behaviors.broadcasted(curious()), "news")

        async with cluster(sim) as nodes:
            nodes.start("n1", "n2", begin=start)
            await nodes.formed("n1", "n2")
            actor = nodes.systems["n2"].lookup("/news")
            assert actor is not None
            with trio.fail_after(3):
                assert await nodes.systems["n2"].ask(actor, Count) == 0
        assert raised == [SelfAskError]

    run(scenario)


def test_the_ref_travels_in_messages() -> None:
    """W8: another node that gets it reaches all members through it, and it is equal to its own."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            n1, n2 = nodes.systems["n1"], nodes.systems["n2"]
            assert news(nodes, "n1") == news(nodes, "n2")
            assert hash(news(nodes, "n1")) == hash(news(nodes, "n2"))
            other: ActorRef[Any] = n1.resolve(f"casty://shop@n2:{n2.address.port}/news")
            other.tell(Relay(news(nodes, "n1"), 7))
            await settle()
            assert [await heard(system) for system in nodes.systems.values()] == [(7,)] * 3

    run(scenario)


@pytest.mark.parametrize("checked", [False, True])
def test_what_a_node_tells_itself_is_checked_as_well(checked: bool) -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, check_serialization=checked) as nodes:
            nodes.start("n1", begin=begin)
            await nodes.formed("n1")
            ref: Any = news(nodes, "n1")
            odd: Any = News(object())  # type: ignore[arg-type]
            if checked:
                with pytest.raises(EncodeError):
                    ref.tell(odd)
                with pytest.raises(EncodeError):
                    await ref.send(odd)
            else:
                ref.tell(odd)
                await ref.send(odd)
            actor = nodes.systems["n1"].lookup("/news")
            assert actor is not None
            assert await nodes.systems["n1"].ask(actor, Count) == (0 if checked else 2)

    run(scenario)


def test_what_cannot_be_encoded_reaches_nobody() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, check_serialization=False) as nodes:
            await three(nodes)
            ref: Any = news(nodes, "n1")
            odd: Any = News(object())  # type: ignore[arg-type]
            with pytest.raises(EncodeError):
                ref.tell(odd)
            with pytest.raises(EncodeError):
                await ref.send(odd)
            with pytest.raises(EncodeError):
                await nodes.systems["n1"].ask(ref, lambda _: odd)
            await settle()
            counts = [await heard(system) for name, system in nodes.systems.items() if name != "n1"]
            assert counts == [(), ()]
            assert nodes.systems["n1"].statistics().asks == 0

    run(scenario)


def test_a_bounded_mailbox_bounds_the_actor_of_this_node() -> None:
    async def scenario(sim: Simulation) -> None:
        def start(system: ClusteredActorSystem) -> None:
            system.spawn(Behaviors.broadcasted(listener()), "news", mailbox=Mailbox(2, overflow="reject"))

        async with cluster(sim) as nodes:
            nodes.start("n1", begin=start)
            await nodes.formed("n1")
            ref = news(nodes, "n1")
            ref.tell(News(1))
            ref.tell(News(2))
            with pytest.raises(MailboxFullError):
                ref.tell(News(3))
            await ref.send(News(4))
            assert await heard(nodes.systems["n1"]) == (1, 2, 4)

    run(scenario)


def test_a_slow_member_holds_up_its_sender_alone() -> None:
    """W6: ``send`` waits for the one that has no room, and the others have the message by then."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await three(nodes)
            nodes.split(["n1"], ["n3"])
            await news(nodes, "n1").send(News(1))
            await trio.sleep(0.5)
            assert await heard(nodes.systems["n2"]) == (1,)
            nodes.heal(["n1"], ["n3"])
            await settle()
            assert await heard(nodes.systems["n3"]) == (1,)

    run(scenario)


# --- What is refused -----------------------------------------------------------------------------------------------------


def test_a_behaviour_has_to_tell_its_messages() -> None:
    def untold() -> Behavior[Any]:
        return Behaviors.receive(lambda ctx, message: None)

    async def scenario(sim: Simulation) -> None:
        def start(system: ClusteredActorSystem) -> None:
            with pytest.raises(UnknownMessageTypeError, match=r"annotate its handler .*messages=\[News\]"):
                system.spawn(Behaviors.broadcasted(untold()), "untold")
            with pytest.raises(UsageError, match="needs a name"):
                system.spawn(Behaviors.broadcasted(listener()))
            begin(system)
            with pytest.raises(NameInUseError):
                begin(system)

        async with cluster(sim) as nodes:
            nodes.start("n1", begin=start)
            await nodes.formed("n1")
            nodes.start("n2", messages=[News], begin=lambda system: system.spawn(Behaviors.broadcasted(untold()), "untold"))
            await nodes.formed("n1", "n2")

    run(scenario)


def test_only_the_behaviour_of_one_actor_can_be_broadcasted() -> None:
    wrong: Any = listener
    with pytest.raises(SettingsError):
        Behaviors.broadcasted(wrong)
    with pytest.raises(SettingsError):
        Behaviors.broadcasted(Behaviors.broadcasted(listener()))
    with pytest.raises(SettingsError):
        Behaviors.broadcasted(Behaviors.sharded(lambda entity_id: listener(), num_shards=1))


def test_names_come_from_the_wire_too() -> None:
    assert refs.unpack_broadcast(memoryview(refs.pack_broadcast("news")[1])) == "news"
    for payload in (b"", b"a/b", b"\xff"):
        with pytest.raises(DecodeError):
            refs.unpack_broadcast(memoryview(payload))


def test_the_messages_of_each_kind_of_behaviour() -> None:
    async def of_setup(ctx: ActorContext[int | str]) -> Behavior[int | str]:
        return Behaviors.ignore()

    class Method:
        def receive(self, ctx: ActorContext[int], message: int) -> None: ...

    def bare(ctx, message): ...  # type: ignore[no-untyped-def]

    def nothing() -> None: ...

    def types(behavior: Behavior[Any]) -> tuple[Any, ...]:
        return Behaviors.broadcasted(behavior).message_types

    assert types(listener()) == (News, GetNews, Count, Fail, Hang, Relay)
    assert types(Behaviors.setup(of_setup)) == (int, str)
    assert types(Behaviors.with_lifecycle(Behaviors.receive(Method().receive))) == (int,)
    assert types(Behaviors.receive(bare)) == ()
    assert types(Behaviors.receive(nothing)) == ()  # type: ignore[arg-type]
    assert types(Behaviors.receive(dict)) == ()  # type: ignore[arg-type]
    assert types(Behaviors.ignore()) == ()
    assert types(Behaviors.same()) == ()


def test_it_is_a_broadcast_ref() -> None:
    async def scenario(sim: Simulation) -> None:
        spawned: list[BroadcastRef[Message]] = []
        async with cluster(sim) as nodes:
            nodes.start("n1", begin=lambda system: spawned.append(begin(system)))
            await nodes.formed("n1")
            assert spawned[0].path == "/news"
            assert repr(spawned[0]) == "<EveryRef /news>"

    run(scenario)


async def test_a_system_without_a_cluster_spawns_none() -> None:
    async with ActorSystem("local") as system:
        with pytest.raises(UsageError, match="broadcasted"):
            system.spawn(Behaviors.broadcasted(Behaviors.receive(lambda ctx, message: None)), "news")
