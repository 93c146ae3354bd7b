"""What carries a message to an entity of a sharded type. Floor F1: a pure value."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

__all__ = ["ShardEnvelope", "is_entity_id", "is_envelope"]

M_co = TypeVar("M_co", covariant=True)


class ShardEnvelope(msgspec.Struct, Generic[M_co], frozen=True):
    """A message for one entity of a sharded type.

    Attributes:
        entity_id: which entity; any text that is not empty.
        message: what that entity's behaviour receives.

    Example:
        >>> ShardEnvelope("user-1", "hello").entity_id
        'user-1'
    """

    entity_id: str
    message: M_co


def is_envelope(value: object) -> bool:
    """Whether a value is an envelope; a plain answer, for what checkers narrow it to would hold an unknown message."""
    return isinstance(value, ShardEnvelope)


def is_entity_id(value: object) -> bool:
    """Whether a value can be the id of an entity: a text that is not empty, and can be written.

    Example:
        >>> is_entity_id("user-1"), is_entity_id(""), is_entity_id(1), is_entity_id("\\ud800")
        (True, False, False, False)
    """
    if not isinstance(value, str):
        return False
    try:
        return bool(value.encode())
    except UnicodeEncodeError:
        return False
