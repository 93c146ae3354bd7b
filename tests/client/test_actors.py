"""The local actors of a client: what they are made of, how the cluster reaches them, and how they end."""

import math
import queue
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio

from casty_trio import (
    ActorAddress,
    ActorFailedError,
    ActorRef,
    ActorSettings,
    ActorStoppedError,
    Backoff,
    Behavior,
    Behaviors,
    ClientEvent,
    ClusterClient,
    ClusteredActorSystem,
    Connected,
    Directive,
    InvalidNameError,
    Listing,
    NameInUseError,
    NotSupportedOnClientError,
    OneForOneStrategy,
    SelfAskError,
    ServiceKey,
    Settings,
    ShardEnvelope,
    Subscribe,
    SystemClosedError,
    UsageError,
)
from casty_trio.client.refs import ClientRef
from casty_trio.remote.guests import GuestRef
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import NAME, PORT, Ctx, make_client, make_node


@dataclass(frozen=True)
class News:
    """Something to be read."""

    text: str


@dataclass(frozen=True)
class Question:
    """Wants to be answered."""

    text: str
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Follow:
    """Wants the news from now on."""

    who: ActorRef[News | Question]


@dataclass(frozen=True)
class Print:
    """Tells the followers."""

    text: str


@dataclass(frozen=True)
class AskThem:
    """Asks the first follower, and passes its answer on."""

    text: str
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Followers:
    """Wants to know who follows."""

    reply_to: ActorRef[tuple[ActorRef[News | Question], ...]]


Paper = Follow | Print | AskThem | Followers


def newspaper(entity_id: str) -> Behavior[Paper]:
    """An entity that tells the actors it was told of, be they where they are."""

    def printing(followers: tuple[ActorRef[News | Question], ...]) -> Behavior[Paper]:
        async def receive(ctx: Ctx, message: Paper) -> Behavior[Paper]:
            match message:
                case Follow(who):
                    return printing((*followers, who))
                case Print(text):
                    for follower in followers:
                        follower.tell(News(text))
                case AskThem(text, reply_to):
                    reply_to.tell(await ctx.ask(followers[0], lambda r: Question(text, r), timeout=2.0))
                case Followers(reply_to):
                    reply_to.tell(followers)
            return Behaviors.same()

        return Behaviors.receive(receive)

    return printing(())


def reader(read: list[str]) -> Behavior[News | Question]:
    """Reads the news, and answers what it is asked."""

    def receive(ctx: Ctx, message: News | Question) -> None:
        match message:
            case News(text):
                read.append(text)
            case Question(text, reply_to):
                reply_to.tell(text.upper())

    return Behaviors.receive(receive)


def to(make: Callable[[ActorRef[Any]], Any]) -> Callable[[ActorRef[Any]], ShardEnvelope[Any]]:
    return lambda reply_to: ShardEnvelope("daily", make(reply_to))


def question(text: str) -> Callable[[ActorRef[Any]], Any]:
    return lambda reply_to: Question(text, reply_to)


Papers = ActorRef[ShardEnvelope[Paper]]


def papers_of(client: ClusterClient) -> Papers:
    return client.entity_ref("paper", num_shards=5)


def press(program: Callable[[Simulation, ClusteredActorSystem, ClusterClient], Awaitable[object]], **settings: Any) -> None:
    """Simulate one node with the papers, and a client."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            node.spawn(Behaviors.sharded(newspaper, num_shards=5), "paper")
            async with make_client(sim, **settings) as client:
                await program(sim, node, client)

    simulate(scenario, 1)


# --- From the cluster -------------------------------------------------------------------------------------------------


async def subscribe_and_read(client: ClusterClient) -> list[Any]:
    """What can be done with a local actor from the cluster; the same on every library."""
    read, told = list[str](), list[Any]()
    papers = papers_of(client)
    local = client.spawn(reader(read), "reader")
    papers.tell(ShardEnvelope("daily", Follow(local)))
    for number in range(5):
        papers.tell(ShardEnvelope("daily", Print(f"{number}")))
    told.append(await client.ask(papers, to(lambda r: AskThem("well?", r))))
    told.append(await client.ask(papers, to(Followers)) == (local,))
    told.append(await client.ask(local, question("and here?")))
    told.append(tuple(read))
    told.append(client.statistics().actors)
    await client.stop(local)
    papers.tell(ShardEnvelope("daily", Print("too late")))
    told.append(await client.ask(papers, to(Followers)) == (local,))
    told.append((client.statistics().actors, tuple(read)))
    return told


EXPECTED = ["WELL?", True, "AND HERE?", ("0", "1", "2", "3", "4"), 1, True, (0, ("0", "1", "2", "3", "4"))]


def test_an_entity_tells_and_asks_it() -> None:
    """K2: in order, over the client's own stream; its ref comes back as what it is."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient) -> None:
        assert await subscribe_and_read(client) == EXPECTED
        assert client.statistics().dropped == 1  # what came for it after its end
        assert client.statistics().connections == 1

    press(program)


