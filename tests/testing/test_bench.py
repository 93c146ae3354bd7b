"""The bench and its observer: what is run, what is told when it fails, and that every invariant bites."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trio

from casty_trio import ActorSystem, Behaviors, DeadLetter, LinkLost, NodeGone
from casty_trio.testing import (
    Bench,
    InvariantError,
    Knobs,
    NodeFailedError,
    Plan,
    Report,
    SimulatedEnv,
    Simulation,
    Swarm,
    TestProbe,
    faults,
    invariants,
    run_plan,
    simulate,
)
from casty_trio.testing.__main__ import main
from casty_trio.testing.faults import Crash, Kill, Leave, Pause
from casty_trio.testing.invariants import AsksEnd, Bounds, Conservation, Liveness, Order, WatchesEnd
from casty_trio.testing.journal import Journal
from casty_trio.testing.memberships import Accusations, Convergence, Membership, View
from tests.testing.links import links

ROOT = Path(__file__).parents[2]
A, B, C = "node-1", "node-2", "node-3"
SMALL = Plan(1, nodes=3, length=30, calm=10)

Story = Callable[[Bench], Awaitable[object]]


class Downed(Exception):  # noqa: N818 - stands for the product's
    """What a scenario expects."""


def told(*steps: Any, story: Story, length: float = 30.0, **settings: Any) -> Bench:
    """Carry a plan out on nodes that are actor systems, while a story is told; the bench afterwards."""
    benches: list[Bench] = []

    async def scenario(sim: Simulation) -> None:
        bench = Bench(sim, Plan(1, nodes=3, steps=steps, length=length, calm=10))
        benches.append(bench)
        for name, value in settings.items():
            setattr(bench, name, value)

        async def node(env: SimulatedEnv, name: str) -> None:
            async with ActorSystem("bench", env=env) as system:
                bench.observer.attach(name, system)
                await bench.told_to_leave(name)

        async def tell() -> None:
            await trio.sleep(1)
            await story(bench)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            await bench.run(lambda bench: node)

    simulate(scenario, 1)
    return benches[0]


def test_expected_errors_are_kept_and_the_node_is_started_again() -> None:
    """After `revive` seconds, as a node that returns by itself is; and both are in the report."""

    async def scenario(sim: Simulation) -> None:
        bench = Bench(sim, SMALL)
        bench.expected = (Downed,)
        starts: list[tuple[str, float]] = []

        async def node(env: SimulatedEnv, name: str) -> None:
            starts.append((name, trio.current_time()))
            if name == A and trio.current_time() == 0:
                await trio.sleep(10)
                raise Downed("by the others")
            await bench.told_to_leave(name)

        await bench.run(lambda bench: node)
        assert sorted(starts) == [(A, 0.0), (A, 13.0), (B, 0.0), (C, 0.0)]
        first, *rest = bench.report().endings
        assert (first.node, first.at, first.how, str(first.error)) == (A, 10.0, "raised", "by the others")
        assert [ending.how for ending in rest] == ["left"] * 3

    simulate(scenario, 1)


def test_any_other_error_of_a_node_is_a_failure_with_its_story() -> None:
    """The plan and what happened before are in the notes, the error is the cause."""

    def setup(bench: Bench) -> Any:
        async def node(env: SimulatedEnv, name: str) -> None:
            await trio.sleep(5 if name == B else inf)
            raise KeyError("oops")

        return node

    with pytest.raises(NodeFailedError, match=r"the program of node-2 failed at 5\.0+ s: KeyError: 'oops'") as caught:
        run_plan(setup, Plan(1, nodes=3, steps=(Crash(2, A),), length=10))
    assert isinstance(caught.value.__cause__, KeyError)
    story = "\n".join(caught.value.__notes__)
    assert "Plan(seed=1, nodes=3" in story
    lines = [line for line in story.splitlines() if "crashed" in line or "Crash(at=2" in line or "raised" in line]
    assert [line.split(" ")[0] for line in lines[-4:]] == ["2.000000", "2.000000", "2.000000", "5.000000"]


def test_what_a_cancelled_program_raises_does_not_hide_the_failure() -> None:
    async def node(env: SimulatedEnv, name: str) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise Downed(name)

    async def scenario(sim: Simulation) -> None:
        bench = Bench(sim, SMALL)
        failure = InvariantError("I0 test", A, 5.0, "it was broken")

        async def break_it() -> None:
            await trio.sleep(5)
            bench.fail(failure)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(break_it)
            with pytest.raises(InvariantError, match="it was broken") as info:
                await bench.run(lambda bench: node)
        assert info.value is failure
        assert isinstance(failure.__cause__, ExceptionGroup)

    simulate(scenario, 1)


def test_errors_of_a_crashed_node_are_nobodys() -> None:
    """What comes out of a program that unwinds is seen by nobody; it stands in the report."""

    async def scenario(sim: Simulation) -> None:
        bench = Bench(sim, Plan(1, nodes=1, steps=(Crash(5, A),), length=10, calm=1))

        async def node(env: SimulatedEnv, name: str) -> None:
            try:
                await bench.told_to_leave(name)
            except trio.Cancelled:
                raise ValueError("in the ruins") from None

        await bench.run(lambda bench: node)
        assert [(each.how, str(each.error)) for each in bench.report().endings] == [
            ("crashed", "in the ruins"),
            ("left", "None"),
        ]

    simulate(scenario, 1)


def test_a_node_that_does_not_leave_and_what_it_leaves_behind() -> None:
    """I15: told to leave it has to end, with its tasks and connections."""

    def stubborn(bench: Bench) -> Any:
        async def node(env: SimulatedEnv, name: str) -> None:
            await trio.sleep_forever()

        return node

    with pytest.raises(InvariantError, match=r"I15 no orphans: 101.*told to leave, and still there after 60 s"):
        run_plan(stubborn, SMALL)

    def leaking(bench: Bench) -> Any:
        kept: list[Any] = []

        async def node(env: SimulatedEnv, name: str) -> None:
            listener = await env.listen(name, 1)
            kept.append((listener, await env.connect(name, 1)))
            await bench.told_to_leave(name)

        return node

    with pytest.raises(InvariantError, match="connections are left"):
        run_plan(leaking, SMALL)


def test_a_fault_waits_for_the_load_and_is_a_failure_without() -> None:
    """At least so many asks are in flight at every fault, or the run is worth nothing."""

    class Load:
        in_flight = 0
        ended = False

        def end(self) -> None:
            self.ended = True

    async def scenario(sim: Simulation, comes: bool) -> Report:
        bench = Bench(sim, Plan(1, nodes=3, steps=(Kill(5, A, 2.0),), length=60, calm=1))
        bench.workload = load = Load()

        async def node(env: SimulatedEnv, name: str) -> None:
            await trio.sleep(20)
            load.in_flight = 70 if comes else 49
            await bench.told_to_leave(name)

        await bench.run(lambda bench: node)
        assert load.ended
        return bench.report()

    report = simulate(lambda sim: scenario(sim, True), 1).value
    assert (report.in_flight, report.faults) == (70, {"Kill": 1, "Heal": 1})
    with pytest.raises(InvariantError, match=r"load: .*49 asks are in flight at Kill"):
        simulate(lambda sim: scenario(sim, False), 1)


def test_knobs_build_the_network_and_stagger_the_starts() -> None:
    async def scenario(sim: Simulation) -> list[float]:
        bench = Bench(sim, Plan(1, nodes=5, length=30, knobs=Knobs(delay=(1.0, 1.0), stagger=5.0)))
        starts: list[float] = []

        async def node(env: SimulatedEnv, name: str) -> None:
            starts.append(trio.current_time())
            await env.listen(name, 1)
            if len(starts) == 5:
                before = trio.current_time()
                await env.connect(A, 1)
                assert trio.current_time() - before == (2.0 if name != A else pytest.approx(0, abs=0.1))
            await trio.sleep_forever()

        async with bench.nodes(node):
            await trio.sleep(30)
        return starts

    starts = simulate(scenario, 1).value
    assert len(set(starts)) == 5
    assert 5 < starts[-1] < 20


# --- Invariants ------------------------------------------------------------------------------------------------------------


def bites(match: str, *steps: Any, story: Story, **settings: Any) -> None:
    """The story ends with this invariant's error."""
    with pytest.raises((InvariantError, ExceptionGroup)) as caught:
        told(*steps, story=story, **settings)
    error = caught.value.exceptions[0] if isinstance(caught.value, ExceptionGroup) else caught.value
    assert isinstance(error, InvariantError)
    assert match in str(error)


