"""The client of a cluster, on anyio: Trio and asyncio programs talk to actors without joining."""

from casty_trio.client.client import ClientStatistics as ClientStatistics, ClusterClient as ClusterClient
