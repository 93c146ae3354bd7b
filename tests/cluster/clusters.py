"""Clusters on simulated hosts, for tests: start nodes, break things, look at what the others make of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from casty_trio import ClusteredActorSystem
from casty_trio.env import Env
from casty_trio.model.member import MemberStatus
from casty_trio.testing import Conditions, Simulation, simulate

NAME = "shop"
PORT = 2_000


class Cluster:
    """Nodes ``n1``, ``n2``, ... of one cluster.

    Attributes:
        systems: the systems that are open, by the node's name.
        errors: what came out of those that have ended.
    """

    def __init__(self, sim: Simulation, nursery: trio.Nursery, seeds: Sequence[str], keywords: dict[str, Any]) -> None:
        self.sim = sim
        self.systems: dict[str, ClusteredActorSystem] = {}
        self.errors: dict[str, BaseException | None] = {}
        self._nursery = nursery
        self._seeds = [(seed, PORT) for seed in seeds]
        self._keywords = keywords
        self._changed = trio.Event()

    def start(self, *names: str, **keywords: Any) -> None:
        """Start nodes, each on a host of its own; ``begin`` is called with each system as soon as it is open."""
        for name in names:
            self._nursery.start_soon(self._run, name, {**self._keywords, **keywords})

    async def _run(self, name: str, keywords: dict[str, Any]) -> None:
        async def program(env: Env, _: str) -> None:
            given = {"seed_nodes": self._seeds, "insecure": True, **keywords}
            begin = given.pop("begin", None)
            async with ClusteredActorSystem(NAME, name, PORT, name, env=env, **given) as system:
                if begin is not None:
                    begin(system)
                self.systems[name] = system
                await self.sim.host(name).wait_terminated()

        error: Exception | None = None
        try:
            await self.sim.host(name).run(program)
        except Exception as caught:  # noqa: BLE001 - tests look at it
            error = caught
        finally:
            self.systems.pop(name, None)
        self.errors[name] = error
        self._changed.set()
        self._changed = trio.Event()

    async def wait_ended(self, name: str) -> BaseException | None:
        """Wait until a node's block has ended; what came out of it."""
        while name not in self.errors:
            await self._changed.wait()
        return self.errors[name]

    async def form(self, *names: str, **keywords: Any) -> float:
        """Start nodes, and wait until exactly these are up, for all of them."""
        self.start(*names, **keywords)
        return await self.formed(*names)

    async def formed(self, *names: str, within: float = 30.0) -> float:
        """Wait until exactly these nodes are up, for all of them; how long that took, in virtual seconds."""
        begun = trio.current_time()
        with trio.fail_after(within):
            while not self.agreed(*names):  # noqa: ASYNC110 - several systems have to bring it about
                await trio.sleep(0.05)
        return trio.current_time() - begun

    def agreed(self, *names: str) -> bool:
        """Whether these nodes, and no others, are members, all up, in the view that each of them has."""
        for name in names:
            system = self.systems.get(name)
            if system is None or not system.running or not system.cluster_state.converged:
                return False
            up = sorted(member.node_id for member in system.members if member.status == MemberStatus.UP)
            if up != sorted(names) or len(system.members) != len(names):
                return False
        return True

    def leaders(self, *names: str) -> set[str]:
        """Whom these nodes take for the leader."""
        return {leader.node_id for name in names if (leader := self.systems[name].leader) is not None}

    def split(self, one: Sequence[str], other: Sequence[str]) -> None:
        """Let nothing pass between two groups, without a word to either."""
        for a in one:
            for b in other:
                self.sim.network.set_conditions(Conditions(stalled=True), between=(a, b))

    def heal(self, one: Sequence[str], other: Sequence[str]) -> None:
        """Let everything pass again."""
        for a in one:
            for b in other:
                self.sim.network.set_conditions(Conditions(), between=(a, b))


@asynccontextmanager
async def cluster(sim: Simulation, *seeds: str, **keywords: Any) -> AsyncGenerator[Cluster]:
    """Nodes that are gone when the block is left."""
    async with trio.open_nursery() as nursery:
        yield Cluster(sim, nursery, seeds or ("n1",), keywords)
        nursery.cancel_scope.cancel()


def run(scenario: Callable[[Simulation], Any], seed: int = 1) -> None:
    """Run a scenario whose value does not matter."""
    simulate(scenario, seed)
