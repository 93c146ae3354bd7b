"""A member of a cluster in a process of its own.

    python -m tests.cluster.chaos.child '{"node_id": "n1", "port": 25001, "seeds": [["127.0.0.1", 25002]], ...}'

It says on standard output, a line of JSON each, when it is ready to go, when it listens, what it knows of the cluster
whenever that changes, when its actors have stopped, and how it ended; with the time on the machine's own clock, which all
processes share. It hears words on standard input: `go`, `report`, `leave`. When that is closed, it ends at once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import trio

from casty_trio import Behavior, Behaviors, ClusteredActorSystem, ClusterState, NodeDownedError
from casty_trio.settings import load_settings

NAME = "chaos"
HOST = "127.0.0.1"


def say(kind: str, **what: Any) -> None:
    """Tell the process that started this one."""
    print(json.dumps({"kind": kind, "at": time.monotonic(), **what}), flush=True)


def knows(system: ClusteredActorSystem) -> dict[str, Any]:
    """What this node knows of the cluster."""
    state = system.cluster_state
    return {
        "uid": system.uid,
        "cluster": state.cluster,
        "members": {member.node_id: [member.uid, str(member.status)] for member in state.members},
        "leader": state.leader.node_id if state.leader is not None else "",
        "unreachable": [member.node_id for member in state.unreachable],
        "converged": state.converged,
    }


def counts(system: ClusteredActorSystem) -> dict[str, Any]:
    """What membership has cost so far."""
    counted = system.membership_statistics()
    return {"cpu": time.process_time(), "bytes": counted.bytes, "messages": counted.messages, "versions": counted.versions}


def make(options: dict[str, Any]) -> ClusteredActorSystem:
    """The node that is asked for."""
    ways = {int(port): near for port, near in options.get("ways", {}).items()}
    return ClusteredActorSystem(
        NAME,
        HOST,
        options["port"],
        options["node_id"],
        seed_nodes=[(host, port) for host, port in options["seeds"]],
        on_downed=options.get("on_downed", "raise"),
        roles=set(options.get("roles", ())),
        address_map=lambda host, port: (host, ways.get(port, port)),
        settings=load_settings(options.get("settings", {})),
    )


def worker() -> Behavior[object]:
    """An actor, which tells when it has stopped."""
    idle: Behavior[object] = Behaviors.receive(lambda ctx, message: None)
    return Behaviors.with_lifecycle(idle, post_stop=lambda ctx: say("stopped"))


class Child:
    """The node, and what it is told to do."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._go = trio.Event()
        self._system: ClusteredActorSystem | None = None
        self._leave = trio.Event()

    async def run(self) -> None:
        """Until it is told to leave, or ends by itself."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            say("imported")
            await self._go.wait()
            try:
                async with make(self._options) as self._system:
                    say("listening", uid=self._system.uid)
                    self.populate(self._system)
                    nursery.start_soon(self._tell, self._system)
                    await self._leave.wait()
            except NodeDownedError as error:
                say("ended", how="downed", why=str(error))
            else:
                say("ended", how="left", why="it was told to")
            nursery.cancel_scope.cancel()

    def populate(self, system: ClusteredActorSystem) -> None:
        """Start what lives on the node."""
        system.spawn(worker(), "worker")

    async def _tell(self, system: ClusteredActorSystem) -> None:
        async with system.events(ClusterState) as states:
            say("state", **knows(system))
            async for _ in states:
                say("state", **knows(system))

    async def _listen(self) -> None:
        words: dict[str, Callable[[], object]] = {"go": self._go.set, "report": self._report, "leave": self._leave.set}
        stream = trio.lowlevel.FdStream(os.dup(0))
        rest = b""
        async for piece in stream:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                words[line.decode()]()
        os._exit(1)  # who started this process is gone

    def _report(self) -> None:
        if self._system is not None and self._system.running:
            say("report", **knows(self._system), **counts(self._system))


if __name__ == "__main__":
    trio.run(Child(json.loads(sys.argv[1])).run)
