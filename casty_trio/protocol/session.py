"""The session: one end of one connection, without the connection. Bytes in, frames and bytes out. Floor F1, pure.

Rules: all transitions stand in `TRANSITIONS`, an absent key is the error; after an error a session stays in `ERROR` for
good; before `READY` a parser of its own knows handshake frames only, and small ones; no message goes out before `READY`.

A driver's duties: send what `start` returns; after each `receive_data` send `data_to_send()`, handle the frames it
returned, and look at `state`: `READY` means established with `peer`, `CLOSED` ended for `reason`, `ERROR` ended by `error`.

    dialer                        acceptor
      | -- HELLO(offer) ------------> |      versions, system, role, uid, nonce
      | <---- WELCOME(offer, proof) - |      one version; proof over both offers
      | -- CONFIRM(proof) ----------> |      the dialer proves, and is admitted
      | <------------------- READY -- |      messages may flow (either side may REFUSE instead)
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from casty_trio.errors import HandshakeError, LinkError, MessageTooLargeError, ProtocolError
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol import handshake
from casty_trio.protocol.certified import check_certified
from casty_trio.protocol.frames import (
    HANDSHAKE_KINDS,
    HEADER_SIZE,
    RUNNING_KINDS,
    USER_KINDS,
    Frame,
    FrameReader,
    Kind,
    encode_frame,
    kind_name,
    unpack_header,
)
from casty_trio.protocol.handshake import (
    NONCE_SIZE,
    PROTOCOL_VERSIONS,
    REFUSALS,
    Authenticator,
    Dial,
    Identity,
    NoAuthentication,
    Offer,
    Side,
    escaped,
)

__all__ = [
    "HANDSHAKING",
    "PROTOCOL_VERSIONS",
    "REFUSALS",
    "TRANSITIONS",
    "Authenticator",
    "Identity",
    "Local",
    "NoAuthentication",
    "Session",
    "State",
    "state_diagram",
]

MAX_HANDSHAKE_FRAME: Final = 4096
MAX_PING: Final = 32


class State(enum.Enum):
    """Where a session stands."""

    DIALING = "a dialer before `start`"
    AWAIT_WELCOME = "HELLO is sent"
    AWAIT_READY = "CONFIRM is sent"
    AWAIT_HELLO = "an acceptor at its start"
    AWAIT_CONFIRM = "WELCOME is sent"
    READY = "messages may flow"
    CLOSING = "we said GOODBYE; the peer's messages still come in"
    CLOSED = "over"
    ERROR = "over, and wrong"


class Local(enum.Enum):
    """What moves a session besides the peer's frames."""

    START = "start"
    REFUSE = "we refuse"
    GOODBYE = "we say goodbye"
    EOF = "end of stream"


Trigger = int | Local

_STAYING: Final = RUNNING_KINDS - {Kind.GOODBYE}

TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = MappingProxyType(
    {
        (State.DIALING, Local.START): State.AWAIT_WELCOME,
        (State.AWAIT_WELCOME, Kind.WELCOME): State.AWAIT_READY,
        (State.AWAIT_WELCOME, Kind.REFUSE): State.ERROR,
        (State.AWAIT_WELCOME, Local.REFUSE): State.ERROR,
        (State.AWAIT_READY, Kind.READY): State.READY,
        (State.AWAIT_READY, Kind.REFUSE): State.ERROR,
        (State.AWAIT_READY, Local.REFUSE): State.ERROR,
        (State.AWAIT_HELLO, Kind.HELLO): State.AWAIT_CONFIRM,
        (State.AWAIT_HELLO, Local.REFUSE): State.ERROR,
        (State.AWAIT_CONFIRM, Kind.CONFIRM): State.READY,
        (State.AWAIT_CONFIRM, Kind.REFUSE): State.ERROR,
        (State.AWAIT_CONFIRM, Local.REFUSE): State.ERROR,
        **{(State.READY, kind): State.READY for kind in _STAYING},
        (State.READY, Kind.GOODBYE): State.CLOSED,
        (State.READY, Local.GOODBYE): State.CLOSING,
        (State.READY, Local.EOF): State.CLOSED,
        **{(State.CLOSING, kind): State.CLOSING for kind in _STAYING},
        (State.CLOSING, Kind.GOODBYE): State.CLOSED,
        (State.CLOSING, Local.EOF): State.CLOSED,
    }
)
"""Every step a session can take. What comes in `CLOSED` and `ERROR` is ignored; elsewhere an absent key is the error."""

