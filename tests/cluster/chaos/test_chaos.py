"""Clusters of real processes, quickly: formed in six ways, killed, stopped, cut in two, healed. Less than two minutes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.cluster.chaos.processes import Processes, processes
from tests.cluster.chaos.steps import NAMES, PATTERNS, Limits, cut, form, kill, pause

pytestmark = pytest.mark.long

QUICK = Limits(
    remove=30.0,
    join=30.0,
    short=1.5,
    long=8.0,
    settings={
        "detector": {"heartbeat": 0.5, "pause": 1.5, "probe_timeout": 0.25},
        "cluster": {"stable_after": 1.5},
        "link": {"handshake_timeout": 3.0, "keep_alive": 1.0, "dead_after": 5.0, "gone_after": 15.0},
    },
)
MESH = PATTERNS["full mesh, at once"]


@asynccontextmanager
async def formed(on_downed: str = "rejoin") -> AsyncGenerator[Processes]:
    """Five nodes, with a proxy on each way between two of them."""
    async with processes(len(NAMES), proxied=True) as cluster:
        await form(cluster, MESH, QUICK, on_downed=on_downed)
        yield cluster


@pytest.mark.parametrize("name", PATTERNS)
async def test_c2_five_processes_agree_within_five_seconds(name: str) -> None:
    async with processes(len(NAMES)) as cluster:
        await form(cluster, PATTERNS[name], QUICK)


async def test_c4_each_is_killed_and_comes_back_as_another_member() -> None:
    """C3 too: the others agree on who is left, also when it was the leader; or it is back before they know."""
    async with formed() as cluster:
        assert cluster.nodes["n2"].known["leader"] == "n1"
        for name in NAMES:
            await kill(cluster, name, MESH, QUICK, wait=name in ("n1", "n4"), on_downed="rejoin")


@pytest.mark.parametrize("on_downed", ["raise", "rejoin"])
async def test_c5_a_short_pause_costs_nothing_and_a_long_one_ends_the_member(on_downed: str) -> None:
    async with formed(on_downed) as cluster:
        for name, seconds in (("n2", 1.0), ("n1", QUICK.short), ("n1" if on_downed == "raise" else "n3", QUICK.long)):
            await pause(cluster, name, seconds, MESH, QUICK, on_downed=on_downed)


@pytest.mark.parametrize(("on_downed", "minority"), [("raise", ["n1"]), ("rejoin", ["n1", "n4"])])
async def test_c6_only_the_majority_lives_on_and_all_are_one_cluster_again(on_downed: str, minority: list[str]) -> None:
    async with formed(on_downed) as cluster:
        await cut(cluster, minority, MESH, QUICK, reset=on_downed == "raise", on_downed=on_downed)
