"""Look-ups by the names of DNS: the addresses of a host, or the records of a service. Floor F2, on anyio."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from casty_trio.discovery.lookups import DEFAULT_PORT
from casty_trio.env import Env, RealEnv
from casty_trio.errors import DiscoveryError, SettingsError
from casty_trio.model.checks import check_host, check_instance, check_port, check_seconds, refuse

__all__ = ["Dns", "DnsService"]


class Dns:
    """All addresses of a host name, IPv4 and IPv6: a name with a record for each node, such as a headless service has.

    Parameters:
        host: the name.
        port: of every node.
        env: who looks names up; the system's resolver when left out.

    Example:
        >>> # ClusterClient([], "shop", discovery=discovery.Dns("shop.internal"))
    """

    def __init__(self, host: str, port: int = DEFAULT_PORT, *, env: Env | None = None) -> None:
        check_host("host", host)
        check_port("port", port, least=1)
        check_instance("env", env, Env)
        self.host: str = host
        self.port: int = port
        self._env = env if env is not None else RealEnv()

    def __repr__(self) -> str:
        return f"Dns({self.host!r}, {self.port})"

    async def __call__(self) -> tuple[tuple[str, int], ...]:
        """The nodes.

        Raises:
            DiscoveryError: the name is unknown, or nobody can be asked.
        """
        try:
            addresses = await self._env.resolve(self.host)
        except OSError as error:
            raise DiscoveryError(f"{self.host} cannot be looked up: {error}") from error
        return tuple((address, self.port) for address in addresses)


class DnsService:
    """The SRV records of a service: a host and a port each, the preferred ones first.

    It needs dnspython: ``pip install 'casty-trio[dns]'``.

    Parameters:
        name: the records' name, such as ``_casty._tcp.shop.internal``: the port's name, then that of the service.
        nameserver: address and port of the server that is asked; those of the system when left out.
        timeout: how long a look-up may take, in seconds.

    Raises:
        SettingsError: dnspython is not installed, or an argument is wrong.

    Example:
        >>> # ClusterClient([], "shop", discovery=discovery.DnsService("_casty._tcp.shop.internal"))
    """

    def __init__(self, name: str, *, nameserver: tuple[str, int] | None = None, timeout: float = 3.0) -> None:
        check_host("name", name)
        if not name:
            refuse("name", name, "the name of a service's records")
        check_seconds("timeout", timeout, positive=True, finite=True)
        self.name: str = name
        self.timeout: float = timeout
        self.nameserver: tuple[str, int] | None = nameserver
        try:
            self._dns: Any = import_module("dns.exception")
            self._resolvers: Any = import_module("dns.asyncresolver")
            self._libraries: Any = import_module("dns.asyncbackend")
        except ImportError as error:
            raise SettingsError(f"SRV records are read with dnspython: pip install 'casty-trio[dns]' ({error})") from error

    def __repr__(self) -> str:
        return f"DnsService({self.name!r})"

    async def __call__(self) -> tuple[tuple[str, int], ...]:
        """The nodes.

        Raises:
            DiscoveryError: there are no such records, or nobody can be asked.
        """
        try:
            backend = self._libraries.get_backend(self._libraries.sniff())  # left out, it is the one of the first call
        except ImportError as error:
            raise DiscoveryError(f"dnspython cannot be used here: {error}") from error
        try:
            answer = await self._resolver().resolve(self.name, "SRV", lifetime=self.timeout, backend=backend)
        except (self._dns.DNSException, OSError) as error:
            raise DiscoveryError(f"{self.name} has no SRV records that can be read: {error}") from error
        records = sorted(answer, key=lambda record: (record.priority, -record.weight, str(record.target)))
        return tuple((record.target.to_text(omit_final_dot=True), record.port) for record in records)

    def _resolver(self) -> Any:
        if self.nameserver is None:
            return self._resolvers.Resolver()
        resolver = self._resolvers.Resolver(configure=False)
        resolver.nameservers, resolver.port = [self.nameserver[0]], self.nameserver[1]
        return resolver
