"""What has to hold of members: that each invariant bites, on nodes that see what a test says, and on real clusters."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio.testing import Bench, Conditions, InvariantError, Plan, SimulatedEnv, Simulation, run_plan, simulate
from casty_trio.testing.clustered import Talk, clustered
from casty_trio.testing.faults import Isolate, Pause
from casty_trio.testing.memberships import Accusations, Membership, View
from casty_trio.testing.systems import system_of
from casty_trio.testing.weather import Weather
from tests.testing.test_bench import A, B, C, Story, bites, members, told


def test_c1_statuses_only_rise() -> None:
    def falling(node: str, view: View, uid: int) -> View:
        status = "leaving" if trio.current_time() < 5 else "up"
        return View(((view.members[0][0], status), *view.members[1:]), view.leader, 7)

    bites("up, and has seen it leaving", story=members(change=falling))

    def strange(node: str, view: View, uid: int) -> View:
        return View(tuple((uid, status) for uid, status in view.members), view.leader, 7 if trio.current_time() < 5 else 8)

    told(story=members(change=strange))  # another cluster has other statuses


def test_c2_nodes_that_nothing_befalls_found_one_cluster() -> None:
    def story(forming: float) -> Story:
        async def see(bench: Bench) -> None:
            def views() -> dict[str, View]:
                living = bench.observer.living()
                up = tuple(sorted((life.uid, "up") for life in living))
                later = trio.current_time() > 5
                return {life.node: View(up, living[0].uid, 8 if later and life.node == B else 7) for life in living}

            bench.observer.add(Membership(views, settle=60.0, forming=forming))

        return see

    bites("it is in cluster 8, and nothing had befallen another one", story=story(10.0))
    told(story=story(4.0))


def test_c5_who_is_accused_says_that_it_lives() -> None:
    def accused(node: str, view: View, uid: int) -> View:
        return View(view.members, view.leader, 7, unreachable=(uid,) if node == B and trio.current_time() > 5 else ())

    bites("node-2, 6.000000 s: it hears that it is unreachable, and lets that stand", story=members(change=accused))


def test_c4_who_is_removed_is_so_for_all() -> None:
    """Also where nobody sees it come back, for it never went."""

    def removed(node: str, view: View, uid: int) -> View:
        gone = node == A and trio.current_time() > 5
        return View(view.members[:-1] if gone else view.members, view.leader, 7)

    bites("which node-1 has removed, and they hear each other", story=members(change=removed))


@pytest.mark.parametrize(("pause", "after", "bad"), [(5.0, 1.9, True), (5.0, 2.1, False), (1.9, 1.0, False)])
def test_c5_who_wakes_accuses_nobody(pause: float, after: float, bad: bool) -> None:
    """For a while, whatever was before; a short pause is none."""

    async def story(bench: Bench) -> None:
        accusations = bench.observer.add(Accusations())
        await trio.sleep_until(10 + pause + after)
        accusations.accused(A, B)

    if bad:
        bites("it accuses node-2, and was itself paused until 1.9 s ago", Pause(10, A, pause), story=story)
    else:
        told(Pause(10, A, pause), story=story)


def cluster(*steps: Any, story: Any, nodes: int = 3, **more: Any) -> None:
    """Carry a plan out on a real cluster, while a story is told to its bench."""

    def setup(bench: Bench) -> Any:
        program = clustered(bench, **more)

        async def node(env: SimulatedEnv, name: str) -> None:
            if name != C:
                await program(env, name)
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(story, bench)
                await program(env, name)
                nursery.cancel_scope.cancel()

        return node

    run_plan(setup, Plan(1, nodes=nodes, steps=steps, length=45.0, calm=30.0))


def down(name: str, at: float) -> Any:
    async def story(bench: Bench) -> None:
        await trio.sleep_until(at)
        life = bench.observer.life_of(C)
        assert life is not None
        system_of(life).down(name)
        await trio.sleep_forever()

    return story


@pytest.mark.long
def test_c5_nobody_in_touch_is_downed() -> None:
    with pytest.raises(InvariantError, match=r"C5 spared: node-., 20.0.* s: it hears that node-1, uid .*, is down") as found:
        cluster(story=down(A, 20.0))
    assert found.value.invariant == "C5 spared"


@pytest.mark.long
def test_c5_who_was_cut_off_may_be() -> None:
    cluster(Isolate(15.0, A, 5.0), story=down(A, 22.0))


def test_c1_who_agrees_is_silent() -> None:
    async def talk(bench: Bench) -> None:
        bench.observer.add(Talk(most=0.1))
        await trio.sleep_forever()

    with pytest.raises(InvariantError, match=r"C1 talk: .* it has said .* things about membership"):
        cluster(story=talk)


@pytest.mark.long
def test_c6_two_sides_do_not_both_go_on() -> None:
    async def nothing(bench: Bench) -> None:
        await trio.sleep_forever()

    cluster(Isolate(15.0, A, 25.0), story=nothing)
    with pytest.raises(InvariantError, match=r"C6 one side: .* and nothing came through for 16"):
        cluster(Isolate(15.0, A, 25.0), story=nothing, downing=None)


def test_the_weather_knows_its_sides() -> None:
    async def scenario(sim: Simulation) -> None:
        weather = Weather(sim.network, (A, B, C), Conditions())
        assert weather.sides() == [[A, B, C]]
        assert weather.apart([A], [B, C]) < 0
        end = weather.disturb(weather.between([A], [B, C]), lambda conditions: Conditions(stalled=True))
        await trio.sleep(2)
        assert weather.sides() == [[A], [B, C]]
        assert weather.apart([A], [B, C]) == 2
        assert weather.shut_since(A, B) == 0
        weather.disturb([(B, C), (C, B)], lambda conditions: Conditions(stalled=True))
        await trio.sleep(1)
        assert weather.sides() == [[A], [B], [C]]
        assert weather.apart([B], [C]) == 1
        end()
        weather.disturb([(B, A)], lambda conditions: Conditions(stalled=True))
        assert sorted(map(sorted, weather.sides())) == [[A, B, C]]  # one direction joins them
        assert weather.apart([A], [B]) < 0

    simulate(scenario, 1)
