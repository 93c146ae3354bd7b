"""Traces of the monitoring machine that people can read: ``golden/*.txt``. python -m tests.protocol.traces writes them anew.

A line with ``#`` explains; one with ``>`` is an input; all others are what the machine did, and are compared. Inputs:

    > node 10 monitored=2 ...             a new machine of that uid, with settings other than the defaults
    > TIME members 20 30                  and so on: tick, ping FROM SEQ, pong FROM SEQ, heard FROM,
                                          probe FROM TARGET NUMBER, answer FROM TARGET NUMBER yes|no,
                                          refuted UID, refuted-self
    > until TIME answering 20 30          ticks when they are due; these nodes answer every ping 0.1 seconds later
"""

from __future__ import annotations

import heapq
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from casty_trio.model.detection import DetectorSettings
from casty_trio.protocol.monitoring import Absolve, Accuse, Effect, Late, Monitoring, Ping, Pong, Probe, Send

FOLDER = Path(__file__).parent / "golden"


def told(effect: Effect) -> str:
    """An effect in words."""
    match effect:
        case Send(uid, Ping(seq)):
            return f"ping {uid} ({seq})"
        case Send(uid, Pong(seq)):
            return f"pong {uid} ({seq})"
        case Send(uid, Probe(target, number)):
            return f"probe {uid}: can you reach {target}? ({number})"
        case Send(uid, answer):
            return f"answer {uid}: {answer}"
        case Accuse(uid):
            return f"ACCUSE {uid}"
        case Absolve(uid):
            return f"ABSOLVE {uid}"
        case Late(seconds):
            return f"LATE by {seconds:.3f} s"


class Trace:
    """Plays the inputs of one file."""

    def __init__(self) -> None:
        self.machine = Monitoring(0, DetectorSettings(), random.Random(1))
        self.coming: list[tuple[float, int, int]] = []

    def node(self, uid: str, *settings: str) -> None:
        values: dict[str, Any] = {}
        for setting in settings:
            name, value = setting.split("=")
            values[name] = float(value) if "." in value else int(value)
        self.machine = Monitoring(int(uid), DetectorSettings(**values), random.Random(1))
        self.coming = []

    def step(self, now: float, verb: str, *words: str) -> list[Effect]:
        """One input."""
        numbers = [int(word) for word in words if word.isdigit()]
        machine = self.machine
        match verb:
            case "members":
                return machine.set_members(now, numbers)
            case "tick" | "heard":
                return getattr(machine, verb)(now, *numbers)  # type: ignore[no-any-return]
            case "answer":
                sender, target, number = numbers
                return machine.on_probe_answer(now, sender, target, number, words[-1] == "yes")
            case "refuted-self":
                return machine.on_refuted_self()
        return getattr(machine, f"on_{verb}")(now, *numbers)  # type: ignore[no-any-return]

    def line(self, now: float, what: str, effects: list[Effect]) -> str:
        doubt = self.machine.statistics.health
        said = "; ".join([*map(told, effects), *([f"doubt {doubt}"] if doubt else [])]) or "-"
        return f"    {now:7.3f}  {what:<14} {said}"

    def until(self, end: float, answering: set[int]) -> Iterator[str]:
        """Let time pass."""
        while True:
            moment = min(self.machine.next_wakeup, self.coming[0][0] if self.coming else end)
            if moment >= end:
                return
            if moment == self.machine.next_wakeup:
                what, effects = "tick", self.machine.tick(moment)
            else:
                _, seq, uid = heapq.heappop(self.coming)
                what, effects = f"pong {uid} ({seq})", self.machine.on_pong(moment, uid, seq)
            yield self.line(moment, what, effects)
            for effect in effects:
                if isinstance(effect, Send) and isinstance(effect.message, Ping) and effect.uid in answering:
                    heapq.heappush(self.coming, (moment + 0.1, effect.message.seq, effect.uid))

    def play(self, line: str) -> Iterator[str]:
        """One line of inputs, and what comes of it."""
        first, *words = line.removeprefix(">").split()
        if first == "node":
            self.node(*words)
        elif first == "until":
            yield from self.until(float(words[0]), {int(word) for word in words[2:]})
        else:
            before = self.machine.next_wakeup
            effects = self.step(float(first), *words)
            after = self.machine.next_wakeup
            yield self.line(float(first), words[0], effects) + (f"; wakes at {after:.3f}" if after != before else "")


def played(text: str) -> str:
    """A file as it should be."""
    trace, lines = Trace(), list[str]()
    for line in text.splitlines():
        if line.startswith(">"):
            lines += [line, *trace.play(line)]
        elif not line or line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    for path in sorted(FOLDER.glob("*.txt")):
        text = path.read_text()
        path.write_text(played(text))
        print(path.name, "as it was" if path.read_text() == text else "changed", file=sys.stderr)


if __name__ == "__main__":
    main()
