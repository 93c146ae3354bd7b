"""The local runtime: actors as Trio tasks. Floor F2."""

from casty_trio.actors.shutdown import ShutdownHook as ShutdownHook
from casty_trio.actors.system import ActorSystem as ActorSystem
