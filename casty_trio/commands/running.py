"""`node`: a node in a process of its own, until it is told to end. Floor F6."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from typing import cast

import trio

from casty_trio.actors import shutdown_on_signals
from casty_trio.cluster import ClusteredActorSystem
from casty_trio.commands.credentials import secret_of, tls_of
from casty_trio.commands.loading import load
from casty_trio.env import Env
from casty_trio.errors import SettingsError
from casty_trio.settings import Settings

__all__ = ["node"]

Program = Callable[[ClusteredActorSystem], object]


def node(options: argparse.Namespace, env: Env) -> int:
    """Run a node."""
    program = _load(options.program) if options.program else None
    settings = Settings.from_toml(options.config) if options.config is not None else None
    system = ClusteredActorSystem(
        options.system,
        options.host,
        options.port,
        options.node_id or f"{options.host}-{options.port}".replace(":", "-"),
        bind_host=options.bind_host,
        seed_nodes=options.seed,
        roles=options.role,
        tls=tls_of(options),
        secret=secret_of(options, env),
        insecure=options.insecure,
        settings=settings,
        env=env,
    )
    trio.run(_run, system, program)
    return 0


async def _run(system: ClusteredActorSystem, program: Program | None) -> None:
    async with system, shutdown_on_signals(system):
        host, port = system.reached_at
        sys.stdout.write(f"{system.node_id} runs at {host}:{port}\n")
        sys.stdout.flush()
        begun = program(system) if program is not None else None
        if inspect.isawaitable(begun):
            await begun
        await trio.sleep_forever()


def _load(name: str) -> Program:
    """The function that a program names.

    Raises:
        SettingsError: there is none.
    """
    found = load(name, "function")
    if not callable(found):
        raise SettingsError(f"{name} is {type(found).__name__}, and no function to call with the system")
    return cast("Program", found)
