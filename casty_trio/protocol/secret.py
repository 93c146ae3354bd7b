"""A shared secret: both ends prove that they know it, and neither tells it. Floor F1, pure.

A proof is an HMAC-SHA256 over the transcript of the handshake: versions, names, roles, uids, limits and both nonces, as both
ends sent them. Its label says which side proves, so that a proof that is sent back is none; the nonces see to it that an
earlier one is none either.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from casty_trio.errors import SettingsError
from casty_trio.protocol.handshake import Authenticator, NoAuthentication, Side

__all__ = ["LEAST_BYTES", "LEAST_TEXT", "SharedSecret", "authenticator_of"]

LEAST_BYTES: Final = 32
LEAST_TEXT: Final = 43
"""So long are 32 random bytes in base64, the shortest way to write them as text."""

LEAST_DISTINCT: Final = 8
"""Random secrets have more different bytes than this, in hexadecimal too; what is made up to pass a check has fewer."""

_LABEL: Final = b"casty_trio proof of the "
_REMEDY: Final = "make one with 'python -m casty_trio secret', and keep it in a file or the environment"


class SharedSecret(Authenticator):
    """Proves, and has the peer prove, that both know one secret.

    Args:
        secret: at least 32 random bytes, or 43 characters of text; blanks and line ends around a text do not count.

    Raises:
        SettingsError: it is too short, or not random. The text does not tell the secret.

    Example:
        >>> here, there = SharedSecret(bytes(range(32))), SharedSecret(bytes(range(32)))
        >>> proof = here.prove(b"what both ends have said", "dialer")
        >>> there.verify(b"what both ends have said", proof, "dialer")
        True
        >>> there.verify(b"what both ends have said", proof, "acceptor")
        False
    """

    __slots__ = ("_keyed",)

    def __init__(self, secret: str | bytes) -> None:
        # The hash is kept, keyed, and not the key: so nothing that shows an object's attributes can show the secret.
        self._keyed = hmac.new(_key(secret), digestmod=sha256)

    def __repr__(self) -> str:
        return "<SharedSecret>"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not copied or pickled: make another SharedSecret")

    def prove(self, transcript: bytes, side: Side) -> bytes:
        mac = self._keyed.copy()
        mac.update(_LABEL + side.encode() + b"\0" + transcript)
        return mac.digest()

    def verify(self, transcript: bytes, proof: bytes, side: Side) -> bool:
        return hmac.compare_digest(self.prove(transcript, side), proof)


def authenticator_of(secret: str | bytes | None) -> Authenticator:
    """What a node or client proves and demands: a secret if it was given one, else nothing.

    Raises:
        SettingsError: the secret is too short, or not random.
    """
    return NoAuthentication() if secret is None else SharedSecret(secret)


def _key(secret: str | bytes) -> bytes:
    if isinstance(secret, str):
        secret = secret.strip()
        if len(secret) < LEAST_TEXT:
            raise SettingsError(f"a secret of {len(secret)} characters is too short, {LEAST_TEXT} is the least: {_REMEDY}")
        secret = secret.encode()
    elif not isinstance(secret, bytes | bytearray):
        raise SettingsError(f"a secret is text or bytes, not {type(secret).__name__}: {_REMEDY}")
    if len(secret) < LEAST_BYTES:
        raise SettingsError(f"a secret of {len(secret)} bytes is too short, {LEAST_BYTES} is the least: {_REMEDY}")
    if len(set(secret)) < LEAST_DISTINCT:
        raise SettingsError(f"a secret of {len(set(secret))} different bytes was not drawn at random: {_REMEDY}")
    return bytes(secret)