@pytest.mark.slow
@pytest.mark.anyio
async def test_on_both_libraries(anyio_backend: str) -> None:
    """K6: the same program gives the same results; the node has a thread of its own."""
    ports = queue.Queue[int]()
    told = list[Any]()

    def serve(over: Callable[[], bool]) -> None:
        async def run() -> None:
            async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1") as node:
                node.spawn(Behaviors.sharded(newspaper, num_shards=5), "paper")
                ports.put(node.address.port or 0)
                while not over():  # noqa: ASYNC110 - another thread's flag
                    await trio.sleep(0.01)

        trio.run(run)

    done = False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, serve, lambda: done)
        port = await anyio.to_thread.run_sync(ports.get)
        async with ClusterClient([("127.0.0.1", port)], NAME) as client:
            told = await subscribe_and_read(client)
        done = True
    assert told == EXPECTED


def test_other_nodes_reach_it_through_its_gateway() -> None:
    """K2: a node that the client has no stream to, with a ref that was handed on to it; and its asks are answered."""
    read = list[str]()

    async def scenario(sim: Simulation) -> None:
        two = make_node(sim, 2, seed_nodes=[("node-1", PORT)], required_quorum=2, messages=[News, Question])
        async with make_node(sim, 1) as one, two:
            one.spawn(Behaviors.sharded(newspaper, num_shards=5), "paper")
            async with make_client(sim) as client:
                local = client.spawn(reader(read), "reader")
                papers_of(client).tell(ShardEnvelope("daily", Follow(local)))
                [guest] = await client.ask(papers_of(client), to(Followers))
                assert guest is local
                gateway = one.resolve(f"casty://{NAME}@node-1:{PORT}/$guests/{client.identity.uid}/reader")
                there = two.resolve(gateway.address)
                for number in range(20):
                    there.tell(News(str(number)))
                assert await two.ask(there, question("far away")) == "FAR AWAY"
                assert read == [str(number) for number in range(20)]
                assert sum(each.link.peer.role == "client" for each in two.connections) == 0
            before = one.statistics().dead_letters
            there.tell(News("nobody"))
            await trio.sleep(1)
            assert one.statistics().dead_letters == before + 1

    simulate(scenario, 1)


def test_another_client_does_not_reach_it() -> None:
    """K7: a client reaches no other client's actors, whatever address it makes up or was given."""
    read = list[str]()

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient) -> None:
        local = client.spawn(reader(read), "reader")
        papers_of(client).tell(ShardEnvelope("daily", Follow(local)))
        async with make_client(sim, 2) as other:
            [theirs] = await other.ask(papers_of(other), to(Followers))
            theirs.tell(News("from another client"))
            await trio.sleep(1)
        assert read == []

    press(program)


def test_nobody_answers_in_its_place() -> None:
    """K2, K7: the reply ref of a node's own ask has a number that another client cannot guess."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient) -> None:
        asked = trio.Event()

        async def receive(ctx: Ctx, message: News | Question) -> None:
            assert isinstance(message, Question)
            asked.set()
            await anyio.sleep(0.5)
            message.reply_to.tell("genuine")

        papers = papers_of(client)
        papers.tell(ShardEnvelope("daily", Follow(client.spawn(Behaviors.receive(receive)))))

        async def forge(other: ClusterClient) -> None:
            await asked.wait()
            for number in range(1, 500):
                ClientRef(other, ActorAddress(NAME, f"/$asks/{number}", "node-1", PORT, node.uid, number)).tell("forged")

        async with make_client(sim, 2) as other, trio.open_nursery() as nursery:
            nursery.start_soon(forge, other)
            assert await client.ask(papers, to(lambda r: AskThem("well?", r))) == "genuine"

    press(program)


def test_a_node_finds_its_clients_among_many_and_forgets_them() -> None:
    """K2: the newest connection of each; nothing is kept of one that has gone."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient) -> None:
        uid, [first] = client.identity.uid, node.connections
        assert node.connection_of(uid) is first
        async with make_client(sim, 2) as other:
            [_, second] = node.connections
            assert node.connection_of(other.identity.uid) is second
            assert node.connection_of(uid) is first
        await trio.sleep(1)
        assert node.connection_of(other.identity.uid) is None
        assert len(node._by_uid) == 1

    press(program)


