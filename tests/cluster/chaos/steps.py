"""What is done to a cluster of processes, and what has to come of it. Each step gives its figures, in seconds."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from tests.cluster.chaos.processes import ChaosError, Processes

__all__ = ["NAMES", "PATTERNS", "Figures", "Limits", "Pattern", "cut", "form", "kill", "pause"]

Figures = dict[str, float]
NAMES: Final = ("n1", "n2", "n3", "n4", "n5")
STARTS: Final = 4
PATIENCE: Final = 3.0
"""How much later each time those are started again that have ended, in seconds."""


@dataclass(frozen=True)
class Pattern:
    """A way to start five nodes: who is told which seeds, and how many seconds lie between one start and the next."""

    seeds: dict[str, Sequence[str]]
    order: Sequence[str] = NAMES
    stagger: float = 0.0


PATTERNS: Final[dict[str, Pattern]] = {
    "one seed, in order": Pattern(dict.fromkeys(NAMES, ("n1",)), stagger=0.1),
    "one seed, the seed last": Pattern(dict.fromkeys(NAMES, ("n1",)), ("n2", "n3", "n4", "n5", "n1"), 0.1),
    "two seeds": Pattern(dict.fromkeys(NAMES, ("n1", "n2")), ("n3", "n2", "n5", "n1", "n4"), 0.1),
    "full mesh, at once": Pattern(dict.fromkeys(NAMES, NAMES)),
    "full mesh, 0.37 s apart": Pattern(dict.fromkeys(NAMES, NAMES), stagger=0.37),
    "the others only, in reverse": Pattern(
        {name: [other for other in NAMES if other != name] for name in NAMES}, NAMES[::-1], 0.1
    ),
}


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds, and with which settings the nodes run.

    Attributes:
        form: from the last start until all agree.
        remove: from a crash, or a cut, until those that go on agree on who they are.
        join: from a start, or from healing, until all are one cluster again.
        short: nobody is removed for a pause up to this.
        long: who pauses for this or longer is.
        settings: as in a file.
    """

    form: float = 5.0
    remove: float = 20.0
    join: float = 20.0
    short: float = 5.0
    long: float = 16.0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


async def form(cluster: Processes, pattern: Pattern, limits: Limits, **options: Any) -> Figures:
    """C2: start five nodes; from the last one's start on they have so long to agree."""
    given = {"settings": limits.settings, **options}
    for name in pattern.order:
        await cluster.start(name, pattern.seeds[name], go=False, **given)
    await cluster.wait(lambda: all(cluster.nodes[name].imported for name in NAMES), 60, "imports")
    for place, name in enumerate(pattern.order):
        if place:
            await trio.sleep(pattern.stagger)
        await cluster.say(name, "go")
    at = await cluster.agreed(*NAMES, within=30)
    first, last = (pick(cluster.nodes[name].listening_at for name in NAMES) for pick in (min, max))
    if at - last > limits.form:
        raise ChaosError(f"five nodes agreed {at - last:.1f} s after the last one's start\n{cluster.told()}")
    return {"agreed": at - last, "since the first": at - first}


async def kill(cluster: Processes, name: str, pattern: Pattern, limits: Limits, *, wait: bool, **options: Any) -> Figures:
    """C3 and C4: the others agree that it is gone, if they are let ``wait``; it comes back as another member."""
    figures: Figures = {}
    others = [each for each in NAMES if each != name]
    uid, at = cluster.nodes[name].uid, trio.current_time()
    await cluster.kill(name)
    if wait:
        await cluster.agreed(*others, within=limits.remove)
        figures["removed"] = trio.current_time() - at
    await cluster.start(name, pattern.seeds[name], settings=limits.settings, **options)
    agreed = await _whole(cluster, pattern, limits, **options)
    figures["joined"] = agreed - cluster.nodes[name].listening_at
    if cluster.nodes[name].uid == uid or figures["joined"] > limits.join:
        raise ChaosError(f"{name} was killed: uid {uid}, then {cluster.nodes[name].uid}, {figures}\n{cluster.told()}")
    return figures


