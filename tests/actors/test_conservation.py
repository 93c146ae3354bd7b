"""Nothing vanishes unseen (L4), children end before parents (L3), asks end (L5): on random programs."""

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from casty_trio import (
    ActorStarted,
    ActorStopped,
    ActorSystem,
    AskError,
    Behavior,
    Behaviors,
    DeadLetter,
    Mailbox,
    MailboxFullError,
    SystemClosedError,
)
from tests.actors.helpers import Ctx, Get, Ref, assert_adds_up, census, counter, recorder, run

ACTORS = 4

MAILBOXES = st.sampled_from(
    [None, None, *(Mailbox(capacity, overflow) for capacity in (1, 3) for overflow in ("drop_new", "drop_oldest", "reject"))]
)
WHO = st.integers(0, ACTORS - 1)
WHAT = st.sampled_from(["plain", "wait", "fail", "stop", "reply", "defer", "shield", "hang"])
STEPS = st.one_of(
    st.tuples(st.just("tell"), WHO, WHAT),
    st.tuples(st.just("burst"), WHO, WHAT),
    st.tuples(st.just("send"), WHO, WHAT),
    st.tuples(st.just("send a while"), WHO, WHAT),
    st.tuples(st.just("ask"), WHO, WHAT),
    st.tuples(st.just("ask a while"), WHO, WHAT),
    st.tuples(st.just("stop"), WHO, WHAT),
    st.tuples(st.just("spawn again"), WHO, WHAT),
    st.tuples(st.just("sleep"), WHO, WHAT),
    st.tuples(st.just("look"), WHO, WHAT),
)


def actor(behaves_async: bool) -> Behavior[Any]:
    """Does what each message says."""

    def act(ctx: Ctx, message: Any) -> Any:
        what, reply_to = message
        if what == "fail":
            raise ValueError(message)
        if what == "stop":
            return Behaviors.stopped()
        if what == "reply" and reply_to is not None:
            reply_to.tell("replied")
        return actor(not behaves_async) if what == "plain" else None

    async def receive(ctx: Ctx, message: Any) -> Any:
        match message[0]:
            case "wait":
                await trio.sleep(0.5)
            case "hang":
                await trio.sleep_forever()
            case "shield":
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
            case _:
                pass
        return act(ctx, message)

    return Behaviors.receive(receive if behaves_async else act)


class Program:
    """Carries out the steps, and counts what it did."""

    def __init__(self, system: ActorSystem, kinds: list[tuple[Mailbox | None, bool]], tasks: trio.Nursery) -> None:
        self.system = system
        self.kinds = kinds
        self.tasks = tasks
        self.accepted = self.begun = self.ended = 0
        self.refs: list[Ref] = [self.spawn(who) for who in range(ACTORS)]

    def spawn(self, who: int) -> Ref:
        """An actor of its kind, under its name."""
        mailbox, behaves_async = self.kinds[who]
        return self.system.spawn(actor(behaves_async), f"actor-{who}", mailbox=mailbox)

    async def step(self, step: str, who: int, what: str) -> None:
        """One step of the program."""
        ref = self.refs[who]
        match step:
            case "tell":
                self.tell(ref, what)
            case "burst":
                for _ in range(70):
                    self.tell(ref, what)
            case "send" | "send a while":
                self.tasks.start_soon(self.send, ref, what, 0.25 if "while" in step else math.inf)
            case "ask" | "ask a while":
                self.tasks.start_soon(self.ask, ref, what, 0.75 if "while" in step else math.inf)
            case "stop":
                self.tasks.start_soon(self.system.stop, ref)
            case "spawn again":
                if self.system.lookup(ref.path) is None:
                    self.refs[who] = self.spawn(who)
            case "sleep":
                await trio.sleep(0.4)
            case _:
                assert_adds_up(self.system.statistics())
                await trio.lowlevel.checkpoint()

    def tell(self, ref: Ref, what: str) -> None:
        """Counts as accepted also when it is rejected: it is a dead letter then."""
        self.accepted += 1
        with contextlib.suppress(MailboxFullError):
            ref.tell((what, None))

    async def send(self, ref: Ref, what: str, patience: float) -> None:
        """Accepted when it returns."""
        with trio.move_on_after(patience):
            await ref.send((what, None))
            self.accepted += 1

    async def ask(self, ref: Ref, what: str, patience: float) -> None:
        """An ask ends, with its caller's patience at the latest."""
        self.begun += 1
        self.accepted += 1
        try:
            with trio.move_on_after(patience):
                await self.system.ask(ref, lambda reply_to: (what, reply_to), timeout=3)
        except AskError:
            pass
        self.ended += 1


@given(
    st.lists(st.tuples(MAILBOXES, st.booleans()), min_size=ACTORS, max_size=ACTORS),
    st.lists(STEPS, max_size=40),
    st.booleans(),
)
def test_what_was_accepted_is_handled_or_a_dead_letter(
    kinds: list[tuple[Mailbox | None, bool]], steps: list[tuple[str, int, str]], cut: bool
) -> None:
    """L4, L5, L3: sent == handled + dead + queued, at every look and at the end; asks end; no task is left."""

    async def main() -> None:
        before, letters = census(), list[DeadLetter]()
        async with trio.open_nursery() as tasks, ActorSystem() as system:
            witness = system.spawn(recorder(letters), "witness")
            system.event_stream.subscribe(witness, DeadLetter)
            program = Program(system, kinds, tasks)
            for step in steps:
                await program.step(*step)
            if not cut:
                await trio.sleep(10)
                await wait_all_tasks_blocked()
                now = system.statistics()
                assert_adds_up(now)
                assert len(letters) == now.dead_letters
                # the witness handled each letter it was told
                assert now.sent - len(letters) >= program.accepted
                assert program.begun == program.ended
        done = system.statistics()
        assert program.begun == program.ended
        assert (done.actors, done.queued, done.asks) == (0, 0, 0)
        assert_adds_up(done)
        assert census() == before

    run(main)


