"""What two ends say before the first message: who they are, what they speak, and that they may. Floor F1, pure.

HELLO (dialer) and WELCOME (acceptor) each carry an `Offer`; WELCOME and CONFIRM carry a proof over the *transcript*, a
hash of both offers as they were sent: names, roles, version, limits and both nonces. So nothing an authenticated peer
said can have been changed or replayed. `session.py` decides when each may come.

Rules: everything here comes from strangers. Types, sizes and ranges are checked while decoding; a peer's text is escaped
and cut before anyone reads it; fields may be appended to a struct in later versions, and earlier ones ignore them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta
from msgspec.msgpack import Decoder

from casty_trio.errors import HandshakeError

__all__ = [
    "CONFIRM",
    "NONCE_SIZE",
    "PERMANENT",
    "PROTOCOL_VERSIONS",
    "REFUSALS",
    "REFUSE",
    "UNTRUSTED",
    "WELCOME",
    "Authenticator",
    "Confirm",
    "Dial",
    "Identity",
    "NoAuthentication",
    "Offer",
    "Refuse",
    "Side",
    "Welcome",
    "decode",
    "decode_offer",
    "encode",
    "escaped",
    "highest_common",
    "transcript_of",
]

PROTOCOL_VERSIONS: Final = (1,)
NONCE_SIZE: Final = 32
TEXT_LIMIT: Final = 200

REFUSALS: Final = {
    "version": "the two ends speak no common protocol version",
    "system": "the peer belongs to a system of another name",
    "self": "the peer has our uid: this end dialled itself, or somebody copied its identity",
    "role": "a peer of this role is not wanted here",
    "receptionist": "the node takes no clients: those with the role of the receptionist do, which the reason names",
    "tls": "TLS was not agreed: the certificate of one end is missing, expired or of another authority; or one has no TLS",
    "certificate": "the peer's certificate is for another cluster, role or node than it says",
    "authentication": "the peer could not prove that it may connect",
    "protocol": "the peer sent bytes that the handshake does not allow",
    "busy": "the peer is welcome, but not now",
    "crossing": "both ends dialled at once, and the other connection is the one that is kept",
    "address": "the peer is not, or cannot be, where the address that was dialled, or that it says, leads",
    "gone": "the peer's node was declared gone, and is never talked to again: it has to start anew",
    "closed": "the connection ended before the handshake did; never sent, there is nobody to read it",
}
"""The codes of `HandshakeError` and what they mean. A driver may refuse with codes of its own as well."""

PERMANENT: Final = frozenset({"version", "system", "self", "role", "receptionist", "authentication"})
"""Refusals that trying again cannot change."""

UNTRUSTED: Final = frozenset({"tls", "certificate"})
"""Refusals that another node, or a renewed certificate, may change."""

Side = Literal["dialer", "acceptor"]
S = TypeVar("S")

_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Size = Annotated[int, Meta(ge=1024, le=2**31)]
_Proof = Annotated[bytes, Meta(max_length=1024)]
_Versions = Annotated[tuple[Annotated[int, Meta(ge=1, le=2**31)], ...], Meta(min_length=1, max_length=16)]


class Identity(msgspec.Struct, frozen=True):
    """Who one end of a connection is.

    Attributes:
        system: the name of the actor system it belongs to.
        role: ``"node"`` or ``"client"``.
        node_id: its name within the system.
        uid: the number of this incarnation; a restarted process has another.
        host: where it can be dialled, or empty.
        port: likewise, or 0.
    """

    system: str
    role: str
    node_id: str
    uid: int
    host: str = ""
    port: int = 0


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """The body of HELLO, and the larger part of WELCOME: there ``versions`` holds the one that was chosen.

    Attributes:
        dial: how often this node has dialled that address; only nodes say so, for crossing dials.
        seen_uid: the node behind that address which it last let in.
        seen: that node's ``dial`` of the time.
    """

    versions: _Versions
    system: _Name
    role: _Name
    node_id: _Name
    uid: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    host: Annotated[str, Meta(max_length=255)]
    port: Annotated[int, Meta(ge=0, le=2**16 - 1)]
    nonce: Annotated[bytes, Meta(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]
    max_frame: _Size
    max_message: _Size
    dial: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    seen_uid: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    seen: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0

    @property
    def identity(self) -> Identity:
        """Who made this offer."""
        return Identity(self.system, self.role, self.node_id, self.uid, self.host, self.port)


class Dial(msgspec.Struct, frozen=True):
    """What a node says of its dials to an address; see `Offer`."""

    number: int = 0
    seen_uid: int = 0
    seen: int = 0


class Welcome(msgspec.Struct, frozen=True, array_like=True):
    """The acceptor's answer. The offer stays as it was encoded: the proof is over those very bytes."""

    offer: msgspec.Raw
    proof: _Proof


