"""S6 without a store: the coordinator and the two next-oldest members keep the ids of the entities that live."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio

from casty_trio import EntitySettings, ExplicitShards, LinkSettings, RememberingFull
from casty_trio.protocol.keeping import Ask
from casty_trio.testing import Conditions, Simulation
from tests.cluster.clusters import PORT, run
from tests.sharding.keeping import IDS, SHARDS, Keepers, keepers, sharding_of
from tests.sharding.stores import MemoryStore
from tests.sharding.test_moves import collected

GONE = IDS[:5]
REST = IDS[5:]
THREE = ("n1", "n2", "n3")
FIVE = (*THREE, "n4", "n5")


async def begin(nodes: Keepers, *names: str) -> None:
    """All have lived, and some do not any more."""
    await nodes.form(*names)
    nodes.say("n2")
    await nodes.lives(IDS)
    nodes.say("n3", GONE[:3], passivate=True)
    nodes.say("n3", GONE[3:], stop=True)
    await nodes.lives(REST)
    await trio.sleep(1)


def test_three_keep_them() -> None:
    """S6: the oldest and the two next-oldest, all of them the same; nobody else."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await begin(nodes, *FIVE)
            for name in THREE:
                assert nodes.kept(name) == set(REST)
            assert nodes.keeper("n4") is nodes.keeper("n5") is None
            counts = nodes.nodes.systems["n1"].sharding_statistics("cart")
            assert counts is not None
            assert (counts.kept, counts.unremembered) == (len(REST), 0)

    run(scenario)


@pytest.mark.parametrize("victim", THREE)
def test_a_crash_of_an_owner_or_of_the_coordinator(victim: str) -> None:
    """S6: all that lived live again, without a message; who was forgotten does not."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await begin(nodes, *THREE)
            assert victim in nodes.living.values()
            nodes.crash(victim)
            await nodes.lives(REST)
            await trio.sleep(5)
            assert set(nodes.living) == set(REST)
            others = [name for name in THREE if name != victim]
            for name in others:
                assert nodes.kept(name) == set(REST)

    run(scenario)


def test_a_crash_of_coordinator_and_owner_at_once() -> None:
    """S6: as long as one of the three that keep them lives."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await begin(nodes, *FIVE)
            nodes.crash("n1", "n4")
            await nodes.lives(REST)
            await trio.sleep(5)
            for name in ("n2", "n3", "n5"):
                assert nodes.kept(name) == set(REST)

    run(scenario)


def test_all_keepers_are_gone_one_after_the_other() -> None:
    """S6: who follows on one is told everything by those that have the shards."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await begin(nodes, *FIVE)
            for number, victim in enumerate(THREE):
                nodes.crash(victim)
                await nodes.lives(REST)
                await trio.sleep(5)
                for name in FIVE[number + 1 : number + 4]:
                    assert nodes.kept(name) == set(REST)

    run(scenario)


def test_a_rolling_restart() -> None:
    """S6 and C8: each node leaves in good order, and comes again as another member."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await begin(nodes, *THREE)
            for name in THREE:
                await nodes.leave(name)
                await nodes.lives(REST, within=10.0)
                nodes.start(name)
                await nodes.nodes.formed(*THREE)
            await trio.sleep(20)
            assert set(nodes.living) == set(REST)
            assert len(set(nodes.living.values())) == 3
            for name in THREE:
                assert nodes.kept(name) == set(REST)

    run(scenario)


def test_a_quick_rolling_restart() -> None:
    """S6: also when the next one leaves as soon as the last one is up."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await begin(nodes, *THREE)
            for name in (*THREE, *THREE):
                await nodes.leave(name)
                nodes.start(name)
                await nodes.nodes.formed(*THREE)
            await nodes.lives(REST)

    run(scenario)


def test_a_full_stop_forgets() -> None:
    """S6: what no node knows any more is forgotten; for that there are stores."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await begin(nodes, "n1", "n2", "n3")
            for name in THREE:
                await nodes.leave(name)
            nodes.start(*THREE)
            await nodes.nodes.formed(*THREE)
            await trio.sleep(20)
            assert nodes.living == {}

    run(scenario)


