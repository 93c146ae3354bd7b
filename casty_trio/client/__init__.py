"""The client of a cluster, on anyio: Trio and asyncio programs talk to actors without joining."""

from casty_trio.client.arguments import ClientStatistics as ClientStatistics
from casty_trio.client.client import ClusterClient as ClusterClient
