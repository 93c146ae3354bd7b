"""Refs across nodes: the listener, one connection per peer, resolution. Floor F3."""

from casty_trio.remote.connection import Connection as Connection
from casty_trio.remote.node import REFUSED as REFUSED, FrameHandler as FrameHandler, RemoteNode as RemoteNode
from casty_trio.remote.peer import Peer as Peer, budget_of as budget_of
from casty_trio.remote.peers import of_node as of_node
from casty_trio.remote.refs import RemoteRef as RemoteRef
from casty_trio.remote.returned import read_back as read_back
from casty_trio.remote.slots import RemoteSlot as RemoteSlot
