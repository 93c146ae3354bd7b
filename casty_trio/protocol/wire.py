"""The bodies of the frames that follow a handshake. Floor F1: typed values, strictly decoded.

Arrays on the wire, so fields may be added at the end and older peers ignore them. User messages stand in ``body`` as the
codec wrote them, under the wire name of their type. An ask is a number that the asking side gives, unique on its side; 0
means that nobody waits.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, cast

import msgspec

from casty_trio.errors import (
    ActorFailedError,
    ActorStoppedError,
    AskError,
    AskTimeoutError,
    MailboxFullError,
    OutcomeUnknownError,
    OverloadedError,
    RequestRefusedError,
    ShardCountError,
    UnknownActorError,
)
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import escaped
from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = [
    "ActorFrame",
    "CancelFrame",
    "EntityFrame",
    "MemberState",
    "NackFrame",
    "ReplyFrame",
    "ShardTypeState",
    "StateFrame",
    "TerminatedFrame",
    "UnwatchFrame",
    "WatchFrame",
    "nack",
    "nack_error",
    "pack",
    "pack_actor",
    "pack_entity",
    "pack_reply",
    "unpack",
    "unpack_actor",
    "unpack_entity",
    "unpack_reply",
    "with_budget",
]


class EntityFrame(msgspec.Struct, array_like=True, frozen=True):
    """A message for one entity of a sharded type.

    Attributes:
        ask: the sender's number for the ask; 0 for a tell.
        budget: how long the asker waits from now, in seconds; None for as long as it takes.
        shard_type: the name of the sharded type.
        num_shards: into how many shards the sender hashes ids; it has to agree with ours.
        entity_id: which entity.
        name: the wire name of the message's type.
        body: the message.
    """

    ask: int
    budget: float | None
    shard_type: str
    num_shards: int
    entity_id: str
    name: str
    body: msgspec.Raw


class ActorFrame(msgspec.Struct, array_like=True, frozen=True):
    """A message for an actor by path; incarnation 0 means whoever lives there, and uid 0 whichever start of the node."""

    ask: int
    budget: float | None
    path: str
    incarnation: int
    name: str
    body: msgspec.Raw
    uid: int = 0


class ReplyFrame(msgspec.Struct, array_like=True, frozen=True):
    """The reply to an ask of the receiving side."""

    ask: int
    name: str
    body: msgspec.Raw


class NackFrame(msgspec.Struct, array_like=True, frozen=True):
    """An ask of the receiving side cannot be answered; ``code`` is a key of the errors asks end with."""

    ask: int
    code: str
    reason: str


class CancelFrame(msgspec.Struct, array_like=True, frozen=True):
    """The asker gave up: skip the message if it is still queued."""

    ask: int


class WatchFrame(msgspec.Struct, array_like=True, frozen=True):
    """Tell us when that actor ends, or has ended; incarnation 0 means whoever lives there now."""

    path: str
    incarnation: int


class UnwatchFrame(msgspec.Struct, array_like=True, frozen=True):
    """We need not hear of that actor any more; path and incarnation as in the WATCH."""

    path: str
    incarnation: int


class TerminatedFrame(msgspec.Struct, array_like=True, frozen=True):
    """An actor that you watch has ended; path and incarnation as in the WATCH, and what it failed with, if it did."""

    path: str
    incarnation: int
    failure: str | None


class MemberState(msgspec.Struct, array_like=True, frozen=True):
    """A node, as clients see it: where it is, how far it has come as a member, and whether all members can reach it."""

    node_id: str
    host: str
    port: int
    uid: int
    status: str = "up"
    roles: tuple[str, ...] = ()
    unreachable: bool = False


class ShardTypeState(msgspec.Struct, array_like=True, frozen=True):
    """Where the shards of one type live: ``homes[shard]`` is an index into the members, -1 where nobody knows."""

    name: str
    num_shards: int
    homes: tuple[int, ...]


class StateFrame(msgspec.Struct, array_like=True, frozen=True):
    """What clients have to know of the cluster; sent when they subscribe, and on every change.

    ``contact_role`` is what the nodes have that take clients; "" where all do.
    """

    version: int
    members: tuple[MemberState, ...]
    leader: int
    shard_types: tuple[ShardTypeState, ...]
    contact_role: str = ""


F = TypeVar("F", bound=msgspec.Struct)

_NACKS: Final[dict[str, type[Exception]]] = {
    "failed": ActorFailedError,
    "full": MailboxFullError,
    "lost": OutcomeUnknownError,
    "overloaded": OverloadedError,
    "refused": RequestRefusedError,
    "shards": ShardCountError,
    "stopped": ActorStoppedError,
    "timeout": AskTimeoutError,
    "unknown": UnknownActorError,
}
_CODES: Final = {error: code for code, error in _NACKS.items()}
_REASON = 500

pack: Final = msgspec.msgpack.Encoder().encode
_Raw: Final = msgspec.Raw


def _unpacker(frame: type[F]) -> Unpacker[F]:
    return unpacker(frame, f"the body of {'an' if frame.__name__[0] in 'AE' else 'a'} {frame.__name__}")


_unpackers: Final[dict[type[msgspec.Struct], Unpacker[Any]]] = {
    frame: _unpacker(frame)
    for frame in (
        EntityFrame,
        ActorFrame,
        ReplyFrame,
        NackFrame,
        CancelFrame,
        StateFrame,
        WatchFrame,
        UnwatchFrame,
        TerminatedFrame,
    )
}

# As `unpack`, without the look-up: for what comes with every message.
unpack_entity: Final[Unpacker[EntityFrame]] = _unpackers[EntityFrame]
unpack_actor: Final[Unpacker[ActorFrame]] = _unpackers[ActorFrame]
unpack_reply: Final[Unpacker[ReplyFrame]] = _unpackers[ReplyFrame]


def unpack(frame: type[F], body: memoryview | bytes) -> F:
    """Decode a frame's body.

    Raises:
        ProtocolError: it is not such a body.
    """
    return cast("F", _unpackers[frame](body))


def nack_code(error: Exception) -> str:
    """The code under which an error travels; what no peer has to tell apart is a refusal."""
    return _CODES.get(type(error), "refused")


def nack_error(nack: NackFrame) -> Exception:
    """The error an ask ends with when the peer says it cannot be answered."""
    return _NACKS.get(nack.code, AskError)(escaped(nack.reason, _REASON))


def nack(ask: int, error: Exception) -> bytes:
    """The body that tells the asking side why there will be no reply."""
    return pack(NackFrame(ask, nack_code(error), str(error)[:_REASON]))


def pack_reply(ask: int, name: str, body: bytes) -> bytes:
    """The body of a reply."""
    return pack((ask, name, _Raw(body)))  # as a ReplyFrame is written; a tuple is made in half the time


def pack_entity(
    ask: int, budget: float | None, shard_type: str, num_shards: int, entity_id: str, name: str, body: bytes
) -> bytes:
    """The body of a message to an entity."""
    return pack((ask, budget, shard_type, num_shards, entity_id, name, _Raw(body)))


def with_budget(kind: int, body: bytes, budget: float | None) -> bytes:
    """A message with an ask, to an entity or an actor, with another budget."""
    if kind == Kind.ENTITY:
        entity = unpack_entity(body)
        shards, name = entity.num_shards, entity.name
        return pack_entity(entity.ask, budget, entity.shard_type, shards, entity.entity_id, name, bytes(entity.body))
    actor = unpack_actor(body)
    return pack_actor(actor.ask, budget, (actor.path, actor.incarnation), actor.name, bytes(actor.body), actor.uid)


def pack_actor(ask: int, budget: float | None, target: tuple[str, int], name: str, body: bytes, uid: int = 0) -> bytes:
    """The body of a message to an actor; ``target`` is path and incarnation.

    It has a ``uid`` where one start of the node is meant that the incarnation does not tell, or the way may be to another.
    """
    if uid:
        return pack((ask, budget, *target, name, msgspec.Raw(body), uid))
    return pack((ask, budget, *target, name, msgspec.Raw(body)))