async def pause(cluster: Processes, name: str, seconds: float, pattern: Pattern, limits: Limits, **options: Any) -> Figures:
    """C5: nobody is removed for a short pause; after a long one it ends, or joins again; in between either will do."""
    others = [each for each in NAMES if each != name]
    uids = {each: cluster.nodes[each].uid for each in NAMES}
    cluster.signal(name, signal.SIGSTOP)
    try:
        await trio.sleep(seconds)
        if seconds >= limits.long:
            await cluster.agreed(*others, within=limits.remove)
    finally:
        cluster.signal(name, signal.SIGCONT)
    woke = trio.current_time()
    if seconds <= limits.short:
        await trio.sleep(1.0)  # whatever was decided wrongly is known by then
        await cluster.asked(*NAMES)
    else:
        await _awake(cluster, name, uids[name], limits)
    await _whole(cluster, pattern, limits, **options)
    now = {each: cluster.nodes[each].uid for each in NAMES}
    wrong = [each for each in others if now[each] != uids[each]]
    kept = now[name] == uids[name]
    if wrong or (seconds <= limits.short and not kept) or (seconds >= limits.long and kept):
        raise ChaosError(f"{name} was stopped for {seconds:.1f} s: {uids}, then {now}\n{cluster.told()}")
    return {"healed": trio.current_time() - woke, ("kept" if kept else "removed nodes"): 1.0}


async def _whole(cluster: Processes, pattern: Pattern, limits: Limits, **options: Any) -> float:
    """Until all five are one cluster again; when the last of them knew it.

    Who has ended is started again, as whatever watches over processes would: at once, and then after a while, one after
    the other. That may be needed: a first node that knows of no seeds but itself founds a cluster, and if another one joins
    it there before they find the larger one, both have to go.
    """
    for attempt in range(STARTS):
        for name in cluster.ended:
            await trio.sleep(attempt * PATIENCE)
            await cluster.start(name, pattern.seeds[name], settings=limits.settings, **options)
        within = limits.join + 10  # that much for Python itself to start
        await cluster.wait(lambda: cluster.ended or cluster.agree(*NAMES), within, "all to be one cluster")
        if cluster.agree(*NAMES):
            return await cluster.agreed(*NAMES, within=within)
    raise ChaosError(f"nodes end again and again\n{cluster.told()}")


async def _awake(cluster: Processes, name: str, uid: int, limits: Limits) -> None:
    """Until a node that was paused knows what became of it: it has ended, or is another member, or all know it as it was."""

    def settled() -> bool:
        node = cluster.nodes[name]
        return node.process is None or (node.uid != uid and bool(node.members)) or cluster.agree(*NAMES)

    await cluster.asked(*(each for each in NAMES if each != name))
    await cluster.wait(settled, limits.join, f"{name} to know that it was stopped")


async def cut(
    cluster: Processes, minority: Sequence[str], pattern: Pattern, limits: Limits, *, reset: bool, on_downed: str
) -> Figures:
    """C6: the majority alone goes on, and not before the others have stopped; after healing they are one again."""
    majority = [name for name in NAMES if name not in minority]
    uids = {name: cluster.nodes[name].uid for name in NAMES}
    begun = trio.current_time()
    cluster.cut(minority, majority, reset=reset)
    for name in minority:
        await cluster.wait(partial(_is_out, cluster, name), limits.remove, f"{name} to give up")
    agreed = await cluster.agreed(*majority, within=limits.remove)
    figures = {"removed": trio.current_time() - begun, "margin": agreed - max(_out_at(cluster, name) for name in minority)}
    await trio.sleep(1.0)
    if not all(_is_out(cluster, name) for name in minority) or not cluster.agree(*majority):
        raise ChaosError(f"{minority} were cut off: {figures}\n{cluster.told()}")
    cluster.heal()
    healed = trio.current_time()
    await _whole(cluster, pattern, limits, on_downed=on_downed)
    figures["healed"] = trio.current_time() - healed
    now = {name: cluster.nodes[name].uid for name in NAMES}
    if any((now[name] == uids[name]) != (name in majority) for name in NAMES) or figures["margin"] <= 0:
        raise ChaosError(f"{minority} were cut off: {uids}, then {now}, {figures}\n{cluster.told()}")
    return figures


def _is_out(cluster: Processes, name: str) -> bool:
    node = cluster.nodes[name]
    return node.how == "downed" if node.process is None else bool(node.known) and not node.members


def _out_at(cluster: Processes, name: str) -> float:
    node = cluster.nodes[name]
    return node.stopped_at if node.process is None else float(node.known["at"])
