"""The local runtime: actors as Trio tasks. Floor F2."""

from casty_trio.actors.shutdown import ShutdownHook as ShutdownHook
from casty_trio.actors.signals import SignalScope as SignalScope, shutdown_on_signals as shutdown_on_signals
from casty_trio.actors.system import ActorSystem as ActorSystem
