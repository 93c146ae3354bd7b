"""The names of errors on the wire: what an ask ends with on one node, its asker hears by the same class (K5, L5)."""

from __future__ import annotations

import pytest

from casty_trio import (
    ActorFailedError,
    ActorStoppedError,
    AskError,
    AskTimeoutError,
    EncodeError,
    MailboxFullError,
    OutcomeUnknownError,
    OverloadedError,
    RequestRefusedError,
    ShardCountError,
    UnknownActorError,
)
from casty_trio.protocol import wire

NAMED: list[type[Exception]] = [
    ActorFailedError,
    ActorStoppedError,
    AskTimeoutError,
    MailboxFullError,
    OutcomeUnknownError,
    OverloadedError,
    RequestRefusedError,
    ShardCountError,
    UnknownActorError,
]


@pytest.mark.parametrize("kind", NAMED)
def test_an_error_keeps_its_class(kind: type[Exception]) -> None:
    """K5: an outcome that is unknown stays unknown, and is no refusal, which says that nothing was handled."""
    error = wire.nack_error(wire.unpack(wire.NackFrame, wire.nack(7, kind("for a reason"))))
    assert type(error) is kind
    assert str(error) == "for a reason"


def test_others_are_refusals_and_unknown_names_are_plain() -> None:
    assert type(wire.nack_error(wire.unpack(wire.NackFrame, wire.nack(7, EncodeError("x"))))) is RequestRefusedError
    assert type(wire.nack_error(wire.NackFrame(7, "of a later version", "x"))) is AskError
