"""Random trees of actors that do random things, and the books that are kept about them (L3, L4, L6, L10)."""

import contextlib
import functools
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from random import Random
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from casty_trio import (
    ActorSettings,
    ActorStarted,
    ActorStopped,
    ActorSystem,
    AllForOneStrategy,
    AskError,
    Backoff,
    Behavior,
    Behaviors,
    DeadLetter,
    Directive,
    Mailbox,
    MailboxFullError,
    OneForOneStrategy,
    RestForOneStrategy,
    StashFullError,
    SupervisionStrategy,
    SystemClosedError,
    Terminated,
)
from casty_trio.testing import Simulation
from tests.actors.helpers import Ctx, Ref, assert_adds_up, census
from tests.actors.lives import Boom

DEEPEST = 3
OPERATIONS = {
    "nothing": 6,
    "fail": 3,
    "stop": 1,
    "reply": 2,
    "stash": 4,
    "unstash": 3,
    "become": 2,
    "unhandled": 1,
    "spawn": 2,
    "stop child": 1,
    "watch": 5,
    "unwatch": 2,
    "timer": 3,
    "cancel": 1,
    "task": 2,
    "failing task": 1,
    "pipe": 2,
    "adapter": 2,
    "tell": 3,
    "wait": 2,
    "hang": 1,
    "ask": 2,
    "fail late": 1,
}
HOOKS = re.compile("s?(rR?)*p")
"""pre_start, any number of restarts, the last of which may have been cut short, and post_stop."""


@dataclass(frozen=True)
class Job:
    """A message of its own: told once, and found again once."""

    number: int
    operation: str
    reply_to: Ref | None = None


class Books:
    """What was told, handled, put aside and lost; who watches whom; which hooks ran."""

    def __init__(self, system: ActorSystem, rng: Random) -> None:
        self.system = system
        self.rng = rng
        self.refs: list[Ref] = []
        self.told = 0
        self.found = Counter[int]()
        self.watching = set[tuple[Any, Any]]()
        self.terminated = 0
        self.families: dict[Ref, Any] = {}
        self.hooks = defaultdict[Ref, str](str)
        self.started, self.stopped = Counter[Ref](), Counter[Ref]()
        self.wrong: list[str] = []
        self._publish = system.publish
        system.publish = self.listen  # type: ignore[method-assign] # also while everything is cancelled

    def listen(self, event_type: Any, *fields: Any) -> None:
        """Keep the books of the runtime's own events."""
        if event_type is ActorStarted:
            self.started[fields[0]] += 1
        elif event_type is ActorStopped:
            self.stopped[fields[0]] += 1
            if (family := fields[0].cell.children) is not None and family.cells:
                self.wrong.append(f"{fields[0]} ended before {list(family.cells)}")
        elif event_type is DeadLetter and isinstance(fields[0], Job):
            self.found[fields[0].number] += 1
        self._publish(event_type, *fields)

    def job(self, operation: str | None = None, reply_to: Ref | None = None) -> Job:
        """A message that has to be found again."""
        self.told += 1
        if operation is None:
            operation = self.rng.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
        return Job(self.told, operation, reply_to)

    def tell(self, ref: Ref) -> None:
        """Also what is rejected is told: it is a dead letter."""
        with contextlib.suppress(MailboxFullError):
            ref.tell(self.job())

    async def ask(self, ref: Ref) -> None:
        """An ask ends, whatever becomes of the actor."""
        with contextlib.suppress(AskError, SystemClosedError):
            await self.system.ask(ref, lambda reply_to: self.job(None, reply_to), timeout=2, watch=self.rng.random() < 0.5)

    def any_ref(self) -> Ref:
        """Living or dead."""
        return self.rng.choice(self.refs)

    def watch(self, ctx: Ctx, target: Ref) -> None:
        """One more that has to be heard of."""
        if target != ctx.self:
            ctx.watch(target)
            self.watching.add((ctx.self, target))

    def hear(self, ctx: Ctx, signal: Any) -> None:
        """Exactly once, and only of the dead."""
        assert isinstance(signal, Terminated)
        self.terminated += 1
        if (ctx.self, signal.ref) not in self.watching:
            self.wrong.append(f"{ctx.self} heard of {signal.ref}, which it does not watch (any more)")
        self.watching.discard((ctx.self, signal.ref))
        if not self.stopped[signal.ref]:
            self.wrong.append(f"{ctx.self} heard of {signal.ref}, which lives")

    def begin_again(self, ctx: Ctx) -> None:
        """A restart: the children of the incarnation before are not watched any more."""
        family = self.families.pop(ctx.self, None)
        self.watching -= {(who, whom) for who, whom in self.watching if who == ctx.self and whom.cell.parent is family}

    def check_settled(self) -> None:
        """Nothing moves any more: who watches a dead one and lives should have heard."""
        for watcher, target in self.watching:
            busy = watcher.cell.busy_since is not None  # it hangs
            if self.stopped[target] and not self.stopped[watcher] and not busy:
                self.wrong.append(f"{watcher} never heard of {target}")

    def check_ended(self) -> None:
        """Nothing is left at all."""
        self.wrong += [f"{ref} ended {count} times" for ref, count in self.stopped.items() if count != 1]
        self.wrong += [f"{ref} started {count} times" for ref, count in self.started.items() if count != 1]
        self.wrong += [f"{ref} never ended" for ref in self.refs if not self.stopped[ref]]
        self.wrong += [f"{number}: found {self.found[number]} times" for number in self.lost()]
        self.wrong += [f"hooks of {ref}: {ran}" for ref, ran in self.hooks.items() if not HOOKS.fullmatch(ran)]
        done = self.system.statistics()
        assert_adds_up(done)
        assert (done.actors, done.queued, done.asks) == (0, 0, 0)
        assert self.wrong == []

    def lost(self) -> list[int]:
        """What was told and not found once."""
        return [number for number in range(1, self.told + 1) if self.found[number] != 1]


