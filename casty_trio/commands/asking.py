"""`ask` and `publish`: one message to an entity, or to a topic, from a command line. Floor F6.

The message is a class of the program's, named ``module:Class``, and what it holds is given as JSON. A field that is a ref is
the reply ref; without one the message is told, and nothing is waited for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast, get_origin, get_type_hints

import anyio
import msgspec

from casty_trio.client import ClusterClient
from casty_trio.commands.loading import load
from casty_trio.commands.looking import opener
from casty_trio.env import Env
from casty_trio.errors import SettingsError
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.ref import ActorRef

__all__ = ["ask", "publish"]


def ask(options: argparse.Namespace, env: Env) -> int:
    """Ask an entity, and print what it replies."""
    kind = load(options.message, "class")
    make = message_maker(kind, options.fields)
    shard_type, slash, entity_id = options.entity.partition("/")
    if not slash or not shard_type or not entity_id:
        raise SettingsError(f"{options.entity!r} is no entity: write TYPE/ID")
    client = opener(options, env, messages=[kind])(options.contact)
    reply = anyio.run(_ask, client, shard_type, entity_id, make, options.timeout, backend="trio")
    if reply is not NOTHING:
        sys.stdout.write(_shown(reply, as_json=options.json) + "\n")
    return 0


def publish(options: argparse.Namespace, env: Env) -> int:
    """Tell the subscribers of a topic."""
    kind = load(options.message, "class")
    make = message_maker(kind, options.fields)
    if make.wants_reply:
        raise SettingsError(f"{kind.__name__} wants a reply, and who publishes gets none: ask an entity")
    message = make(None)
    client = opener(options, env, messages=[kind])(options.contact)
    anyio.run(_publish, client, options.topic, message, backend="trio")
    return 0


async def _publish(client: ClusterClient, topic: str, message: Any) -> None:
    async with client:
        client.publish(topic, message)


NOTHING = object()
"""In the place of a reply, where none was to come."""


class Maker:
    """Makes a message from what a command line gave.

    Attributes:
        wants_reply: whether it has a place for a reply ref.
    """

    def __init__(self, kind: Callable[..., Any], values: dict[str, Any], reply_field: str | None) -> None:
        self._kind = kind
        self._values = values
        self._reply_field = reply_field
        self.wants_reply: bool = reply_field is not None

    def __call__(self, reply_to: ActorRef[Any] | None) -> Any:
        """The message."""
        given = {} if self._reply_field is None else {self._reply_field: reply_to}
        try:
            return self._kind(**self._values, **given)
        except TypeError as error:
            raise SettingsError(f"no {self._kind!r} can be made of what is given: {error}") from error


def message_maker(kind: Any, text: str) -> Maker:
    """What makes a message of a class from the JSON of its fields.

    Raises:
        SettingsError: it is no class with annotated fields, or the JSON says what it cannot hold.
    """
    if not isinstance(kind, type):
        raise SettingsError(f"{kind!r} is no class of messages")
    try:
        hints: dict[str, Any] = get_type_hints(kind)
    except NameError as error:  # imported for type checkers alone, say
        raise SettingsError(f"the annotations of {kind.__name__} cannot be read: {error}") from error
    try:
        raw: Any = json.loads(text)
        if not isinstance(raw, dict):
            raise SettingsError(f"{text!r:.100} is no JSON object: name the fields")
        given = cast("dict[str, Any]", raw)
        values = {name: msgspec.convert(value, hints[name]) for name, value in given.items()}
    except KeyError as error:
        raise SettingsError(f"{kind.__name__} has no field {error}") from error
    except (ValueError, TypeError, msgspec.MsgspecError) as error:  # the last is no ValueError in older releases
        raise SettingsError(f"{kind.__name__} cannot hold {text!r:.100}: {error}") from error
    refs = [name for name, hint in hints.items() if name not in values and (get_origin(hint) or hint) is ActorRef]
    return Maker(kind, values, refs[0] if refs else None)


async def _ask(client: ClusterClient, shard_type: str, entity_id: str, make: Maker, timeout: float) -> Any:
    async with client:
        entities: Any = client.entity_ref(shard_type, num_shards=client.num_shards(shard_type))
        if make.wants_reply:
            return await client.ask(entities, partial(_envelope, entity_id, make), timeout=timeout)
        entities.tell(_envelope(entity_id, make, None))
        return NOTHING


def _envelope(entity_id: str, make: Maker, reply_to: ActorRef[Any] | None) -> ShardEnvelope[Any]:
    return ShardEnvelope(entity_id, make(reply_to))


def _shown(reply: Any, *, as_json: bool) -> str:
    if not as_json:
        return reply if isinstance(reply, str) else repr(reply)
    try:
        return msgspec.json.encode(reply).decode()
    except (TypeError, msgspec.EncodeError):
        return json.dumps(repr(reply))
