"""Sharded types: one actor per entity id. Floor F5."""

from casty_trio.sharding.extension import Sharding as Sharding
from casty_trio.sharding.sqlite import SqliteEntityStore as SqliteEntityStore