def test_it_gets_listings_for_as_long_as_its_client_is_there() -> None:
    """R2: what a node's actor subscribes it to is over with the first change after its client has gone."""
    key: ServiceKey[Any] = ServiceKey("any")
    heard = list[Any]()

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient) -> None:
        async with make_client(sim, 2, messages=[Listing]) as other:
            local: ActorRef[Any] = other.spawn(Behaviors.receive(lambda ctx, listing: heard.append(listing)), "listener")
            guest = GuestRef(node, other.identity.uid, local.path, local.address.incarnation)
            node.codec.register(Listing)
            node.receptionist.tell(Subscribe(key, guest))
            node.spawn(Behaviors.discoverable(newspaper("a"), key=key))
            await trio.sleep(1)
            assert [len(listing.instances) for listing in heard] == [0, 1]
        await trio.sleep(1)
        for _ in range(2):
            node.spawn(Behaviors.discoverable(newspaper("a"), key=key))
        assert guest not in node.services._interests
        assert node.statistics().dead_letters == 0

    press(program)


def test_it_is_reached_again_after_a_new_connection_to_the_same_node() -> None:
    """K2: the ref the cluster holds names the client, not the connection."""
    read = list[str]()

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient) -> None:
        local = client.spawn(reader(read), "reader")
        papers = papers_of(client)
        papers.tell(ShardEnvelope("daily", Follow(local)))
        assert await client.ask(papers, to(Followers)) == (local,)
        async with client.events(Connected) as connections:
            await anext(connections)
            sim.network.cut("client-1", "node-1")
            await anext(connections)
        papers.tell(ShardEnvelope("daily", Print("again")))
        assert await client.ask(papers, to(lambda r: AskThem("there?", r))) == "THERE?"
        assert read == ["again"]

    press(program)


# --- What they are made of --------------------------------------------------------------------------------------------


def alone(program: Callable[[ClusterClient], Awaitable[object]], **settings: Any) -> None:
    async def run(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient) -> None:
        await program(client)

    press(run, **settings)


def test_state_setup_and_hooks() -> None:
    """Behaviours follow each other, hooks run at the turns, and `stopped` ends it."""
    turns = list[str]()

    def counter(total: int) -> Behavior[int]:
        def receive(ctx: Ctx, amount: int) -> Behavior[int]:
            turns.append(f"{total}+{amount}")
            return counter(total + amount) if total + amount < 3 else Behaviors.stopped()

        return Behaviors.receive(receive)

    async def begin(ctx: Ctx) -> Behavior[int]:
        turns.append(f"setup {ctx.self.path}")
        ctx.log.info("it begins")
        return Behaviors.with_lifecycle(counter(0), pre_start=lambda ctx: turns.append("inner start"))

    async def program(client: ClusterClient) -> None:
        behavior = Behaviors.with_lifecycle(
            Behaviors.setup(begin),
            pre_start=lambda ctx: turns.append("start"),
            post_stop=lambda ctx: turns.append("stop"),
        )
        ref = client.spawn(behavior, "counter")
        for _ in range(5):
            await ref.send(1)
        await trio.sleep(1)
        assert turns == ["start", "setup /counter", "inner start", "0+1", "1+1", "2+1", "stop"]
        assert client.statistics().dropped == 2
        ref.tell(1)
        assert client.statistics().dropped == 3
        again = client.spawn(Behaviors.ignore(), "counter")
        assert again != ref
        assert again.path == ref.path

    alone(program)


