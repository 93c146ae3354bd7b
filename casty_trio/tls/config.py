"""`Config`: the files of one end, and the two contexts made of them. Floor F2."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, NamedTuple

from anyio.abc import ByteStream

from casty_trio.env import Env
from casty_trio.errors import SettingsError
from casty_trio.protocol.certified import certificate_uri, vouches
from casty_trio.tls.stream import TlsStream

__all__ = ["Config"]

log: logging.Logger = logging.getLogger("casty_trio.tls")

OWN_HANDSHAKE: Final = 10
"""Turns that a handshake with ourselves may take; TLS 1.3 needs two."""


_Files = tuple[Path, Path, Path]
_Looks = tuple[tuple[int, int, int] | None, ...]


class _Loaded(NamedTuple):
    """What the files held, and how they looked."""

    looks: _Looks
    server: ssl.SSLContext
    client: ssl.SSLContext
    uris: tuple[str, ...]


class _Unusable(NamedTuple):
    """Why changed files stay out of use, and how they looked: so they are not tried again."""

    looks: _Looks
    why: str


class Config:
    """The certificate of this end, its key, and the authorities it believes. Made by `from_paths`.

    Both ends of a connection show a certificate, always. There is no check of host names: who a peer may be stands in a URI
    in its certificate, and is compared with what the peer says of itself.

    The files are looked at when a connection is made. When they have changed they are read again, and new connections use
    what they hold now; when that cannot be used, a warning says why, and the earlier certificates stay in use.

    Example:
        >>> # config = tls.Config.from_paths("node-1.pem", "ca.pem", "node-1.key")
        >>> # async with ClusteredActorSystem("shop", "10.0.0.1", 25520, "node-1", tls=config) as system: ...
    """

    __slots__ = ("_checking", "_files", "_loaded", "_refused")

    def __init__(self, files: _Files, loaded: _Loaded) -> None:
        self._files = files
        self._loaded = loaded
        self._refused: _Looks = ()  # how files looked that could not be used
        self._checking = False

    @classmethod
    def from_paths(
        cls, certfile: str | PathLike[str], cafile: str | PathLike[str], keyfile: str | PathLike[str] | None = None
    ) -> Config:
        """Read the files, and see that they fit together.

        Args:
            certfile: this end's certificate in PEM, with those between it and its authority, if there are any.
            cafile: the certificates of the authorities that peers' certificates may come from, in PEM.
            keyfile: the key of the certificate in PEM, not encrypted; left out, it stands in ``certfile``.

        Raises:
            SettingsError: a file is missing or holds something else, the key is another's, the certificate has expired, or
                no URI in it begins with ``casty://``.
        """
        files = (Path(fspath(certfile)), Path(fspath(cafile)), Path(fspath(keyfile if keyfile is not None else certfile)))
        return cls(files, _load(files))

    def __repr__(self) -> str:
        return f"<tls.Config of {', '.join(self._loaded.uris)}, from {self._files[0]}>"

    def check_own(self, system: str, role: str, node_id: str = "") -> None:
        """See that peers will believe this end, before any of them has to refuse it.

        Raises:
            SettingsError: the certificate is for another cluster, role or node.
        """
        if not vouches(self._loaded.uris, system, role, node_id):
            raise SettingsError(
                f"{self._files[0]} is for {', '.join(self._loaded.uris)}, and peers would refuse it here: "
                f"use a certificate for {certificate_uri(system, role, node_id if role == 'node' else '')}"
            )

    async def secure(self, stream: ByteStream, *, dialer: bool, env: Env) -> tuple[ByteStream, tuple[str, ...]]:
        """Agree on TLS with the peer; gives the encrypted stream, and the URIs of the peer's certificate.

        Args:
            stream: a fresh connection. Close it if this fails; the stream that is returned closes it too.
            dialer: whether this end opened the connection.
            env: where files are read.

        Raises:
            HandshakeError: one end refuses the other's certificate, or does not speak TLS; ``code`` is ``"tls"``, or
                ``"closed"`` when the peer went away.
        """
        await self._refresh(env)
        context = self._loaded.client if dialer else self._loaded.server
        encrypted = TlsStream(stream, context, server_side=not dialer)
        await encrypted.handshake()
        return encrypted, encrypted.peer_uris

    async def _refresh(self, env: Env) -> None:
        """Read the files again if they look different. One connection at a time sees to it; others use what there is."""
        if self._checking:
            return
        self._checking = True
        try:
            found = await env.run_sync(partial(_look_again, self._files, self._loaded, self._refused))
        finally:
            self._checking = False
        if isinstance(found, _Loaded):
            self._loaded, self._refused = found, ()
            log.info("%s has changed, and is in use", self._files[0])
        elif found is not None:
            self._refused = found.looks
            log.warning("%s has changed, and cannot be used; the one before stays in use: %s", self._files[0], found.why)


def _look_again(files: _Files, loaded: _Loaded, refused: _Looks) -> _Loaded | _Unusable | None:
    """What changed files hold now; None if they are as they were. Runs in a thread."""
    looks = _look(files)
    if looks in (loaded.looks, refused):
        return None
    try:
        fresh = _load(files)
    except SettingsError as error:
        return _Unusable(looks, str(error))
    if set(fresh.uris) & set(loaded.uris):
        return fresh
    return _Unusable(looks, f"it is for {', '.join(fresh.uris)}, and no longer for {', '.join(loaded.uris)}")


def _look(files: _Files) -> _Looks:
    """What changes when a file does; None for one that is not there."""
    looks: list[tuple[int, int, int] | None] = []
    for path in files:
        try:
            found = path.stat()
        except OSError:
            looks.append(None)
        else:
            looks.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(looks)


def _load(files: _Files) -> _Loaded:
    looks = _look(files)  # before reading: what changes meanwhile is seen the next time
    server, client = _context(ssl.PROTOCOL_TLS_SERVER, files), _context(ssl.PROTOCOL_TLS_CLIENT, files)
    uris = tuple(sorted(uri for uri in _own_uris(files) if uri.startswith("casty://")))
    if not uris:
        raise SettingsError(
            f"{files[0]} does not say whom it is for: it needs a URI like casty://<cluster>/node/<node id> or "
            "casty://<cluster>/client among its alternative names; 'python -m casty_trio cert' makes such certificates"
        )
    return _Loaded(looks, server, client, uris)


def _context(protocol: int, files: _Files) -> ssl.SSLContext:
    cafile = files[1]
    context = _bare_context(protocol, files)
    try:
        context.load_verify_locations(cafile)
    except OSError as error:
        raise SettingsError(f"no authority can be read from {cafile}: {_why(error)}") from error
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _bare_context(protocol: int, files: _Files) -> ssl.SSLContext:
    certfile, _, keyfile = files
    context = ssl.SSLContext(protocol)
    context.check_hostname = False  # who a peer is stands in the URI of its certificate, wherever it runs
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would be checked against the certificates of its beginning; renegotiation is for nobody.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    try:
        # A password would be asked for on the terminal; this one is never right.
        context.load_cert_chain(certfile, keyfile, password=lambda: b"")
    except OSError as error:
        raise SettingsError(f"no certificate can be read from {certfile} with {keyfile}: {_why(error)}") from error
    return context


def _own_uris(files: _Files) -> list[str]:
    """The URIs of our own certificate. It is shown to ourselves, for Python reads certificates of peers only."""
    shows, sees = _bare_context(ssl.PROTOCOL_TLS_CLIENT, files), _bare_context(ssl.PROTOCOL_TLS_SERVER, files)
    shows.verify_mode = ssl.CERT_NONE
    sees.verify_mode = ssl.CERT_REQUIRED
    sees.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whether its authority is believed is for peers to say
    sees.load_verify_locations(files[0])
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialer, acceptor = shows.wrap_bio(back, there), sees.wrap_bio(there, back, server_side=True)
    try:
        for _ in range(OWN_HANDSHAKE):
            for end in (dialer, acceptor):
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLError as error:
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else _why(error)
        raise SettingsError(f"{files[0]} would be refused by every peer: {why}") from error
    names: Any = (acceptor.getpeercert() or {}).get("subjectAltName", ())
    return [value for kind, value in names if kind == "URI"]


def _why(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (reason or str(error) or "it holds none").replace("_", " ").lower()
