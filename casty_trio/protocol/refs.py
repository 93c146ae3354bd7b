"""How refs are written inside messages: five MessagePack extension types. Floor F1, pure.

An address names an actor anywhere; a reply slot is a number that only means something on the connection it came over; an
entity is named by type and id, so the ref is good wherever the entity moves; a broadcast ref by its name alone.
"""

from __future__ import annotations

from typing import Final

import msgspec

from casty_trio.errors import DecodeError, InvalidNameError
from casty_trio.model.address import ActorAddress, check_name
from casty_trio.protocol.unpacking import MALFORMED

__all__ = [
    "ADDRESS",
    "BROADCAST",
    "ENTITY",
    "HOME",
    "REPLY",
    "pack_address",
    "pack_broadcast",
    "pack_entity",
    "pack_home",
    "pack_reply",
    "unpack_address",
    "unpack_broadcast",
    "unpack_entity",
    "unpack_reply",
]

ADDRESS: Final = 1
REPLY: Final = 2
ENTITY: Final = 3
HOME: Final = 4
BROADCAST: Final = 5


class _Address(msgspec.Struct, array_like=True, frozen=True):
    system: str
    path: str
    host: str | None
    port: int | None
    uid: int
    incarnation: int


_encode = msgspec.msgpack.Encoder().encode
_decode_address = msgspec.msgpack.Decoder(_Address).decode
_decode_entity = msgspec.msgpack.Decoder(tuple[str, str]).decode


def pack_address(address: ActorAddress) -> tuple[int, bytes]:
    """An actor's address, as extension code and payload."""
    return ADDRESS, _encode((address.system, address.path, address.host, address.port, address.uid, address.incarnation))


def unpack_address(payload: memoryview) -> ActorAddress:
    """The address in a payload.

    Raises:
        DecodeError: there is none.
    """
    try:
        read = _decode_address(payload)
    except MALFORMED as error:
        raise DecodeError(f"a ref's address is malformed: {error}") from error
    return ActorAddress(read.system, read.path, read.host, read.port, read.uid, read.incarnation)


def pack_reply(number: int) -> tuple[int, bytes]:
    """The reply slot of an ask, for the connection that carries the ask."""
    return REPLY, number.to_bytes(8, "big")


def pack_home(number: int) -> tuple[int, bytes]:
    """The reply slot of an ask of the node it is sent to: to that node, a ref of its own; `unpack_reply` reads it."""
    return HOME, number.to_bytes(8, "big")


def unpack_reply(payload: memoryview) -> int:
    """The number of the ask.

    Raises:
        DecodeError: the payload is no number.
    """
    if len(payload) != 8:
        raise DecodeError(f"a reply ref has 8 bytes, not {len(payload)}")
    return int.from_bytes(payload, "big")


def pack_entity(shard_type: str, entity_id: str) -> tuple[int, bytes]:
    """An entity, by type and id."""
    return ENTITY, _encode((shard_type, entity_id))


def unpack_entity(payload: memoryview) -> tuple[str, str]:
    """Type and id of an entity.

    Raises:
        DecodeError: the payload is neither.
    """
    try:
        return _decode_entity(payload)
    except MALFORMED as error:
        raise DecodeError(f"an entity's ref is malformed: {error}") from error


def pack_broadcast(name: str) -> tuple[int, bytes]:
    """The actors of one name on all members."""
    return BROADCAST, name.encode()


def unpack_broadcast(payload: memoryview) -> str:
    """The name.

    Raises:
        DecodeError: it is no name that an actor can have.
    """
    try:
        return check_name(str(payload, "utf-8"), "broadcast")
    except (UnicodeDecodeError, InvalidNameError) as error:
        raise DecodeError(f"a broadcast ref is malformed: {error}") from error