def test_a_restart_begins_anew_and_keeps_the_mail() -> None:
    """`supervise`: hooks of the restart, a back-off, the initial behaviour; too many of them end it."""
    turns = list[Any]()

    def counter(total: int) -> Behavior[int]:
        def receive(ctx: Ctx, amount: int) -> Behavior[int]:
            if amount < 0:
                raise ValueError(amount)
            turns.append(total)
            return counter(total + amount)

        return Behaviors.receive(receive)

    async def program(client: ClusterClient) -> None:
        strategy = OneForOneStrategy(max_restarts=2, backoff=Backoff(1.0, 1.0, jitter=0.0))
        behavior = Behaviors.with_lifecycle(
            counter(0),
            pre_restart=lambda ctx, failure: turns.append(str(failure)),
            post_restart=lambda ctx: turns.append(trio.current_time() - before),
        )
        ref = client.spawn(Behaviors.supervise(behavior, strategy))
        before = trio.current_time()
        for amount in (5, -1, 7, 8, -2, 9, -3, 10):
            ref.tell(amount)
        await trio.sleep(5)
        assert turns == [0, "-1", 1.0, 0, 7, "-2", 2.0, 0]
        assert client.statistics().actors == 0
        assert client.statistics().dropped == 1

    alone(program)


@pytest.mark.parametrize("directive", [Directive.resume, Directive.stop, None])
def test_what_a_failure_means(directive: Directive | None) -> None:
    """And who asked hears of it."""

    def fail(ctx: Ctx, message: Question) -> None:
        if message.text == "fail":
            raise RuntimeError("kaputt")
        message.reply_to.tell("fine")

    async def program(client: ClusterClient) -> None:
        behavior: Behavior[Question] = Behaviors.receive(fail)
        if directive is not None:
            behavior = Behaviors.supervise(behavior, OneForOneStrategy(decider=lambda failure: directive))
        ref = client.spawn(behavior)
        with pytest.raises(ActorFailedError, match="RuntimeError: kaputt"):
            await client.ask(ref, question("fail"))
        if directive is Directive.resume:
            assert await client.ask(ref, question("go on")) == "fine"
        else:
            with pytest.raises(ActorStoppedError):
                await client.ask(ref, question("go on"))

    alone(program)


def test_an_escalated_failure_ends_the_block() -> None:
    """As it ends the block of a system."""

    def fail(ctx: Ctx, message: int) -> None:
        raise RuntimeError("kaputt")

    async def program(client: ClusterClient) -> None:
        strategy = OneForOneStrategy(decider=lambda failure: Directive.escalate)
        client.spawn(Behaviors.supervise(Behaviors.receive(fail), strategy)).tell(1)
        await trio.sleep_forever()

    with pytest.raises(RuntimeError, match="kaputt"):
        alone(program)


def test_timers_and_background_work() -> None:
    """``ctx.timers`` and ``ctx.pipe_to_self``; both end with the actor, and with its restart."""
    turns = list[Any]()

    async def fetch(what: str, fail: bool = False) -> str:
        await trio.sleep(1.5)
        if fail:
            raise OSError(what)
        return what

    def begin(ctx: Ctx) -> Behavior[str]:
        start = trio.current_time()
        ctx.timers.periodic("tick", 1.0, "tick")
        ctx.timers.once("once", 0.5, "once")
        ctx.timers.once("never", 0.4, "never")
        assert ctx.timers.cancel("never")
        assert not ctx.timers.cancel("never")
        assert ctx.timers.is_active("once")
        ctx.pipe_to_self(fetch("page"), str.upper)
        ctx.pipe_to_self(fetch("lost", fail=True), on_failure=lambda error: f"no {error}")

        def receive(ctx: Ctx, message: str) -> Behavior[str]:
            turns.append((trio.current_time() - start, message))
            return Behaviors.stopped() if len(turns) == 6 else Behaviors.same()

        return Behaviors.receive(receive)

    async def program(client: ClusterClient) -> None:
        client.spawn(Behaviors.setup(begin))
        await trio.sleep(30)
        assert [(round(at, 3), what) for at, what in turns] == [
            (0.5, "once"),
            (1.0, "tick"),
            (1.5, "PAGE"),
            (1.5, "no lost"),
            (2.0, "tick"),
            (3.0, "tick"),
        ] or {what for _, what in turns[2:4]} == {"PAGE", "no lost"}
        assert len(turns) == 6

    alone(program)


