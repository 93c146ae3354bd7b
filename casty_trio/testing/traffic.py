"""A load for any cluster: asks that take their time, tells that carry stamps, watches, and a journal on disk. Floor F6.

Every node has the same four actors and talks to those of all others by their addresses, so nothing is needed but nodes that
reach each other. What it says it tells the observer first; so the invariants see what was said and what came of it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.errors import AskError
from casty_trio.model.behavior import Behaviors
from casty_trio.model.context import ActorContext
from casty_trio.model.kinds import Behavior
from casty_trio.model.ref import ActorRef
from casty_trio.model.signals import Signal, Terminated
from casty_trio.remote import RemoteNode
from casty_trio.testing.clock import sleep
from casty_trio.testing.invariants import AsksEnd, Books, Bounds, Conservation, Liveness, Order, WatchesEnd
from casty_trio.testing.journal import Journal
from casty_trio.testing.observer import Life

if TYPE_CHECKING:
    from casty_trio.testing.bench import Bench

__all__ = ["MESSAGES", "Answer", "Note", "Question", "Traffic"]

TIMEOUT = 4.0
"""How long an ask waits for its answer, in seconds."""

LEAST_NOTE = 20
"""No note is fewer bytes on the wire, beside its ballast: its name and its stamp are in it."""

MORTAL = 4
"""One answer in so many is given by an actor that ends by itself."""

WATCHED = 0.1
"""So often an actor that answers is watched."""


@dataclass(frozen=True)
class Note:
    """Something told.

    Parameters:
        stamp: the sender's uid, the recipient's node, and the message's number.
        ballast: something that takes room.
    """

    stamp: tuple[int, str, int]
    ballast: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What a question gets.

    Parameters:
        number: that of the question.
        by: an actor of the node that answers; some of them end by themselves after a while.
    """

    number: int
    by: ActorRef[Any]


@dataclass(frozen=True)
class Question:
    """Something asked.

    Parameters:
        number: says which.
        delay: how many seconds the answer takes.
        reply_to: who wants it.
    """

    number: int
    delay: float
    reply_to: ActorRef[Answer]


@dataclass(frozen=True)
class _Due:
    """The time of an answer has come."""

    question: Question


MESSAGES: tuple[type[Any], ...] = (Note, Question, Answer)
"""What a system has to know: give it as ``messages=``."""


