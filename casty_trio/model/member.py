"""The nodes of a cluster, as programs see them. Floor F1: values."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ["LONGEST_ROLE", "ROLES_MOST", "Count", "Member", "MemberStatus", "Role"]


class MemberStatus(IntEnum):
    """How far a node has come in the life of a member; it only ever goes forward.

    Attributes:
        JOINING: it is known, and not yet admitted.
        WEAKLY_UP: it may work, though not all members could agree on it; it has no number, and is never the oldest.
        UP: all members have agreed on it.
        LEAVING: it wants to go.
        EXITING: all members know that it goes.
        DOWN: it was declared gone, or it says so itself.
        REMOVED: it is no member any more, and this start of it will never be one again.
    """

    JOINING = 1
    WEAKLY_UP = 2
    UP = 3
    LEAVING = 4
    EXITING = 5
    DOWN = 6
    REMOVED = 7

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]
"""What only ever grows, by one at a time: far from where it could not be written any more."""

LONGEST_ROLE: Final = 64
ROLES_MOST: Final = 64
Role: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LONGEST_ROLE)]
"""What a node is for, in a word."""


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One start of a node, as a member of a cluster.

    Attributes:
        uid: the start's own number; another start at the same address is another member.
        host: where the node is reached.
        port: likewise.
        node_id: the name it was given.
        roles: what it was started for, sorted.
        status: how far it has come.
        up_number: in which order members came up, from 1; 0 before.
        counter: how often it has refuted that it is unreachable.
    """

    uid: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    host: Annotated[str, Meta(max_length=255)]
    port: Annotated[int, Meta(ge=1, le=2**16 - 1)]
    node_id: Annotated[str, Meta(min_length=1, max_length=255)]
    roles: Annotated[tuple[Role, ...], Meta(max_length=ROLES_MOST)] = ()
    status: MemberStatus = MemberStatus.JOINING
    up_number: Count = 0
    counter: Count = 0

    @property
    def address(self) -> tuple[str, int]:
        """Where the node is reached."""
        return self.host, self.port

    @property
    def age(self) -> tuple[float, int]:
        """What sorts members by age: the oldest came up first, and who never did comes last."""
        return (self.up_number or float("inf"), self.uid)

    def __str__(self) -> str:
        return f"{self.node_id} at {self.host}:{self.port}"
