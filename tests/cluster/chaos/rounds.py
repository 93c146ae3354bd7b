"""Rounds of chaos: each forms five nodes in every way, and disturbs the last cluster in all ways. A seed fixes the order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, Final, TypeAlias

from tests.cluster.chaos.processes import Processes, processes
from tests.cluster.chaos.steps import NAMES, PATTERNS, Figures, Limits, cut, form, kill, pause

__all__ = ["KINDS", "Tell", "one_round"]

Tell: TypeAlias = Callable[[str, Coroutine[Any, Any, Figures]], Awaitable[None]]
"""Does a step, of a kind, and keeps what came of it."""

LONGEST_PAUSE: Final = 30.0
HOW: Final = ("raise", "rejoin")
KINDS: Final = (
    *(f"form: {name}" for name in PATTERNS),
    "kill",
    "kill the leader",
    "kill, and start at once",
    *(f"stop: {length}" for length in ("short", "middling", "long")),
    *(f"cut: {way}, {how}" for way in ("silent", "reset") for how in HOW),
)
"""All kinds of steps."""


async def one_round(seed: int, tell: Tell, limits: Limits) -> None:
    """Do everything once; two rounds, one after the other, do everything with each of ``on_downed``."""
    rng = Random(seed)
    patterns = list(PATTERNS)
    rng.shuffle(patterns)
    for name in patterns[:-1]:
        async with processes(len(NAMES), seed=rng.getrandbits(32)) as cluster:
            await tell(f"form: {name}", form(cluster, PATTERNS[name], limits))
    async with processes(len(NAMES), proxied=True, seed=rng.getrandbits(32)) as cluster:
        await _Disturbance(cluster, patterns[-1], rng, HOW[seed % 2], tell, limits).run()


class _Disturbance:
    """What is done to one cluster."""

    def __init__(self, cluster: Processes, pattern: str, rng: Random, on_downed: str, tell: Tell, limits: Limits) -> None:
        self._cluster, self._name, self._pattern = cluster, pattern, PATTERNS[pattern]
        self._rng, self._on_downed, self._tell, self._limits = rng, on_downed, tell, limits

    async def run(self) -> None:
        await self._tell(f"form: {self._name}", form(self._cluster, self._pattern, self._limits, on_downed=self._on_downed))
        for victim in self._rng.sample(NAMES, len(NAMES)):
            leads = self._cluster.nodes[victim].known["leader"] == victim
            await self._kill("kill the leader" if leads else "kill", victim, wait=True)
        await self._kill("kill, and start at once", self._rng.choice(NAMES), wait=False)
        short, long = self._limits.short, self._limits.long
        await self._pause("short", 1.0, short)
        await self._pause("middling", short, long)
        await self._pause("long", long, max(LONGEST_PAUSE, long))
        for way in ("silent", "reset"):
            await self._cut(way)

    async def _kill(self, kind: str, victim: str, *, wait: bool) -> None:
        step = kill(self._cluster, victim, self._pattern, self._limits, wait=wait, on_downed=self._on_downed)
        await self._tell(kind, step)

    async def _pause(self, length: str, least: float, most: float) -> None:
        seconds, name = self._rng.uniform(least, most), self._rng.choice(NAMES)
        step = pause(self._cluster, name, seconds, self._pattern, self._limits, on_downed=self._on_downed)
        await self._tell(f"stop: {length}", step)

    async def _cut(self, way: str) -> None:
        minority = self._rng.sample(NAMES, self._rng.choice((1, 2)))
        step = cut(self._cluster, minority, self._pattern, self._limits, reset=way == "reset", on_downed=self._on_downed)
        await self._tell(f"cut: {way}, {self._on_downed}", step)
