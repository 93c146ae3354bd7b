"""A client on Trio and on asyncio: the same program, the same results (K6). The node has a thread to itself."""

import asyncio
import math
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import sniffio
import trio

from casty_trio import (
    ActorContext,
    Behavior,
    Behaviors,
    ClientEvent,
    ClientSettings,
    ClusterClient,
    ClusteredActorSystem,
    Connected,
    ConnectError,
    ContactPoints,
    Directive,
    Disconnected,
    Event,
    HandshakeError,
    MessageDropped,
    OneForOneStrategy,
    OutcomeUnknownError,
    ReconnectTimeoutError,
    Settings,
    ShardEnvelope,
    SystemClosedError,
    UsageError,
    discovery,
)
from tests.client import guest
from tests.programs import run_program
from tests.sim.shop import NAME, SHARDS, Carts, GetAll, Ignore, Put, open_shop, to

pytestmark = pytest.mark.slow
T = TypeVar("T")


class NodeInThread:
    """A node of its own, with a Trio loop of its own; ``port`` tells where."""

    def __init__(self, port: int = 0, *, name: str = NAME, **settings: Any) -> None:
        self._name, self._settings = name, settings
        self._started: queue.Queue[tuple[int, trio.lowlevel.TrioToken]] = queue.Queue()
        self._leave = trio.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run, port))
        self._thread.start()
        self.port, self._token = self._started.get(timeout=30)

    def call(self, function: Callable[[ClusteredActorSystem], T]) -> T:
        """Call a function with the node, in its own loop; from another thread."""
        return trio.from_thread.run_sync(function, self.node, trio_token=self._token)

    def stop(self) -> None:
        """Let it leave, and wait until it has."""
        self._token.run_sync_soon(self._leave.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _run(self, port: int) -> None:
        async with ClusteredActorSystem(self._name, "127.0.0.1", port, "node-1", **self._settings) as node:
            open_shop(node)
            self.node = node
            self._started.put((node.address.port or 0, trio.lowlevel.current_trio_token()))
            await self._leave.wait()


@pytest.fixture
def node() -> Iterator[NodeInThread]:
    running = NodeInThread()
    yield running
    running.stop()


EXPECTED = [
    "numbers (0, 1, 2, 3, 4, 200000)",
    "name -two",
    "ActorFailedError /cart/-bad failed: RuntimeError: kaputt",
    "AskTimeoutError no reply from <ClientRegionRef /cart> within 0.05 s",
    "SettingsError timeout must be seconds, 0 or more, not -1.0",
    "UnknownActorError node-1 has no sharded type 'basket'",
    "MessageTooLargeError a message of 5000053 bytes exceeds the limit of 4194304 bytes",
    "UsageError /cart takes ShardEnvelope(entity_id, message), not Put",
    "crowd [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]",
    "cancelled True",
    "asks 0 dropped 0",
    "afterwards (0, 1, 2, 3, 4, 200000, 99)",
]


@pytest.mark.anyio
async def test_one_program_on_both(node: NodeInThread, anyio_backend_name: str) -> None:
    """K6: what a program sees does not depend on the library it runs on."""
    assert sniffio.current_async_library() == anyio_backend_name
    lines = list[str]()
    await guest.program(node.port, anyio_backend_name, lambda *words: lines.append(" ".join(map(str, words))))
    assert lines == EXPECTED


def test_one_program_in_processes_of_its_own(node: NodeInThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """K6: once more with a plain ``asyncio.run``, far from any test runner."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    outputs = [run_program(Path(guest.__file__), str(node.port), library) for library in ("asyncio", "trio")]
    assert outputs == ["\n".join(EXPECTED) + "\n"] * 2


@pytest.mark.anyio
async def test_entering_fails_by_name(node: NodeInThread, anyio_backend_name: str) -> None:
    """K1: on both libraries; a free port, and a wrong name."""
    assert sniffio.current_async_library() == anyio_backend_name
    before = anyio.current_time()
    with pytest.raises(ConnectError) as caught:
        async with ClusterClient([("127.0.0.1", 1)], NAME, connect_timeout=0.3):
            pytest.fail("it was entered")
    assert 0.29 <= anyio.current_time() - before < 10
    assert caught.value.__notes__
    with pytest.raises(HandshakeError, match="system"):
        async with ClusterClient([("127.0.0.1", node.port)], "other"):
            pytest.fail("it was entered")


@pytest.mark.anyio
async def test_what_leaves_the_block(node: NodeInThread, anyio_backend_name: str) -> None:
    """L12: the body's own exception, and the cancellation of the scope around it."""
    assert sniffio.current_async_library() == anyio_backend_name
    mine = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with ClusterClient([("127.0.0.1", node.port)], NAME):
            raise mine
    assert caught.value is mine
    with anyio.move_on_after(0.1) as scope:
        async with ClusterClient([("127.0.0.1", node.port)], NAME) as client:
            carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
            await client.ask(carts, to("x", Ignore), timeout=math.inf)
    assert scope.cancelled_caught
    assert client.statistics().asks == 0


@pytest.mark.anyio
async def test_cancelled_at_many_moments(node: NodeInThread, anyio_backend_name: str) -> None:
    """L3: no task is left, and with warnings as errors no socket is, whenever the scope around the block ends."""
    assert sniffio.current_async_library() == anyio_backend_name
    before = len(anyio.get_running_tasks())
    for moment in range(40):
        with anyio.move_on_after(moment / 8_000):
            async with ClusterClient([("127.0.0.1", node.port)], NAME) as client:
                carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
                await client.ask(carts, to("x", GetAll))
        assert len(anyio.get_running_tasks()) == before
    async with ClusterClient([("127.0.0.1", node.port)], NAME) as client:
        assert await client.ask(client.entity_ref("cart", num_shards=SHARDS), to("x", GetAll)) == ()


@pytest.mark.anyio
async def test_a_shielded_ask_after_a_cancellation_ends_at_once(node: NodeInThread, anyio_backend_name: str) -> None:
    """L12: the client's tasks are gone by then, so nobody would watch the deadline; an ask that waits already ends, too."""
    assert sniffio.current_async_library() == anyio_backend_name
    ended = list[str]()

    async def wait(client: ClusterClient, carts: Carts) -> None:
        with anyio.fail_after(8, shield=True), pytest.raises((SystemClosedError, OutcomeUnknownError)):
            await client.ask(carts, to("x", Ignore), timeout=1)
        ended.append("waiting")

    before = anyio.current_time()
    with anyio.CancelScope() as scope:
        async with ClusterClient([("127.0.0.1", node.port)], NAME) as client, anyio.create_task_group() as tasks:
            carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
            tasks.start_soon(wait, client, carts)
            await client.ask(carts, to("y", GetAll))
            scope.cancel()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.fail_after(8, shield=True):
                    for errors in ((SystemClosedError, OutcomeUnknownError), SystemClosedError):
                        with pytest.raises(errors):
                            await client.ask(carts, to("x", Ignore), timeout=1)
                        ended.append("asked")
    assert scope.cancelled_caught
    assert sorted(ended) == ["asked", "asked", "waiting"]
    assert anyio.current_time() - before < 7


@pytest.mark.anyio
async def test_a_shielded_ask_after_a_failure_ends_at_once(anyio_backend_name: str) -> None:
    """L12: likewise when the client itself has failed: here it was without a contact for too long."""
    assert sniffio.current_async_library() == anyio_backend_name
    node = NodeInThread()
    ended = list[str]()
    settings = Settings(client=ClientSettings(reconnect_timeout=0.2))

    async def program() -> None:
        async with ClusterClient([("127.0.0.1", node.port)], NAME, settings=settings) as client:
            carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
            await client.ask(carts, to("y", GetAll))
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(node.stop)
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.fail_after(8, shield=True):
                    with pytest.raises(SystemClosedError):
                        await client.ask(carts, to("x", Ignore), timeout=1)
                    ended.append("asked")

    before = anyio.current_time()
    with pytest.raises(ReconnectTimeoutError):
        await program()
    assert ended == ["asked"]
    assert anyio.current_time() - before < 7


@pytest.mark.anyio
async def test_a_node_that_is_started_again(anyio_backend_name: str) -> None:
    """K4 and K5: on both libraries, with real sockets; what is held meanwhile arrives, in order."""
    assert sniffio.current_async_library() == anyio_backend_name
    first = NodeInThread()
    outcomes = list[str]()

    async def wait(client: ClusterClient, carts: Carts) -> None:
        with pytest.raises(OutcomeUnknownError):
            await client.ask(carts, to("b", Ignore), timeout=60)
        outcomes.append("unknown")

    async with ClusterClient([("127.0.0.1", first.port)], NAME) as client:
        carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
        await client.ask(carts, to("a", GetAll))
        async with anyio.create_task_group() as tasks:  # left when each of them has heard that the connection has ended
            for _ in range(3):
                tasks.start_soon(wait, client, carts)
            await anyio.wait_all_tasks_blocked()
            await client.ask(carts, to("b", GetAll))  # behind them: so the node has them in its hands when it stops
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(first.stop)
        assert client.statistics().link is None
        for number in range(50):
            carts.tell(ShardEnvelope("a", Put(number)))
        second = await anyio.to_thread.run_sync(NodeInThread, first.port)
        try:
            assert await client.ask(carts, to("a", GetAll), timeout=30) == tuple(range(50))
        finally:
            await anyio.to_thread.run_sync(second.stop)
    assert outcomes == ["unknown"] * 3


@pytest.mark.anyio
async def test_how_it_keeps_in_touch(anyio_backend_name: str) -> None:
    """K3, K4 and K6: a discovery, events, the buffer and the end of patience; with real sockets, on both libraries."""
    assert sniffio.current_async_library() == anyio_backend_name
    first = await anyio.to_thread.run_sync(NodeInThread)
    settings = Settings(client=ClientSettings(buffer=5, reconnect_timeout=3.0))
    find = discovery.FirstOf(discovery.Static([]), discovery.Static([("127.0.0.1", first.port)]))
    told = list[type[Event]]()

    async def program() -> None:
        async with (
            ClusterClient([], NAME, settings=settings, discovery=find) as client,
            client.events(ClientEvent) as events,
            client.events(Disconnected) as losses,
        ):
            carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
            assert await client.ask(carts, to("a", GetAll)) == ()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(first.stop)
            await anext(losses)
            for number in range(8):
                carts.tell(ShardEnvelope("a", Put(number)))
            assert (client.statistics().held, client.statistics().dropped) == (5, 3)  # and one more, for the ask below
            second = await anyio.to_thread.run_sync(NodeInThread, first.port)
            with anyio.CancelScope(shield=True):
                assert await client.ask(carts, to("a", GetAll), timeout=30) == (4, 5, 6, 7)
                await anyio.to_thread.run_sync(second.stop)
            try:
                await anyio.sleep(60)
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(0.1, shield=True):
                    async for event in events:
                        told.append(type(event))

    with pytest.raises(ReconnectTimeoutError, match="for 3 s"):
        await program()
    assert told == [ContactPoints, Connected, Disconnected, *[MessageDropped] * 4, Connected, Disconnected]


async def stray() -> str:
    """On asyncio: wait for what somebody else cancels, which nobody does to the task that waits."""
    task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task
    return "never"


def breaking(where: str, heard: list[str]) -> Behavior[str]:
    """An actor that is cancelled by nobody, and gets a `CancelledError` all the same."""

    async def handle(ctx: ActorContext[str], text: str) -> None:
        heard.append(text)
        if text == "first" and where == "handler":
            await stray()
        if text == "first" and where == "background":
            ctx.pipe_to_self(stray(), on_failure=lambda failure: type(failure).__name__)

    async def begin(ctx: ActorContext[str]) -> Behavior[str]:
        if where == "setup" and not heard:
            heard.append("begun")
            await stray()
        return Behaviors.receive(handle)

    async def end(ctx: ActorContext[str]) -> None:
        heard.append("over")
        if where == "hook":
            await stray()

    behavior = Behaviors.with_lifecycle(Behaviors.setup(begin), post_stop=end)
    return Behaviors.supervise(behavior, OneForOneStrategy())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("handler", ["first", "second", "over"]),
        ("background", ["first", "second", "CancelledError", "over"]),
        ("setup", ["begun", "first", "second", "over"]),
        ("hook", ["first", "second", "over"]),
    ],
)
def test_a_stray_cancellation_is_a_failure(node: NodeInThread, where: str, expected: list[str]) -> None:
    """L8: what a local actor awaits may be cancelled by anybody; it ended the block in silence, its body cut short."""
    heard = list[str]()

    async def program() -> None:
        async with ClusterClient([("127.0.0.1", node.port)], NAME) as client:
            ref = client.spawn(breaking(where, heard), "fragile")
            ref.tell("first")
            ref.tell("second")
            with anyio.fail_after(8):
                while len(heard) < len(expected) - 1:
                    await anyio.lowlevel.checkpoint()
            await client.stop(ref)
            heard.append("the body has ended")

    asyncio.run(program())
    assert heard == [*expected, "the body has ended"]


