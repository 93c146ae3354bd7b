"""`Credentials`: what one end shows its peers, and what it wants to see of them. Floor F2; anyio only.

A certificate, a secret, both or neither. What is wrong with them shows when they are given, before a peer refuses them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from anyio.abc import ByteStream

from casty_trio.env import Env
from casty_trio.errors import HandshakeError
from casty_trio.model.checks import check_instance
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.handshake import NONCE_SIZE, Authenticator, Dial, Identity, Offer
from casty_trio.protocol.secret import authenticator_of
from casty_trio.protocol.session import Session
from casty_trio.tls.config import Config

__all__ = ["Credentials"]

_Secure = Callable[[ByteStream], Awaitable[tuple[ByteStream, tuple[str, ...]]]]
"""What a link takes as its `Secure`."""


_Admit = Callable[[Offer], HandshakeError | None]
"""What a session asks about a peer."""


class Credentials:
    """How one node or client proves who it is.

    Args:
        tls: its certificate, and the authorities it believes; peers need a certificate then.
        secret: what it shares with its peers; they have to prove that they know it.
        system: the name of its cluster.
        role: ``"node"`` or ``"client"``.
        node_id: its name, if it is a node.
        env: where files are read, and nonces drawn.

    Attributes:
        authenticator: what it proves, and has proved to it.
        accept: agrees on TLS with a peer that has connected; None without a certificate.
        dial: the same with a peer that it has connected to.
        given: whether there are any, so that a peer without is refused.

    Raises:
        SettingsError: the certificate is for somebody else, or the secret is too short or not random.
    """

    __slots__ = ("_env", "accept", "authenticator", "dial", "given")

    def __init__(
        self, tls: Config | None, secret: str | bytes | None, system: str, role: str, node_id: str = "", *, env: Env
    ) -> None:
        check_instance("tls", tls, Config)
        self.authenticator: Authenticator = authenticator_of(secret)
        self.given: bool = tls is not None or secret is not None
        self.accept: _Secure | None = None
        self.dial: _Secure | None = None
        if tls is not None:
            tls.check_own(system, role, node_id)
            self.accept = partial(tls.secure, dialer=False, env=env)
            self.dial = partial(tls.secure, dialer=True, env=env)
        self._env = env

    def session(
        self,
        identity: Identity,
        limits: LinkSettings,
        *,
        dialer: bool,
        admit: _Admit | None = None,
        dial: Dial | None = None,
    ) -> Session:
        """The session of a new connection, before its handshake.

        Args:
            identity: who this end is.
            limits: sizes and deadlines.
            dialer: whether this end dials.
            admit: as in `Session`.
            dial: as in `Session`.
        """
        return Session(
            identity,
            dialer=dialer,
            nonce=self._env.token(NONCE_SIZE),
            limits=limits,
            authenticator=self.authenticator,
            admit=admit,
            dial=dial,
        )