def test_i3_order() -> None:
    """A message again, or an earlier one; a crashed node is not heard."""

    async def twice(bench: Bench) -> None:
        order = bench.observer.add(Order())
        for number in (1, 3, 7):
            order.handled(1, "cart", number, A)
        order.handled(2, "cart", 1, A)
        order.handled(1, "other", 1, A)
        order.handled(1, "cart", 7, B)

    bites("I3 order: node-2, 1.000000 s: cart handles number 7 of sender 1 after number 7", story=twice)

    async def crashed(bench: Bench) -> None:
        order = bench.observer.add(Order())
        order.handled(1, "cart", 7, A)
        await trio.sleep(2)
        order.handled(1, "cart", 7, A)

    assert told(Crash(2, A), story=crashed).faults["Crash"] == 1


class Stamped:
    def __init__(self, stamp: object) -> None:
        self.stamp = stamp


def test_i5_conservation() -> None:
    """Handled, dead, in a crash, on a link: all else is lost without a word."""

    async def fine(bench: Bench) -> None:
        books = bench.observer.add(Conservation())
        one, two = bench.observer.life_of(A), bench.observer.life_of(B)
        assert one is not None
        assert two is not None
        for number in range(5):
            books.told(number, one, B, "/cart")
        books.told(5, two, A, "/cart")
        books.handled(0, B)
        one.system.publish(DeadLetter, Stamped(1), one.system.dead_letters, "full")
        two.system.publish(DeadLetter, ValueError(), two.system.dead_letters, "a peer's message for /cart: gone")
        one.system.publish(LinkLost, C, C, 1, 10, "reset")
        one.system.publish(LinkLost, B, B, 1, 0, "reset")
        lost.append(books)

    lost: list[Conservation] = []
    told(Kill(3, B, 1.0), story=fine)
    assert lost[0].ends == {"handled": 1, "dead letters": 1, "lost in crashes": 4, "lost on links": 0}
    bites("lost without a word", story=fine)

    async def cut(bench: Bench) -> None:
        await fine(bench)
        for one, other in ((A, B), (B, A)):
            life = bench.observer.life_of(one)
            assert life is not None
            life.system.publish(LinkLost, other, other, 1, 100, "reset")

    told(story=cut)
    assert lost[-1].ends == {"handled": 1, "dead letters": 1, "lost in crashes": 0, "lost on links": 4}