def test_a_stray_cancellation_of_a_discovery(node: NodeInThread) -> None:
    """K3: it is asked again, as after any failure; entering ended with a `CancelledError` that nobody had asked for."""
    asked = list[str]()

    async def discover() -> list[tuple[str, int]]:
        asked.append("once more")
        if len(asked) < 3:
            await stray()
        return [("127.0.0.1", node.port)]

    async def program() -> None:
        settings = Settings(client=ClientSettings(discovery_interval=0.01))
        async with ClusterClient([], NAME, discovery=discover, settings=settings) as client:
            assert client.contact_points == (("127.0.0.1", node.port),)

    asyncio.run(program())
    assert len(asked) == 3


@pytest.mark.anyio
async def test_leaving_with_an_ask_on_its_way(node: NodeInThread, anyio_backend_name: str) -> None:
    """K5: whoever waits is told that it was the client that went."""
    assert sniffio.current_async_library() == anyio_backend_name
    told = list[str]()

    async def wait(client: ClusterClient, carts: Carts) -> None:
        try:
            await client.ask(carts, to("x", Ignore))
        except OutcomeUnknownError as error:
            told.append(str(error))

    async with anyio.create_task_group() as tasks, ClusterClient([("127.0.0.1", node.port)], NAME) as client:
        carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
        tasks.start_soon(wait, client, carts)
        await client.ask(carts, to("y", GetAll))
    assert told == ["the client left its block before a reply came"]


