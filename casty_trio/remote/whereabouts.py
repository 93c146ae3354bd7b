"""Where a node listens, and where others reach it. Floor F3, no I/O."""

from __future__ import annotations

from casty_trio.model.checks import check_host, check_port

__all__ = ["Whereabouts"]


class Whereabouts:
    """The addresses of a node, as they were given; see `ClusteredActorSystem`.

    Attributes:
        bind_host: where it listens.
        bind_port: likewise; 0 for a free one.
        host: where it is reached.
        port: likewise.
        port_is_bound: whether it is reached on the port it listens on, which is known for sure once it does.

    Raises:
        SettingsError: one of them cannot be.
    """

    __slots__ = ("bind_host", "bind_port", "host", "port", "port_is_bound")

    def __init__(
        self,
        host: str,
        port: int,
        bind_host: str | None = None,
        bind_port: int | None = None,
        advertised_host: str | None = None,
        advertised_port: int | None = None,
    ) -> None:
        check_host("host", host)
        check_port("port", port)
        for name, other in (("bind_host", bind_host), ("advertised_host", advertised_host)):
            if other is not None:
                check_host(name, other)
        if bind_port is not None:
            check_port("bind_port", bind_port)
        if advertised_port is not None:
            check_port("advertised_port", advertised_port, least=1)
        self.bind_host: str = bind_host if bind_host is not None else host
        self.bind_port: int = bind_port if bind_port is not None else port
        self.host: str = advertised_host if advertised_host is not None else host
        self.port: int = advertised_port if advertised_port is not None else port
        self.port_is_bound: bool = advertised_port is None