def test_i7_asks_end() -> None:
    """Late, or not at all; an asker that was paused is late by right, and one that was crashed asks no more."""

    async def late(bench: Bench) -> None:
        asks = bench.observer.add(AsksEnd())
        ask = asks.begun(A, 2.0)
        assert (asks.in_flight, asks.in_flight_of(A), asks.in_flight_of(B)) == (1, 1, 0)
        await trio.sleep(2.1)
        asks.ended(ask, answered=True)

    bites("an ask ended 0.100000 s after its deadline", story=late)
    told(Crash(2, A), story=late)

    async def paused(bench: Bench) -> None:
        asks = bench.observer.add(AsksEnd())
        ask = asks.begun(A, 2.0)
        await trio.sleep_until(5.000_000_5)
        asks.ended(ask, answered=False)

    told(Pause(2, A, 3.0), story=paused)
    bites("an ask is open 2.000000 s after its deadline", Pause(2, A, 2.9), story=paused)

    async def never(bench: Bench) -> None:
        bench.observer.add(AsksEnd()).begun(A, 2.0)

    bites("an ask is open", story=never)


def test_i7_watches_end() -> None:
    """Twice, never, or of one that lives and was not declared gone."""

    def story(*heard: float, gone: bool = False) -> Story:
        async def watch(bench: Bench) -> None:
            watches = bench.observer.add(WatchesEnd())
            one, two = bench.observer.life_of(A), bench.observer.life_of(B)
            assert one is not None
            assert two is not None
            begun = watches.begun(one, two.uid)
            for moment in heard:
                await trio.sleep_until(moment)
                if gone:
                    one.system.publish(NodeGone, B, B, 1, two.uid, "silence")
                watches.heard(begun, "it ended")

        return watch

    crash = Crash(5, B, 5.0)
    told(crash, story=story(7))
    bites("heard of its end twice", crash, story=story(7, 8))
    bites("never heard of the end of node-2", crash, story=story())
    bites("heard of the end of node-2, which lived", story=story(7))
    told(story=story(7, gone=True))
    told(Leave(9, B, 1.0), story=story(7))
    told(Crash(6, A, 1.0), story=story(7))
    told(story=story())


