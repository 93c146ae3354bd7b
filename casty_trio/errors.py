"""Every public exception, sorted by who is to blame. Floor F0: imports nothing of ours.

Three families under one root: *you* called us wrongly (`UsageError`), *the actor* you asked could not answer (`AskError`),
*the peer or the network* failed (`LinkError`, `DecodeError`). Names end in ``Error``; timeouts are `TimeoutError`s too.
An error says what happened, to whom, and what to do about it.
"""

from __future__ import annotations

from typing import Any


class CastyError(Exception):
    """The root of every exception this library raises on purpose."""


# --- You: the program used the library wrongly -----------------------------------------------------------------------


class UsageError(CastyError):
    """The caller did something that can never work; the message says what to do instead."""


class InvalidNameError(UsageError, ValueError):
    """An actor, node or system name holds characters that a path cannot carry."""


class NameInUseError(UsageError, ValueError):
    """A living actor has this name already; stop it first, or leave the name out."""


class SystemClosedError(UsageError, RuntimeError):
    """The system, actor or client was used outside its ``async with`` block, or while it stops."""


class NotSupportedOnClientError(UsageError, RuntimeError):
    """An actor of a client used what only the actors of nodes have; the text says what a client's can do."""


class SelfAskError(UsageError, RuntimeError):
    """An actor asked itself, or waits for room in its own mailbox: for a handler that cannot run before the wait is over."""


class SettingsError(UsageError, ValueError):
    """A setting or an argument has a value, or a type, that it cannot have; the text names it, and what it may be."""


class InsecureListenerError(UsageError, ValueError):
    """A listener off loopback was asked for without authentication, and ``insecure=True`` was not spelled out."""


class UnsupportedTypeError(UsageError, TypeError):
    """A message type has a field that cannot be sent faithfully; raised when the type is registered."""


class UnknownMessageTypeError(UsageError, TypeError):
    """No message type could be found where one is needed, or a value's type was never registered."""


class EncodeError(UsageError, ValueError):
    """A message could not be encoded; raised at the sender, on that call. The connection lives."""


class MessageTooLargeError(EncodeError):
    """An encoded message exceeds ``max_message``; raised at the sender, on that call."""


class ShardCountError(UsageError, ValueError):
    """One sharded type was given two different shard counts; they have to agree everywhere."""


class BarrierCountError(UsageError, ValueError):
    """Parties of one barrier wait for different numbers; those who came later get this, and the others go on waiting."""


class StashFullError(UsageError, RuntimeError):
    """An actor put more messages aside than its stash holds."""


# --- The actor: it was asked, and could not answer -------------------------------------------------------------------


class AskError(CastyError):
    """An ask ended without its reply."""


class ActorStoppedError(AskError):
    """The asked actor had stopped, or stopped while the message was queued or handled."""


class ActorFailedError(AskError):
    """The asked actor failed on the message; a local one's exception is the ``__cause__``."""


class UnknownActorError(AskError):
    """Nothing lives at the address that was asked, or it may not be reached from here."""


class MailboxFullError(AskError):
    """The asked actor's bounded mailbox, or the link to its node, had no room for the message."""


class OverloadedError(AskError):
    """The asked node has as many asks of this client open as it allows; it has not looked at this one. Wait for replies."""


class ReplyDecodeError(AskError):
    """A reply came, and could not be decoded here; the asked actor did answer."""


class RequestRefusedError(AskError):
    """The asked node could not decode the message, or does not know its type."""


class OutcomeUnknownError(AskError):
    """The connection ended after the ask was written: it may or may not have been handled. It is never repeated."""


class AskTimeoutError(AskError, TimeoutError):
    """No reply came in time."""


class BroadcastAskError(AskError):
    """An ask of all members was not answered by all of them.

    Attributes:
        replies: what those have replied who did, by member, sorted by address.
        missing: why the others did not, by member, likewise.
    """

    def __init__(
        self, reason: str, replies: dict[Any, Any] | None = None, missing: dict[Any, AskError] | None = None
    ) -> None:
        super().__init__(reason)
        self.replies: dict[Any, Any] = replies if replies is not None else {}
        self.missing: dict[Any, AskError] = missing if missing is not None else {}


class BroadcastAskTimeoutError(BroadcastAskError, AskTimeoutError):
    """The same, where all that is missing is late; `ask_or_none` gives None then."""


class NodeGoneError(CastyError):
    """The node of an actor was declared gone: it did not come back in time, or another start of it did."""


class NodeDownedError(CastyError):
    """This node was declared down, or is on the losing side of a network that has split: its block ends."""


class StaleOwnerError(CastyError):
    """A store was written to by right of a shard that has a later owner; nothing was changed."""


class DeathPactError(CastyError):
    """An actor that was watched has ended, and the watcher has no ``on_signal`` to be told: it ends too."""


# --- The peer, or the network ----------------------------------------------------------------------------------------


class LinkError(CastyError):
    """A connection could not be made, or could not go on."""


class ConnectError(LinkError, ConnectionError):
    """No contact point answered by its deadline; the causes are in the notes."""


class ReconnectTimeoutError(ConnectError, TimeoutError):
    """A client has had no contact for longer than its ``reconnect_timeout``: its block ends."""


class DiscoveryError(LinkError, ConnectionError):
    """A discovery could not say where the nodes are; the text names what it asked, and what came back."""


class LinkClosedError(LinkError, ConnectionError):
    """The connection is closed."""


class LinkFullError(LinkError):
    """The outbound queue of a connection has no room for the frame."""


class ProtocolError(LinkError):
    """The peer sent bytes that this state of the protocol does not allow; the connection is ended."""


class HandshakeError(LinkError):
    """The handshake was refused, by this side or the other (``by_peer``); ``code`` names why."""

    def __init__(self, code: str, reason: str, *, by_peer: bool = False) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.by_peer = by_peer


class HandshakeTimeoutError(HandshakeError, TimeoutError):
    """The peer did not finish the handshake by its deadline."""

    def __init__(self, reason: str) -> None:
        super().__init__("timeout", reason)


class DecodeError(CastyError, ValueError):
    """The body of a message is not what its type says; it costs that message, never the connection."""


class UnknownTypeNameError(DecodeError):
    """A message names a type that is not registered here; it costs that message, never the connection."""


class WaitTimeoutError(CastyError, TimeoutError):
    """Something that was waited for did not come about by the deadline."""
