"""Where the nodes of a cluster are: look-ups for clients and for nodes that join."""

from casty_trio.discovery.search import Lookup as Lookup, search as search