def test_i8_convergence() -> None:
    """In time after the last fault, and lasting; the worst time is a figure."""

    def story(views: Callable[[Bench], dict[str, object]], within: float = 5.0) -> Story:
        async def converge(bench: Bench) -> None:
            bench.observer.add(Convergence(lambda: views(bench), within))

        return converge

    def after(seconds: float) -> Callable[[Bench], dict[str, object]]:
        return lambda bench: {name: name if trio.current_time() < 30 + seconds else "one" for name in bench.names}

    assert told(story=story(after(3.5))).report().figures == {"convergence": 4.0}
    bites("I8 convergence: 36.000000 s: 6 s after the last fault the nodes see", story=story(after(7)))
    bites("the nodes see: {'node-1': 1}", story=story(lambda bench: {A: 1}))
    bites("10 s after the last fault", story=story(after(20), within=50.0))
    bites("the nodes see: {}", story=story(lambda bench: {}))


def test_i9_accuracy() -> None:
    """Whoever runs and hears the other has no reason; a pause, a crash and a disturbance are some, for a while."""

    def story(moment: float) -> Story:
        async def accuse(bench: Bench) -> None:
            accusations = bench.observer.add(Accusations(memory=8.0))
            await trio.sleep_until(moment)
            accusations.accused(A, B, "silence")
            assert accusations.report() == {"accusations": 1}

        return accuse

    bites("I9 accuracy: node-1, 12.000000 s: it accuses node-2, and they heard each other for 12.0 s", story=story(12))
    for step in (
        Pause(10, A, 1.5),
        Pause(10, B, 2.0),
        Crash(10, B, 2.0),
        faults.OneWay(10, A, B, 2.0),
        faults.OneWay(10, B, A, 2.0),
        faults.Slow(10, A, B, (1.0, 1.0), seconds=2.0),
    ):
        told(step, story=story(11))
        told(step, story=story(19))
        bites("I9", step, story=story(21))

    async def gone(bench: Bench) -> None:
        bench.observer.add(Accusations(memory=0.5))
        one, two = bench.observer.life_of(A), bench.observer.life_of(B)
        assert one is not None
        assert two is not None
        one.system.publish(NodeGone, B, B, 1, 12345, "of another start")
        one.system.publish(NodeGone, B, B, 1, two.uid, "silence")

    bites("silence", story=gone)


def members(**changes: Any) -> Story:
    """All nodes see all up, and A leads; but for what is changed: a function of name, view and time."""

    async def see(bench: Bench) -> None:
        def views() -> dict[str, View]:
            living = bench.observer.living()
            up = tuple(sorted((life.uid, "up") for life in living))
            return {life.node: change(life.node, View(up, living[0].uid, 7), life.uid) for life in living}

        change = changes.get("change", lambda node, view, uid: view)
        bench.observer.add(Membership(views, settle=5.0))

    return see


def test_c2_c4_members() -> None:
    """Up or leading outside of a cluster, back from the removed, two leaders, and others up than live."""
    told(story=members())
    told(Kill(5, B, 2.0), story=members())
    bites("is in no cluster, and sees", story=members(change=lambda node, view, uid: View(view.members)))
    bites("is in no cluster, and sees", story=members(change=lambda node, view, uid: View((), leader=1)))
    bites("believes that it leads, and so does", story=members(change=lambda node, view, uid: View(view.members, uid, 7)))

    def flapping(node: str, view: View, uid: int) -> View:
        there = trio.current_time() < 4 or trio.current_time() > 6
        return view if there else View(view.members[:-1], view.leader, 7)

    bites("and sees it again", story=members(change=flapping))

    def joining(node: str, view: View, uid: int) -> View:
        return View((*view.members[:-1], (view.members[-1][0], "joining")), view.leader, 7)

    bites("up, and", story=members(change=joining))


def test_l4_books_and_i16_bounds() -> None:
    async def grow(bench: Bench) -> None:
        bench.observer.add(Bounds(mailboxes=10))
        life = bench.observer.life_of(A)
        assert life is not None
        probe: TestProbe[int] = TestProbe(life.system)
        ref = life.system.spawn(Behaviors.receive(_wait_long))
        for number in range(13):
            ref.tell(number)
        await trio.sleep(5)
        await probe.expect_none()

    bites("I16 bounds: node-1, 2.000000 s: mailboxes: 12 wait, and at most 10 may", story=grow)

    async def cook(bench: Bench) -> None:
        bench.observer.add(invariants.Books())
        life = bench.observer.life_of(A)
        assert life is not None
        life.system._retired_sent += 1

    bites("L4 books: node-1, 2.000000 s: the counts do not add up", story=cook)


