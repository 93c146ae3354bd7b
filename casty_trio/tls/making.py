"""Makes authorities and certificates. Floor F2; needs ``cryptography`` (the extra ``casty_trio[certs]``), so nothing at run
time imports it but ``python -m casty_trio cert``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from casty_trio.errors import SettingsError

__all__ = ["EARLIER", "Made", "make_authority", "make_certificate"]

EARLIER: Final = timedelta(minutes=5)
"""Certificates are good from so long before they are made: the clocks of other machines are not ours."""

_USES: Final = {
    "node": (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    "client": (ExtendedKeyUsageOID.CLIENT_AUTH,),
}


class Made(NamedTuple):
    """A certificate and its key, both in PEM."""

    certificate: bytes
    key: bytes


def make_authority(name: str, *, at: datetime, days: float) -> Made:
    """A new authority, which believes itself.

    Args:
        name: what people read in it.
        at: now, with a time zone.
        days: how long it is good.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    builder = _builder(subject, subject, key, at, at + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    return _sealed(builder, key, key)


def make_certificate(authority: Made, role: str, uris: Iterable[str], *, name: str, at: datetime, days: float) -> Made:
    """A new certificate from an authority.

    Args:
        authority: who signs it.
        role: ``"node"`` may listen and dial, ``"client"`` may only dial.
        uris: whom it is for, as `casty_trio.protocol.certified.certificate_uri` writes it.
        name: what people read in it.
        at: now, with a time zone.
        days: how long it is good; it ends with its authority at the latest.

    Raises:
        SettingsError: the authority is none, or has expired.
    """
    issuer, issuer_key = _read(authority)
    until = min(at + timedelta(days=days), issuer.not_valid_after_utc)
    if until <= at - EARLIER:
        raise SettingsError(f"the authority has expired on {issuer.not_valid_after_utc:%Y-%m-%d}: make a new one")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(name), issuer.subject, key, at, until)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_USES[role]), critical=False)
    names = [x509.UniformResourceIdentifier(uri) for uri in uris]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = builder.add_extension(signer, critical=False)
    return _sealed(builder, key, issuer_key)


def _read(authority: Made) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate)
        key = serialization.load_pem_private_key(authority.key, password=None)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"the authority cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise SettingsError("the authority's key and certificate do not belong together")
    return certificate, key


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, at: datetime, until: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(at - EARLIER).not_valid_after(until)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _sealed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey) -> Made:
    certificate = builder.sign(signer, hashes.SHA256())
    return Made(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
