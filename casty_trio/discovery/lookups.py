"""Look-ups that need nothing but what a process is given: a list, a variable, or other look-ups. Floor F2, on anyio."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from anyio.lowlevel import checkpoint

from casty_trio.discovery.search import Lookup, ask_once
from casty_trio.env import Env, RealEnv
from casty_trio.errors import DiscoveryError
from casty_trio.model.checks import check_addresses, check_instance, check_port, refuse

__all__ = ["DEFAULT_PORT", "Environment", "FirstOf", "Static", "parse_address"]

DEFAULT_PORT: Final = 25_520


class Static:
    """Always the same nodes: behind what may fail, say.

    Parameters:
        addresses: host and port of each.

    Example:
        >>> # ClusterClient([], "shop", discovery=discovery.Static([("10.0.0.1", 25520)]))
    """

    def __init__(self, addresses: Iterable[tuple[str, int]]) -> None:
        self.addresses: tuple[tuple[str, int], ...] = check_addresses("addresses", addresses)

    def __repr__(self) -> str:
        return f"Static({list(self.addresses)!r})"

    async def __call__(self) -> tuple[tuple[str, int], ...]:
        """The nodes."""
        await checkpoint()
        return self.addresses


class Environment:
    """What a variable of the environment says: ``host:port`` of each node, with commas between them.

    Parameters:
        variable: its name. It is read at each look-up; when it is not set, nobody is found.
        port: of those hosts that stand there without one.
        env: the door to the environment; the real one when left out.

    Example:
        >>> # CASTY_CONTACTS="10.0.0.1,10.0.0.2:25521,[::1]:25520"
        >>> # ClusterClient([], "shop", discovery=discovery.Environment("CASTY_CONTACTS"))
    """

    def __init__(self, variable: str, *, port: int = DEFAULT_PORT, env: Env | None = None) -> None:
        if not isinstance(variable, str) or not variable:
            refuse("variable", variable, "the name of a variable of the environment")
        check_port("port", port, least=1)
        check_instance("env", env, Env)
        self.variable: str = variable
        self.port: int = port
        self._env = env if env is not None else RealEnv()

    def __repr__(self) -> str:
        return f"Environment({self.variable!r})"

    async def __call__(self) -> tuple[tuple[str, int], ...]:
        """The nodes.

        Raises:
            DiscoveryError: the variable says something else.
        """
        await checkpoint()
        text = self._env.variable(self.variable) or ""
        return tuple(parse_address(each, self.port, self.variable) for each in text.split(",") if each.strip())


class FirstOf:
    """Several look-ups, each of which is asked when those before it have failed, or found nobody.

    Parameters:
        lookups: the first is asked first, at each look-up.

    Example:
        >>> # discovery.FirstOf(discovery.Kubernetes("shop"), discovery.Static([("10.0.0.1", 25520)]))
    """

    def __init__(self, *lookups: Lookup) -> None:
        for lookup in lookups:
            if not callable(lookup):
                refuse("each of lookups", lookup, "an async function that gives pairs of host and port")
        if not lookups:
            refuse("lookups", lookups, "one look-up at least")
        self.lookups: tuple[Lookup, ...] = lookups

    def __repr__(self) -> str:
        return f"FirstOf({', '.join(map(repr, self.lookups))})"

    async def __call__(self) -> tuple[tuple[str, int], ...]:
        """The nodes that the first has found which has found any.

        Raises:
            DiscoveryError: all have failed; the text says how each did.
        """
        failures = list[str]()
        for lookup in self.lookups:
            try:
                found = await ask_once(lookup)
            except DiscoveryError as error:
                failures.append(str(error))
            else:
                if found:
                    return found
        if len(failures) == len(self.lookups):
            raise DiscoveryError("; ".join(failures))
        return ()


def parse_address(text: str, port: int, where: str) -> tuple[str, int]:
    """A host and a port, as ``host:port`` or ``host``; an IPv6 address with a port stands in brackets.

    Raises:
        DiscoveryError: the text is neither.

    Example:
        >>> parse_address("10.0.0.1:1", 2, ""), parse_address("[::1]:1", 2, ""), parse_address("::1", 2, "")
        (('10.0.0.1', 1), ('::1', 1), ('::1', 2))
    """
    host, given = text.strip(), str(port)
    if host.startswith("[") or host.count(":") == 1:
        head, colon, tail = host.rpartition(":")
        if colon and not tail.endswith("]"):
            host, given = head, tail
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (given.isascii() and given.isdecimal()) or not 0 < int(given) < 65_536:
        raise DiscoveryError(f"{where}: {text!r:.100} is no host:port")
    return host, int(given)
