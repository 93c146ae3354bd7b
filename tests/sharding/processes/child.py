"""A member that hosts entities, in a process of its own; see `tests.cluster.chaos.child`."""

from __future__ import annotations

import json
import sys

import trio

from casty_trio import Behaviors, ClusteredActorSystem
from tests.cluster.chaos.child import Child
from tests.sharding.processes.items import NUM_SHARDS, ROLE, SHARD_TYPE, item

MODULE = "tests.sharding.processes.child"


class HostChild(Child):
    """A node with the role of hosts."""

    def populate(self, system: ClusteredActorSystem) -> None:
        super().populate(system)
        system.spawn(Behaviors.sharded(item, num_shards=NUM_SHARDS, role=ROLE), SHARD_TYPE)


if __name__ == "__main__":
    trio.run(HostChild(json.loads(sys.argv[1])).run)