def test_a_partition() -> None:
    """S6 and S1: the majority goes on with all of them; what the others forgot while they were alone does not count."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await begin(nodes, *FIVE)
            nodes.nodes.split(("n1", "n2"), ("n3", "n4", "n5"))
            nodes.say("n1", REST[:10], passivate=True)
            lost = {name: nodes.diaries.pop(name) for name in ("n1", "n2")}
            await trio.sleep(30)
            everybody = {*REST, *(f"new-{number}" for number in range(10))}
            nodes.say("n4", sorted(everybody - set(REST)))
            await nodes.lives(everybody)
            assert all(not diary.living for diary in lost.values())
            nodes.nodes.heal(("n1", "n2"), ("n3", "n4", "n5"))
            nodes.diaries.update(lost)
            await nodes.nodes.formed(*FIVE)
            await trio.sleep(20)
            assert set(nodes.living) == everybody
            for name in FIVE[2:]:
                assert nodes.kept(name) == everybody

    run(scenario)


def test_more_than_are_kept() -> None:
    """S6: further ones are not remembered, and work as ever; it is told once, and counted."""

    async def scenario(sim: Simulation) -> None:
        told: list[list[RememberingFull]] = []
        async with keepers(sim, EntitySettings(remembered_most=10)) as nodes:
            await nodes.form(*THREE)
            told += [collected(system, RememberingFull) for system in nodes.nodes.systems.values()]
            nodes.say("n2")
            await nodes.lives(IDS)
            counts = [system.sharding_statistics("cart") for system in nodes.nodes.systems.values()]
            assert [each.kept for each in counts if each is not None] == [10] * 3
            assert sum(each.unremembered for each in counts if each is not None) >= len(IDS) - 10
            assert any(told)
            assert all(len(events) <= 1 for events in told)
            assert {(event.shard_type, event.most) for events in told for event in events} == {("cart", 10)}
            nodes.crash("n3")
            await trio.sleep(40)
            assert len(nodes.living) >= 10

    run(scenario)


def test_a_keeper_that_does_not_answer_is_not_waited_for_twice() -> None:
    """S6: an entity's first message waits for it ``keeper_timeout`` seconds at most, and further ones do not."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim, EntitySettings(keeper_timeout=1.0)) as nodes:
            await begin(nodes, *FIVE)
            owned = [each for each, where in nodes.living.items() if where == "n4"]
            nodes.nodes.split(("n3",), ("n1", "n2", "n4", "n5"))
            shard = sharding_of(nodes.nodes.systems["n4"])._regions["cart"].shard_of(owned[0])
            region = sharding_of(nodes.nodes.systems["n4"])._regions["cart"]
            fresh = [each for each in map(str, range(1_000, 2_000)) if region.shard_of(each) == shard][:4]
            begun = trio.current_time()
            nodes.say("n4", fresh[:1])
            await nodes.lives([*REST, fresh[0]])
            assert 0.9 <= trio.current_time() - begun <= 1.3
            nodes.say("n4", fresh[1:])
            await nodes.lives([*REST, *fresh], within=0.5)

    run(scenario)


def test_who_fails_starts_again_elsewhere_too() -> None:
    """S6: an entity that waits for its restart is remembered."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim, EntitySettings(restart_least=50.0, restart_most=60.0)) as nodes:
            await begin(nodes, *THREE)
            victim = next(each for each, where in nodes.living.items() if where == "n3")
            nodes.say("n1", [victim], fail=True)
            await trio.sleep(0.5)
            assert victim not in nodes.living
            nodes.crash("n3")
            await nodes.lives(REST, within=40.0)

    run(scenario)


def test_one_node_alone() -> None:
    """S6: a type that ends and begins again on the only node."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await nodes.form("n1")
            nodes.say("n1")
            await nodes.lives(IDS)
            system = nodes.nodes.systems["n1"]
            await system.stop(nodes.regions["n1"])
            assert nodes.living == {}
            nodes.begin(system)
            await nodes.lives(IDS)
            assert nodes.kept("n1") == set(IDS)

    run(scenario)


