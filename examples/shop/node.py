"""A node that hosts entities of the shop, until SIGTERM or Ctrl-C has it hand them over. From the root of the checkout:

python -m examples.shop.node NAME FOLDER PORT_OF_ANOTHER_NODE
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import trio

from casty_trio import Behaviors, ClusteredActorSystem, SqliteEntityStore, shutdown_on_signals
from examples.shop.entities import NUM_SHARDS, REMEMBERED, ROLE, SETTINGS, SYSTEM, accounts_in, cart, loyalty


async def main(name: str, folder: Path, seed: int) -> None:
    system = ClusteredActorSystem(
        name=SYSTEM,
        host="127.0.0.1",
        port=0,
        node_id=name,
        seed_nodes=[("127.0.0.1", seed)],
        roles={ROLE},
        on_downed="rejoin",
        settings=SETTINGS,
    )
    async with system, shutdown_on_signals(system):
        system.spawn(Behaviors.sharded(cart, num_shards=NUM_SHARDS, role=ROLE), "cart")
        store = SqliteEntityStore(folder / REMEMBERED)
        accounts = Behaviors.sharded(accounts_in(folder), num_shards=NUM_SHARDS, role=ROLE, remember_entities=store)
        system.spawn(accounts, "account")
        system.spawn(Behaviors.sharded(loyalty, num_shards=NUM_SHARDS, role=ROLE), "loyalty")
        await trio.sleep_forever()


if __name__ == "__main__":
    logging.getLogger("casty_trio").setLevel("ERROR")  # else the log tells, too, of the node that is killed
    trio.run(main, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