class Forest:
    """Makes the behaviours of the trees."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.rng = books.rng
        self.strategies = [self.strategy() for _ in range(6)]

    def strategy(self) -> SupervisionStrategy:
        """Any."""
        rng = self.rng
        directives = [Directive.restart] * 5 + [Directive.resume] * 2 + [Directive.stop, Directive.escalate]
        kind = rng.choice([OneForOneStrategy, OneForOneStrategy, AllForOneStrategy, RestForOneStrategy])
        backoff = Backoff(0.5, 2.0) if rng.random() < 0.3 else None
        decider = (lambda failure: rng.choice(directives)) if rng.random() < 0.7 else None
        return kind(max_restarts=rng.randrange(5), within=rng.choice([1.0, 60.0]), backoff=backoff, decider=decider)

    def grow(self, ctx: Ctx, depth: int) -> None:
        """One child, if there may be one."""
        rng = self.rng
        mailbox = (
            Mailbox(rng.randint(1, 4), rng.choice(["drop_new", "drop_oldest", "reject"])) if rng.random() < 0.3 else None
        )
        try:
            ref: Any = ctx.spawn(self.tree(depth), mailbox=mailbox)
        except SystemClosedError:
            return
        self.books.refs.append(ref)
        self.books.families[ctx.self] = ref.cell.parent
        if rng.random() < 0.5:
            self.books.watch(ctx, ref)

    def tree(self, depth: int) -> Behavior[Any]:
        """An actor with wrappers in any order, and children below."""
        rng = self.rng
        behavior = Behaviors.setup(functools.partial(self.begin, depth))
        wrappers: list[Any] = [self.hooked] * (rng.random() < 0.6) + [self.supervised] * (rng.random() < 0.7)
        rng.shuffle(wrappers)
        for wrap in wrappers:
            behavior = wrap(behavior)
        return behavior

    def supervised(self, behavior: Behavior[Any]) -> Behavior[Any]:
        return Behaviors.supervise(behavior, self.rng.choice(self.strategies))

    def hooked(self, behavior: Behavior[Any]) -> Behavior[Any]:
        """Hooks that may wait, and fail."""

        async def hook(letter: str, ctx: Ctx, *_: Exception) -> None:
            self.books.hooks[ctx.self] += letter
            if self.rng.random() < 0.2:
                await trio.sleep(0.25)
            if self.rng.random() < 0.05:
                raise Boom(letter)

        names = {"pre_start": "s", "post_stop": "p", "pre_restart": "r", "post_restart": "R"}
        return Behaviors.with_lifecycle(behavior, **{name: functools.partial(hook, names[name]) for name in names})

    def begin(self, depth: int, ctx: Ctx) -> Behavior[Any]:
        """The setup: it may fail."""
        self.books.begin_again(ctx)
        for _ in range(self.rng.randint(0, 2) if depth < DEEPEST else 0):
            self.grow(ctx, depth + 1)
        if self.rng.random() < 0.04:
            raise Boom("setup")
        return self.acting(depth, self.rng.random() < 0.5)

    def acting(self, depth: int, waits: bool) -> Behavior[Any]:
        """Carries out jobs, plain or with waits between."""

        def receive(ctx: Ctx, job: Any) -> Any:
            if not isinstance(job, Job):
                return None  # a timer's, a pipe's
            self.books.found[job.number] += 1
            return self.act(ctx, job, depth, waits)

        async def receive_later(ctx: Ctx, job: Any) -> Any:
            result = receive(ctx, job)
            if isinstance(job, Job):
                await self.wait(ctx, job.operation)
            return result

        return Behaviors.receive(receive_later if waits else receive, self.books.hear)

    async def wait(self, ctx: Ctx, operation: str) -> None:
        """What only a coroutine can do."""
        match operation:
            case "wait":
                await trio.sleep(0.3)
            case "hang":
                await trio.sleep_forever()
            case "ask":
                if (ref := self.books.any_ref()) != ctx.self:
                    await self.books.ask(ref)
            case "fail late":
                await trio.sleep(0.1)
                raise Boom("late")
            case _:
                await trio.lowlevel.checkpoint()

    def act(self, ctx: Ctx, job: Job, depth: int, waits: bool) -> Any:
        """What a plain function can do."""
        match job.operation:
            case "fail":
                raise Boom(job.number)
            case "stop":
                return Behaviors.stopped()
            case "unhandled":
                return Behaviors.unhandled()
            case "become":
                return self.acting(depth, not waits)
            case "reply" if job.reply_to is not None:
                job.reply_to.tell(job.number)
            case "stash":
                ctx.stash.add(Job(job.number, "nothing", job.reply_to))
                self.books.found[job.number] -= 1
            case "unstash":
                ctx.stash.unstash_all()
            case "spawn" if depth < DEEPEST:
                self.grow(ctx, depth + 1)
            case _:
                self.act_outside(ctx, job.operation)
        return None

    def act_outside(self, ctx: Ctx, operation: str) -> None:
        """What concerns others, or goes on beside the handler."""
        rng, books = self.rng, self.books
        name = rng.choice("ab")
        match operation:
            case "stop child":
                self.stop_own(ctx)
            case "watch":
                books.watch(ctx, books.any_ref())
            case "unwatch":
                if (target := books.any_ref()) != ctx.self:
                    ctx.unwatch(target)
                    books.watching.discard((ctx.self, target))
            case "timer":
                rng.choice([ctx.timers.once, ctx.timers.periodic])(name, rng.choice([0.1, 0.5]), "tick")
            case "cancel":
                ctx.timers.cancel(name)
            case "adapter":
                with contextlib.suppress(MailboxFullError):
                    ctx.adapter(lambda job: job if rng.random() < 0.9 else self.misfit(job)).tell(books.job())
            case "tell":
                books.tell(books.any_ref())
            case _:
                self.start(ctx, operation)

    def misfit(self, job: Job) -> Any:
        """An adapter that fails has handled its message."""
        self.books.found[job.number] += 1
        raise Boom("adapter")

    def stop_own(self, ctx: Ctx) -> None:
        """Only what is still a child of this life."""
        own: list[Any] = [ref for ref in self.books.refs if ref.path.rpartition("/")[0] == ctx.self.path]
        ref = self.rng.choice(own) if own else None
        if ref is not None and ref.cell.parent is ctx._cell.children:  # type: ignore[attr-defined] # a test may look
            ctx.stop(ref)

    def start(self, ctx: Ctx, operation: str) -> None:
        """Background tasks."""

        async def task(fails: bool) -> str:
            await trio.sleep(0.2)
            if fails:
                raise Boom("task")
            return "piped"

        try:
            if "task" in operation:
                ctx.start_soon(task, "failing" in operation)
            elif operation == "pipe":
                ctx.pipe_to_self(task(self.rng.random() < 0.2))
        except SystemClosedError:
            pass


async def scenario(way: str, sim: Simulation) -> int:
    """One system from its beginning to its end; how many notices of an end were heard."""
    before = census()
    rng = sim.rng("forest")
    system = ActorSystem(settings=ActorSettings(batch=8, grace=1.0, hook_timeout=0.5, stash_capacity=3), env=sim.env("node"))
    books = Books(system, rng)
    forest = Forest(books)
    left = "normally"
    with trio.CancelScope() as scope:
        try:
            async with system, trio.open_nursery() as nursery:
                for _ in range(3):
                    books.refs.append(system.spawn(forest.tree(0)))
                await play(books, nursery)
                if way == "cancel":
                    scope.cancel()
                if way == "raise":
                    raise KeyError
                await trio.sleep(30)
                await wait_all_tasks_blocked()
                assert_adds_up(system.statistics())
                books.check_settled()
        except* (Boom, KeyError, StashFullError) as group:
            left = "by " + ", ".join(sorted({type(error).__name__ for error in leaves(group)}))
    assert census() == before
    books.check_ended()
    sim.record(left, books.told, books.terminated, system.statistics().dead)
    return books.terminated


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions in a group of groups."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def play(books: Books, nursery: trio.Nursery) -> None:
    """What happens to the trees from outside."""
    rng, system = books.rng, books.system
    for _ in range(rng.randint(10, 60)):
        ref = books.any_ref()
        match rng.randrange(12):
            case 0 | 1:
                await trio.sleep(rng.choice([0.0, 0.1, 1.0]))
            case 2:
                await wait_all_tasks_blocked()
                assert_adds_up(system.statistics())
            case 3 | 4:
                nursery.start_soon(books.ask, ref)
            case 5 if rng.random() < 0.3:
                nursery.start_soon(functools.partial(system.stop, ref, grace=rng.choice([0.0, 0.3])))
            case 6:
                for _ in range(10):
                    books.tell(ref)
            case _:
                books.tell(ref)