class Confirm(msgspec.Struct, frozen=True, array_like=True):
    """The dialer's proof."""

    proof: _Proof


class Refuse(msgspec.Struct, frozen=True, array_like=True):
    """Why this end goes no further."""

    code: str
    reason: str


class _OnlyVersions(msgspec.Struct, frozen=True, array_like=True):
    versions: _Versions


class Authenticator(ABC):
    """How one end proves to the other that it may connect; the seam for a shared secret.

    Both methods are called during the handshake only, and must not block.
    """

    @abstractmethod
    def prove(self, transcript: bytes, side: Side) -> bytes:
        """The proof of the given side over this transcript, at most 1024 bytes."""

    @abstractmethod
    def verify(self, transcript: bytes, proof: bytes, side: Side) -> bool:
        """Whether this is what the given side had to prove. Compare in constant time."""


class NoAuthentication(Authenticator):
    """Everybody may connect: for loopback, and for streams whose TLS has authenticated the peer already."""

    def prove(self, transcript: bytes, side: Side) -> bytes:
        return b""

    def verify(self, transcript: bytes, proof: bytes, side: Side) -> bool:
        return proof == b""  # a peer that proves something expects us to; say so at once


# Made once: a mistake in a type above must show at import, not as a stranger's fault.
_VERSIONS: Final = Decoder(_OnlyVersions)
_OFFER: Final = Decoder(Offer)
WELCOME: Final = Decoder(Welcome)
CONFIRM: Final = Decoder(Confirm)
REFUSE: Final = Decoder(Refuse)


def transcript_of(hello: bytes, welcome: bytes) -> bytes:
    """What both sides prove: a hash over both offers, byte for byte as they were sent."""
    return sha256(b"casty_trio handshake\0" + len(hello).to_bytes(4, "big") + hello + welcome).digest()


def highest_common(ours: Iterable[int], theirs: Iterable[int]) -> int | None:
    """The highest version both lists name, or `None`.

    Example:
        >>> highest_common((1, 2), [2, 3])
        2
    """
    return max(set(ours) & set(theirs), default=None)


def encode(body: msgspec.Struct) -> bytes:
    """The bytes of one handshake body."""
    return msgspec.msgpack.encode(body)


def decode(body: bytes, decoder: Decoder[S]) -> S:
    """One handshake body from a stranger.

    Raises:
        HandshakeError: with code ``"protocol"``, when these bytes are anything else.
    """
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HandshakeError("protocol", f"not a body of {decoder.type.__name__}: {escaped(str(error))}") from None


def decode_offer(body: bytes) -> Offer:
    """An offer from a stranger. Versions come first: a later one may lay out the rest in another way.

    Raises:
        HandshakeError: with code ``"version"`` or ``"protocol"``.
    """
    theirs = decode(body, _VERSIONS).versions
    if highest_common(PROTOCOL_VERSIONS, theirs) is None:
        raise HandshakeError("version", f"the peer speaks {list(theirs)}, this end {list(PROTOCOL_VERSIONS)}")
    return decode(body, _OFFER)


def escaped(text: str, limit: int = TEXT_LIMIT) -> str:
    """A peer's text, fit for an error or a log: printable ASCII only, and not long.

    Example:
        >>> escaped("no\\nway")
        'no\\\\nway'
    """
    short = text[:limit].encode("unicode_escape").decode("ascii")
    return short if len(text) <= limit and len(short) <= limit else short[:limit] + "..."
