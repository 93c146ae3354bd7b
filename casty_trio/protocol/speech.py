"""All that nodes say to each other about membership, as bytes. Floor F1.

A body is one of the messages of `gossip` or `monitoring`, tagged with its name.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from casty_trio.errors import ProtocolError
from casty_trio.protocol.gossip import (
    Claim,
    ClaimAnswer,
    Foreign,
    Join,
    JoinRefused,
    State,
    Status,
    Survey,
    SurveyAnswer,
)
from casty_trio.protocol.members import malformed
from casty_trio.protocol.monitoring import Ping, Pong, Probe, ProbeAnswer
from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = ["MONITORING", "Message", "pack", "unpack"]

Message: TypeAlias = (
    Survey
    | SurveyAnswer
    | Claim
    | ClaimAnswer
    | Join
    | JoinRefused
    | Status
    | State
    | Foreign
    | Ping
    | Pong
    | Probe
    | ProbeAnswer
)

MONITORING: Final = (Ping, Pong, Probe, ProbeAnswer)
"""What is for the machine that watches neighbours."""

pack: Final = msgspec.msgpack.Encoder().encode
_decode: Final[Unpacker[Message]] = unpacker(Message, "a word on membership")


def unpack(body: memoryview | bytes) -> Message:
    """Decode what a node says.

    Raises:
        ProtocolError: it is no such message, or a view that contradicts itself.
    """
    message = _decode(body)
    problem = malformed(message.view) if isinstance(message, State) else None
    if problem is not None:
        raise ProtocolError(f"a view of the cluster is malformed: {problem}")
    return message
