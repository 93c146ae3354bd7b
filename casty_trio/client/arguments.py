"""What a client is given, checked, and what it counts. Floor: client, pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cattrs
import msgspec

from casty_trio.env import Env
from casty_trio.link import LinkStatistics
from casty_trio.model.checks import check_host, check_instance, check_port, check_seconds, refuse
from casty_trio.model.settings import LinkSettings

__all__ = ["ClientStatistics", "check_arguments", "checked_contacts", "checked_place"]


class ClientStatistics(msgspec.Struct, frozen=True):
    """What a client counts.

    Attributes:
        asks: asks that wait for their reply.
        connections: how many connections to a contact there have been.
        dropped: messages that were not sent, and replies nobody waited for.
        link: what the present connection to the contact has carried; None while there is none.
        held: messages that wait for a contact.
        streams: connections to other nodes than the contact.
        actors: local actors that live.
        overflowed: messages that the mailboxes of local actors had no room for; they stand in ``dropped``, too.
    """

    asks: int
    connections: int
    dropped: int
    link: LinkStatistics | None
    held: int = 0
    streams: int = 0
    actors: int = 0
    overflowed: int = 0


def check_arguments(timeout: object, converter: object, link: object, discovery: object, env: object) -> None:
    """See that the arguments of a client, where nothing else looks at them, are of their types."""
    check_seconds("connect_timeout", timeout, positive=True)
    check_instance("converter", converter, cattrs.Converter)
    check_instance("link", link, LinkSettings)
    check_instance("env", env, Env)
    if discovery is not None and not callable(discovery):
        refuse("discovery", discovery, "an async function that gives pairs of host and port")


def checked_place(host: str, port: int, advertised_host: str | None, advertised_port: int | None) -> tuple[str, int]:
    """What a client gives as its own host and port in handshakes and refs."""
    check_host("client_host", host)
    if advertised_host is not None:
        check_host("advertised_host", advertised_host)
    for name, given in (("client_host", host), ("advertised_host", advertised_host)):
        if given == "":
            refuse(name, given, "the name or the address of a host")
    check_port("client_port", port)
    if advertised_port is not None:
        check_port("advertised_port", advertised_port)
    return (
        host if advertised_host is None else advertised_host,
        port if advertised_port is None else advertised_port,
    )


def checked_contacts(contact_points: Iterable[Any], *, may_be_empty: bool) -> tuple[tuple[str, int], ...]:
    """The contact points in an argument."""
    if isinstance(contact_points, str | bytes) or not isinstance(contact_points, Iterable):
        refuse("contact_points", contact_points, "pairs of host and port")
    contacts: list[tuple[str, int]] = []
    for contact in contact_points:
        match contact:
            case (str(host), int(port)) if host:
                check_host("a host in contact_points", host)
                check_port("a port in contact_points", port, least=1)
                contacts.append((host, port))
            case _:
                refuse("each of contact_points", contact, "a pair of a host and a port from 1 to 65535")
    if not contacts and not may_be_empty:
        refuse("contact_points", contacts, "at least one pair of host and port: a node of the cluster")
    return tuple(contacts)