class Traffic:
    """The load. Make one in a setup, and have each node's program `run` it.

    Parameters:
        bench: where it runs.
        port: where each node is reached, under its name.
        in_flight: how many asks it keeps open, on all nodes together.
        tells: how many messages each node tells each second, at the mean.
        liveness: within how many seconds after the last fault each node has to have an answer from each other.

    Example::

        def setup(bench):
            traffic = Traffic(bench)

            async def node(env, name):
                settings = {"messages": MESSAGES, "env": env, "insecure": True}
                async with ClusteredActorSystem("shop", name, 25520, name, **settings) as system:
                    await traffic.run(system, name)

            return node
    """

    def __init__(
        self, bench: Bench, *, port: int = 25_520, in_flight: int = 64, tells: float = 5.0, liveness: float = 25.0
    ) -> None:
        self._bench = bench
        self._port = port
        self._wanted = in_flight
        self._tells = tells
        self._ended = False
        self._number = 0
        observer = bench.observer
        self._order = observer.add(Order())
        self._conservation = observer.add(Conservation())
        self._asks = observer.add(AsksEnd())
        self._watches = observer.add(WatchesEnd())
        self._liveness = observer.add(Liveness(liveness))
        observer.add(Books())
        observer.add(Bounds())
        self._journal = observer.add(Journal())
        bench.workload = self

    @property
    def in_flight(self) -> int:
        return self._asks.in_flight

    def end(self) -> None:
        self._ended = True

    async def run(self, system: RemoteNode, name: str) -> None:
        """Load a node until it is told to leave; for its program, inside the system's block."""
        async with self.on(system, name):
            await self._bench.told_to_leave(name)

    @asynccontextmanager
    async def on(self, system: RemoteNode, name: str) -> AsyncGenerator[Life]:
        """Load a node for as long as the block lasts."""
        life = self._bench.observer.attach(name, system)
        system.spawn(self._sink(name), "sink")
        system.spawn(self._echo(), "echo")
        others = [other for other in self._bench.names if other != name]
        node = _Node(life, system, others, self._port, self._bench.sim.rng(f"traffic of {name}"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_asking, node, nursery)
            nursery.start_soon(self._keep_telling, node)
            nursery.start_soon(self._journal.write, system.env, name)
            yield life
            nursery.cancel_scope.cancel()

    # --- Actors -------------------------------------------------------------------------------------------------------

    def _sink(self, name: str) -> Behavior[Note]:
        def receive(ctx: ActorContext[Note], note: Note) -> None:
            sender, _, number = note.stamp
            self._order.handled(sender, name, number, name)
            self._conservation.handled(note.stamp, name)

        return Behaviors.receive(receive)

    def _echo(self) -> Behavior[Question | _Due]:
        def receive(ctx: ActorContext[Question | _Due], message: Question | _Due) -> None:
            if isinstance(message, Question):
                self._number += 1
                ctx.timers.once(f"question {self._number}", message.delay, _Due(message))
            else:
                question, by = message.question, ctx.self
                if question.number % MORTAL == 0:
                    by = ctx.spawn(self._mortal(2 + 5 * question.delay))
                question.reply_to.tell(Answer(question.number, by))

        return Behaviors.receive(receive)

    def _mortal(self, seconds: float) -> Behavior[Any]:
        """Ends by itself, for others to watch."""

        def begin(ctx: ActorContext[None]) -> Behavior[None]:
            def end(ctx: ActorContext[None], message: None) -> Behavior[None]:
                self._watches.ended(_key(ctx.self))
                return Behaviors.stopped()

            ctx.timers.once("end", seconds, None)
            return Behaviors.receive(end)

        return Behaviors.setup(begin)

    def _watcher(self, life: Life, ref: ActorRef[Any]) -> Behavior[None]:
        def begin(ctx: ActorContext[None]) -> Behavior[None]:
            watch = self._watches.begun(life, ref.address.uid, _key(ref))
            ctx.watch(ref)

            def hear(ctx: ActorContext[None], signal: Signal) -> None:
                if isinstance(signal, Terminated):
                    self._watches.heard(watch, str(signal.failure))

            return Behaviors.receive(lambda ctx, message: None, on_signal=hear)

        return Behaviors.setup(begin)

    # --- Tasks of each node -------------------------------------------------------------------------------------------

    async def _keep_asking(self, node: _Node, nursery: trio.Nursery) -> None:
        """Keep this node's share of asks open; when others are down, that of theirs too."""
        while not self._ended:
            share = -(-self._wanted // max(1, len(self._bench.observer.living())))
            for _ in range(share - self._asks.in_flight_of(node.life.node)):
                nursery.start_soon(self._ask, node)
            await sleep(0.2)

    async def _ask(self, node: _Node) -> None:
        other, number = node.rng.choice(node.others), node.next_number()
        delay, begun = node.rng.uniform(0.5, 3.5), trio.current_time()
        ask = self._asks.begun(node.life.node, TIMEOUT)
        answer: Answer | None = None
        try:
            answer = await node.system.ask(node.ref(other, "echo"), lambda r: Question(number, delay, r), timeout=TIMEOUT)
        except AskError as error:
            self._bench.observer.note(node.life.node, error)
        finally:
            self._asks.ended(ask, answered=answer is not None)
        if answer is not None:
            self._answered(node, other, number, begun, answer)

    def _answered(self, node: _Node, other: str, number: int, begun: float, answer: Answer) -> None:
        if answer.number != number:
            self._asks.fail(f"ask {number} got the answer to {answer.number}", node.life.node)
        self._liveness.answered(node.life.node, other, begun)
        if node.rng.random() < WATCHED:
            node.system.spawn(self._watcher(node.life, answer.by))

    async def _keep_telling(self, node: _Node) -> None:
        while not self._ended:
            await sleep(node.rng.expovariate(self._tells))
            if not self._ended:
                self._tell(node)

    def _tell(self, node: _Node) -> None:
        other = node.rng.choice(node.others)
        stamp = (node.life.uid, other, node.next_to(other))
        size = node.rng.choice((0, 0, 0, 10, 100, node.rng.randrange(4_000)))
        self._conservation.told(stamp, node.life, other, "/sink", size + LEAST_NOTE)
        node.ref(other, "sink").tell(Note(stamp, bytes(size)))


def _key(ref: ActorRef[Any]) -> tuple[int, str, int]:
    """Says which actor it is, on all nodes."""
    return ref.address.uid, ref.address.path, ref.address.incarnation


class _Node:
    """What the load keeps for one start of a node."""

    def __init__(self, life: Life, system: RemoteNode, others: Sequence[str], port: int, rng: random.Random) -> None:
        self.life = life
        self.system = system
        self.others = others
        self.rng = rng
        self._port = port
        self._number = 0
        self._told = dict.fromkeys(others, 0)
        self._refs: dict[tuple[str, str], ActorRef[Any]] = {}

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def next_to(self, other: str) -> int:
        self._told[other] += 1
        return self._told[other]

    def ref(self, other: str, actor: str) -> ActorRef[Any]:
        """An actor of another node, whichever start of it lives there."""
        found = self._refs.get((other, actor))
        if found is None:
            found = self._refs[other, actor] = self.system.resolve(
                f"casty://{self.system.name}@{other}:{self._port}/{actor}"
            )
        return found