def test_what_begins_with_a_failure_has_nothing_to_resume() -> None:
    """As on a node, it stops."""
    begun = list[int]()

    def begin(ctx: Ctx) -> Behavior[int]:
        begun.append(1)
        if len(begun) > 10:
            return Behaviors.ignore()
        raise RuntimeError("kaputt")

    async def program(client: ClusterClient) -> None:
        strategy = OneForOneStrategy(decider=lambda failure: Directive.resume)
        client.spawn(Behaviors.supervise(Behaviors.setup(begin), strategy))
        await trio.sleep(1)
        assert len(begun) == 1
        assert client.statistics().actors == 0

    alone(program)


def test_nothing_outlives_it() -> None:
    """Not what its last hook begins either; and a timer that has fired is no message that is lost."""

    def begin_again(ctx: Ctx) -> None:
        ctx.timers.periodic("tick", 0.1, "tick")
        ctx.pipe_to_self(anyio.sleep(math.inf))

    def receive(ctx: Ctx, message: str) -> Behavior[str]:
        ctx.timers.once("soon", 0.0, "soon")
        return Behaviors.stopped()

    async def program(client: ClusterClient) -> None:
        ref: Any = client.spawn(Behaviors.with_lifecycle(Behaviors.receive(receive), post_stop=begin_again))
        ref.tell("go")
        await trio.sleep(5)
        assert client.statistics().actors == client.statistics().dropped == 0
        assert not ref.cell.behind
        assert client._deadlines._heap.open == 1  # the refresh of the state

    alone(program)


def test_background_work_that_fails_is_a_failure_of_the_actor() -> None:
    async def fail() -> str:
        raise OSError("lost")

    def begin(ctx: Ctx) -> Behavior[str]:
        ctx.pipe_to_self(fail())
        return Behaviors.ignore()

    async def program(client: ClusterClient) -> None:
        client.spawn(Behaviors.setup(begin))
        await trio.sleep(1)
        assert client.statistics().actors == 0

    alone(program)


def test_what_needs_a_node_says_so() -> None:
    """`NotSupportedOnClientError`, at the call or at the spawn, never later."""
    refused = list[str]()

    def begin(ctx: Ctx) -> Behavior[str]:
        attempts: list[Callable[[], object]] = [
            lambda: ctx.system,
            lambda: ctx.stash,
            lambda: ctx.deadline,
            lambda: ctx.spawn(Behaviors.ignore()),
            lambda: ctx.watch(ctx.self),
            lambda: ctx.unwatch(ctx.self),
            lambda: ctx.adapter(str),
            lambda: ctx.start_soon(trio.sleep, 1),
        ]
        for attempt in attempts:
            with pytest.raises(NotSupportedOnClientError, match=r"needs a node: an actor of a client has ctx\.self"):
                attempt()
            refused.append("!")
        with pytest.raises(UsageError, match="stops itself only"):
            ctx.stop(papers)
        return Behaviors.receive(ask_itself)

    async def ask_itself(ctx: Ctx, message: str) -> None:
        with pytest.raises(SelfAskError):
            await ctx.ask(ctx.self, lambda r: "")
        with pytest.raises(NotSupportedOnClientError, match="watch=True"):
            await ctx.ask(papers, to(Followers), watch=True)
        refused.append(str(await ctx.ask(papers, to(Followers))))
        ctx.stop(ctx.self)

    papers: Any = None

    async def program(client: ClusterClient) -> None:
        nonlocal papers
        papers = papers_of(client)
        ref = client.spawn(Behaviors.setup(begin), "x")
        ref.tell("go")
        with pytest.raises(NameInUseError):
            client.spawn(Behaviors.ignore(), "x")
        with pytest.raises(InvalidNameError):
            client.spawn(Behaviors.ignore(), "a/b")
        with pytest.raises(UsageError, match="made up"):
            client.spawn(Behaviors.ignore(), "$1")
        observer = client.spawn(Behaviors.ignore())
        unfit: list[Any] = [
            Behaviors.sharded(newspaper),
            Behaviors.broadcasted(Behaviors.ignore()),
            Behaviors.spy(Behaviors.ignore(), observer),
        ]
        for behavior in unfit:
            with pytest.raises(NotSupportedOnClientError):
                client.spawn(behavior)
        with pytest.raises(UsageError, match="no actor of this client"):
            await client.stop(papers)
        await trio.sleep(1)
        assert refused == ["!"] * 8 + ["()"]
        assert client.statistics().actors == 1

    alone(program)


