"""What nodes say to each other about a singleton, as values and as bytes. Floor F1; `singleton` tells what is done."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = ["Claim", "Done", "Flushed", "Hold", "Hosting", "Who", "Word", "pack", "unpack"]

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
Natural: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]


class Claim(msgspec.Struct, array_like=True, frozen=True, tag="c"):
    """I want to host it: say that you do not. The number names this attempt of the sender's."""

    name: Name
    number: Natural


class Done(msgspec.Struct, array_like=True, frozen=True, tag="d"):
    """To a claim: I do not host it, and will not before you have said the same to me; I know of hosts up to that epoch."""

    name: Name
    number: Natural
    epoch: Natural = 0


class Hosting(msgspec.Struct, array_like=True, frozen=True, tag="h"):
    """I host it; with each host the epoch is higher."""

    name: Name
    epoch: Natural


class Hold(msgspec.Struct, array_like=True, frozen=True, tag="o"):
    """Send me no more mail for it."""

    name: Name
    epoch: Natural


class Flushed(msgspec.Struct, array_like=True, frozen=True, tag="f"):
    """To a hold: what I sent before is before this."""

    name: Name
    epoch: Natural


class Who(msgspec.Struct, array_like=True, frozen=True, tag="w"):
    """Do you host it? Only who does answers; when the sender thought so (``sure``), the other answers with a hold."""

    name: Name
    sure: bool = False


Word: TypeAlias = Claim | Done | Hosting | Hold | Flushed | Who

pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final[Unpacker[Word]] = unpacker(Word, "a word on singletons")
"""Decode what a node says; raises `ProtocolError` where it is no such word."""