HANDSHAKING: Final = frozenset(
    {State.DIALING, State.AWAIT_WELCOME, State.AWAIT_READY, State.AWAIT_HELLO, State.AWAIT_CONFIRM}
)
_OVER: Final = frozenset({State.CLOSED, State.ERROR})
_NOTABLE: Final = frozenset({Kind.PING, Kind.PONG, Kind.GOODBYE})


class Session:
    """One end of a connection: the handshake first, frames after.

    Args:
        identity: who this end is.
        dialer: whether this end opened the connection.
        nonce: 32 bytes that were never used before.
        limits: sizes; the smaller of both ends' `max_frame` and `max_message` counts for what is sent.
        authenticator: how both ends prove that they may connect.
        accept_roles: the peers an acceptor takes; a dialer takes nodes only.
        dial: what a dialing node says of its dials.
        admit: asked about an authenticated peer before this end's last handshake frame; what it returns is the refusal.

    Attributes:
        peer: who the other end is, once it has proved it.
        version: the protocol version both ends speak, likewise.
        error: why the session is in `ERROR`.
        reason: why it is over, for people.
        pong: the body of the last PONG.
        quiet: the last bytes held messages only: there is nothing to send, and the state is as it was.

    Example:
        >>> me, you = Identity("shop", "node", "a", 1), Identity("shop", "node", "b", 2)
        >>> dialer = Session(me, dialer=True, nonce=bytes(32), limits=LinkSettings())
        >>> acceptor = Session(you, dialer=False, nonce=bytes(32), limits=LinkSettings())
        >>> _ = acceptor.receive_data(dialer.start())
        >>> _ = dialer.receive_data(acceptor.data_to_send())
        >>> _ = acceptor.receive_data(dialer.data_to_send())
        >>> acceptor.state.name, acceptor.peer.node_id
        ('READY', 'a')
    """

    def __init__(
        self,
        identity: Identity,
        *,
        dialer: bool,
        nonce: bytes,
        limits: LinkSettings,
        authenticator: Authenticator | None = None,
        accept_roles: tuple[str, ...] = ("node", "client"),
        admit: Callable[[Offer], HandshakeError | None] | None = None,
        dial: Dial | None = None,
    ) -> None:
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"a nonce has {NONCE_SIZE} bytes, not {len(nonce)}")
        self.identity = identity
        self.limits = limits
        self.peer: Identity | None = None
        self.version: int | None = None
        self.error: LinkError | None = None
        self.reason: str = ""
        self.quiet: bool = False
        self.pong: bytes = b""
        self._state = State.DIALING if dialer else State.AWAIT_HELLO
        self._side: Side = "dialer" if dialer else "acceptor"
        self._peer_side: Side = "acceptor" if dialer else "dialer"
        self._nonce = nonce
        self._authenticator = authenticator or NoAuthentication()
        self._accept_roles = ("node",) if dialer else accept_roles
        self._admit = admit
        self._dial = dial or Dial()
        self._hello = b""
        self._transcript = b""
        self._uris: tuple[str, ...] | None = None  # of the peer's certificate, if it has shown one
        self._candidate: Offer | None = None  # the peer's offer; its `peer` only after it has proved it
        self._inbox = bytearray()  # bytes of the handshake
        self._outbox = bytearray()
        self._reader: FrameReader | None = None  # set while messages may come in

    def __repr__(self) -> str:
        return f"<Session {self._side} {self.identity.node_id!r} {self._state.name}>"

    @property
    def state(self) -> State:
        """Where this session stands."""
        return self._state

    @property
    def max_frame(self) -> int:
        """The largest length of a frame to this peer."""
        return self.limits.max_frame if self._candidate is None else min(self.limits.max_frame, self._candidate.max_frame)

    @property
    def max_message(self) -> int:
        """The largest message to this peer."""
        ours, theirs = self.limits.max_message, self._candidate
        return ours if theirs is None else min(ours, theirs.max_message)

    # --- bytes out -------------------------------------------------------------------------------------------------

    def start(self) -> bytes:
        """The first bytes to send: the dialer's HELLO, nothing for an acceptor."""
        if self._state is State.DIALING:
            self._hello = self._offer(PROTOCOL_VERSIONS)
            self._put(Kind.HELLO, self._hello)
            self._advance(Local.START)
        return self.data_to_send()

    def data_to_send(self) -> bytes:
        """What the session itself has to say since the last call: handshake frames, a refusal, answers to PINGs."""
        data = bytes(self._outbox)
        self._outbox.clear()
        return data

    def frame(self, kind: int, body: bytes) -> tuple[bytes, ...]:
        """The bytes of a message, one chunk per frame: control frames may be written between the chunks.

        Raises:
            ProtocolError: the session is not `READY`, or frames of this kind are not for users to send.
            MessageTooLargeError: the body exceeds what this peer takes.
        """
        if self._state is not State.READY:
            raise ProtocolError(f"no message can be sent in state {self._state.name}")
        if kind not in RUNNING_KINDS:
            raise ProtocolError(f"a message cannot be of {kind_name(kind)}")
        limit = self.max_message if kind in USER_KINDS else self.max_frame - 1
        if len(body) > limit:
            what = "message" if kind in USER_KINDS else kind_name(kind)
            raise MessageTooLargeError(f"a {what} of {len(body)} bytes exceeds the limit of {limit} bytes")
        return encode_frame(kind, body, self.max_frame)

    def goodbye(self, reason: str) -> bytes:
        """The last frame to send. What the peer has sent already still comes in, until its stream ends.

        Raises:
            ProtocolError: the session is not `READY`.
        """
        [frame] = self.frame(Kind.GOODBYE, escaped(reason).encode())
        self._advance(Local.GOODBYE)
        self.reason = f"closed: {escaped(reason)}"
        return frame

    def refuse(self, code: str, reason: str) -> None:
        """End the handshake from this side; what tells the peer is in `data_to_send`. Does nothing once it is over."""
        if (self._state, Local.REFUSE) in TRANSITIONS:
            self._advance(Local.REFUSE)
            self._put(Kind.REFUSE, handshake.encode(handshake.Refuse(escaped(code), escaped(reason))))
            self._end(HandshakeError(code, reason))

    def certify(self, uris: tuple[str, ...]) -> None:
        """Before the first byte: TLS has verified a certificate of the peer with these URIs, and what it says must fit."""
        self._uris = uris

    def fault(self, error: ProtocolError) -> None:
        """End the session over a message whose body is not what its kind says; what tells the peer is in `data_to_send`."""
        if self._state is not State.ERROR:
            self._end(error)

    # --- bytes in --------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> list[Frame]:
        """Take what one receive returned; returns the messages it completed, in order, none before `READY`.

        PING, PONG and GOODBYE are handled here and not returned. Frames that came before a fault are.
        """
        reader = self._reader
        if reader is None:
            return self._receive_handshake(data)
        frames = reader.feed(data)
        if reader.noted or reader.fault is not None:
            self.quiet = False
            return self._attend(frames, reader)
        self.quiet = True
        return frames

    def receive_eof(self) -> None:
        """Take the end of the peer's stream."""
        if self._state in HANDSHAKING:
            self._end(HandshakeError("closed", "the connection ended before the handshake did"))
        elif self._state not in _OVER:
            self._advance(Local.EOF)
            self._reader = None
            self.reason = self.reason or "the peer closed the connection"

    def _attend(self, frames: list[Frame], reader: FrameReader) -> list[Frame]:
        """The rare receive that held a PING, a GOODBYE or a fault."""
        messages: list[Frame] = []
        for kind, body in frames:
            if kind == Kind.GOODBYE:
                self._advance(kind)
                self._reader = None
                self.reason = self.reason or f"goodbye: {escaped(bytes(body).decode('utf-8', 'replace'))}"
                return messages
            if kind == Kind.PONG:
                self.pong = bytes(body)
            elif kind != Kind.PING:
                messages.append((kind, body))
            elif len(body) > MAX_PING:
                self._end(ProtocolError(f"a PING of {len(body)} bytes; {MAX_PING} are allowed"))
                return messages
            else:
                self._put(Kind.PONG, bytes(body))  # few: the reader lets no flood of them through
        if reader.fault is not None:
            self._end(reader.fault)
        return messages

    def _receive_handshake(self, data: bytes) -> list[Frame]:
        if self._state in _OVER:
            return []
        self._inbox += data
        try:
            while self._state is not State.READY and (frame := self._take_handshake_frame()):
                self._on_handshake_frame(*frame)
                if self._state is State.ERROR:
                    return []
        except HandshakeError as error:
            if (self._state, Local.REFUSE) in TRANSITIONS:
                self.refuse(error.code, error.reason)
            else:
                self._end(error)
        if self._state is not State.READY:
            return []
        rest, self._inbox = bytes(self._inbox), bytearray()
        self._reader = FrameReader(self.limits.max_frame, self.limits.max_message, _NOTABLE)
        return self.receive_data(rest)

    def _take_handshake_frame(self) -> tuple[int, bytes] | None:
        inbox = self._inbox
        if len(inbox) < HEADER_SIZE:
            return None
        length, kind = unpack_header(inbox)
        if kind not in HANDSHAKE_KINDS:
            raise HandshakeError("protocol", f"a frame of {kind_name(kind)} before the handshake is over{_tls_hint(inbox)}")
        if not 0 < length <= MAX_HANDSHAKE_FRAME:
            raise HandshakeError("protocol", f"a {kind_name(kind)} frame declares {length} bytes{_tls_hint(inbox)}")
        stop = HEADER_SIZE - 1 + length
        if len(inbox) < stop:
            return None
        body = bytes(inbox[HEADER_SIZE:stop])
        del inbox[:stop]
        return kind, body

    # --- the handshake ---------------------------------------------------------------------------------------------

    def _on_handshake_frame(self, kind: int, body: bytes) -> None:
        target = TRANSITIONS.get((self._state, kind))
        if target is None:
            raise HandshakeError("protocol", f"a {kind_name(kind)} frame is not allowed in state {self._state.name}")
        match kind:
            case Kind.HELLO:
                self._on_hello(body)
            case Kind.WELCOME:
                self._on_welcome(handshake.decode(body, handshake.WELCOME))
            case Kind.CONFIRM:
                self._on_confirm(handshake.decode(body, handshake.CONFIRM))
            case Kind.REFUSE:
                self._on_refuse(handshake.decode(body, handshake.REFUSE))
            case _:
                self._establish()
        self._state = target

    def _on_hello(self, body: bytes) -> None:
        offer = self._checked(handshake.decode_offer(body))
        version = handshake.highest_common(PROTOCOL_VERSIONS, offer.versions)
        assert version is not None  # `decode_offer` saw to it
        welcome = self._offer((version,))
        self.version, self._candidate = version, offer
        self._transcript = handshake.transcript_of(body, welcome)
        proof = self._authenticator.prove(self._transcript, self._side)
        self._put(Kind.WELCOME, handshake.encode(handshake.Welcome(msgspec.Raw(welcome), proof)))

    def _on_welcome(self, welcome: handshake.Welcome) -> None:
        offer = self._checked(handshake.decode_offer(bytes(welcome.offer)))
        if len(offer.versions) != 1:
            raise HandshakeError("protocol", "a WELCOME has to choose one version")
        self.version, self._candidate = offer.versions[0], offer
        self._transcript = handshake.transcript_of(self._hello, bytes(welcome.offer))
        self._verify(welcome.proof)
        self._ask_admission(offer)
        proof = self._authenticator.prove(self._transcript, self._side)
        self._put(Kind.CONFIRM, handshake.encode(handshake.Confirm(proof)))

    def _on_confirm(self, confirm: handshake.Confirm) -> None:
        assert self._candidate is not None  # set with WELCOME, and the table admits no CONFIRM before it
        self._verify(confirm.proof)
        self._ask_admission(self._candidate)
        self._put(Kind.READY, b"")
        self._establish()

    def _on_refuse(self, refuse: handshake.Refuse) -> None:
        reason = f"the peer refused: {escaped(refuse.reason)}"
        self._end(HandshakeError(escaped(refuse.code), reason, by_peer=True))

    def _establish(self) -> None:
        assert self._candidate is not None  # as above, for READY
        self.peer = self._candidate.identity

    def _checked(self, offer: Offer) -> Offer:
        # What a stranger learns from a refusal is what it said itself, never what would have been right.
        if offer.system != self.identity.system:
            raise HandshakeError("system", f"no system named '{escaped(offer.system)}' here")
        if offer.uid == self.identity.uid:
            raise HandshakeError("self", f"uid {offer.uid} is in use at this end: did it dial itself?")
        if offer.role not in self._accept_roles:
            raise HandshakeError("role", f"no peer with role '{escaped(offer.role)}' is wanted here")
        if self._uris is not None:
            check_certified(self._uris, offer.identity)
        return offer

    def _verify(self, proof: bytes) -> None:
        if not self._authenticator.verify(self._transcript, proof, self._peer_side):
            raise HandshakeError("authentication", "the peer did not prove that it may connect")

    def _ask_admission(self, offer: Offer) -> None:
        refusal = self._admit(offer) if self._admit is not None else None
        if refusal is not None:
            raise refusal

    # --- small steps -----------------------------------------------------------------------------------------------

    def _offer(self, versions: tuple[int, ...]) -> bytes:
        me, limits = self.identity, self.limits
        who = (me.system, me.role, me.node_id, me.uid, me.host, me.port)
        sizes = (limits.max_frame, limits.max_message)
        return handshake.encode(Offer(versions, *who, self._nonce, *sizes, *msgspec.structs.astuple(self._dial)))

    def _put(self, kind: int, body: bytes) -> None:
        self._outbox += b"".join(encode_frame(kind, body, MAX_HANDSHAKE_FRAME))

    def _advance(self, trigger: Trigger) -> None:
        self._state = TRANSITIONS[self._state, trigger]

    def _end(self, error: LinkError) -> None:
        if self._state is State.READY:  # the peer would like to know, too
            self._put(Kind.GOODBYE, f"protocol error: {escaped(str(error))}".encode())
        self._state = State.ERROR
        self.quiet = False
        self._reader = None
        self._inbox = bytearray()
        self.error, self.reason = error, str(error)


def state_diagram() -> str:
    """The table as a mermaid diagram, for the documentation."""
    labels: dict[tuple[State, State], list[str]] = {}
    for (source, trigger), target in TRANSITIONS.items():
        if trigger not in _STAYING:  # every message is allowed where any is: one arrow says it
            labels.setdefault((source, target), []).append(_label(trigger))
    lines = ["stateDiagram-v2", "    [*] --> DIALING", "    [*] --> AWAIT_HELLO"]
    lines += [f"    {source.name} --> {target.name}: {', '.join(names)}" for (source, target), names in labels.items()]
    lines += [f"    {state.name} --> {state.name}: messages" for state in (State.READY, State.CLOSING)]
    lines += [f"    {state.name} --> [*]" for state in (State.CLOSED, State.ERROR)]
    return "\n".join(lines) + "\n"


def _tls_hint(data: bytes | bytearray) -> str:
    """What to do if a stranger's first bytes are a handshake or an alert of TLS."""
    return "; it speaks TLS: give this end its tls= as well" if data[0] in (0x15, 0x16) and data[1] == 3 else ""


def _label(trigger: Trigger) -> str:
    return kind_name(trigger) if isinstance(trigger, int) else trigger.value
