"""What is returned within a block of ours is returned: no block takes an exception for itself."""

from casty_trio import ActorSystem, ClusterClient, ClusteredActorSystem


async def in_a_system(system: ActorSystem) -> int:
    async with system:
        return 1


async def in_a_node(node: ClusteredActorSystem) -> int:
    async with node:
        return 1


async def in_a_client(client: ClusterClient) -> int:
    async with client:
        return len(client.members)