def test_only_members_with_the_role_keep_them() -> None:
    """S6: as only they have shards."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim, role="web", num_shards=SHARDS) as nodes:
            roles: dict[str, Any] = {"roles": ("web",)}
            nodes.start("n1")
            await nodes.nodes.formed("n1")
            nodes.start("n2", **roles)
            await nodes.nodes.formed("n1", "n2")
            nodes.start("n3", **roles)
            await nodes.nodes.formed(*THREE)
            await trio.sleep(15)
            nodes.say("n1")
            await nodes.lives(IDS)
            assert nodes.keeper("n1") is None
            assert nodes.kept("n2") == nodes.kept("n3") == set(IDS)
            nodes.crash("n2")
            await nodes.lives(IDS)

    run(scenario)


def test_an_owner_begins_without_a_keeper_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    """S6: after ``keeper_timeout`` seconds, with what the others know."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim, EntitySettings(keeper_timeout=1.0)) as nodes:
            await begin(nodes, *FIVE)
            nodes.nodes.split(("n3",), ("n5",))  # these two do not hear each other, and all others hear both
            await nodes.leave("n4")
            await nodes.lives(REST)
            assert "without what a member may remember that does not answer" in caplog.text

    run(scenario)


def test_a_type_that_begins_again_with_another_number_of_shards() -> None:
    """S6: remembers nothing of before."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await nodes.form("n1")
            nodes.say("n1")
            await nodes.lives(IDS)
            system = nodes.nodes.systems["n1"]
            await system.stop(nodes.regions["n1"])
            nodes._sharded["num_shards"] = 3
            nodes.begin(system)
            await trio.sleep(10)
            assert nodes.living == {}
            nodes.say("n1", IDS[:4])
            await nodes.lives(IDS[:4])
            assert nodes.kept("n1") == set(IDS[:4])

    run(scenario)


@pytest.mark.parametrize(("most", "told"), [(32_768, False), (8_192, True)])
def test_small_messages(most: int, told: bool, caplog: pytest.LogCaptureFixture) -> None:
    """S6: words that do not fit into one message go in several; one that fits into none is told of, and all lives on."""
    ids = [f"{number}".rjust(900, "x") for number in range(200)]

    async def scenario(sim: Simulation) -> None:
        link = LinkSettings(max_frame=4_096, max_message=most, queue=1_000_000)
        async with keepers(sim, EntitySettings(keeper_timeout=1.0), link) as nodes:
            await nodes.form("n1", "n2")
            nodes.say("n1", ids)
            await nodes.lives(ids)
            await trio.sleep(2)
            assert (nodes.kept("n1") == nodes.kept("n2") == set(ids)) is not told
            assert ("what 'cart' remembers cannot be told" in caplog.text) is told

    run(scenario)


def test_a_later_owner_is_known_to_the_keepers(caplog: pytest.LogCaptureFixture) -> None:
    """S1: then nothing starts by the earlier right."""

    async def scenario(sim: Simulation) -> None:
        async with keepers(sim) as nodes:
            await nodes.form("n1")
            keeper = nodes.keeper("n1")
            assert keeper is not None
            for shard in range(SHARDS):
                keeper.receive(Ask(shard, (99, 1)))
            nodes.say("n1")
            await trio.sleep(10)
            assert nodes.living == {}
            assert "belongs to a later owner" in caplog.text

    run(scenario)


def test_tokens_rise_though_nobody_has_the_type_any_more() -> None:
    """S1: the members know in which terms it was spoken of, also those that never had it."""

    async def scenario(sim: Simulation) -> None:
        tokens: list[tuple[int, int]] = []
        async with keepers(sim) as nodes:
            nodes.nodes.start("n1")
            await nodes.nodes.formed("n1")
            nodes.nodes.start("n2")
            await nodes.nodes.formed("n1", "n2")
            nodes.start("n3")
            await nodes.nodes.formed(*THREE)
            nodes.say("n3")
            await nodes.lives(IDS)
            tokens.append(sharding_of(nodes.nodes.systems["n3"])._regions["cart"].fencing_token(0))
            await nodes.leave("n3")
            nodes.nodes.sim.host("n1").terminate()
            await nodes.nodes.wait_ended("n1")
            nodes.start("n4", seed_nodes=[("n2", PORT)])
            await nodes.nodes.formed("n2", "n4")
            await nodes.lives(IDS)
            tokens.append(sharding_of(nodes.nodes.systems["n4"])._regions["cart"].fencing_token(0))
        assert tokens[0] < tokens[1]

    run(scenario)


@pytest.mark.parametrize("kind", ["memory", "nodes"])
def test_a_shard_that_comes_back(kind: str) -> None:
    """S6: what was forgotten elsewhere meanwhile is not known here any more: it is stored again before it starts."""

    async def scenario(sim: Simulation) -> None:
        store = MemoryStore()
        where = ExplicitShards(dict.fromkeys(range(SHARDS), "n2"))
        async with keepers(sim, remember_entities=store if kind == "memory" else True, allocation=where) as nodes:
            await nodes.form("n1")
            nodes.say("n1")
            await nodes.lives(IDS)
            nodes.start("n2")
            await nodes.nodes.formed("n1", "n2")
            await trio.sleep(15)
            assert set(nodes.living.items()) == {(each, "n2") for each in IDS}
            nodes.say("n2", IDS[:1], stop=True)
            await nodes.lives(IDS[1:])
            await trio.sleep(1)
            await nodes.leave("n2")
            await nodes.lives(IDS[1:])
            nodes.say("n1", IDS[:1])
            await nodes.lives(IDS)
            await trio.sleep(1)
            kept = nodes.kept("n1") if kind == "nodes" else store.all()
            assert kept == set(IDS)

    run(scenario)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens(seed: int) -> None:
    """S6: crashes and restarts of up to two nodes at a time, while entities come and go."""

    async def scenario(sim: Simulation) -> None:
        rng = random.Random(seed)
        async with keepers(sim, num_shards=rng.choice([1, 8, 50])) as nodes:
            await nodes.form(*FIVE)
            expected, fresh = set[str](), 0
            for _ in range(4):
                started = {f"{fresh + number}" for number in range(rng.randrange(30))}
                stopped = {each for each in sorted(expected) if rng.random() < 0.3}
                fresh += len(started)
                at = rng.choice(sorted(nodes.regions))
                nodes.say(at, sorted(started))
                nodes.say(at, sorted(stopped), **rng.choice([{"stop": True}, {"passivate": True}]))
                expected = (expected | started) - stopped
                await nodes.lives(expected)
                await trio.sleep(1)
                victims = rng.sample(FIVE, rng.randrange(1, 3))
                if rng.random() < 0.6:
                    nodes.crash(*victims)
                else:
                    for name in victims:
                        await nodes.leave(name)
                await nodes.nodes.formed(*(name for name in FIVE if name not in victims))
                await nodes.lives(expected)
                for name in victims:
                    nodes.start(name, seed_nodes=[(each, PORT) for each in FIVE])
                await nodes.nodes.formed(*FIVE)
                await trio.sleep(rng.choice([0.0, 3.0, 20.0]))
                await nodes.lives(expected)

    run(scenario, seed)


def test_what_comes_slowly_is_waited_for() -> None:
    """S6: ``keeper_timeout`` is how long a keeper may tell nothing more, not how long it may take for all."""
    ids = [f"{number}".rjust(100, "x") for number in range(2_000)]

    async def scenario(sim: Simulation) -> None:
        where = ExplicitShards({0: "n4"})  # which is none of the keepers
        async with keepers(sim, EntitySettings(keeper_timeout=0.9), num_shards=1, allocation=where) as nodes:
            await nodes.form(*THREE)
            nodes.say("n1", ids)
            await nodes.lives(ids)
            sim.network.set_conditions(Conditions(delay=(0.2, 0.2)))
            nodes.start("n4")
            await nodes.nodes.formed(*THREE, "n4")
            await trio.sleep(30)
            assert set(nodes.living.items()) == {(each, "n4") for each in ids}

    run(scenario)
