"""Authorities and certificates for tests, good and bad ones, and what holds them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from casty_trio.protocol.certified import certificate_uri
from casty_trio.tls import Config
from casty_trio.tls.config import _context, _Loaded, _look
from casty_trio.tls.making import Made, make_authority, make_certificate

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)


class Authority:
    """One authority, and a folder for what it signs.

    Parameters:
        folder: where its files are written.
        name: of the authority, and of its files.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.made = make_authority(name, at=NOW, days=1_000)
        self.cafile = self.write(name, self.made)

    def write(self, name: str, made: Made) -> Path:
        """Write certificate and key into one file."""
        path = self.folder / f"{name}.pem"
        path.write_bytes(made.certificate + made.key)
        return path

    def issue(self, *uris: str, kind: str = "node", days: float = 1, at: datetime = NOW) -> Made:
        """A certificate for these URIs."""
        return make_certificate(self.made, kind, uris, name="test", at=at, days=days)

    def config(self, role: str = "node", name: str = "", *, system: str = "shop", kind: str = "", days: float = 1) -> Config:
        """What somebody with a certificate for this role is given; `days` below zero is an expired one."""
        made = self.issue(
            certificate_uri(system, role, name), kind=kind or role, days=abs(days), at=NOW if days > 0 else LONG_AGO
        )
        return forced(self.write(f"{system}-{role}-{name or 'any'}-{kind}-{days}", made), self.cafile)

    def misled(self, by: Authority) -> Config:
        """Has a node's certificate of this authority, and believes another one only."""
        return forced(self.write("misled", self.issue(certificate_uri("shop", "node"))), by.cafile)

    def nobody(self) -> Config:
        """Believes this authority, and has no certificate."""
        server, client = (ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
        for context in (server, client):
            context.check_hostname = False
            context.load_verify_locations(self.cafile)
            context.verify_mode = ssl.CERT_REQUIRED
        files = (self.cafile, self.cafile, self.cafile)
        return Config(files, _Loaded(_look(files), server, client, ()))


def forced(certfile: Path, cafile: Path) -> Config:
    """A config without the checks of `from_paths`, as a peer might have one that is not ours."""
    files = (certfile, cafile, certfile)
    server, client = _context(ssl.PROTOCOL_TLS_SERVER, files), _context(ssl.PROTOCOL_TLS_CLIENT, files)
    return Config(files, _Loaded(_look(files), server, client, ("casty://forced",)))
