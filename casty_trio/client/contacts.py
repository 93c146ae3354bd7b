"""The nodes that a client may dial, and in which order. Floor: client, pure.

Those it was given are never forgotten; those that the cluster names come before them, for they are members now. Which few of
the members, and in which order, is a function of the client's uid and their addresses: so each client has its own order,
many clients spread over all nodes, and a change of the membership moves few of them. Where dialling failed comes last.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.member import MemberStatus

__all__ = ["Contact", "Contacts"]

Contact = tuple[str, int]

SERVING = (MemberStatus.UP, MemberStatus.WEAKLY_UP)
"""Who is leaving sends its clients away, and who is joining may not be let in."""


class Contacts:
    """The contact points of one client.

    Args:
        given: what the program named; may be empty where there is a discovery.
        uid: the client's.
        most: how many of the members are kept.

    Attributes:
        given: what the program named.
    """

    def __init__(self, given: tuple[Contact, ...], uid: int, most: int) -> None:
        self.given: tuple[Contact, ...] = given
        self._uid = uid
        self._most = most
        self._learnt: tuple[Contact, ...] = ()
        self._found: tuple[Contact, ...] = ()
        self._failed: dict[Contact, int] = {}

    @property
    def points(self) -> tuple[Contact, ...]:
        """All of them, each once, in the order in which they are dialled."""
        return tuple(dict.fromkeys((*self._learnt, *self._found, *self.given)))

    def candidates(self) -> tuple[Contact, ...]:
        """The same, those last where dialling has failed most often since it last did not."""
        return tuple(sorted(self.points, key=lambda contact: self._failed.get(contact, 0)))

    def learn(self, topology: TopologySnapshot, role: str = "") -> None:
        """Take over what the cluster says who its members are; where nobody serves there is nothing to learn.

        Those without ``role`` take no clients; with "" all do.
        """
        silent = {member.uid for member in topology.unreachable}
        members = [each for each in topology.members if role in ("", *each.roles)]
        serving = [each.address for each in members if each.status in SERVING and each.uid not in silent]
        if serving:
            self._learnt = tuple(sorted(serving, key=self._rank)[: self._most])

    def discovered(self, contacts: Iterable[Contact]) -> None:
        """Take over what a discovery has found, in the place of what it found before."""
        self._found = tuple(contacts)

    def worked(self, contact: Contact) -> None:
        """Somebody there has told the state of the cluster."""
        self._failed.pop(contact, None)

    def failed(self, contact: Contact) -> None:
        """Dialling was in vain, or the connection has ended."""
        known = set(self.points)
        self._failed = {each: times for each, times in self._failed.items() if each in known}
        self._failed[contact] = self._failed.get(contact, 0) + 1

    def _rank(self, contact: Contact) -> tuple[int, Contact]:
        return zlib.crc32(f"{self._uid}:{contact[0]}:{contact[1]}".encode()), contact