# --- The end ----------------------------------------------------------------------------------------------------------


def test_what_is_no_behaviour_and_no_question() -> None:
    """The error says whose fault it is: a factory that was not called, and a message in the place of what makes one."""

    async def program(client: ClusterClient) -> None:
        with pytest.raises(UsageError, match=r"newspaper at .* is no behaviour: .*did you call yours"):
            client.spawn(newspaper)  # type: ignore[arg-type]
        ref = client.spawn(Behaviors.ignore())
        with pytest.raises(UsageError, match="takes a function of the reply ref that makes the message, not 'hello'"):
            await client.ask(ref, "hello")  # type: ignore[call-overload]

    alone(program)


def test_leaving_the_block_ends_them_in_order() -> None:
    """Each finishes the message at hand, its last hook can still tell the cluster, and who waits hears of the end."""
    turns = list[str]()

    async def slow(ctx: Ctx, message: str) -> None:
        await anyio.sleep(1)
        turns.append(message)

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            node.spawn(Behaviors.sharded(newspaper, num_shards=5), "paper")
            async with make_client(sim) as client:
                papers = papers_of(client)
                last = lambda ctx: papers.tell(ShardEnvelope("daily", Follow(ctx.self)))  # noqa: E731 - one line of it
                ref = client.spawn(Behaviors.with_lifecycle(Behaviors.receive(slow), post_stop=last))
                ref.tell("one")
                ref.tell("two")
                await trio.sleep(0.5)
            assert turns == ["one"]
            with pytest.raises(SystemClosedError):
                client.spawn(Behaviors.ignore())
            async with make_client(sim, 2) as client:
                assert len(await client.ask(papers_of(client), to(Followers))) == 1

    simulate(scenario, 1)


def test_a_handler_or_hook_that_hangs_is_cancelled() -> None:
    """After ``grace`` and ``hook_timeout`` of `ActorSettings`; and at once when the block is cancelled."""
    settings = Settings(actors=ActorSettings(grace=2.0, hook_timeout=1.0))

    async def hang(ctx: Ctx, message: str) -> None:
        await anyio.sleep_forever()

    async def program(client: ClusterClient) -> None:
        behavior = Behaviors.with_lifecycle(Behaviors.receive(hang), post_stop=lambda ctx: anyio.sleep(math.inf))
        ref = client.spawn(behavior)
        ref.tell("go")
        ref.tell("left")
        await trio.sleep(0.1)
        before = trio.current_time()
        await client.stop(ref)
        assert trio.current_time() - before == pytest.approx(3.0)
        client.spawn(behavior).tell("go")
        await trio.sleep(0.1)
        with trio.CancelScope() as scope:
            async with ClusterClient([("node-1", PORT)], NAME, env=client.env, settings=settings) as another:
                another.spawn(behavior).tell("go")
                await trio.sleep(0.1)
                before = trio.current_time()
                scope.cancel()
        assert trio.current_time() - before == pytest.approx(1.0)

    alone(program, settings=settings)


def test_it_hears_the_clients_events() -> None:
    """By `event_stream.subscribe`: the present state first, and nothing once it has stopped."""
    heard = list[str]()

    def hear(ctx: Ctx, event: ClientEvent) -> None:
        heard.append(type(event).__name__)

    async def program(client: ClusterClient) -> None:
        ref = client.spawn(Behaviors.receive(hear))
        client.event_stream.subscribe(ref, ClientEvent)
        client.event_stream.subscribe(ref, Connected)
        await trio.sleep(0.1)
        assert heard == ["ContactPoints", "Connected", "Connected"]
        client.drop(None, "for the test")
        await trio.sleep(0.1)
        assert heard[3:] == ["MessageDropped"]
        client.event_stream.unsubscribe(ref, ClientEvent)
        client.drop(None, "for the test")
        client.event_stream.subscribe(ref, ClientEvent)
        await client.stop(ref)
        client.drop(None, "for the test")
        assert len(heard) <= 6

    alone(program)
