"""A member in a process of its own with a greeter for clients: `tests.cluster.chaos.child` tells how it is driven."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, ServiceKey
from tests.cluster.chaos.child import Child


@dataclass(frozen=True)
class Hi:
    """Is answered with the node's name and how often it was greeted."""

    reply_to: ActorRef[tuple[str, int]]


@dataclass(frozen=True)
class Count:
    """Is counted."""


KEY: ServiceKey[Hi | Count] = ServiceKey("greeter")
PATH = "greeter"


def greeter(node: str, count: int = 0) -> Behavior[Hi | Count]:
    def receive(ctx: ActorContext[Hi | Count], message: Hi | Count) -> Behavior[Hi | Count]:
        match message:
            case Hi(reply_to):
                reply_to.tell((node, count))
                return Behaviors.same()
            case Count():
                return greeter(node, count + 1)

    return Behaviors.receive(receive)


class Serving(Child):
    """A node with a greeter."""

    def populate(self, system: ClusteredActorSystem) -> None:
        ref = system.spawn(Behaviors.discoverable(greeter(system.node_id), key=KEY), PATH)
        system.client_receptionist().register_service(ref)


if __name__ == "__main__":
    trio.run(Serving(json.loads(sys.argv[1])).run)
