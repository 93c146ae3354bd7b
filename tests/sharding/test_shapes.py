"""S5: a type that nodes begin in different shapes: the one that is there stays, and no entity lives twice."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
import trio

from casty_trio import AskTimeoutError, Behaviors, ClusteredActorSystem, ShardCountError, ShardEnvelope
from casty_trio.testing import Simulation, simulate
from tests.cluster.clusters import Cluster, cluster
from tests.sharding.test_nodes import Carts, Log, opener, recording
from tests.sim.shop import GetAll, Put, to

IDS = [f"user-{number}" for number in range(12)]


async def works(nodes: Cluster, refs: dict[str, Carts], name: str, timeout: float = 5.0) -> bool:
    """Whether all entities answer a node; the other way is that it is refused."""
    try:
        for entity in IDS:
            await nodes.systems[name].ask(refs[name], to(entity, GetAll), timeout=timeout)
    except ShardCountError:
        return False
    return True


def begin(log: Log, refs: dict[str, Carts], shapes: dict[str, dict[str, Any]]) -> Any:
    def spawn(system: ClusteredActorSystem) -> None:
        shape = {"num_shards": 6, **shapes[system.node_id]}
        refs[system.node_id] = system.spawn(Behaviors.sharded(recording(log, system.node_id), **shape), "cart")

    return spawn


def run(scenario: Any, seed: int = 1) -> None:
    async def body(sim: Simulation) -> None:
        async with cluster(sim, "n1") as nodes:
            await scenario(nodes)

    simulate(body, seed)


@pytest.mark.parametrize("last", [{"role": "x"}, {"num_shards": 7}, {"role": "x", "num_shards": 7}])
def test_the_shape_that_is_there_stays(last: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """S5: one node that comes with another role, which it has, is refused; so it is when the coordinator is lost."""

    async def scenario(nodes: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        spawn = begin(log, refs, {"n1": {}, "n2": last, "n3": {}, "n4": last})
        await nodes.form("n1", begin=spawn)
        await trio.sleep(5)
        nodes.start("n2", begin=spawn, roles=("x",))
        await nodes.formed("n1", "n2")
        nodes.start("n3", begin=spawn)
        nodes.start("n4", roles=("x",))
        await nodes.formed("n1", "n2", "n3", "n4")
        await trio.sleep(5)
        assert [await works(nodes, refs, name) for name in ("n1", "n2", "n3")] == [True, False, True]
        nodes.sim.host("n1").terminate()
        await nodes.wait_ended("n1")
        await trio.sleep(10)
        spawn(nodes.systems["n4"])
        await trio.sleep(5)
        assert [await works(nodes, refs, name) for name in ("n2", "n3", "n4")] == [False, True, False]

    run(scenario)
    role = "the role 'x'" if "role" in last else "no role"
    mine = f"n2 cannot take part in 'cart' with {last.get('num_shards', 6)} shards and {role}"
    assert any(f"{mine}: others have it with 6 shards and no role" in each for each in caplog.messages)


def test_a_type_may_have_another_role_when_it_has_ended_everywhere() -> None:
    """S5: the former coordinator makes way; who begins with the old role again is refused then."""

    async def scenario(nodes: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await nodes.form("n1", "n2", begin=opener(log, refs), roles=("x",))
        await trio.sleep(2)
        assert await works(nodes, refs, "n2")
        for name in ("n1", "n2"):
            await nodes.systems[name].stop(refs[name])
        await trio.sleep(10)
        role: dict[str, dict[str, Any]] = {"n1": {}, "n2": {"role": "x"}}
        begin(log, refs, role)(nodes.systems["n2"])
        await trio.sleep(5)
        assert await works(nodes, refs, "n2")
        begin(log, refs, role)(nodes.systems["n1"])
        await trio.sleep(5)
        assert [await works(nodes, refs, name) for name in ("n1", "n2")] == [False, True]

    run(scenario)


def test_a_role_that_nobody_has_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """S5: when the first message waits for it."""

    async def scenario(nodes: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await nodes.form("n1", begin=opener(log, refs, role="gone"))
        assert "gone" not in caplog.text
        for _ in range(2):
            with pytest.raises(AskTimeoutError):
                await works(nodes, refs, "n1")

    run(scenario)
    told = [each for each in caplog.messages if "no member has the role 'gone' of 'cart'" in each]
    assert len(told) == 1


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 25))
def test_shapes_that_begin_at_once(seed: int) -> None:
    """S1, S5: in any order, with any roles, and with a crash: never two owners, and in the end one shape that answers."""

    async def scenario(nodes: Cluster) -> None:
        rng, log, refs = random.Random(seed), Log(), dict[str, Carts]()
        names = ["n1", "n2", "n3", "n4"]
        shapes: list[dict[str, Any]] = [{}, {"role": "x"}, {"role": "y"}, {"num_shards": 5}, {"role": "x", "num_shards": 7}]
        chosen = {name: rng.choice(shapes) for name in names}
        roles = {name: [each for each in ("x", "y") if rng.random() < 0.7] for name in names}
        for name in names:
            nodes.start(name, roles=roles[name])
        await nodes.formed(*names)
        rng.shuffle(names)
        for name in names:
            await trio.sleep(rng.choice((0.0, 0.001, 0.01, 0.1, 1.0)))
            begin(log, refs, chosen)(nodes.systems[name])
            for entity in IDS:
                refs[name].tell(ShardEnvelope(entity, Put(1)))
        await trio.sleep(10)
        crashes = rng.random() < 0.5
        if crashes:
            nodes.sim.host(names[0]).terminate()
            await nodes.wait_ended(names[0])
            names = names[1:]
            await trio.sleep(10)
        hosted = {
            (shape.get("role", ""), shape.get("num_shards", 6))
            for name in names
            if not (shape := chosen[name]).get("role") or shape["role"] in roles[name]
        }
        answers = dict[str, bool]()
        for name in names:  # those of a shape for which nobody has the role, or that has no host, wait
            with suppress(AskTimeoutError):
                answers[name] = await works(nodes, refs, name)
        left = {tuple(chosen[name].items()) for name, answered in answers.items() if answered}
        assert len(left) <= 1
        for name in names if left else ():
            role = chosen[name].get("role")
            assert name in answers or (role and not any(role in roles[each] for each in names)), f"{name} is not refused"
        assert left or crashes or len(hosted) < len({tuple(chosen[name].items()) for name in names})
        assert all(len(where) <= 1 for where in log.live.values())

    run(scenario, seed)
