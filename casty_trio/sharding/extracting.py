"""From a message of the program's own to the id of its entity, and to what that receives. Floor F5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casty_trio.errors import UsageError
from casty_trio.model.kinds import Sharded
from casty_trio.model.words import in_words

__all__ = ["Extract", "extract_of"]

Extract = Callable[[Any], tuple[str, Any]]
"""What takes a message apart that is no envelope: the id, and what its entity receives."""


def extract_of(path: str, behavior: Sharded[Any]) -> Extract:
    """How a type takes messages apart; what the program's own functions do wrong is told to who sends.

    Parameters:
        path: the type's, for errors.
        behavior: its behaviour, with or without functions.
    """
    entity_id_of, message_of = behavior.extract_entity_id, behavior.extract_message
    if entity_id_of is None:
        return lambda message: _refuse(path, message)

    def extract(message: Any) -> tuple[str, Any]:
        entity_id: object = _call(path, "extract_entity_id", entity_id_of, message)
        if not isinstance(entity_id, str) or not entity_id:
            raise UsageError(
                f"{path}: extract_entity_id returned {entity_id!r:.200} for a {type(message).__name__}: "
                "an entity id is a text that is not empty"
            )
        return entity_id, message if message_of is None else _call(path, "extract_message", message_of, message)

    return extract


def _refuse(path: str, message: object) -> tuple[str, Any]:
    raise UsageError(f"{path} takes ShardEnvelope(entity_id, message), not {type(message).__name__}")


def _call(path: str, name: str, function: Callable[[Any], Any], message: object) -> Any:
    try:
        return function(message)
    except Exception as error:
        raise UsageError(f"{path}: {name} failed on a {type(message).__name__}: {in_words(error)}") from error