async def _wait_long(ctx: Any, message: int) -> None:
    await trio.sleep(3)


def test_i18_liveness() -> None:
    """An answer to what was asked after the last fault, for each pair."""

    def story(*pairs: tuple[str, str]) -> Story:
        async def answer(bench: Bench) -> None:
            liveness = bench.observer.add(Liveness(within=5.0))
            liveness.answered(B, C, trio.current_time())
            await trio.sleep_until(33)
            for one, other in pairs:
                liveness.answered(one, other, 31.0)

        return answer

    pairs = [(one, other) for one in (A, B, C) for other in (A, B, C) if one != other]
    assert told(story=story(*pairs)).report().figures == {"liveness": 3.0}
    bites("6 s after the last fault no answer has come to node-3 from node-2", story=story(*pairs[:-1]))
    bites("no answer has come to anybody", story=story())


def test_i6_acked_means_done() -> None:
    """What was synced and is not there any more, or broken in the middle."""

    async def forge(bench: Bench, data: Callable[[bytes], bytes]) -> None:
        life = bench.observer.life_of(A)
        assert life is not None
        journal = bench.observer.add(Journal())
        with trio.move_on_after(5):
            await journal.write(life.system.env, A)
        assert journal.acked > 5
        disk = life.system.env.disk("bench")
        await disk.replace("journal", data(await disk.read("journal")))
        with trio.move_on_after(5):
            await journal.write(life.system.env, A)

    bites("the journal ends at", story=lambda bench: forge(bench, lambda data: data[:-9]))
    bites("is broken, and not the last", story=lambda bench: forge(bench, lambda data: data[8:]))


# --- The command, and replay -----------------------------------------------------------------------------------------------


def fragile(bench: Bench) -> Any:
    """Fails when node-2 is paused for more than a second."""

    async def node(env: SimulatedEnv, name: str) -> None:
        bench.least_load = 0
        before = trio.current_time()
        while True:
            with trio.move_on_after(0.5):
                await bench.told_to_leave(name)
                return
            if name == B and trio.current_time() > before + 1.5:
                raise TimeoutError("where am I?")
            before = trio.current_time()

    return node


def test_the_command_runs_a_seed_and_makes_its_plan_smaller(capsys: pytest.CaptureFixture[str]) -> None:
    """It tells the plan, what went wrong, and the smallest plan that goes wrong so."""
    plans = [Swarm().plan(seed) for seed in range(200)]
    pauses = [(plan.seed, step) for plan in plans for step in plan.steps if isinstance(step, Pause) and step.node == B]
    seed = next(seed for seed, pause in pauses if pause.seconds > 3)
    assert main(["--seed", str(seed), "--program", f"{__name__}:fragile", "--shrink"]) == 1
    output = capsys.readouterr().out
    assert "NodeFailedError: the program of node-2 failed" in output
    smallest = output.split("the smallest plan that fails so:")[1]
    assert smallest.count("    Pause(") == 1
    assert "nodes=3" in smallest
    assert main(["--seed", "1", "--program", "no.such:thing"]) == 2
    assert "no such function" in capsys.readouterr().err


@pytest.mark.long
def test_one_seed_is_one_run_in_every_process() -> None:
    """I19: the usual load under the usual faults, pauses among them, with other hashes and in another part of memory."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCATTERED, "--seed", "8"],
            env={"PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        ).stdout
        for number in (1, 2, 3)
    ]
    assert outputs[0] == outputs[1] == outputs[2]
    assert "digest" in outputs[0]
    assert "Pause" in outputs[0]


SCATTERED = """
import random, sys
junk = [bytearray(random.randrange(16, 3_000)) for _ in range(20_000)]
random.shuffle(junk)
del junk[::2]
from casty_trio.testing.__main__ import main
sys.exit(main())
"""
"""Objects have addresses that nobody could guess: Trio keeps tasks in sets that are ordered by them."""


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 12])
def test_the_usual_load_under_the_usual_faults(seed: int) -> None:
    """Every invariant of it holds, and there was something to hold them against."""
    report = run_plan(links, Swarm().plan(seed))
    figures = report.figures
    assert report.in_flight >= 50
    assert figures["handled"] > 1_000
    assert figures["answered"] > 1_000
    assert figures["ends heard"] > 5
    assert figures["liveness"] < 25
    assert report.faults["Heal"] == 1
    assert figures["told"] == sum(figures[end] for end in ("handled", "dead letters", "lost in crashes", "lost on links"))