# --- Trees ------------------------------------------------------------------------------------------------------------

TREE = st.recursive(st.just(()), lambda children: st.lists(children, max_size=4).map(tuple), max_leaves=20)
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["stop", "fail", "hang", "slow", "spawn", "end", "sleep"]), st.integers(0, 1_000))
)


def node(children: tuple[Any, ...], refs: list[Ref]) -> Behavior[Any]:
    """An actor with this tree below it, that does what it is told."""

    async def receive(ctx: Ctx, message: str) -> Any:
        match message:
            case "fail":
                raise ValueError(ctx.self.path)
            case "hang":
                await trio.sleep_forever()
            case "slow":
                await trio.sleep(1)
            case "end":
                return Behaviors.stopped()
            case _:
                with contextlib.suppress(SystemClosedError):
                    refs.append(ctx.spawn(node(((), ()), refs)))
        return None

    def begin(ctx: Ctx) -> Behavior[Any]:
        refs.extend(ctx.spawn(node(child, refs)) for child in children)
        return Behaviors.receive(receive)

    return Behaviors.setup(begin)


def listen(system: ActorSystem, story: list[tuple[str, Ref]]) -> None:
    """Hear of starts and stops also while everything is cancelled, when no actor could listen."""
    publish = system.publish

    def listening(event_type: Any, *fields: Any) -> None:
        if event_type in (ActorStarted, ActorStopped):
            story.append((event_type.__name__, fields[0]))
        publish(event_type, *fields)

    system.publish = listening  # type: ignore[method-assign] # a test may


async def act(system: ActorSystem, refs: list[Ref], actions: list[tuple[str, int]], tasks: trio.Nursery) -> None:
    """Do to the actors of a tree what was drawn."""
    for action, which in actions:
        ref = refs[which % len(refs)]
        match action:
            case "sleep":
                await trio.sleep(which / 100)
            case "stop":
                tasks.start_soon(functools.partial(system.stop, ref, grace=0.5))
            case _:
                ref.tell(action)


def check(story: list[tuple[str, Ref]]) -> None:
    """Every start has one end, and the children's come first."""
    starts = Counter(ref for what, ref in story if what == "ActorStarted")
    stops = Counter(ref for what, ref in story if what == "ActorStopped")
    assert all(count == 1 for count in [*starts.values(), *stops.values()])
    assert starts.keys() <= stops.keys()
    running: set[str] = set()
    for what, ref in story:
        if what == "ActorStarted":
            running.add(ref.path)
        else:
            running.discard(ref.path)
            assert not any(path.startswith(ref.path + "/") for path in running)
    assert not running


@pytest.mark.parametrize("way", ["normal", "raise", "cancel"])
@given(tree=TREE, actions=ACTIONS, settled=st.booleans())
def test_children_end_before_their_parents(
    way: str, tree: tuple[Any, ...], actions: list[tuple[str, int]], settled: bool
) -> None:
    """L3, L9: over random trees with random stops, failures and hangs: every start has one end, children's first."""
    story: list[tuple[str, Ref]] = []

    async def main() -> None:
        refs: list[Ref] = []
        system = ActorSystem()
        listen(system, story)
        before = census()
        with suppress_group(KeyError), trio.CancelScope() as scope:
            async with trio.open_nursery() as tasks, system:
                refs.append(system.spawn(node(tree, refs), "top"))
                if settled:
                    await wait_all_tasks_blocked()
                await act(system, refs, actions, tasks)
                if way == "cancel":
                    scope.cancel()
                if way == "raise":
                    raise KeyError
        assert census() == before
        assert_adds_up(system.statistics())
        assert system.statistics().actors == 0

    run(main)
    check(story)


@contextmanager
def suppress_group(error: type[Exception]) -> Generator[None, None, None]:
    """What `contextlib.suppress` does from 3.12 on."""
    try:
        yield
    except* error:
        pass


# --- Statistics -------------------------------------------------------------------------------------------------------


async def test_statistics_hold_between_any_two_steps() -> None:
    """L4: also for a message that an idle actor has been handed and has not begun, and beside a stop that waits."""
    async with ActorSystem() as system:
        ref = system.spawn(counter())
        await wait_all_tasks_blocked()
        ref.tell(1)
        ref.tell(2)
        now = system.statistics()
        assert (now.sent, now.handled, now.queued) == (2, 0, 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop, ref)
            for _ in range(5):
                assert_adds_up(system.statistics())
                await trio.lowlevel.checkpoint()
        assert_adds_up(system.statistics())


async def test_statistics_of_a_tree() -> None:
    """L4: counts of stopped actors are kept, of living ones at every depth taken, asks while they wait."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        child = ctx.spawn(counter())
        return Behaviors.receive(lambda ctx, message: child.tell(message))

    async with ActorSystem() as system:
        for _ in range(3):
            ref = system.spawn(Behaviors.setup(begin), "top")
            ref.tell(1)
            total: int = await system.ask(ref, Get)
            assert total == 1
            assert system.statistics().actors == 2
            await system.stop(ref)
        now = system.statistics()
        assert (now.actors, now.sent, now.handled, now.dead, now.queued, now.asks) == (0, 12, 12, 0, 0, 0)
        assert repr(system) == "<ActorSystem casty with 0 actors>"
