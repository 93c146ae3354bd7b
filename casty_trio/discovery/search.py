"""Asking a look-up until it has found somebody. Floor F2, on anyio."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio

from casty_trio.errors import DiscoveryError, SettingsError
from casty_trio.model.checks import check_addresses

__all__ = ["Lookup", "ask_once", "search"]

Lookup = Callable[[], Awaitable[Iterable[tuple[str, int]]]]
"""An async function that tells host and port of nodes of a cluster, as many or few as it knows now."""

log: logging.Logger = logging.getLogger("casty_trio.discovery")


async def ask_once(lookup: Lookup) -> tuple[tuple[str, int], ...]:
    """What a look-up has found, each node once.

    Raises:
        DiscoveryError: it failed, or what it told are no addresses; whatever a program's own function raises becomes that.
    """
    try:
        found: Any = await lookup()
        return check_addresses("what a discovery found", found)
    except DiscoveryError:
        raise
    except SettingsError as error:
        raise DiscoveryError(str(error)) from error
    except Exception as error:  # a program's own function, which must not end who asks it
        raise DiscoveryError(f"{lookup!r} failed: {type(error).__name__}: {error}") from error


async def search(
    lookup: Lookup,
    *,
    interval: float = 1.0,
    timeout: float = 60.0,
    jitter: Callable[[], float] = lambda: 0.0,
    in_vain: Callable[[str], object] = lambda why: None,
) -> tuple[tuple[str, int], ...]:
    """Ask a look-up again and again until it has found somebody.

    Parameters:
        lookup: what is asked.
        interval: how long to wait between two times, in seconds.
        timeout: for how long it is asked, in seconds.
        jitter: gives a number from 0 to 1 for each wait, which makes it up to a fifth longer: many clients that lose their
            contact together do not all ask together.
        in_vain: called with what came of it, each time that it has found nobody: for who gives up before the time is over.

    Raises:
        DiscoveryError: it has found nobody by then; the text says what came last.
    """
    last = "it named nobody"
    with anyio.move_on_after(timeout):
        while True:
            try:
                found = await ask_once(lookup)
            except DiscoveryError as error:
                last = str(error)
                log.info("a discovery failed, and is asked again: %s", error)
            else:
                if found:
                    return found
                last = "it named nobody"
            in_vain(last)
            await anyio.sleep(interval * (1 + jitter() / 5))
    raise DiscoveryError(f"{lookup!r} has found no node within {timeout:g} s: {last}")
