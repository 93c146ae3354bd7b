"""What nodes say to each other about membership. Floor F1: typed values, strictly decoded.

All of it may be lost, doubled or late: who says something again says the same. The sender is not named in it, for the
connection it came on tells who that is. Tags from 11; those below belong to `monitoring`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from casty_trio.model.member import Member
from casty_trio.protocol.members import MEMBERS_MOST, View

__all__ = ["Claim", "ClaimAnswer", "Foreign", "Join", "JoinRefused", "State", "Status", "Survey", "SurveyAnswer"]


Size: TypeAlias = Annotated[int, Meta(ge=0, le=MEMBERS_MOST)]
"""How many members a cluster has."""


class Survey(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """Which cluster are you in? The sender tells what it would answer itself.

    Attributes:
        cluster: the id of the sender's cluster; 0 when it is in none.
        size: how many members that has.
    """

    cluster: int
    size: Size


class SurveyAnswer(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """The answer to a `Survey`.

    Attributes:
        cluster: the id of the cluster; 0 for none.
        size: how many members that has.
        able: whether the answering node, in no cluster, has heard the same from a majority and so may found one.
        counts: whether who asked is a seed of the answering node.
    """

    cluster: int
    size: Size
    able: bool = False
    counts: bool = False


class Claim(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """I am about to found a cluster: may I?

    Attributes:
        number: which claim of the sender's it is.
    """

    number: int


class ClaimAnswer(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """The answer to a `Claim`: who grants it grants no other for a while."""

    number: int
    granted: bool


class Join(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """Let me in."""

    member: Member


class JoinRefused(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """You cannot be let in, and why."""

    reason: Annotated[str, Meta(max_length=1_000)]


class Status(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """What I know of the cluster, as a fingerprint; who knows otherwise answers with a `State`."""

    cluster: int
    fingerprint: int


class State(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """All I know of the cluster."""

    view: View


class Foreign(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """To the leader: at this address there is a node of another cluster of our name."""

    host: Annotated[str, Meta(max_length=255)]
    port: Annotated[int, Meta(ge=1, le=2**16 - 1)]
