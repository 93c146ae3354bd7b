"""Where the nodes of a cluster are: look-ups for clients (``discovery=``) and for nodes that join (``seed_nodes=``).

A look-up is an async function without arguments that gives host and port of each node it knows now; these are objects that
can be called as such. Floor F2, on anyio, so they serve Trio and asyncio.
"""

from casty_trio.discovery.dns import Dns as Dns, DnsService as DnsService
from casty_trio.discovery.kubernetes import Kubernetes as Kubernetes
from casty_trio.discovery.lookups import Environment as Environment, FirstOf as FirstOf, Static as Static
from casty_trio.discovery.search import Lookup as Lookup, ask_once as ask_once, search as search
