"""A system in a process of its own that is sent signals: takes how long a hook at its end takes, tells what happens."""

from __future__ import annotations

import signal
import sys

import trio

from casty_trio import ActorSystem, Behaviors, shutdown_on_signals
from tests.actors.helpers import counter


def say(text: str) -> None:
    print(text, flush=True)


async def main(seconds: float) -> None:
    async def leave() -> None:
        say("leaving")
        await trio.sleep(seconds)
        say("left")

    async with ActorSystem() as system:
        system.on_shutdown("leave", leave, timeout=5.0)
        system.spawn(Behaviors.with_lifecycle(counter(), post_stop=lambda ctx: say("stopped")))
        async with shutdown_on_signals(system) as scope:
            say("ready")
            await trio.sleep_forever()
        say(str(scope.received and scope.received.name))
    say("done")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a script starts without one
    trio.run(main, float(sys.argv[1]))