@pytest.mark.anyio
async def test_a_cancellation_is_no_failure(node: NodeInThread, anyio_backend_name: str) -> None:
    """Neither that of a scope around the block nor, on asyncio, that of its task; neither waits for a handler's grace."""
    assert sniffio.current_async_library() == anyio_backend_name
    failures = list[Exception]()

    async def wait(ctx: ActorContext[str], text: str) -> None:
        await anyio.sleep_forever()

    def decide(failure: Exception) -> Directive:
        failures.append(failure)
        return Directive.stop

    async def program() -> None:
        async with ClusterClient([("127.0.0.1", node.port)], NAME) as client:
            client.spawn(Behaviors.supervise(Behaviors.receive(wait), OneForOneStrategy(decider=decide))).tell("go")
            await anyio.sleep_forever()

    before = anyio.current_time()
    with anyio.move_on_after(0.1) as scope:
        await program()
    assert scope.cancelled_caught
    if anyio_backend_name == "asyncio":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await program()
    assert anyio.current_time() - before < 4
    assert not failures


@pytest.mark.anyio
async def test_an_actor_that_waits_for_its_own_end(node: NodeInThread, anyio_backend_name: str) -> None:
    """It is refused at once, as on a node; it waited until its grace was over, and was cancelled."""
    assert sniffio.current_async_library() == anyio_backend_name
    told = list[str]()
    async with ClusterClient([("127.0.0.1", node.port)], NAME) as client:

        async def end(ctx: ActorContext[str], text: str) -> None:
            try:
                await client.stop(ctx.self)
            except UsageError as error:
                told.append(str(error))

        ref = client.spawn(Behaviors.receive(end), "lonely")
        ref.tell("go")
        with anyio.fail_after(4):
            while not told:
                await anyio.lowlevel.checkpoint()
        await client.stop(ref)
    assert told == ["/lonely would wait for itself: an actor stops itself by returning Behaviors.stopped()"]
